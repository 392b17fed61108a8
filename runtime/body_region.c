// body_region.c -- RoiAlign, MaxRoiPool: one small image for each region of a larger one; and what flows back.
//
// The adjoints read x, rois (and image numbers) and dy, and add dy up where the values came from. Places of regions get
// nothing; of equal values the first one counts.
#include "bodies.h"
#include <math.h>
#include <string.h>

enum { SAMPLES_MAX = 1 << 12 };       // of a bin, per axis: a region reaching farther is no region

typedef struct Image { DType type; char *at; int64_t h, w; } Image;

static double pixel(const Image *m, int64_t i) { return dtype_get_f(m->type, m->at + i * dtypes[m->type].bytes); }

static void add_to_pixel(const Image *m, int64_t i, double v) {
    dtype_set_f(m->type, m->at + i * dtypes[m->type].bytes, pixel(m, i) + v);
}

// Channel c of image n, in one of the buffers.
static Image image_of(const BodyArgs *a, int buf, int64_t n, int64_t c) {
    const TensorDesc *d = &a->desc[buf];
    int64_t plane = d->dim[2] * d->dim[3];
    return (Image){d->type, (char *)a->buf[buf] + (n * d->dim[1] + c) * plane * dtypes[d->type].bytes, d->dim[2],
                   d->dim[3]};
}

static double number(const BodyArgs *a, int buf, int64_t i) {
    DType t = a->desc[buf].type;
    double v = dtype_get_f(t, (const char *)a->buf[buf] + i * dtypes[t].bytes);
    return v < -1e9 ? -1e9 : v > 1e9 ? 1e9 : v == v ? v : 0;      // what follows stays within integers
}

