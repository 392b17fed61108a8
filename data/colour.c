// colour.c -- what pixels are: brightness, contrast, saturation, hue, with Pillow's arithmetic.
//
// What must stay as it is for the bits to agree: blends in single precision, truncated; the round
// trip through 8-bit hue, saturation and value.
#include "transform.h"

static uint8_t luma(const uint8_t *p) {                          // ITU-R 601-2 in 16-bit fixed point
    return (uint8_t)((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000u) >> 16);
}

static size_t pixel_count(const Image *im) { return (size_t)im->width * (size_t)im->height; }

// Image.blend: from `base` at 0 to `p` at 1, and beyond.
static uint8_t blend(int base, int p, float factor) {
    float v = (float)base + factor * (float)(p - base);
    return v <= 0.0f ? 0 : v >= 255.0f ? 255 : (uint8_t)v;
}

static void blend_with(Image *im, int base, float factor) {
    uint8_t table[256];
    for (int i = 0; i < 256; i++) table[i] = blend(base, i, factor);
    size_t n = pixel_count(im) * (size_t)im->channels;
    for (size_t i = 0; i < n; i++) im->pixel[i] = table[im->pixel[i]];
}

void image_brightness(Image *im, double factor) { blend_with(im, 0, (float)factor); }

// Away from, or towards, the mean of the image in grey.
void image_contrast(Image *im, double factor) {
    size_t n = pixel_count(im), c = (size_t)im->channels;
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += c == 3 ? luma(im->pixel + 3 * i) : im->pixel[i];
    blend_with(im, (int)((double)sum / (double)n + 0.5), (float)factor);
}

void image_saturation(Image *im, double factor) {
    if (im->channels != 3) return;
    size_t n = pixel_count(im);
    for (size_t i = 0; i < n; i++) {
        uint8_t *p = im->pixel + 3 * i, grey = luma(p);
        for (int c = 0; c < 3; c++) p[c] = blend(grey, p[c], (float)factor);
    }
}

// ---- hue ----

static int larger(int a, int b) { return a > b ? a : b; }
static int smaller(int a, int b) { return a < b ? a : b; }

static void to_hsv(const uint8_t *p, uint8_t *hsv) {
    int r = p[0], g = p[1], b = p[2], most = larger(r, larger(g, b)), least = smaller(r, smaller(g, b));
    hsv[0] = hsv[1] = 0;
    hsv[2] = (uint8_t)most;
    if (most == least) return;
    float range = (float)(most - least), s = range / (float)most, h;
    float from_r = (float)(most - r) / range, from_g = (float)(most - g) / range, from_b = (float)(most - b) / range;
    if (r == most) h = from_b - from_g;
    else if (g == most) h = (float)(2.0 + from_r - from_b);
    else h = (float)(4.0 + from_g - from_r);
    double turns = h / 6.0 + 1.0;
    h = (float)(turns >= 1.0 ? turns - 1.0 : turns);
    hsv[0] = (uint8_t)(h * 255.0);
    hsv[1] = (uint8_t)(s * 255.0);
}

// Which sixth of the circle a hue lies in, and where in it.
typedef struct Sector { int number; float part; } Sector;

static Sector sector_of(int hue) {
    double at = (float)hue * 6.0 / 255.0;
    return (Sector){(int)at % 6, (float)(at - (float)(int)at)};
}

// For no hue, saturation and value is the half added here rounded up, or a result outside 0..255.
static uint8_t nearest(double v) { return (uint8_t)(v + 0.5); }

static void from_hsv(Sector at, float s, uint8_t v, uint8_t *out) {
    uint8_t p = nearest((float)v * (1.0 - s)), q = nearest((float)v * (1.0 - s * at.part));
    uint8_t t = nearest((float)v * (1.0 - s * (1.0 - at.part)));
    const uint8_t rgb[6][3] = {{v, t, p}, {q, v, p}, {p, v, t}, {p, q, v}, {t, p, v}, {v, p, q}};
    memcpy(out, rgb[at.number], 3);
}

void image_hue(Image *im, double turn) {
    if (im->channels != 3) return;
    size_t n = pixel_count(im);
    uint8_t shift = (uint8_t)(int)(turn * 255), hsv[3];
    Sector sector[256];
    float part[256];
    for (int i = 0; i < 256; i++) {
        sector[i] = sector_of(i);
        part[i] = (float)(i / 255.0);
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t *p = im->pixel + 3 * i;
        to_hsv(p, hsv);
        if (hsv[1]) from_hsv(sector[(uint8_t)(hsv[0] + shift)], part[hsv[1]], hsv[2], p);
        else memset(p, hsv[2], 3);
    }
}
