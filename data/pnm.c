// pnm.c -- PBM, PGM and PPM, plain (P1 P2 P3) and raw (P4 P5 P6).
//
// Samples are scaled to 0..255 and rounded half to even. Pillow's odd case is kept: a PGM of more
// than 8 bits is scaled to 16 bits and then clipped at 255, as its 16-bit PNGs are.
#include "decode.h"

typedef struct Pnm {
    const uint8_t *p, *end;
    char kind;                         // '1'..'6'
    int64_t width, height, maxval;
    int channels;
} Pnm;

static bool is_space(int c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static void skip_comment(Pnm *r) {
    while (r->p < r->end && *r->p != '\n' && *r->p != '\r') r->p++;
}

// A decimal number and the one separator behind it, comments aside. -1: none, or more than 10 digits.
static int64_t read_number(Pnm *r) {
    int64_t v = 0;
    int digits = 0;
    for (; r->p < r->end; r->p++) {
        if (*r->p == '#') {
            skip_comment(r);
            if (r->p == r->end) break;
        } else if (is_space(*r->p)) {
            if (digits) { r->p++; break; }
        } else {
            if (*r->p < '0' || *r->p > '9' || ++digits > 10) return -1;
            v = v * 10 + (*r->p - '0');
        }
    }
    return digits ? v : -1;
}

static Err read_header(Pnm *r, Fault *f) {
    bool bits = r->kind == '1' || r->kind == '4';
    r->channels = r->kind == '3' || r->kind == '6' ? 3 : 1;
    r->width = read_number(r);
    r->height = read_number(r);
    r->maxval = bits ? 1 : read_number(r);
    if (r->width < 0 || r->height < 0 || r->maxval < 0) return fault(f, E_MALFORMED, "damaged PNM header");
    if (r->maxval < 1 || r->maxval > 65535)
        return fault(f, E_MALFORMED, "a PNM maximum of %lld, not 1 to 65535", (long long)r->maxval);
    return E_OK;
}

static uint8_t scale(const Pnm *r, int64_t v) {
    double top = r->channels == 1 && r->maxval > 255 ? 65535.0 : 255.0;
    double x = nearbyint((double)v / (double)r->maxval * top);
    return x > 255 ? 255 : (uint8_t)x;
}

static Err read_bits(Pnm *r, Image *out, Fault *f) {
    size_t width = (size_t)out->width, stride = (width + 7) / 8;
    if ((size_t)(r->end - r->p) / stride < (size_t)out->height) return fault(f, E_MALFORMED, "the PBM is truncated");
    for (size_t y = 0; y < (size_t)out->height; y++, r->p += stride)
        for (size_t x = 0; x < width; x++)
            out->pixel[y * width + x] = r->p[x / 8] >> (7 - x % 8) & 1 ? 0 : 255;
    return E_OK;
}

static Err read_raw(Pnm *r, uint8_t *d, size_t count, Fault *f) {
    size_t bytes = r->maxval > 255 ? 2 : 1;
    if ((size_t)(r->end - r->p) / bytes < count) return fault(f, E_MALFORMED, "the PNM is truncated");
    if (r->maxval == 255) memcpy(d, r->p, count);
    else
        for (size_t i = 0; i < count; i++) d[i] = scale(r, bytes == 2 ? be16(r->p + 2 * i) : r->p[i]);
    return E_OK;
}

static Err read_plain(Pnm *r, uint8_t *d, size_t count, Fault *f) {
    for (size_t i = 0; i < count; i++) {
        int64_t v = read_number(r);
        if (v < 0) return fault(f, E_MALFORMED, "the PNM is truncated or holds no number at sample %zu", i);
        if (v > r->maxval) return fault(f, E_MALFORMED, "a PNM sample of %lld, above its maximum", (long long)v);
        d[i] = scale(r, v);
    }
    return E_OK;
}

// In a plain PBM the digits need no space between them.
static Err read_plain_bits(Pnm *r, uint8_t *d, size_t count, Fault *f) {
    for (size_t i = 0; i < count;) {
        if (r->p < r->end && *r->p == '#') skip_comment(r);
        if (r->p == r->end) return fault(f, E_MALFORMED, "the PBM is truncated");
        int c = *r->p++;
        if (c == '0' || c == '1') d[i++] = c == '0' ? 255 : 0;
        else if (!is_space(c)) return fault(f, E_MALFORMED, "a PBM sample that is neither 0 nor 1");
    }
    return E_OK;
}

Err pnm_decode(const uint8_t *p, size_t n, Image *out, Fault *f) {
    Pnm r = {.p = p + 2, .end = p + n, .kind = (char)p[1]};
    if (!is_space(p[2]) && p[2] != '#')
        return fault(f, E_MALFORMED, "not an image in JPEG, PNG, WebP, BMP or PPM format");
    if (read_header(&r, f)) return f->code;
    // A sample takes at least a bit: no image is reserved for a header alone.
    size_t left = (size_t)(r.end - r.p);
    if (r.width > 0 && (uint64_t)r.height > 8 * (uint64_t)left / (uint64_t)r.width)
        return fault(f, E_MALFORMED, "the PNM is truncated");
    if (image_reserve(out, r.width, r.height, r.channels, f)) return f->code;
    size_t count = (size_t)r.width * (size_t)r.height * (size_t)r.channels;
    switch (r.kind) {
    case '1': return read_plain_bits(&r, out->pixel, count, f);
    case '4': return read_bits(&r, out, f);
    case '5': case '6': return read_raw(&r, out->pixel, count, f);
    default: return read_plain(&r, out->pixel, count, f);
    }
}