static void clear(const BodyArgs *a) {
    size_t bytes = (size_t)desc_bytes(&a->desc[0]);
    if (bytes) memset(a->buf[0], 0, bytes);
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

// One of the pixels a sample is made of, and its weight there.
typedef struct Tap { int64_t at; double weight; } Tap;

// One element of a region's small image.
typedef struct Bin { Image m; const Bins *y, *x; int64_t row, column; } Bin;

static double coordinate(const Bins *b, int64_t bin, int64_t sample) {
    return b->start + ((double)bin + ((double)sample + 0.5) / (double)b->samples) * b->size;
}

// Those of sample (i, j) of a bin: 4, or 0 outside the image.
static int taps_of(const Bin *b, int64_t i, int64_t j, Tap tap[4]) {
    int64_t y[2], x[2];
    double v, u;
    if (!neighbours(coordinate(b->y, b->row, i), b->m.h, &y[0], &y[1], &v)) return 0;
    if (!neighbours(coordinate(b->x, b->column, j), b->m.w, &x[0], &x[1], &u)) return 0;
    for (int k = 0; k < 4; k++)
        tap[k] = (Tap){y[k / 2] * b->m.w + x[k % 2], (k / 2 ? v : 1 - v) * (k % 2 ? u : 1 - u)};
    return 4;
}

static double mean_of(const Bin *b) {
    double total = 0;
    int64_t count = b->y->samples * b->x->samples;
    for (int64_t s = 0; s < count; s++) {
        Tap tap[4];
        double v = 0;
        int n = taps_of(b, s / b->x->samples, s % b->x->samples, tap);
        for (int k = 0; k < n; k++) v += tap[k].weight * pixel(&b->m, tap[k].at);
        total += v;
    }
    return count ? total / (double)count : 0;
}

// By the standard's reference, the greatest share of a pixel in a sample; outside the image, 0.
static double greatest_of(const Bin *b, Tap *best) {
    double most = 0;
    *best = (Tap){0, 0};
    for (int64_t s = 0; s < b->y->samples * b->x->samples; s++) {
        Tap tap[4] = {{0, 0}}, *first = tap;
        int n = taps_of(b, s / b->x->samples, s % b->x->samples, tap);
        double here = n ? tap[0].weight * pixel(&b->m, tap[0].at) : 0;
        for (int k = 1; k < n; k++) {
            double v = tap[k].weight * pixel(&b->m, tap[k].at);
            if (v > here || here != here) here = v, first = &tap[k];
        }
        if (s == 0 || !(most >= here)) most = here, *best = *first;
    }
    return most;
}

static void spread(const Bin *b, const Image *dx, double dy) {
    int64_t count = b->y->samples * b->x->samples;
    for (int64_t s = 0; s < count; s++) {
        Tap tap[4];
        int n = taps_of(b, s / b->x->samples, s % b->x->samples, tap);
        for (int k = 0; k < n; k++) add_to_pixel(dx, tap[k].at, tap[k].weight * dy / (double)count);
    }
}

static void align_bin(const BodyArgs *a, const Bin *b, const Image *y, int64_t i) {
    Tap tap;
    double v = a->attr[2] ? greatest_of(b, &tap) : mean_of(b);
    dtype_set_f(y->type, y->at + i * dtypes[y->type].bytes, v);
}

static void align_bin_back(const BodyArgs *a, const Bin *b, const Image *dx, double dy) {
    Tap tap;
    if (!a->attr[2]) spread(b, dx, dy);
    else if (greatest_of(b, &tap), tap.weight != 0) add_to_pixel(dx, tap.at, tap.weight * dy);
}

// Every element of the small images, of which buf holds the values (0) or what flows back to them.
static void align(const BodyArgs *a, int buf) {
    int64_t h = a->attr[0], w = a->attr[1], channels = a->desc[1].dim[1];
    for (int64_t r = 0; r < a->desc[2].dim[0]; r++) {
        int64_t n = dtype_get_i(DT_I64, (const char *)a->buf[3] + r * 8);
        Bins bx = bins_of(a, number(a, 2, 4 * r), number(a, 2, 4 * r + 2), w);
        Bins by = bins_of(a, number(a, 2, 4 * r + 1), number(a, 2, 4 * r + 3), h);
        bool bad = n < 0 || n >= a->desc[1].dim[0] || bx.samples > SAMPLES_MAX || by.samples > SAMPLES_MAX;
        if (bad) *a->ctx->error = 1, n = 0, bx.samples = by.samples = 0;             // zeros
        for (int64_t c = 0; c < channels; c++) {
            Image small = image_of(a, buf, r, c), dx = image_of(a, 0, n, c);
            for (int64_t i = 0; i < h * w; i++) {
                Bin b = {image_of(a, 1, n, c), &by, &bx, i / w, i % w};
                if (buf == 0) align_bin(a, &b, &small, i);
                else align_bin_back(a, &b, &dx, pixel(&small, i));
            }
        }
    }
}

//     buf   y [R, C, height, width], x [N, C, H, W], rois [R, 4] (x1, y1, x2, y2), image of each [R] (i64)
//     attr  height, width; 1: the greatest sample, 0: their mean; samples per axis of a bin, 0: by its size;
//           1: pixels' centres at halves.  f: scale of the rois
void body_RoiAlign(const BodyArgs *a) { align(a, 0); }

//     buf   dx [N, C, H, W], x, rois, image of each, dy [R, C, height, width].  The rest as RoiAlign's
void body_RoiAlignDx(const BodyArgs *a) { clear(a), align(a, 4); }

// ---- MaxRoiPool ----

static int64_t limited(int64_t v, int64_t most) { return v < 0 ? 0 : v > most ? most : v; }

// Bin p of `count` over from..to (both included), cut to the image.
static void bin_range(int64_t from, int64_t to, int64_t p, int64_t count, int64_t size, int64_t *lo, int64_t *hi) {
    double bin = (double)(to < from ? 1 : to - from + 1) / (double)count;
    *lo = limited(from + (int64_t)floor((double)p * bin), size);
    *hi = limited(from + (int64_t)ceil((double)(p + 1) * bin), size);
}

// The first of the greatest pixels of bin i, counted over all regions and channels: its number in *m, the channel it
// lies in, or -1 if the bin is empty. *n: the image.
static int64_t greatest_pixel(const BodyArgs *a, int64_t i, Image *m, int64_t *n) {
    int64_t h = a->attr[0], w = a->attr[1], channels = a->desc[1].dim[1], corner[4], y0, y1, x0, x1, best = -1;
    int64_t r = i / (channels * h * w);
    *n = (int64_t)number(a, 2, 5 * r);
    if (*n < 0 || *n >= a->desc[1].dim[0]) {
        *a->ctx->error = 1;
        return -1;
    }
    for (int k = 0; k < 4; k++) corner[k] = (int64_t)round(number(a, 2, 5 * r + 1 + k) * a->f);
    *m = image_of(a, 1, *n, i / (h * w) % channels);
    bin_range(corner[1], corner[3], i / w % h, h, m->h, &y0, &y1);
    bin_range(corner[0], corner[2], i % w, w, m->w, &x0, &x1);
    for (int64_t p = y0; p < y1; p++)
        for (int64_t q = x0; q < x1; q++)
            if (best < 0 || pixel(m, p * m->w + q) > pixel(m, best)) best = p * m->w + q;
    return best;
}

//     buf   y [R, C, height, width], x [N, C, H, W], rois [R, 5] (image, x1, y1, x2, y2)
//     attr  height, width.  f: scale of the rois.  An empty bin is 0.
void body_MaxRoiPool(const BodyArgs *a) {
    DType t = a->desc[0].type;
    for (int64_t i = 0, n, all = desc_elements(&a->desc[0]); i < all; i++) {
        Image m;
        int64_t best = greatest_pixel(a, i, &m, &n);
        dtype_set_f(t, (char *)a->buf[0] + i * dtypes[t].bytes, best < 0 ? 0 : pixel(&m, best));
    }
}

//     buf   dx [N, C, H, W], x, rois, dy [R, C, height, width].  The rest as MaxRoiPool's
void body_MaxRoiPoolDx(const BodyArgs *a) {
    DType t = a->desc[3].type;
    int64_t plane = a->attr[0] * a->attr[1], channels = a->desc[1].dim[1];
    clear(a);
    for (int64_t i = 0, n, all = desc_elements(&a->desc[3]); i < all; i++) {
        Image m;
        int64_t best = greatest_pixel(a, i, &m, &n);
        if (best < 0) continue;
        m = image_of(a, 0, n, i / plane % channels);
        add_to_pixel(&m, best, dtype_get_f(t, (const char *)a->buf[3] + i * dtypes[t].bytes));
    }
}
