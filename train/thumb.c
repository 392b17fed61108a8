// thumb.c -- see thumb.h. BMP, because every browser reads it and it takes no encoder.
#include "thumb.h"
#include "../data/resize.h"

enum { SIDE = 96, HEADER = 54, CHANNELS = 3 };

typedef struct Work { Image whole, small; Resizer resizer; } Work;

static void free_work(Work *w) {
    image_free(&w->whole), image_free(&w->small);
    resizer_free(&w->resizer);
}

static int scaled(int side, int longest) {
    int n = (int)((int64_t)side * SIDE / longest);
    return longest <= SIDE ? side : n < 1 ? 1 : n;
}

static bool shrink(Work *w, const Picture *p) {
    Fault f;
    if (picture_load(p, &(ImageOptions){.channels = CHANNELS}, &w->whole, &f)) return false;
    int longest = w->whole.width > w->whole.height ? w->whole.width : w->whole.height;
    int width = scaled(w->whole.width, longest), height = scaled(w->whole.height, longest);
    Box all = {0, 0, w->whole.width, w->whole.height}, part = {0, 0, width, height};
    return !image_resize(&w->resizer, &w->whole, all, width, height, INTERP_BILINEAR, part, &w->small, &f);
}

static void put_u32(uint8_t *to, uint32_t v) {
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(v >> 8 * i);
}

// 24 bits a pixel, bottom up, blue first, rows padded to four bytes.
static uint8_t *as_bmp(Cx *cx, const Image *im, size_t *size) {
    size_t row = ((size_t)im->width * CHANNELS + 3) / 4 * 4;
    *size = HEADER + row * (size_t)im->height;
    uint8_t *b = NEW(cx, uint8_t, *size);
    b[0] = 'B', b[1] = 'M', put_u32(b + 2, (uint32_t)*size), put_u32(b + 10, HEADER), put_u32(b + 14, HEADER - 14);
    put_u32(b + 18, (uint32_t)im->width), put_u32(b + 22, (uint32_t)im->height), b[26] = 1, b[28] = 8 * CHANNELS;
    for (int y = 0; y < im->height; y++)
        for (int x = 0; x < im->width; x++)
            for (int c = 0; c < CHANNELS; c++)
                b[HEADER + (size_t)(im->height - 1 - y) * row + (size_t)x * CHANNELS + (size_t)(CHANNELS - 1 - c)] =
                    im->pixel[((size_t)y * (size_t)im->width + (size_t)x) * CHANNELS + (size_t)c];
    return b;
}

static char *base64(Cx *cx, const uint8_t *b, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = NEW(cx, char, (n + 2) / 3 * 4 + 1), *to = text;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)b[i] << 16 | (i + 1 < n ? (uint32_t)b[i + 1] << 8 : 0) | (i + 2 < n ? b[i + 2] : 0);
        for (int k = 0; k < 4; k++) *to++ = i + (size_t)k > n ? '=' : digits[v >> (18 - 6 * k) & 63];
    }
    return text;
}

const char *thumb_uri(Cx *cx, const Picture *p) {
    Work w = {0};
    const char *uri = NULL;
    if (shrink(&w, p)) {
        size_t n;
        const uint8_t *bmp = as_bmp(cx, &w.small, &n);
        uri = cx_fmt(cx, "data:image/bmp;base64,%s", base64(cx, bmp, n));
    }
    free_work(&w);
    return uri;
}
