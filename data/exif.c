// exif.c -- the EXIF orientation: finding it, and undoing it.
#include "decode.h"

typedef struct Tiff { const uint8_t *p; size_t n; bool big; } Tiff;

static uint32_t get16(const Tiff *t, size_t at) { return t->big ? be16(t->p + at) : le16(t->p + at); }
static uint32_t get32(const Tiff *t, size_t at) { return t->big ? be32(t->p + at) : le32(t->p + at); }

int exif_orientation(const uint8_t *p, size_t n) {
    enum { ORIENTATION = 0x0112, SHORT = 3, LONG = 4, ENTRY = 12 };
    if (n >= 6 && !memcmp(p, "Exif\0\0", 6)) p += 6, n -= 6;
    if (n < 8 || (memcmp(p, "II*\0", 4) && memcmp(p, "MM\0*", 4))) return 1;
    Tiff t = {p, n, p[0] == 'M'};
    size_t at = get32(&t, 4);
    if (at > n - 2) return 1;
    uint32_t found = 1;
    uint32_t entries = get16(&t, at);
    for (at += 2; entries-- && n - at >= ENTRY; at += ENTRY) {
        uint32_t type = get16(&t, at + 2);
        if (get16(&t, at) != ORIENTATION || get32(&t, at + 4) != 1) continue;
        if (type == SHORT) found = get16(&t, at + 8);
        if (type == LONG) found = get32(&t, at + 8);
    }
    return found >= 1 && found <= 8 ? (int)found : 1;
}

// Result (x, y) comes from source element first + x * right + y * down.
typedef struct Turn { ptrdiff_t first, right, down; } Turn;

static Turn turn_of(int orientation, ptrdiff_t w, ptrdiff_t h) {
    ptrdiff_t end = w - 1, bottom = (h - 1) * w;
    switch (orientation) {
    case 2: return (Turn){end, -1, w};               // mirrored
    case 3: return (Turn){bottom + end, -1, -w};     // upside down
    case 4: return (Turn){bottom, 1, -w};
    case 5: return (Turn){0, w, 1};                  // transposed
    case 6: return (Turn){bottom, -w, 1};            // needs a quarter turn clockwise
    case 7: return (Turn){bottom + end, -w, -1};
    case 8: return (Turn){end, w, -1};               // a quarter turn the other way
    default: return (Turn){0, 1, w};
    }
}

Err image_orient(Image *im, int orientation, Fault *f) {
    if (orientation <= 1 || orientation > 8) return E_OK;
    bool swap = orientation >= 5;
    Image to = {0};
    if (image_reserve(&to, swap ? im->height : im->width, swap ? im->width : im->height, im->channels, f))
        return f->code;
    Turn t = turn_of(orientation, im->width, im->height);
    ptrdiff_t c = im->channels;
    uint8_t *d = to.pixel;
    for (ptrdiff_t y = 0; y < to.height; y++) {
        const uint8_t *s = im->pixel + (t.first + y * t.down) * c;
        for (ptrdiff_t x = 0; x < to.width; x++, s += t.right * c)
            for (ptrdiff_t k = 0; k < c; k++) *d++ = s[k];
    }
    free(im->pixel);
    im->pixel = to.pixel;
    im->capacity = to.capacity;
    im->width = to.width;
    im->height = to.height;
    return E_OK;
}
