// import_resize.c -- Resize and Upsample. Resizing is separable: axis by axis, each place of the
// result takes a few neighbours of the input with weights that are known here, so all that is left
// for the run are gathers by constant indices, or products with a constant matrix.
//
// Coordinates are computed in float, as those did who wrote the files: whether 2 / (2/3) is 3 or a
// little less decides which neighbour is the nearest.
#include "build.h"

typedef enum Mode { NEAREST, LINEAR, CUBIC } Mode;
typedef enum Transform {
    HALF_PIXEL, HALF_PIXEL_SYMMETRIC, PYTORCH_HALF_PIXEL, ALIGN_CORNERS, ASYMMETRIC, TF_CROP, TF_HALF_PIXEL
} Transform;
typedef enum Nearest { PREFER_FLOOR, PREFER_CEIL, FLOOR, CEIL } Nearest;

typedef struct Resize {
    Mode mode;
    Transform transform;
    Nearest nearest;
    double cubic, extrapolation;
    bool exclude_outside, antialias;
} Resize;

typedef struct AxisResize { int64_t in, out; float scale, from, to; } AxisResize;      // from, to: the roi

// Neighbours of every place along an axis: `taps` of them each, at index[place * taps ..].
typedef struct Taps { int64_t out, taps; int64_t *index; float *weight; bool *outside; bool any_outside; } Taps;

enum { GATHERED_TAPS = 4, TABLE_MAX = 1 << 21 };

// ---- coordinates ----

static float coordinate(Transform t, const AxisResize *a, int64_t place) {
    float x = (float)place, in = (float)a->in, out = a->scale * in;
    switch (t) {
    case ALIGN_CORNERS: return out == 1 ? 0 : x * (in - 1) / (out - 1);
    case ASYMMETRIC: return x / a->scale;
    case PYTORCH_HALF_PIXEL: return out == 1 ? -0.5f : (x + 0.5f) / a->scale - 0.5f;
    case HALF_PIXEL_SYMMETRIC: return in / 2 * (1 - (float)a->out / out) + (x + 0.5f) / a->scale - 0.5f;
    case TF_HALF_PIXEL: return (x + 0.5f) / a->scale;
    case TF_CROP:
        return a->from * (in - 1) +
               (out == 1 ? (a->to - a->from) * (in - 1) / 2 : x * (a->to - a->from) * (in - 1) / (out - 1));
    default: return (x + 0.5f) / a->scale - 0.5f;
    }
}

static float nearest(Nearest how, float x) {
    switch (how) {
    case FLOOR: return floorf(x);
    case CEIL: return ceilf(x);
    case PREFER_CEIL: return floorf(x + 0.5f);
    default: return ceilf(x - 0.5f);
    }
}

static double filter(const Resize *r, double x) {
    double a = r->cubic;
    x = fabs(x);
    if (r->mode == LINEAR) return x < 1 ? 1 - x : 0;
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((x - 5) * x + 8) * x * a - 4 * a : 0;
}

static int64_t clamped(float x, int64_t size) { return !(x > 0) ? 0 : x > (float)(size - 1) ? size - 1 : (int64_t)x; }

// ---- the table of one axis ----

static void weigh(const Resize *r, const AxisResize *a, float x, double stretch, Taps *t, int64_t place) {
    double reach = (r->mode == LINEAR ? 1 : 2) * stretch, first = floor((double)x - reach) + 1, total = 0;
    float *weight = t->weight + place * t->taps;
    for (int64_t k = 0; k < t->taps; k++) {
        double at = first + (double)k;
        bool inside = at >= 0 && at < (double)a->in;
        double w = r->exclude_outside && !inside ? 0 : filter(r, (at - (double)x) / stretch);
        t->index[place * t->taps + k] = clamped((float)at, a->in);
        weight[k] = (float)w, total += w;
    }
    for (int64_t k = 0; k < t->taps && total != 0; k++) weight[k] = (float)((double)weight[k] / total);
}

