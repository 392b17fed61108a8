// bmp.c -- Windows and OS/2 bitmaps: 1, 4 and 8 bits with palette, 16, 24 and 32 bits, the
// bit-field layouts that Pillow knows, bottom up or top down. Run-length coding is refused.
#include "decode.h"

typedef struct Bmp {
    int64_t width, height;
    bool top_down;
    uint32_t bits, compression, colours;
    size_t entry;                      // bytes of a palette entry
    size_t pixels;                     // offset of the pixel data
    size_t palette;                    // offset of the palette
    uint32_t mask[3];                  // red, green, blue; all 0: the usual layout
} Bmp;

enum { RAW = 0, BITFIELDS = 3, FILE_HEADER = 14 };

static void read_os2_header(const uint8_t *h, Bmp *b) {
    b->width = le16(h + 4);
    b->height = le16(h + 6);
    b->bits = le16(h + 10);
    b->entry = 3;
}

static Err read_windows_header(const uint8_t *h, size_t size, size_t room, Bmp *b, Fault *f) {
    b->width = le32(h + 4);
    b->top_down = h[11] == 0xff;
    b->height = b->top_down ? ((int64_t)1 << 32) - le32(h + 8) : le32(h + 8);
    b->bits = le16(h + 14);
    b->compression = le32(h + 16);
    b->colours = le32(h + 32);
    b->entry = 4;
    if (b->compression != BITFIELDS) return E_OK;
    if (room < 52) return fault(f, E_MALFORMED, "the BMP is truncated");
    for (int i = 0; i < 3; i++) b->mask[i] = le32(h + 40 + 4 * i);
    if (size == 40) b->palette += 12;                            // the masks follow the header
    return E_OK;
}

static Err read_header(const uint8_t *p, size_t n, Bmp *b, Fault *f) {
    if (n < FILE_HEADER + 4) return fault(f, E_MALFORMED, "the BMP is truncated");
    size_t size = le32(p + FILE_HEADER), room = n - FILE_HEADER;
    bool os2 = size == 12;
    if (!os2 && size != 40 && size != 52 && size != 56 && size != 64 && size != 108 && size != 124)
        return fault(f, E_UNSUPPORTED, "a BMP header of %zu bytes", size);
    if (size > room) return fault(f, E_MALFORMED, "the BMP is truncated");
    b->palette = FILE_HEADER + size;
    b->pixels = le32(p + 10);
    if (os2) read_os2_header(p + FILE_HEADER, b);
    else if (read_windows_header(p + FILE_HEADER, size, room, b, f)) return f->code;
    if (b->compression != RAW && b->compression != BITFIELDS)
        return fault(f, E_UNSUPPORTED, "a compressed BMP (method %u)", b->compression);
    if (b->bits != 1 && b->bits != 4 && b->bits != 8 && b->bits != 16 && b->bits != 24 && b->bits != 32)
        return fault(f, E_UNSUPPORTED, "a BMP of %u bits per pixel", b->bits);
    if (b->bits > 8) return E_OK;
    if (b->compression == BITFIELDS) return fault(f, E_UNSUPPORTED, "a BMP palette with bit fields");
    if (!b->colours) b->colours = 1u << b->bits;
    if (b->colours > 65536) return fault(f, E_MALFORMED, "a BMP palette of %u colours", b->colours);
    if (b->pixels == FILE_HEADER + size) b->pixels += 4 * (size_t)b->colours;   // some writers forget the palette
    return E_OK;
}

// 256 colours, RGB. What the file leaves open is a grey ramp, as in Pillow's palettes.
static Err read_palette(const uint8_t *p, size_t n, const Bmp *b, uint8_t lut[768], Fault *f) {
    if (b->palette > n || b->colours * b->entry > n - b->palette)
        return fault(f, E_MALFORMED, "the BMP is truncated");
    for (int i = 0; i < 256; i++) memset(lut + 3 * i, i, 3);
    for (uint32_t i = 0; i < b->colours && i < 256; i++) {
        const uint8_t *s = p + b->palette + i * b->entry;
        for (int c = 0; c < 3; c++) lut[3 * i + (uint32_t)c] = s[2 - c];
    }
    return E_OK;
}

// How a pixel's bits become colour: field c is (pixel >> shift[c] & max[c]) * 255 / max[c].
typedef struct Fields { uint32_t shift[3], max[3]; } Fields;

static Err find_fields(const Bmp *b, Fields *x, Fault *f) {
    static const struct { uint32_t bits, mask[3]; } known[] = {
        {16, {0x7c00, 0x3e0, 0x1f}},             {16, {0xf800, 0x7e0, 0x1f}},
        {24, {0xff0000, 0xff00, 0xff}},          {32, {0xff0000, 0xff00, 0xff}},
        {32, {0xff000000, 0xff0000, 0xff00}},    {32, {0xff, 0xff00, 0xff0000}},
    };
    bool usual = b->compression == RAW || (b->bits == 32 && !(b->mask[0] | b->mask[1] | b->mask[2]));
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].bits != b->bits || (!usual && memcmp(known[i].mask, b->mask, sizeof b->mask))) continue;
        for (int c = 0; c < 3; c++) {
            x->shift[c] = (uint32_t)__builtin_ctz(known[i].mask[c]);
            x->max[c] = known[i].mask[c] >> x->shift[c];
        }
        return E_OK;
    }
    return fault(f, E_UNSUPPORTED, "this layout of bit fields in a BMP");
}

static void read_indices(const uint8_t *s, const Bmp *b, const uint8_t *lut, uint8_t *d) {
    uint32_t per = 8 / b->bits, mask = (1u << b->bits) - 1;
    for (uint32_t x = 0; x < (uint32_t)b->width; x++, d += 3) {
        uint32_t shift = 8 - b->bits - x % per * b->bits;
        memcpy(d, lut + 3 * (s[x / per] >> shift & mask), 3);
    }
}

static void read_fields(const uint8_t *s, const Bmp *b, const Fields *field, uint8_t *d) {
    size_t bytes = b->bits / 8;
    for (int64_t x = 0; x < b->width; x++, s += bytes) {
        uint32_t v = le16(s);
        if (bytes >= 3) v |= (uint32_t)s[2] << 16;
        if (bytes == 4) v |= (uint32_t)s[3] << 24;
        for (int c = 0; c < 3; c++) *d++ = (uint8_t)((v >> field->shift[c] & field->max[c]) * 255 / field->max[c]);
    }
}

Err bmp_decode(const uint8_t *p, size_t n, Image *out, Fault *f) {
    Bmp b = {0};
    uint8_t lut[768];
    Fields fields = {0};
    if (read_header(p, n, &b, f)) return f->code;
    if (b.bits <= 8 ? read_palette(p, n, &b, lut, f) : find_fields(&b, &fields, f)) return f->code;
    if (image_reserve(out, b.width, b.height, 3, f)) return f->code;
    size_t used = ((size_t)b.width * b.bits + 7) / 8, stride = (used + 3) & ~(size_t)3;
    if (b.pixels > n || (n - b.pixels < used) || (n - b.pixels - used) / stride < (size_t)b.height - 1)
        return fault(f, E_MALFORMED, "the BMP is truncated");
    for (size_t y = 0; y < (size_t)b.height; y++) {
        const uint8_t *s = p + b.pixels + y * stride;
        uint8_t *d = out->pixel + (b.top_down ? y : (size_t)b.height - 1 - y) * (size_t)b.width * 3;
        if (b.bits <= 8) read_indices(s, &b, lut, d);
        else read_fields(s, &b, &fields, d);
    }
    return E_OK;
}
