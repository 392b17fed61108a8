// body_region.c -- RoiAlign, MaxRoiPool: one small image for each region of a larger one.
#include "bodies.h"
#include <math.h>

enum { SAMPLES_MAX = 1 << 12 };       // of a bin, per axis: a region reaching farther is no region

typedef struct Image { DType type; const char *at; int64_t h, w; } Image;

static double pixel(const Image *m, int64_t y, int64_t x) {
    return dtype_get_f(m->type, m->at + (y * m->w + x) * dtypes[m->type].bytes);
}

static Image image_of(const BodyArgs *a, int64_t n, int64_t c) {
    const TensorDesc *d = &a->desc[1];
    int64_t plane = d->dim[2] * d->dim[3];
    return (Image){d->type, (const char *)a->buf[1] + (n * d->dim[1] + c) * plane * dtypes[d->type].bytes, d->dim[2],
                   d->dim[3]};
}

static double number(const BodyArgs *a, int buf, int64_t i) {
    DType t = a->desc[buf].type;
    double v = dtype_get_f(t, (const char *)a->buf[buf] + i * dtypes[t].bytes);
    return v < -1e9 ? -1e9 : v > 1e9 ? 1e9 : v == v ? v : 0;      // what follows stays within integers
}

static void put(const BodyArgs *a, int64_t i, double v) {
    DType t = a->desc[0].type;
    dtype_set_f(t, (char *)a->buf[0] + i * dtypes[t].bytes, v);
}

// ---- RoiAlign ----

typedef struct Bins { double start, size; int64_t samples; } Bins;             // along one axis

static Bins bins_of(const BodyArgs *a, double from, double to, int64_t count) {
    bool half = a->attr[4] != 0;
    double start = from * a->f - (half ? 0.5 : 0), extent = to * a->f - (half ? 0.5 : 0) - start;
    if (!half && extent < 1) extent = 1;
    Bins b = {start, extent / (double)count, a->attr[3]};
    double samples = ceil(b.size);
    if (b.samples <= 0) b.samples = samples < 0 ? 0 : samples > SAMPLES_MAX ? SAMPLES_MAX + 1 : (int64_t)samples;
    return b;
}

// The two neighbours of a coordinate and the second one's weight; false if it lies outside.
static bool neighbours(double x, int64_t size, int64_t *low, int64_t *high, double *weight) {
    if (x < -1 || x > (double)size) return false;
    if (x < 0) x = 0;
    *low = (int64_t)x, *high = *low + 1;
    if (*low >= size - 1) *low = *high = size - 1, x = (double)*low;
    *weight = x - (double)*low;
    return true;
}

static double sample(const Image *m, double y, double x, bool greatest) {
    int64_t y0, y1, x0, x1;
    double v, u;
    if (!neighbours(y, m->h, &y0, &y1, &v) || !neighbours(x, m->w, &x0, &x1, &u)) return 0;
    double a = (1 - v) * (1 - u) * pixel(m, y0, x0), b = (1 - v) * u * pixel(m, y0, x1);
    double c = v * (1 - u) * pixel(m, y1, x0), d = v * u * pixel(m, y1, x1);
    return greatest ? fmax(fmax(a, b), fmax(c, d)) : a + b + c + d;      // by the standard's reference: of the shares
}

static double bin_value(const Image *m, const Bins *by, const Bins *bx, int64_t py, int64_t px, bool greatest) {
    double total = 0;
    for (int64_t i = 0; i < by->samples; i++)
        for (int64_t j = 0; j < bx->samples; j++) {
            double y = by->start + ((double)py + ((double)i + 0.5) / (double)by->samples) * by->size;
            double x = bx->start + ((double)px + ((double)j + 0.5) / (double)bx->samples) * bx->size;
            double v = sample(m, y, x, greatest);
            total = !greatest ? total + v : (i || j) && total > v ? total : v;
        }
    int64_t count = by->samples * bx->samples;
    return greatest || !count ? total : total / (double)count;
}

//     buf   y [R, C, height, width], x [N, C, H, W], rois [R, 4] (x1, y1, x2, y2), image of each [R] (i64)
//     attr  height, width; 1: the greatest sample, 0: their mean; samples per axis of a bin, 0: by its size;
//           1: pixels' centres at halves.  f: scale of the rois
void body_RoiAlign(const BodyArgs *a) {
    const TensorDesc *y = &a->desc[0];
    int64_t h = y->dim[2], w = y->dim[3];
    for (int64_t r = 0; r < y->dim[0]; r++) {
        int64_t n = dtype_get_i(DT_I64, (const char *)a->buf[3] + r * 8);
        Bins bx = bins_of(a, number(a, 2, 4 * r), number(a, 2, 4 * r + 2), w);
        Bins by = bins_of(a, number(a, 2, 4 * r + 1), number(a, 2, 4 * r + 3), h);
        bool bad = n < 0 || n >= a->desc[1].dim[0] || bx.samples > SAMPLES_MAX || by.samples > SAMPLES_MAX;
        if (bad) *a->ctx->error = 1;
        for (int64_t c = 0; c < y->dim[1]; c++) {
            Image m = image_of(a, bad ? 0 : n, c);
            for (int64_t i = 0; i < h * w; i++)
                put(a, (r * y->dim[1] + c) * h * w + i,
                    bad ? 0 : bin_value(&m, &by, &bx, i / w, i % w, a->attr[2] != 0));
        }
    }
}

// ---- MaxRoiPool ----

static int64_t limited(int64_t v, int64_t most) { return v < 0 ? 0 : v > most ? most : v; }

// Bin p of `count` over from..to (both included), cut to the image.
static void bin_range(int64_t from, int64_t to, int64_t p, int64_t count, int64_t size, int64_t *lo, int64_t *hi) {
    double bin = (double)(to < from ? 1 : to - from + 1) / (double)count;
    *lo = limited(from + (int64_t)floor((double)p * bin), size);
    *hi = limited(from + (int64_t)ceil((double)(p + 1) * bin), size);
}

//     buf   y [R, C, height, width], x [N, C, H, W], rois [R, 5] (image, x1, y1, x2, y2)
//     attr  height, width.  f: scale of the rois.  An empty bin is 0.
void body_MaxRoiPool(const BodyArgs *a) {
    const TensorDesc *y = &a->desc[0];
    int64_t h = y->dim[2], w = y->dim[3], corner[4];
    for (int64_t i = 0; i < y->dim[0] * y->dim[1] * h * w; i++) {
        int64_t r = i / (y->dim[1] * h * w), c = i / (h * w) % y->dim[1], y0, y1, x0, x1;
        int64_t n = (int64_t)number(a, 2, 5 * r);
        bool bad = n < 0 || n >= a->desc[1].dim[0], first = true;
        if (bad) *a->ctx->error = 1;
        for (int k = 0; k < 4; k++) corner[k] = (int64_t)round(number(a, 2, 5 * r + 1 + k) * a->f);
        Image m = image_of(a, bad ? 0 : n, c);
        bin_range(corner[1], corner[3], i / w % h, h, m.h, &y0, &y1);
        bin_range(corner[0], corner[2], i % w, w, m.w, &x0, &x1);
        double best = 0;
        for (int64_t p = y0; p < y1; p++)
            for (int64_t q = x0; q < x1; q++, first = false)
                if (first || pixel(&m, p, q) > best) best = pixel(&m, p, q);
        put(a, i, best);
    }
}