static Taps taps_of(Import *im, const Resize *r, const AxisResize *a) {
    double stretch = r->antialias && a->scale < 1 ? 1 / (double)a->scale : 1;
    double width = (r->mode == LINEAR ? 2 : 4) * stretch;
    Taps t = {.out = a->out, .taps = r->mode == NEAREST ? 1 : (int64_t)ceil(fmin(width, TABLE_MAX))};
    if (t.taps * a->out > TABLE_MAX || t.taps > TABLE_MAX)
        import_fail(im, E_LIMIT, "resizing an axis of %lld to %lld takes too large a table", (long long)a->in,
                    (long long)a->out);
    t.index = NEW(im->cx, int64_t, t.taps * t.out);
    t.weight = NEW(im->cx, float, t.taps * t.out);
    t.outside = NEW(im->cx, bool, t.out);
    for (int64_t i = 0; i < t.out; i++) {
        float x = coordinate(r->transform, a, i);
        t.any_outside |= t.outside[i] = r->transform == TF_CROP && !(x >= 0 && x <= (float)(a->in - 1));
        if (r->mode == NEAREST) t.index[i] = clamped(nearest(r->nearest, x), a->in);
        else weigh(r, a, x, stretch, &t, i);
    }
    return t;
}

// ---- as a graph ----

static Node *on_axis(Import *im, DType type, const void *data, int64_t n, int axis, int rank) {
    return vector_at(im, graph_const(im->g, type, SHAPE(n), data), axis, rank);
}

// Every element `times` over.
static Node *repeated(Graph *g, Node *x, int axis, int64_t times) {
    Shape whole = x->shape;
    whole.d[axis] *= times;
    Node *apart = unsqueezed(g, x, axis + 1);
    Shape wide = apart->shape;
    wide.d[axis + 1] = times;
    return node_reshape(g, node_expand(g, apart, wide), whole);
}

// One neighbour each: repetition and slices where they will do, for nothing beats no table at all.
static Node *picked(Import *im, Node *x, int axis, const int64_t *index, int64_t n) {
    Graph *g = im->g;
    int64_t size = x->shape.d[axis], times = n / size, step = n > 1 ? index[1] - index[0] : 1;
    bool repeats = times > 0 && n % size == 0 && x->shape.n < MAXDIM, strides = step > 0;
    for (int64_t i = 0; i < n; i++)
        repeats &= times > 0 && index[i] == i / times, strides &= index[i] == index[0] + i * step;
    if (repeats) return times == 1 ? x : repeated(g, x, axis, times);
    if (!strides) return graph_op(g, OP_Gather, AXES(axis), 2, (Node *[]){x, graph_ints(g, n, index)});
    int r = x->shape.n;
    int64_t cut[3 * MAXDIM];
    for (int d = 0; d < r; d++) cut[d] = 0, cut[r + d] = 1, cut[2 * r + d] = x->shape.d[d];
    cut[axis] = n ? index[0] : 0, cut[r + axis] = step, cut[2 * r + axis] = n;
    return op1a(g, Slice, x, ((Attr){.n = 3 * r, .i = cut}));
}

// Few neighbours: the sum of as many gathers, each times its weights.
static Node *gathered(Import *im, Node *x, int axis, const Taps *t) {
    Node *sum = NULL;
    for (int64_t k = 0; k < t->taps; k++) {
        int64_t *index = NEW(im->cx, int64_t, t->out);
        float *weight = NEW(im->cx, float, t->out);
        for (int64_t i = 0; i < t->out; i++)
            index[i] = t->index[i * t->taps + k], weight[i] = t->weight[i * t->taps + k];
        Node *w = node_cast(im->g, on_axis(im, DT_F32, weight, t->out, axis, x->shape.n), x->type);
        Node *term = op2(im->g, Mul, picked(im, x, axis, index, t->out), w);
        sum = sum ? op2(im->g, Add, sum, term) : term;
    }
    return sum;
}

// Many: a product with the matrix of all weights, on the last axis.
static Node *multiplied(Import *im, Node *x, int axis, int64_t in, const Taps *t) {
    Graph *g = im->g;
    int64_t perm[MAXDIM];
    int r = x->shape.n;
    if (ck_mul(im->cx, (size_t)in, (size_t)t->out) > 2 * TABLE_MAX)
        import_fail(im, E_LIMIT, "resizing an axis of %lld to %lld takes too large a table", (long long)in,
                    (long long)t->out);
    float *m = NEW(im->cx, float, in * t->out);
    for (int64_t i = 0; i < t->out; i++)
        for (int64_t k = 0; k < t->taps; k++) m[t->index[i * t->taps + k] * t->out + i] += t->weight[i * t->taps + k];
    for (int d = 0; d < r; d++) perm[d] = d == axis ? r - 1 : d == r - 1 ? axis : d;
    Node *w = node_cast(g, graph_const(g, DT_F32, SHAPE(in, t->out), m), x->type);
    if (r == 1) return squeezed(g, op2(g, MatMul, unsqueezed(g, x, 0), w), AXES(0));
    return node_transpose(g, op2(g, MatMul, node_transpose(g, x, perm), w), perm);
}

