// resize.c -- separable fixed-point resampling with Pillow's exact arithmetic.
//
// What must stay as it is for the bits to agree: the order of the double operations that make the
// weights, and weights rounded half away from zero to 22 bits. The sums are in resample.c.
#include "resize.h"
#include "resample.h"
#include <strings.h>

enum { MAX_SIDE = 1 << 28, MAX_WEIGHTS = 1 << 27 };

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

static void element_weights(int in, double scale, double stretch, Interp how, int x, double *w, Span *span,
                            int32_t *fixed, int most) {
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
        fixed[i] = (int32_t)(v * (1 << RESAMPLE_BITS) + (v < 0 ? -0.5 : 0.5));
    }
    for (int i = hi - lo; i < most; i++) fixed[i] = 0;
    *span = (Span){lo, hi - lo};
}

static Err axis_weights(Resizer *r, int which, int in, int out, Interp how, int first, int count, Axis *a, Fault *f) {
    double scale = (double)in / out, stretch = scale < 1.0 ? 1.0 : scale;
    size_t most = (size_t)ceil(filters[how].support * stretch) * 2 + 1, n = (size_t)count;
    most = (most + RESAMPLE_GROUP - 1) / RESAMPLE_GROUP * RESAMPLE_GROUP;
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
        element_weights(in, scale, stretch, how, first + i, w, span + i, fixed + (size_t)i * most, (int)most);
    *a = (Axis){count, (int)most, span, fixed};
    return E_OK;
}

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
        resample_columns(&ax, in->channels, src, need, to);
        src = (Rows){to, row};
    } else {
        src.p += (size_t)part.x * c;
    }
    if (down) {
        resample_rows(&ay, src, top, row, out->pixel);
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
