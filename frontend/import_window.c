// import_window.c -- windows: what ONNX says of kernels and padding, and the pools.
#include "build.h"
#include "import_window.h"

// ---- reading ----

void window_numbers(Import *im, const char *name, int rank, int64_t low, int64_t otherwise, int64_t *v) {
    const int64_t *a;
    int n = attr_ints(im, name, &a);
    if (n >= 0 && n != rank)
        import_fail(im, E_MALFORMED, "%s holds %d numbers, but the image has %d axes", name, n, rank);
    for (int d = 0; d < rank; d++) {
        v[d] = n < 0 ? otherwise : a[d];
        if (v[d] < low || v[d] > INT32_MAX) import_fail(im, E_MALFORMED, "%s holds %lld", name, (long long)v[d]);
    }
}

AutoPad window_auto_pad(Import *im) {
    static const char *const names[] = {"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"};
    const char *how = attr_string(im, "auto_pad", "NOTSET");
    for (int i = 0; i < 4; i++)
        if (!strcmp(how, names[i])) return (AutoPad)i;
    import_fail(im, E_MALFORMED, "auto_pad is '%s'", cx_show(im->cx, how));
}

void window_pads(Import *im, Window *w) {
    const int64_t *a;
    int n = attr_ints(im, "pads", &a);
    if (n < 0) return;
    if (n != 2 * w->rank) import_fail(im, E_MALFORMED, "pads holds %d numbers, but the image has %d axes", n, w->rank);
    for (int d = 0; d < n; d++)
        if (a[d] < -INT32_MAX || a[d] > INT32_MAX) import_fail(im, E_MALFORMED, "pads holds %lld", (long long)a[d]);
    for (int d = 0; d < w->rank; d++) w->axis[d].before = a[d], w->axis[d].after = a[w->rank + d];
}

void window_split(Window *w, int axis, int64_t total, AutoPad how) {
    int64_t half = total / 2;
    w->axis[axis].before = how == PAD_SAME_UPPER ? half : total - half;
    w->axis[axis].after = total - w->axis[axis].before;
}

Window window_unpadded(Import *im, Shape x, const int64_t *kernel) {
    int rank = x.n - 2;
    int64_t size[MAXDIM], stride[MAXDIM], dilation[MAXDIM];
    const int64_t *unused;
    if (rank < 1) import_fail(im, E_MALFORMED, "its input has shape %s, which has no image axes", shape_str(im->cx, x));
    for (int d = 2; d < x.n; d++)
        if (x.d[d] == 0) import_fail(im, E_UNSUPPORTED, "its input has shape %s: an empty image", shape_str(im->cx, x));
    if (!kernel && attr_ints(im, "kernel_shape", &unused) < 0) import_fail(im, E_MALFORMED, "kernel_shape is missing");
    window_numbers(im, "kernel_shape", rank, 1, 1, size);
    window_numbers(im, "strides", rank, 1, 1, stride);
    window_numbers(im, "dilations", rank, 1, 1, dilation);
    Window w = {.rank = rank, .group = 1};
    for (int d = 0; d < rank; d++) {
        if (kernel && attr_ints(im, "kernel_shape", &unused) < 0) size[d] = kernel[d];
        if (kernel && kernel[d] != size[d])
            import_fail(im, E_MALFORMED, "kernel_shape says %lld on image axis %d, its weights say %lld",
                        (long long)size[d], d, (long long)kernel[d]);
        if (size[d] < 1 || size[d] > INT32_MAX)
            import_fail(im, E_MALFORMED, "a kernel of size %lld", (long long)size[d]);
        w.axis[d].kernel = size[d], w.axis[d].stride = stride[d], w.axis[d].dilation = dilation[d];
    }
    return w;
}

static int64_t reach(const Window *w, int d) { return (w->axis[d].kernel - 1) * w->axis[d].dilation + 1; }

Window window_read(Import *im, Shape x, const int64_t *kernel) {
    Window w = window_unpadded(im, x, kernel);
    AutoPad how = window_auto_pad(im);
    if (how == PAD_NOTSET) window_pads(im, &w);
    for (int d = 0; d < w.rank && how >= PAD_SAME_UPPER; d++) {
        int64_t size = x.d[2 + d], stride = w.axis[d].stride, out = (size + stride - 1) / stride;
        int64_t total = (out - 1) * stride + reach(&w, d) - size;
        window_split(&w, d, total > 0 ? total : 0, how);
    }
    return w;
}

Window window_rounded_up(const Window *w, Shape x) {
    Window r = *w;
    for (int d = 0; d < w->rank; d++) {
        int64_t stride = w->axis[d].stride, end = w->axis[d].before + x.d[2 + d];
        int64_t room = end + w->axis[d].after - reach(w, d);
        if (room < 0) continue;                       // not one window fits: refused later
        int64_t last = (room + stride - 1) / stride * stride;
        if (last >= end) last -= stride;
        r.axis[d].after = last + reach(w, d) - end;
    }
    return r;
}

// ---- pools ----

static Window pool_window(Import *im, Shape x) {
    Window w = window_read(im, x, NULL);
    return attr_int(im, "ceil_mode", 0) ? window_rounded_up(&w, x) : w;
}

