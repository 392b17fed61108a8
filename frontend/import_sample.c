// import_sample.c -- operators that take from an image at places the data name: GridSample, deformable
// convolution, pooling over regions, MaxUnpool.
#include "build.h"
#include "import_window.h"

// ---- interpolation at computed coordinates ----

typedef enum Outside { ZEROS, BORDER, REFLECTION } Outside;
typedef enum Mode { NEAREST, LINEAR, CUBIC } Mode;

// One of the neighbours of every point along one axis: tensors of the coordinates' shape.
typedef struct Tap { Node *index, *weight, *inside; } Tap;    // weight NULL: 1; inside NULL: always

enum { TAPS = 4, TAPS_MAX = 1 << 10 };

static Node *i64(Graph *g, int64_t v) { return graph_scalar_i(g, DT_I64, v); }

// Any index, turned back into 0..size-1.
static Node *brought_in(Graph *g, Node *i, int64_t size, Outside how, bool corners) {
    if (how == REFLECTION && size > 1) {
        int64_t period = corners ? 2 * (size - 1) : 2 * size, mirror = corners ? period : period - 1;
        i = op2(g, Mod, i, i64(g, period));
        return op2(g, Min, i, op2(g, Sub, i64(g, mirror), i));
    }
    return op2(g, Min, op2(g, Max, i, i64(g, 0)), i64(g, size - 1));
}

static Tap tap_at(Graph *g, Node *i, Node *weight, int64_t size, Outside how, bool corners) {
    Tap t = {.weight = weight};
    if (how == ZEROS) t.inside = op2(g, And, op2(g, LessEqual, i64(g, 0), i), op2(g, Less, i, i64(g, size)));
    t.index = brought_in(g, i, size, how, corners);
    return t;
}

// ((x + b) x + c) x + d, all times a
static Node *cubic(Graph *g, Node *x, double a, double b, double c, double d) {
    return scaled(g, shifted(g, op2(g, Mul, shifted(g, op2(g, Mul, shifted(g, x, b), x), c), x), d), a);
}

// The neighbours of x and their weights; returns how many.
static int taps_at(Graph *g, Node *x, int64_t size, Mode mode, Outside how, bool corners, Tap *tap) {
    const double a = -0.75;
    int n = mode == NEAREST ? 1 : mode == LINEAR ? 2 : 4;
    Node *base = mode == NEAREST ? op1(g, Round, x) : op1(g, Floor, x), *w[TAPS] = {0};
    Node *f = op2(g, Sub, x, base), *rest = op2(g, Sub, node_like(g, f, 1), f);
    if (mode == LINEAR) w[0] = rest, w[1] = f;
    if (mode == CUBIC) {
        w[0] = cubic(g, shifted(g, f, 1), a, -5, 8, -4), w[3] = cubic(g, shifted(g, rest, 1), a, -5, 8, -4);
        w[1] = cubic(g, f, a + 2, -(a + 3) / (a + 2), 0, 1 / (a + 2)),
        w[2] = cubic(g, rest, a + 2, -(a + 3) / (a + 2), 0, 1 / (a + 2));
    }
    Node *first = node_cast(g, base, DT_I64);
    for (int k = 0; k < n; k++) tap[k] = tap_at(g, op2(g, Add, first, i64(g, k - (n == 4))), w[k], size, how, corners);
    return n;
}

// x [N, C, image..], points [N, P] for each image axis: [N, C, P].
static Node *interpolated(Import *im, Node *x, Node *const *at, Mode mode, Outside how, bool corners) {
    Graph *g = im->g;
    int rank = x->shape.n - 2, count = 1, n = 1;
    Shape flat = x->shape, points = at[0]->shape,
          all = {.n = 3, .batch = x->shape.batch, .d = {x->shape.d[0], x->shape.d[1], points.d[1]}};
    Tap tap[MAXDIM][TAPS];
    flat.n = 3, flat.d[2] = 1;
    for (int d = 0; d < rank; d++) {
        flat.d[2] *= x->shape.d[2 + d];
        n = taps_at(g, at[d], x->shape.d[2 + d], mode, how, corners, tap[d]);
        count *= n;
    }
    Node *image = node_reshape(g, x, flat), *sum = NULL;
    for (int c = 0; c < count; c++) {
        Node *index = i64(g, 0), *weight = NULL, *inside = NULL;
        for (int d = 0, rest = c; d < rank; d++, rest /= n) {
            const Tap *t = &tap[d][rest % n];
            index = op2(g, Add, op2(g, Mul, index, i64(g, x->shape.d[2 + d])), t->index);
            if (t->weight) weight = weight ? op2(g, Mul, weight, t->weight) : t->weight;
            if (t->inside) inside = inside ? op2(g, And, inside, t->inside) : t->inside;
        }
        Node *v =
            graph_op(g, OP_GatherElements, AXES(2), 2, (Node *[]){image, node_expand(g, unsqueezed(g, index, 1), all)});
        if (inside) v = op3(g, Where, unsqueezed(g, inside, 1), v, node_like(g, v, 0));
        if (weight) v = op2(g, Mul, v, node_cast(g, unsqueezed(g, weight, 1), v->type));
        sum = sum ? op2(g, Add, sum, v) : v;
    }
    return sum;
}