static Node *resize_axis(Import *im, const Resize *r, Node *x, int axis, const AxisResize *a, Node **outside) {
    Taps t = taps_of(im, r, a);
    if (t.any_outside) {
        Node *here = on_axis(im, DT_BOOL, t.outside, t.out, axis, x->shape.n);
        *outside = *outside ? op2(im->g, Or, *outside, here) : here;
    }
    if (r->mode == NEAREST) return picked(im, x, axis, t.index, t.out);
    return t.taps <= GATHERED_TAPS ? gathered(im, x, axis, &t) : multiplied(im, x, axis, a->in, &t);
}

static Node *resize(Import *im, const Resize *r, Node *x, const AxisResize *a) {
    Graph *g = im->g;
    DType type = x->type;
    Node *outside = NULL;
    if (r->mode != NEAREST && !dtype_is_float(type)) x = node_cast(g, x, DT_F32);
    for (int d = 0; d < x->shape.n; d++) {
        bool same = a[d].out == a[d].in && (a[d].scale == 1 || numel(x->shape) == 0);
        if (same && (r->transform != TF_CROP || (a[d].from == 0 && a[d].to == 1))) continue;
        if (x->shape.batch == d + 1 && g->max_batch > 1)
            import_fail(im, E_UNSUPPORTED, "axis %d of %s, the batch, would be resized", d,
                        shape_str(im->cx, x->shape));
        if (a[d].in == 0) import_fail(im, E_MALFORMED, "axis %d of %s is empty", d, shape_str(im->cx, x->shape));
        x = resize_axis(im, r, x, d, &a[d], &outside);
    }
    if (outside) x = op3(g, Where, outside, node_like(g, x, r->extrapolation), x);
    if (x->type == type) return x;
    bool u8 = type == DT_U8, i8 = type == DT_I8;          // cubic weights may lead beyond the type's range
    if (u8 || i8) x = at_most(g, at_least(g, x, u8 ? 0 : -128), u8 ? 255 : 127);
    return node_cast(g, op1(g, Round, x), type);
}

// ---- what the document asks for ----

static int choice(Import *im, const char *name, const char *otherwise, int n, const char *const *of) {
    const char *s = attr_string(im, name, otherwise);
    for (int i = 0; i < n; i++)
        if (of[i] && !strcmp(s, of[i])) return i;
    import_fail(im, E_MALFORMED, "%s is '%s'", name, cx_show(im->cx, s));
}

static Mode mode_of(Import *im) {
    static const char *const names[] = {"nearest", "linear", "cubic", "bilinear"};
    int m = choice(im, "mode", "nearest", 4, names);
    return m == 3 ? LINEAR : (Mode)m;
}

static void axis_scaled(Import *im, AxisResize *a, double scale) {
    double out = floor((double)((float)scale * (float)a->in));
    if (!(scale > 0) || !(out >= 0 && out < (double)(1 << 30)))
        import_fail(im, E_MALFORMED, "an axis of %lld is to be scaled by %g", (long long)a->in, scale);
    a->scale = (float)scale, a->out = (int64_t)out;
}

static void scale_axes(Import *im, const double *scale, int n, const int *axes, int naxes, AxisResize *a) {
    if (n != naxes) import_fail(im, E_MALFORMED, "%d scales for %d axes", n, naxes);
    for (int i = 0; i < n; i++) axis_scaled(im, &a[axes[i]], scale[i]);
}

static void size_axes(Import *im, Shape size, const int *axes, int naxes, AxisResize *a) {
    static const char *const policies[] = {"stretch", "not_larger", "not_smaller"};
    int policy = choice(im, "keep_aspect_ratio_policy", "stretch", 3, policies);
    float best = 0;
    if (size.n != naxes) import_fail(im, E_MALFORMED, "%d sizes for %d axes", size.n, naxes);
    for (int i = 0; i < naxes; i++) {
        AxisResize *x = &a[axes[i]];
        if (size.d[i] < 0 || size.d[i] >= 1 << 30 || x->in == 0)
            import_fail(im, E_MALFORMED, "an axis of %lld is to have size %lld", (long long)x->in,
                        (long long)size.d[i]);
        x->out = size.d[i];
        x->scale = x->out == x->in ? 1 : (float)x->out / (float)x->in;
        if (i == 0 || (policy == 1 ? x->scale < best : x->scale > best)) best = x->scale;
    }
    for (int i = 0; i < naxes && policy; i++) {
        AxisResize *x = &a[axes[i]];
        x->scale = best, x->out = (int64_t)floorf(best * (float)x->in + 0.5f);
    }
}

