// webp.c -- WebP through libwebp: still images, and the first frame of an animation.
#include "decode.h"
#include <webp/decode.h>

typedef struct Chunk { const uint8_t *p; size_t n; } Chunk;

// The first chunk of this name among the RIFF chunks in p[0..n); {NULL} if there is none.
static Chunk find_chunk(const uint8_t *p, size_t n, const char *name) {
    for (size_t at = 0; n - at >= 8;) {
        size_t size = le32(p + at + 4);
        if (size > n - at - 8) break;
        if (!memcmp(p + at, name, 4)) return (Chunk){p + at + 8, size};
        at += 8 + size;
        if (size & 1) {                              // chunks are padded to even sizes
            if (at == n) break;
            at++;
        }
    }
    return (Chunk){0};
}

static Err decode_into(Chunk data, uint8_t *to, size_t room, int stride, Fault *f) {
    if (stride > 0 && WebPDecodeRGBInto(data.p, data.n, to, room, stride)) return E_OK;
    return fault(f, E_MALFORMED, "damaged or truncated WebP");
}

static uint32_t le24(const uint8_t *p) { return le16(p) | (uint32_t)p[2] << 16; }

// An animation's first frame lies somewhere on a canvas, which is black elsewhere.
static Err decode_animation(Chunk head, Chunk frame, Image *out, Fault *f) {
    enum { FRAME_HEADER = 16 };
    if (head.n < 10 || frame.n < FRAME_HEADER) return fault(f, E_MALFORMED, "damaged WebP animation");
    size_t x = 2 * le24(frame.p), y = 2 * le24(frame.p + 3), w = le24(frame.p + 6) + 1, h = le24(frame.p + 9) + 1;
    size_t width = le24(head.p + 4) + 1, height = le24(head.p + 7) + 1;
    Chunk data = {frame.p + FRAME_HEADER, frame.n - FRAME_HEADER};
    int really_w, really_h;
    if (!WebPGetInfo(data.p, data.n, &really_w, &really_h) || (size_t)really_w != w || (size_t)really_h != h ||
        x + w > width || y + h > height)
        return fault(f, E_MALFORMED, "damaged WebP animation");
    if (image_reserve(out, (int64_t)width, (int64_t)height, 3, f)) return f->code;
    memset(out->pixel, 0, width * height * 3);
    size_t at = (y * width + x) * 3;
    return decode_into(data, out->pixel + at, width * height * 3 - at, (int)(width * 3), f);
}

Err webp_decode(const uint8_t *p, size_t n, Image *out, Fault *f) {
    size_t riff = le32(p + 4);
    if (riff > n - 8) return fault(f, E_MALFORMED, "the WebP is truncated: %zu of %zu bytes", n, riff + 8);
    if (riff < 4) return fault(f, E_MALFORMED, "damaged or truncated WebP");
    Chunk exif = find_chunk(p + 12, riff - 4, "EXIF"), frame = find_chunk(p + 12, riff - 4, "ANMF");
    if (exif.p) out->orientation = exif_orientation(exif.p, exif.n);
    WebPBitstreamFeatures is;
    if (WebPGetFeatures(p, n, &is) != VP8_STATUS_OK) return fault(f, E_MALFORMED, "damaged or truncated WebP");
    if (is.has_animation) return decode_animation(find_chunk(p + 12, riff - 4, "VP8X"), frame, out, f);
    if (image_reserve(out, is.width, is.height, 3, f)) return f->code;
    return decode_into((Chunk){p, n}, out->pixel, (size_t)is.width * (size_t)is.height * 3, is.width * 3, f);
}
