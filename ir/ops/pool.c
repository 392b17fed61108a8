// Windows over the image axes 2, 3 ...; axes behind them are carried along, so the same operator
// serves NCHW and blocked NCHWc. Attributes: Window in op.h.
#include "../op.h"

#define X n->in[0]

Window window_of(const Node *n) {
    Window w = {.rank = (n->attr.n - 1) / 5, .group = n->attr.i[0]};
    for (int d = 0; d < w.rank; d++) {
        const int64_t *a = n->attr.i + 1 + 5 * d;
        w.axis[d].kernel = a[0], w.axis[d].stride = a[1], w.axis[d].dilation = a[2];
        w.axis[d].before = a[3], w.axis[d].after = a[4];
    }
    return w;
}

Attr window_attr(Cx *cx, const Window *w) {
    int64_t *i = NEW(cx, int64_t, 1 + 5 * w->rank), *p = i;
    *p++ = w->group;
    for (int d = 0; d < w->rank; d++) {
        *p++ = w->axis[d].kernel, *p++ = w->axis[d].stride, *p++ = w->axis[d].dilation;
        *p++ = w->axis[d].before, *p++ = w->axis[d].after;
    }
    return (Attr){.n = 1 + 5 * w->rank, .i = i};
}

Expr *window_tap(Kernel *k, const Window *w, int axis, Expr *at, Expr *r) {
    Expr *e = ix_add(k, ix_mul(k, at, w->axis[axis].stride), -w->axis[axis].before);
    return ix(k, I_ADD, e, ix_mul(k, r, w->axis[axis].dilation));
}

// How many windows fit along an axis; 0 if none.
static int64_t windows(Graph *g, const Window *w, int d, int64_t size) {
    int64_t reach, room;
    bool bad = w->axis[d].kernel < 1 || w->axis[d].stride < 1 || w->axis[d].dilation < 1 ||
               __builtin_mul_overflow(w->axis[d].kernel - 1, w->axis[d].dilation, &reach) ||
               __builtin_add_overflow(size, w->axis[d].before, &room) ||
               __builtin_add_overflow(room, w->axis[d].after, &room) || reach >= (int64_t)1 << 40;
    if (bad) fail(g->cx, E_MALFORMED, "kernel, stride, dilation or padding of image axis %d is out of range", d);
    return room - reach < 1 ? 0 : (room - reach - 1) / w->axis[d].stride + 1;
}

void window_shape(Graph *g, const Window *w, Shape x, Shape *y) {
    for (int d = 0; d < w->rank; d++) {
        y->d[2 + d] = windows(g, w, d, x.d[2 + d]);
        if (y->d[2 + d] == 0)
            fail(g->cx, E_MALFORMED, "an image of %s is smaller than the kernel (axis %d)", shape_str(g->cx, x), d);
    }
}

void infer_pool(Graph *g, Node *n) {
    Window w = window_of(n);
    n->shape = X->shape;
    if (n->shape.n < 2 + w.rank)
        fail(g->cx, E_MALFORMED, "%s: a window of %d axes over %s", optab[n->op].name, w.rank,
             shape_str(g->cx, n->shape));
    if (n->shape.batch > 2 && n->shape.batch <= 2 + w.rank && g->max_batch > 1)
        fail(g->cx, E_UNSUPPORTED, "%s: over the batch axis of %s", optab[n->op].name, shape_str(g->cx, n->shape));
    window_shape(g, &w, X->shape, &n->shape);
}

// The second input is what MaxPool makes of the first: the place in its image, row-major, where each
// maximum is first met, as i64.
void infer_max_pool_place(Graph *g, Node *n) {
    infer_pool(g, n);
    n->type = DT_I64;
    if (!same_shape(n->shape, n->in[1]->shape) || n->in[1]->type != X->type)
        fail(g->cx, E_MALFORMED, "MaxPoolPlace: the maxima have shape %s, not %s", shape_str(g->cx, n->in[1]->shape),
             shape_str(g->cx, n->shape));
}

static Expr *windowed(Kernel *k, Node *n, Expr **at, KOp op, double outside) {
    Window w = window_of(n);
    Expr *in[MAXDIM], *r[MAXDIM];
    memcpy(in, at, sizeof *in * (size_t)n->shape.n);
    for (int d = 0; d < w.rank; d++) {
        r[d] = k_var(k, w.axis[d].kernel, false);
        in[2 + d] = window_tap(k, &w, d, at[2 + d], r[d]);
    }
    Expr *e = pull_padded(k, X, in, outside);
    for (int d = w.rank - 1; d >= 0; d--) e = k_reduce(k, op, r[d], e);
    return e;
}