static void read_roi(Import *im, const int *axes, int naxes, AxisResize *a) {
    double *roi;
    if (!in_given(im, 1)) import_fail(im, E_MALFORMED, "tf_crop_and_resize needs its input 1, roi");
    if (in_floats(im, 1, &roi) != 2 * naxes) import_fail(im, E_MALFORMED, "roi does not hold %d numbers", 2 * naxes);
    for (int i = 0; i < naxes; i++) a[axes[i]].from = (float)roi[i], a[axes[i]].to = (float)roi[naxes + i];
}

static int read_axes(Import *im, int rank, int *axes) {
    const int64_t *v;
    int n = attr_ints(im, "axes", &v);
    unsigned seen = 0;
    for (int d = 0; d < rank && n < 0; d++) axes[d] = d;
    for (int i = 0; i < n; i++) {
        int64_t d = v[i] < 0 ? v[i] + rank : v[i];
        if (d < 0 || d >= rank || seen >> d & 1) import_fail(im, E_MALFORMED, "axes holds %lld", (long long)v[i]);
        axes[i] = (int)d, seen |= 1u << d;
    }
    return n < 0 ? rank : n;
}

static void axes_as_they_are(const Node *x, AxisResize *a) {
    for (int d = 0; d < x->shape.n; d++) a[d] = (AxisResize){x->shape.d[d], x->shape.d[d], 1, 0, 1};
}

static bool holds_numbers(Import *im, int k) {
    return in_given(im, k) && (!in_known(im, k) || numel(in(im, k)->shape) > 0);
}

void import_resize(Import *im, const DocNode *n) {
    static const char *const transforms[] = {"half_pixel",          "half_pixel_symmetric", "pytorch_half_pixel",
                                             "align_corners",       "asymmetric",           "tf_crop_and_resize",
                                             "tf_half_pixel_for_nn"};
    static const char *const nearests[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
    Node *x = in(im, 0);
    AxisResize a[MAXDIM];
    int axes[MAXDIM], naxes = read_axes(im, x->shape.n, axes);
    double *scale = NULL;
    (void)n;
    Resize r = {.mode = mode_of(im),
                .cubic = attr_float(im, "cubic_coeff_a", -0.75),
                .extrapolation = attr_float(im, "extrapolation_value", 0),
                .transform = (Transform)choice(im, "coordinate_transformation_mode", "half_pixel", 7, transforms),
                .nearest = (Nearest)choice(im, "nearest_mode", "round_prefer_floor", 4, nearests),
                .exclude_outside = attr_int(im, "exclude_outside", 0) != 0,
                .antialias = attr_int(im, "antialias", 0) != 0};
    axes_as_they_are(x, a);
    if (r.transform == TF_CROP) read_roi(im, axes, naxes, a);
    int nscale = holds_numbers(im, 3) ? 0 : in_floats(im, 2, &scale);
    if (nscale) scale_axes(im, scale, nscale, axes, naxes, a);
    else size_axes(im, in_shape(im, 3), axes, naxes, a);
    out(im, 0, resize(im, &r, x, a));
}

// Upsample, and the first Resize: scales only, the result's place divided by the scale.
static void resize_by(Import *im, const double *scale, int nscale) {
    Node *x = in(im, 0);
    AxisResize a[MAXDIM];
    int axes[MAXDIM], naxes = x->shape.n;
    Resize r = {.mode = mode_of(im), .transform = ASYMMETRIC, .nearest = FLOOR};
    for (int d = 0; d < naxes; d++) axes[d] = d;
    axes_as_they_are(x, a);
    scale_axes(im, scale, nscale, axes, naxes, a);
    out(im, 0, resize(im, &r, x, a));
}

void import_resize_by_input(Import *im, const DocNode *n) {
    double *scale;
    (void)n;
    int count = in_floats(im, 1, &scale);
    resize_by(im, scale, count);
}

void import_upsample_by_attribute(Import *im, const DocNode *n) {
    const AttrValue *a = node_attr(n, "scales");
    double scale[MAXDIM] = {1, 1, attr_float(im, "height_scale", 1), attr_float(im, "width_scale", 1)};
    int count = 4;                                    // opset 1: two numbers for images
    if (a) {
        if (a->kind != ATTR_FS || a->n > MAXDIM) import_fail(im, E_MALFORMED, "scales is no list of an image's scales");
        count = a->n;
        for (int i = 0; i < count; i++) scale[i] = (double)a->fs[i];
    }
    resize_by(im, scale, count);
}