static int choice(Import *im, const char *name, const char *otherwise, int n, const char *const *of) {
    const char *s = attr_string(im, name, otherwise);
    for (int i = 0; i < n; i++)
        if (!strcmp(s, of[i])) return i;
    import_fail(im, E_MALFORMED, "%s is '%s'", name, cx_show(im->cx, s));
}

// The grid's numbers for image axis d, -1 .. 1 over the image, as coordinates in elements. [N, P]
static Node *unscaled(Graph *g, Node *grid, int d, int64_t size, bool corners) {
    int rank = (int)grid->shape.d[2];
    Node *v = squeezed(g, node_slice(g, grid, 2, rank - 1 - d, 1), AXES(2)), *up = shifted(g, v, 1);
    if (corners) return scaled(g, up, (double)(size - 1) / 2);
    return scaled(g, shifted(g, scaled(g, up, (double)size), -1), 0.5);
}

void import_grid_sample(Import *im, const DocNode *n) {
    static const char *const modes[] = {"nearest", "bilinear", "bicubic", "linear", "cubic"};
    static const char *const outside[] = {"zeros", "border", "reflection"};
    Graph *g = im->g;
    Node *x = in(im, 0), *grid = in(im, 1), *at[MAXDIM];
    int rank = x->shape.n - 2, mode = choice(im, "mode", "bilinear", 5, modes);
    Outside how = (Outside)choice(im, "padding_mode", "zeros", 3, outside);
    bool corners = attr_int(im, "align_corners", 0) != 0, float_wanted = mode != 0;
    Shape s = grid->shape, flat = {.n = 3, .batch = s.batch, .d = {s.d[0], 1, rank}}, y = x->shape;
    (void)n;
    if (rank < 1 || s.n != x->shape.n || s.d[0] != x->shape.d[0] || s.d[s.n - 1] != rank || !dtype_is_float(grid->type))
        import_fail(im, E_MALFORMED, "a grid of shape %s for an input of %s", shape_str(im->cx, s),
                    shape_str(im->cx, x->shape));
    if (float_wanted && !dtype_is_float(x->type))
        import_fail(im, E_UNSUPPORTED, "interpolation of %s", dtypes[x->type].name);
    for (int d = 0; d < rank; d++) flat.d[1] *= s.d[1 + d], y.d[2 + d] = s.d[1 + d];
    if (grid->type != DT_F64) grid = node_cast(g, grid, DT_F32);
    grid = node_reshape(g, grid, flat);
    for (int d = 0; d < rank; d++) {
        if (x->shape.d[2 + d] == 0)
            import_fail(im, E_MALFORMED, "its input %s has no elements", shape_str(im->cx, x->shape));
        at[d] = unscaled(g, grid, d, x->shape.d[2 + d], corners);
    }
    out(im, 0, node_reshape(g, interpolated(im, x, at, (Mode)(mode > 2 ? mode - 2 : mode), how, corners), y));
}

// ---- deformable convolution ----

// Where tap `tap` of every window looks along image axis d, without its offset: [1, P].
static Node *window_places(Graph *g, const Window *w, Shape y, int d, int64_t tap) {
    Shape image = {.n = w->rank};
    int64_t all = 1;
    for (int i = 0; i < w->rank; i++) image.d[i] = y.d[2 + i], all *= y.d[2 + i];
    Node *at = op2(g, Add, op2(g, Mul, iota_along(g, image, d), i64(g, w->axis[d].stride)),
                   i64(g, tap * w->axis[d].dilation - w->axis[d].before));
    return node_reshape(g, node_expand(g, at, image), SHAPE(1, all));
}