// Of the elements equal to the maximum, the least place; none is (NaN), so place 0 stands in.
Expr *emit_max_pool_place(Kernel *k, Node *n, Expr **at) {
    Window w = window_of(n);
    Expr *in[MAXDIM], *r[MAXDIM], *place = ix_imm(k, 0), *nowhere = k_imm_i(k, DT_I64, INT64_MAX);
    memcpy(in, at, sizeof *in * (size_t)n->shape.n);
    for (int d = 0; d < w.rank; d++) {
        r[d] = k_var(k, w.axis[d].kernel, false);
        in[2 + d] = window_tap(k, &w, d, at[2 + d], r[d]);
        place = ix(k, I_ADD, ix_mul(k, place, X->shape.d[2 + d]), in[2 + d]);
    }
    Expr *hit = k2(k, K_EQ, pull(k, X, in), pull(k, n->in[1], at)), *e = k_select(k, hit, k_index(k, place), nowhere);
    for (int d = w.rank - 1; d >= 0; d--) e = k_inside(k, in[2 + d], X->shape.d[2 + d], e, nowhere);
    for (int d = w.rank - 1; d >= 0; d--) e = k_reduce(k, K_MINIMUM, r[d], e);
    return k_select(k, k2(k, K_EQ, e, nowhere), k_imm_i(k, DT_I64, 0), e);
}

// Which of the window's elements, counted row by row, is the maximum first met, in x's type; none is: NaN.
void infer_max_pool_tap(Graph *g, Node *n) {
    infer_max_pool_place(g, n);
    n->type = X->type;
}

Expr *emit_max_pool_tap(Kernel *k, Node *n, Expr **at) {
    Window w = window_of(n);
    Expr *in[MAXDIM], *r[MAXDIM], *tap = ix_imm(k, 0), *none = k_imm(k, X->type, INFINITY);
    memcpy(in, at, sizeof *in * (size_t)n->shape.n);
    for (int d = 0; d < w.rank; d++) {
        r[d] = k_var(k, w.axis[d].kernel, false);
        in[2 + d] = window_tap(k, &w, d, at[2 + d], r[d]);
        tap = ix(k, I_ADD, ix_mul(k, tap, w.axis[d].kernel), r[d]);
    }
    Expr *hit = k2(k, K_EQ, pull(k, X, in), pull(k, n->in[1], at)),
         *e = k_select(k, hit, k_cast(k, X->type, k_index(k, tap)), none);
    for (int d = w.rank - 1; d >= 0; d--) e = k_inside(k, in[2 + d], X->shape.d[2 + d], e, none);
    for (int d = w.rank - 1; d >= 0; d--) e = k_reduce(k, K_MINIMUM, r[d], e);
    return e;
}

static double lowest(DType t) {
    switch (t) {
    case DT_I8: return INT8_MIN;
    case DT_I16: return INT16_MIN;
    case DT_I32: return INT32_MIN;
    case DT_I64: return (double)INT64_MIN;
    default: return dtype_is_float(t) ? -INFINITY : 0;
    }
}

Expr *emit_max_pool(Kernel *k, Node *n, Expr **at) { return windowed(k, n, at, K_MAXIMUM, lowest(n->type)); }
Expr *emit_sum_pool(Kernel *k, Node *n, Expr **at) { return windowed(k, n, at, K_SUM, 0); }

// The mean of a window: its sum by its size, or, at the border, by how much of it lies inside
// (f 0), which is the same sum over ones; frozen, so computed once.
Node *expand_average_pool(Graph *g, Node *n) {
    Window w = window_of(n);
    Node *sum = graph_op(g, OP_SumPool, n->attr, 1, n->in);
    bool padded = false;
    double size = 1;
    for (int d = 0; d < w.rank; d++) {
        size *= (double)w.axis[d].kernel;
        padded |= w.axis[d].before > 0 || w.axis[d].after > 0;
    }
    if (n->attr.f == 1 || !padded) return op2(g, Mul, sum, node_like(g, X, 1 / size));
    Shape image = X->shape;
    image.batch = 0;
    for (int d = 0; d < image.n; d++)
        if (d < 2 || d >= 2 + w.rank) image.d[d] = 1;
    Node *ones = op1a(g, Expand, node_like(g, X, 1), shape_attr(&image));
    return op2(g, Div, sum, graph_op(g, OP_SumPool, n->attr, 1, &ones));
}
