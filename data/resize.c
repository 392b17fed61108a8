// resize.c -- separable fixed-point resampling with Pillow's exact arithmetic.
//
// What must stay as it is for the bits to agree: the order of the double operations that make the
// weights, weights rounded half away from zero to 22 bits, sums in 32-bit integers from one half,
// and the intermediate rounding to 8 bits. How the sums are grouped is free: integers do not care.
#include "resize.h"
#include <strings.h>

enum { BITS = 22, MAX_SIDE = 1 << 28, MAX_WEIGHTS = 1 << 27 };

// ---- filters ----

static double box(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

static double triangle(double x) {
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double hamming(double x) {
    x = fabs(x);
    if (x == 0.0) return 1.0;
    if (x >= 1.0) return 0.0;
    x *= M_PI;
    return sin(x) / x * ((double)0.54f + (double)0.46f * cos(x));
}

static double cubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static double sinc(double x) {
    if (x == 0.0) return 1.0;
    x *= M_PI;
    return sin(x) / x;
}

static double lanczos(double x) { return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

static const struct { const char *name; double (*at)(double); double support; } filters[INTERP_COUNT] = {
    [INTERP_NEAREST] = {"nearest", NULL, 0},       [INTERP_LANCZOS] = {"lanczos", lanczos, 3},
    [INTERP_BILINEAR] = {"bilinear", triangle, 1}, [INTERP_BICUBIC] = {"bicubic", cubic, 2},
    [INTERP_BOX] = {"box", box, 0.5},              [INTERP_HAMMING] = {"hamming", hamming, 1},
};

const char *interp_name(Interp i) { return filters[i].name; }

bool interp_find(const char *name, Interp *out) {
    for (int i = 0; i < INTERP_COUNT; i++)
        if (!strcasecmp(name, filters[i].name)) {
            *out = (Interp)i;
            return true;
        }
    return false;
}

// ---- weights of one axis ----

typedef struct Span { int from, count; } Span;       // the source elements of one result element

typedef struct Axis {                  // result elements first .. first+count of an axis of out
    int count, most;                   // most: weights reserved for each
    const Span *span;
    const int32_t *weight;             // [count][most]
} Axis;

static void element_weights(int in, double scale, double stretch, Interp how, int x, double *w, Span *span,
                            int32_t *fixed) {
    double support = filters[how].support * stretch, inverse = 1.0 / stretch;
    double center = (x + 0.5) * scale, sum = 0.0;
    int lo = (int)(center - support + 0.5), hi = (int)(center + support + 0.5);
    if (lo < 0) lo = 0;
    if (hi > in) hi = in;
    for (int i = lo; i < hi; i++) {
        w[i - lo] = filters[how].at((i - center + 0.5) * inverse);
        sum += w[i - lo];
    }
    for (int i = 0; i < hi - lo; i++) {
        double v = sum != 0.0 ? w[i] / sum : w[i];
        fixed[i] = (int32_t)(v * (1 << BITS) + (v < 0 ? -0.5 : 0.5));
    }
    *span = (Span){lo, hi - lo};
}

static Err axis_weights(Resizer *r, int which, int in, int out, Interp how, int first, int count, Axis *a, Fault *f) {
    double scale = (double)in / out, stretch = scale < 1.0 ? 1.0 : scale;
    size_t most = (size_t)ceil(filters[how].support * stretch) * 2 + 1, n = (size_t)count;
    if (most > MAX_WEIGHTS / n) return fault(f, E_LIMIT, "resizing %d to %d pixels is out of proportion", in, out);
    size_t size = n * sizeof(Span) + n * most * sizeof(int32_t) + most * sizeof(double);
    if (size > r->weights_capacity[which]) {
        free(r->weights[which]);
        r->weights[which] = malloc(size);
        r->weights_capacity[which] = r->weights[which] ? size : 0;
        if (!r->weights[which]) return fault(f, E_LIMIT, "out of memory");
    }
    double *w = r->weights[which];
    Span *span = (Span *)(w + most);
    int32_t *fixed = (int32_t *)(span + n);
    for (int i = 0; i < count; i++)
        element_weights(in, scale, stretch, how, first + i, w, span + i, fixed + (size_t)i * most);
    *a = (Axis){count, (int)most, span, fixed};
    return E_OK;
}

// ---- the passes ----
// Written once in portable vectors, compiled for the plain machine and for AVX2.

typedef int32_t I4 __attribute__((vector_size(16)));
typedef int32_t I8 __attribute__((vector_size(32)));
typedef uint8_t B4 __attribute__((vector_size(4)));
typedef uint8_t B8 __attribute__((vector_size(8)));
#define INLINE static inline __attribute__((always_inline))

INLINE uint8_t clip(int32_t v) {
    v >>= BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

// Four rows at once: they share the weights. Reads up to 1 byte behind the last pixel.
INLINE void columns_rgb(const Axis *a, const uint8_t *const src[4], uint8_t *const dst[4]) {
    for (int x = 0; x < a->count; x++) {
        const int32_t *w = a->weight + (size_t)x * (size_t)a->most;
        size_t at = 3 * (size_t)a->span[x].from;
        const I4 half = {1 << (BITS - 1), 1 << (BITS - 1), 1 << (BITS - 1), 1 << (BITS - 1)};
        I4 sum[4] = {half, half, half, half};
        for (int i = 0; i < a->span[x].count; i++, at += 3) {
            I4 k = {w[i], w[i], w[i], w[i]};
#pragma GCC unroll 4
            for (int y = 0; y < 4; y++) {
                B4 b;
                memcpy(&b, src[y] + at, 4);
                sum[y] += __builtin_convertvector(b, I4) * k;
            }
        }
        for (int y = 0; y < 4; y++)
            for (int c = 0; c < 3; c++) dst[y][3 * x + c] = clip(sum[y][c]);
    }
}

INLINE void columns_grey(const Axis *a, const uint8_t *src, uint8_t *dst) {
    for (int x = 0; x < a->count; x++) {
        const int32_t *w = a->weight + (size_t)x * (size_t)a->most;
        const uint8_t *s = src + a->span[x].from;
        int32_t sum = 1 << (BITS - 1);
        for (int i = 0; i < a->span[x].count; i++) sum += s[i] * w[i];
        dst[x] = clip(sum);
    }
}

typedef struct Rows { const uint8_t *p; size_t stride; } Rows;

INLINE void columns(const Axis *a, int channels, Rows in, int rows, uint8_t *out) {
    size_t width = (size_t)a->count * (size_t)channels;
    if (channels == 1) {
        for (int y = 0; y < rows; y++) columns_grey(a, in.p + (size_t)y * in.stride, out + (size_t)y * width);
        return;
    }
    for (int y = 0; y < rows; y += 4) {
        const uint8_t *src[4];
        uint8_t *dst[4];
        for (int i = 0; i < 4; i++) {                            // the last group repeats the last row
            size_t row = (size_t)(y + i < rows ? y + i : rows - 1);
            src[i] = in.p + row * in.stride;
            dst[i] = out + row * width;
        }
        columns_rgb(a, src, dst);
    }
}

INLINE void row_of_sums(Rows in, const int32_t *w, int count, size_t width, uint8_t *out) {
    size_t x = 0;
    for (; x + 16 <= width; x += 16) {
        I8 lo = {0}, hi = {0};
        for (int i = 0; i < count; i++) {
            B8 b[2];
            memcpy(b, in.p + (size_t)i * in.stride + x, 16);
            lo += __builtin_convertvector(b[0], I8) * w[i];
            hi += __builtin_convertvector(b[1], I8) * w[i];
        }
        for (int i = 0; i < 8; i++) {
            out[x + (size_t)i] = clip(lo[i] + (1 << (BITS - 1)));
            out[x + 8 + (size_t)i] = clip(hi[i] + (1 << (BITS - 1)));
        }
    }
    for (; x < width; x++) {
        int32_t sum = 1 << (BITS - 1);
        for (int i = 0; i < count; i++) sum += in.p[(size_t)i * in.stride + x] * w[i];
        out[x] = clip(sum);
    }
}

INLINE void rows(const Axis *a, Rows in, int top, size_t width, uint8_t *out) {
    for (int y = 0; y < a->count; y++) {
        Rows from = {in.p + (size_t)(a->span[y].from - top) * in.stride, in.stride};
        row_of_sums(from, a->weight + (size_t)y * (size_t)a->most, a->span[y].count, width, out + (size_t)y * width);
    }
}

static void columns_plain(const Axis *a, int channels, Rows in, int n, uint8_t *out) { columns(a, channels, in, n, out); }
static void rows_plain(const Axis *a, Rows in, int top, size_t width, uint8_t *out) { rows(a, in, top, width, out); }

#ifdef __x86_64__
__attribute__((target("avx2"))) static void columns_avx2(const Axis *a, int channels, Rows in, int n, uint8_t *out) {
    columns(a, channels, in, n, out);
}
__attribute__((target("avx2"))) static void rows_avx2(const Axis *a, Rows in, int top, size_t width, uint8_t *out) {
    rows(a, in, top, width, out);
}
static bool has_avx2(void) { return __builtin_cpu_supports("avx2"); }
#else
#define columns_avx2 columns_plain
#define rows_avx2 rows_plain
static bool has_avx2(void) { return false; }
#endif

// ---- nearest ----

// Where each result element comes from, by repeated addition as Pillow does; -1: nowhere, black.
static void nearest_sources(int in, int out, int first, int count, int32_t *from) {
    double step = (double)in / out, at = step * 0.5;
    for (int i = 0; i < first + count; i++, at += step)
        if (i >= first) from[i - first] = at < in ? (int32_t)at : -1;
}

static Err resize_nearest(const Image *in, Box from, int width, int height, Box part, Image *out, Fault *f) {
    int32_t *xs = malloc(((size_t)part.width + (size_t)part.height) * sizeof *xs), *ys = xs + part.width;
    if (!xs) return fault(f, E_LIMIT, "out of memory");
    nearest_sources(from.width, width, part.x, part.width, xs);
    nearest_sources(from.height, height, part.y, part.height, ys);
    size_t c = (size_t)in->channels;
    uint8_t *d = out->pixel;
    for (int y = 0; y < part.height; y++)
        for (int x = 0; x < part.width; x++, d += c) {
            if (xs[x] < 0 || ys[y] < 0) { memset(d, 0, c); continue; }
            size_t row = (size_t)(from.y + ys[y]), col = (size_t)(from.x + xs[x]);
            memcpy(d, in->pixel + (row * (size_t)in->width + col) * c, c);
        }
    free(xs);
    return E_OK;
}

// ---- putting it together ----

static Err reserve_rows(Resizer *r, size_t size, Fault *f) {
    if (size > (size_t)IMAGE_MAX_PIXELS * 3)
        return fault(f, E_LIMIT, "resizing would need %zu MB between its passes", size >> 20);
    if (size > r->rows_capacity) {
        free(r->rows);
        r->rows = malloc(size);
        r->rows_capacity = r->rows ? size : 0;
    }
    return r->rows || !size ? E_OK : fault(f, E_LIMIT, "out of memory");
}

static Err resize_filtered(Resizer *r, const Image *in, Box from, int width, int height, Interp how, Box part,
                            Image *out, Fault *f) {
    size_t c = (size_t)in->channels, row = (size_t)part.width * c;
    Rows src = {in->pixel + ((size_t)from.y * (size_t)in->width + (size_t)from.x) * c, (size_t)in->width * c};
    bool across = width != from.width, down = height != from.height;
    Axis ax = {0}, ay = {0};
    if (across && axis_weights(r, 0, from.width, width, how, part.x, part.width, &ax, f)) return f->code;
    if (down && axis_weights(r, 1, from.height, height, how, part.y, part.height, &ay, f)) return f->code;

    // Rows top .. top+need of the source are what the part needs; from here on src starts there.
    Span last = down ? ay.span[ay.count - 1] : (Span){part.y, part.height};
    int top = down ? ay.span[0].from : part.y, need = last.from + last.count - top;
    src.p += (size_t)top * src.stride;
    if (across) {
        if (down && reserve_rows(r, row * (size_t)need, f)) return f->code;
        uint8_t *to = down ? r->rows : out->pixel;
        (has_avx2() ? columns_avx2 : columns_plain)(&ax, in->channels, src, need, to);
        src = (Rows){to, row};
    } else {
        src.p += (size_t)part.x * c;
    }
    if (down) {
        (has_avx2() ? rows_avx2 : rows_plain)(&ay, src, top, row, out->pixel);
    } else if (!across) {
        for (size_t y = 0; y < (size_t)part.height; y++) memcpy(out->pixel + y * row, src.p + y * src.stride, row);
    }
    return E_OK;
}

Err image_resize(Resizer *r, const Image *in, Box from, int width, int height, Interp how, Box part, Image *out,
                  Fault *f) {
    assert(from.x >= 0 && from.y >= 0 && from.x + from.width <= in->width && from.y + from.height <= in->height);
    assert(part.x >= 0 && part.y >= 0 && part.x + part.width <= width && part.y + part.height <= height);
    if (width > MAX_SIDE || height > MAX_SIDE) return fault(f, E_LIMIT, "resizing to %d x %d pixels", width, height);
    if (image_reserve(out, part.width, part.height, in->channels, f)) return f->code;
    out->orientation = in->orientation;
    bool same = width == from.width && height == from.height;
    if (how == INTERP_NEAREST && !same) return resize_nearest(in, from, width, height, part, out, f);
    return resize_filtered(r, in, from, width, height, how, part, out, f);
}

void resizer_free(Resizer *r) {
    free(r->rows);
    free(r->weights[0]);
    free(r->weights[1]);
    *r = (Resizer){0};
}