typedef struct Deform {
    Window win;
    Shape y;
    int64_t groups, taps;                                     // of the offsets; the kernel's elements
    Node *image, *offset, *mask, *weights; // [N * groups, C / groups, image..], [N * groups, .., P] twice
} Deform;

static Deform read_deform(Import *im) {
    Graph *g = im->g;
    Node *x = in(im, 0), *w = in(im, 1), *offset = in(im, 2);
    int64_t groups = attr_int(im, "offset_group", 1), taps = 1, points = 1;
    Shape part = x->shape;
    if (w->shape.n != x->shape.n || offset->shape.n != x->shape.n || x->shape.n < 3)
        import_fail(im, E_MALFORMED, "weights of shape %s on an input of shape %s", shape_str(im->cx, w->shape),
                    shape_str(im->cx, x->shape));
    Deform d = {.win = window_read(im, x->shape, w->shape.d + 2), .y = x->shape, .groups = groups, .weights = w};
    d.win.group = attr_int(im, "group", 1);
    window_shape(g, &d.win, x->shape, &d.y);
    for (int i = 0; i < d.win.rank; i++) {
        taps = taps > TAPS_MAX ? taps : taps * d.win.axis[i].kernel;
        points = (int64_t)ck_mul(im->cx, (size_t)points, (size_t)d.y.d[2 + i]);
    }
    if (groups < 1 || part.d[1] % groups || taps > TAPS_MAX || offset->shape.d[0] != part.d[0] ||
        offset->shape.d[1] % groups || offset->shape.d[1] / groups != taps * d.win.rank)
        import_fail(im, E_MALFORMED, "offsets of shape %s in %lld groups do not fit", shape_str(im->cx, offset->shape),
                    (long long)groups);
    part.d[0] *= groups, part.d[1] /= groups;
    Shape rows = {.n = 3, .batch = offset->shape.batch, .d = {part.d[0], taps * d.win.rank, points}};
    d.image = node_reshape(g, x, part), d.offset = node_reshape(g, offset, rows), d.taps = rows.d[1] = taps;
    if (in_given(im, 4)) d.mask = node_reshape(g, in(im, 4), rows);
    return d;
}

// What tap t of every window adds: [N, O, image..].
static Node *deformed_tap(Import *im, const Deform *d, Shape x, int64_t t) {
    Graph *g = im->g;
    int rank = d->win.rank;
    Node *at[MAXDIM], *w = d->weights;
    Window one = {.rank = rank, .group = d->win.group};
    for (int64_t i = rank - 1, rest = t; i >= 0; rest /= d->win.axis[i--].kernel) {
        int64_t k = rest % d->win.axis[i].kernel;
        Node *offset = squeezed(g, node_slice(g, d->offset, 1, t * rank + i, 1), AXES(1));
        at[i] = op2(g, Add, offset, node_cast(g, window_places(g, &d->win, d->y, (int)i, k), offset->type));
        w = node_slice(g, w, (int)(2 + i), k, 1);
        one.axis[i].kernel = one.axis[i].stride = one.axis[i].dilation = 1;
        x.d[2 + i] = d->y.d[2 + i];
    }
    Node *v = interpolated(im, d->image, at, LINEAR, ZEROS, true);
    if (d->mask) v = op2(g, Mul, v, node_slice(g, d->mask, 1, t, 1));
    return graph_op(g, OP_Conv, window_attr(im->cx, &one), 2, (Node *[]){node_reshape(g, v, x), w});
}

// The kernel's elements one by one: what each window sees through it, times its weights, summed.
void import_deform_conv(Import *im, const DocNode *n) {
    Deform d = read_deform(im);
    Node *sum = NULL;
    (void)n;
    for (int64_t t = 0; t < d.taps; t++) {
        Node *term = deformed_tap(im, &d, in(im, 0)->shape, t);
        sum = sum ? op2(im->g, Add, sum, term) : term;
    }
    out(im, 0, in_given(im, 3) ? op2(im->g, Add, sum, vector_at(im, in(im, 3), 1, sum->shape.n)) : sum);
}

// ---- the rest ----

