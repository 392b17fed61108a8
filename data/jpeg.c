// jpeg.c -- JPEG through libjpeg-turbo with its default flags, which is what Pillow uses.
//
// The markers are walked here first: for the size, the number of components and the EXIF data,
// and because the decoder fills a truncated image with grey, telling only by a warning that
// cannot be told from harmless ones. A file is complete when its end marker is where the walk
// looks for it: exactly then the decoder never runs out of bytes.
#include "decode.h"
#include <turbojpeg.h>

typedef struct JpegHeader {
    int width, height, components, bits;
    bool complete;                     // has its end-of-image marker
    int orientation;
} JpegHeader;

enum { SOI = 0xd8, EOI = 0xd9, SOS = 0xda, APP1 = 0xe1, TEM = 0x01 };

static bool is_frame(int m) { return m >= 0xc0 && m <= 0xcf && m != 0xc4 && m != 0xc8 && m != 0xcc; }
static bool is_restart(int m) { return m >= 0xd0 && m <= 0xd7; }

// The next marker at or after `at`, skipping entropy-coded data; where it is in *at. -1: none.
static int next_marker(const uint8_t *p, size_t n, size_t *at) {
    while (*at + 1 < n) {
        const uint8_t *ff = memchr(p + *at, 0xff, n - 1 - *at);
        if (!ff) return -1;
        *at = (size_t)(ff - p) + 1;
        int m = *ff == 0xff ? ff[1] : 0;
        if (m != 0 && m != 0xff && m != TEM && !is_restart(m)) return m;
    }
    return -1;
}

static void read_segment(JpegHeader *h, int marker, const uint8_t *s, size_t n) {
    if (is_frame(marker) && !h->components && n >= 6) {
        h->bits = s[0];
        h->height = (int)be16(s + 1);
        h->width = (int)be16(s + 3);
        h->components = s[5];
    }
    if (marker == APP1 && !h->orientation && n >= 6 && !memcmp(s, "Exif\0\0", 6))
        h->orientation = exif_orientation(s, n);
}

static JpegHeader walk(const uint8_t *p, size_t n) {
    JpegHeader h = {0};
    size_t at = 2;
    for (int m; (m = next_marker(p, n, &at)) >= 0;) {
        at++;                                                    // now behind the marker
        if (m == EOI) { h.complete = true; break; }
        if (m == SOI) continue;
        if (n - at < 2 || be16(p + at) < 2 || be16(p + at) > n - at) break;
        read_segment(&h, m, p + at + 2, be16(p + at) - 2);
        at += be16(p + at);
    }
    return h;
}

static Err decompress(const uint8_t *p, size_t n, int format, Image *out, Fault *f) {
    tjhandle tj = tjInitDecompress();
    if (!tj) return fault(f, E_LIMIT, "out of memory");
    int pitch = out->width * tjPixelSize[format];
    int r = tjDecompress2(tj, p, n, out->pixel, out->width, pitch, out->height, format, TJFLAG_LIMITSCANS);
    bool ok = r == 0 || tjGetErrorCode(tj) == TJERR_WARNING;      // Pillow lets warnings pass too
    Err e = ok ? E_OK : fault(f, E_MALFORMED, "damaged JPEG: %s", tjGetErrorStr2(tj));
    tjDestroy(tj);
    return e;
}

// a * b / 255, rounded, as Pillow does it.
static int mul255(int a, int b) {
    int t = a * b + 128;
    return ((t >> 8) + t) >> 8;
}

// Adobe stores CMYK inverted, and Pillow takes all for Adobe's: the byte is 255 - ink.
static void cmyk_to_rgb(Image *im) {
    size_t n = (size_t)im->width * (size_t)im->height;
    const uint8_t *s = im->pixel;
    uint8_t *d = im->pixel;
    for (size_t i = 0; i < n; i++, s += 4) {
        int white = s[3];
        for (int c = 0; c < 3; c++) *d++ = (uint8_t)(white - mul255(255 - s[c], white));
    }
    im->channels = 3;
}

Err jpeg_decode(const uint8_t *p, size_t n, Image *out, Fault *f) {
    JpegHeader h = walk(p, n);
    if (!h.components) return fault(f, E_MALFORMED, "damaged JPEG: no frame header");
    if (h.bits != 8) return fault(f, E_UNSUPPORTED, "a JPEG of %d bits per sample", h.bits);
    if (h.components != 1 && h.components != 3 && h.components != 4)
        return fault(f, E_UNSUPPORTED, "a JPEG of %d components", h.components);
    if (!h.complete) return fault(f, E_MALFORMED, "the JPEG is truncated: its end marker is missing");
    if (image_reserve(out, h.width, h.height, h.components, f)) return f->code;
    int format = h.components == 1 ? TJPF_GRAY : h.components == 3 ? TJPF_RGB : TJPF_CMYK;
    if (decompress(p, n, format, out, f)) return f->code;
    if (h.components == 4) cmyk_to_rgb(out);
    if (h.orientation) out->orientation = h.orientation;
    return E_OK;
}