static Node *pool(Import *im, Op op, Node *x, const Window *w, double f) {
    Attr a = window_attr(im->cx, w);
    a.f = f;
    return graph_op(im->g, op, a, 1, &x);
}

static Node *times(Graph *g, Node *a, int64_t by) { return op2(g, Mul, a, graph_scalar_i(g, DT_I64, by)); }

// Where each maximum lies as ONNX counts: over the whole tensor x, images row by row or, turned, column by column.
static Node *max_indices(Graph *g, Shape x, Node *place, bool turned) {
    int64_t image = 1, step = 1;
    for (int d = 2; d < x.n; d++) image *= x.d[d];
    Node *plane = op2(g, Add, times(g, iota_along(g, place->shape, 0), x.d[1]), iota_along(g, place->shape, 1));
    Node *sum = times(g, plane, image);
    if (!turned) return op2(g, Add, sum, place);
    for (int d = 2; d < x.n; d++) {
        image /= x.d[d];
        Node *size = graph_scalar_i(g, DT_I64, image);
        sum = op2(g, Add, sum, times(g, op2(g, Div, place, size), step));
        place = op2(g, Mod, place, size);
        step *= x.d[d];
    }
    return sum;
}

void import_max_pool(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    Window w = pool_window(im, x->shape);
    Node *y = pool(im, OP_MaxPool, x, &w, 0);
    out(im, 0, y);
    if (!out_wanted(im, 1)) return;
    Node *place = graph_op(im->g, OP_MaxPoolPlace, window_attr(im->cx, &w), 2, (Node *[]){x, y});
    out(im, 1, max_indices(im->g, x->shape, place, attr_int(im, "storage_order", 0) != 0));
}

// x with zeros around its images, which from now on are part of them.
static Node *with_padding(Import *im, Node *x, Window *w) {
    int r = x->shape.n;
    int64_t i[3 * MAXDIM];
    for (int d = 0; d < r; d++) i[d] = 0, i[r + d] = 1, i[2 * r + d] = x->shape.d[d];
    for (int d = 0; d < w->rank; d++) {
        i[2 + d] = w->axis[d].before;
        i[2 * r + 2 + d] += w->axis[d].before + w->axis[d].after;
        w->axis[d].before = w->axis[d].after = 0;
    }
    return op1a(im->g, Pad, x, ((Attr){.n = 3 * r, .i = i}));
}

// What hangs over behind the padding never counts, whatever count_include_pad says.
void import_average_pool(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    Window declared = window_read(im, x->shape, NULL), w = pool_window(im, x->shape);
    bool include = attr_int(im, "count_include_pad", 0) != 0, hangs = false;
    for (int d = 0; d < w.rank; d++) hangs |= w.axis[d].after > declared.axis[d].after;
    if (include && hangs) {
        Window over = w;
        for (int d = 0; d < w.rank; d++) over.axis[d].before = 0, over.axis[d].after -= declared.axis[d].after;
        x = with_padding(im, x, &declared);
        w = over, include = false;
    }
    out(im, 0, pool(im, OP_AveragePool, x, &w, include));
}

// ---- (sum |x|^p)^(1/p) ----

// A float in the first opsets, a whole number later.
static double power_of(Import *im) {
    double p = im->opset < 2 ? attr_float(im, "p", 2) : (double)attr_int(im, "p", 2);
    if (!(p >= 1)) import_fail(im, E_MALFORMED, "p is %g", p);
    return p;
}

static Node *powered(Graph *g, Node *x, double p) {
    return p == 2 ? op2(g, Mul, x, x) : p == 1 ? op1(g, Abs, x) : op2(g, Pow, op1(g, Abs, x), node_like(g, x, p));
}

static Node *rooted(Graph *g, Node *sum, double p) {
    return p == 2 ? op1(g, Sqrt, sum) : p == 1 ? sum : op2(g, Pow, sum, node_like(g, sum, 1 / p));
}

void import_lp_pool(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    Window w = pool_window(im, x->shape);
    double p = power_of(im);
    Node *sum = pool(im, OP_SumPool, powered(im->g, x, p), &w, 0);
    out(im, 0, rooted(im->g, sum, p));
}

static Node *over_image(Import *im, Op op, Node *x) {
    int64_t axes[MAXDIM];
    int n = x->shape.n - 2;
    if (n < 0)
        import_fail(im, E_MALFORMED, "its input has shape %s, which has no image axes", shape_str(im->cx, x->shape));
    for (int d = 0; d < n; d++) axes[d] = 2 + d;
    return graph_op(im->g, op, (Attr){.n = n, .i = axes}, 1, &x);
}

void import_global_max_pool(Import *im, const DocNode *n) {
    (void)n, out(im, 0, over_image(im, OP_ReduceMax, in(im, 0)));
}
void import_global_average_pool(Import *im, const DocNode *n) {
    (void)n, out(im, 0, over_image(im, OP_ReduceMean, in(im, 0)));
}

void import_global_lp_pool(Import *im, const DocNode *n) {
    (void)n;
    double p = power_of(im);
    out(im, 0, rooted(im->g, over_image(im, OP_ReduceSum, powered(im->g, in(im, 0), p)), p));
}