// The maxima go back to where MaxPool found them; zeros elsewhere, and around, if the result is to be larger.
void import_max_unpool(Import *im, const DocNode *n) {
    Graph *g = im->g;
    Node *x = in(im, 0), *index = in(im, 1);
    Window w = window_unpadded(im, x->shape, NULL);
    Shape y = x->shape, flat = {.n = 3, .batch = y.batch, .d = {y.d[0], y.d[1], 1}}, points = flat;
    (void)n;
    window_pads(im, &w);
    for (int d = 0; d < w.rank; d++) {
        int64_t size = x->shape.d[2 + d];
        if (__builtin_mul_overflow(size - 1, w.axis[d].stride, &size)) size = INT64_MAX / 2;
        y.d[2 + d] = size + w.axis[d].kernel - w.axis[d].before - w.axis[d].after;
        if (y.d[2 + d] < 1 || y.d[2 + d] > INT32_MAX)
            import_fail(im, E_MALFORMED, "image axis %d of the result would have size %lld", d, (long long)y.d[2 + d]);
        points.d[2] *= x->shape.d[2 + d];
        flat.d[2] = (int64_t)ck_mul(im->cx, (size_t)flat.d[2], (size_t)y.d[2 + d]);
    }
    if (!same_dims(index->shape, x->shape) || index->type != DT_I64)
        import_fail(im, E_MALFORMED, "indices of shape %s for an input of %s", shape_str(im->cx, index->shape),
                    shape_str(im->cx, x->shape));
    Node *plane = op2(g, Add, op2(g, Mul, iota_along(g, points, 0), i64(g, y.d[1])), iota_along(g, points, 1));
    Node *place = op2(g, Sub, node_reshape(g, index, points), op2(g, Mul, plane, i64(g, flat.d[2])));
    Node *zeros = node_expand(g, node_like(g, x, 0), flat);
    Node *all = graph_op(g, OP_ScatterElements, AXES(2, 0), 3, (Node *[]){zeros, place, node_reshape(g, x, points)});
    all = node_reshape(g, all, y);
    if (in_given(im, 2)) {
        Shape want = in_shape(im, 2);
        int64_t cut[3 * MAXDIM] = {0};
        if (want.n != y.n) import_fail(im, E_MALFORMED, "output_shape holds %d numbers", want.n);
        for (int d = 0; d < y.n; d++) cut[y.n + d] = 1, cut[2 * y.n + d] = want.d[d];
        all = op1a(g, Pad, all, ((Attr){.n = 3 * y.n, .i = cut}));
    }
    out(im, 0, all);
}

static double scale_of(Import *im) {
    double f = attr_float(im, "spatial_scale", 1);
    if (!(fabs(f) <= 1e6)) import_fail(im, E_MALFORMED, "spatial_scale is %g", f);
    return f;
}

static int64_t positive(Import *im, const char *name, int64_t otherwise) {
    int64_t v = attr_int(im, name, otherwise);
    if (v < 1 || v > INT32_MAX) import_fail(im, E_MALFORMED, "%s is %lld", name, (long long)v);
    return v;
}

void import_roi_align(Import *im, const DocNode *n) {
    static const char *const modes[] = {"avg", "max"}, *const corners[] = {"output_half_pixel", "half_pixel"};
    (void)n;
    int half = choice(im, "coordinate_transformation_mode", im->opset < 16 ? corners[0] : corners[1], 2, corners);
    int64_t i[] = {positive(im, "output_height", 1), positive(im, "output_width", 1),
                   choice(im, "mode", "avg", 2, modes), attr_int(im, "sampling_ratio", 0), half};
    Attr a = {.n = 5, .i = i, .f = scale_of(im)};
    out(im, 0,
        graph_op(im->g, OP_RoiAlign, a, 3, (Node *[]){in(im, 0), in(im, 1), node_cast(im->g, in(im, 2), DT_I64)}));
}

void import_max_roi_pool(Import *im, const DocNode *n) {
    const int64_t *size;
    (void)n;
    if (attr_ints(im, "pooled_shape", &size) != 2) import_fail(im, E_MALFORMED, "pooled_shape does not hold 2 numbers");
    for (int d = 0; d < 2; d++)
        if (size[d] < 1 || size[d] > INT32_MAX)
            import_fail(im, E_MALFORMED, "pooled_shape holds %lld", (long long)size[d]);
    Attr a = {.n = 2, .i = size, .f = scale_of(im)};
    out(im, 0, graph_op(im->g, OP_MaxRoiPool, a, 2, (Node *[]){in(im, 0), in(im, 1)}));
}
