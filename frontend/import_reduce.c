// import_reduce.c -- reductions, what is sought along an axis, and softmax with its relatives.
#include "build.h"

// ---- reductions ----

// The axes, normalised, each once and in order. All of them if none is named, unless that means none.
static Attr axes_of(Import *im, int rank) {
    int64_t *named;
    int n = ints_of(im, "axes", 1, &named);
    bool seen[MAXDIM] = {false};
    if (n <= 0 && !attr_int(im, "noop_with_empty_axes", 0)) return axes_from(im->cx, 0, rank);
    for (int i = 0; i < n; i++) {
        int64_t d = named[i] < 0 ? named[i] + rank : named[i];
        if (d < 0 || d >= rank)
            import_fail(im, E_MALFORMED, "axis %lld is outside a tensor of %d axes", (long long)named[i], rank);
        seen[d] = true;
    }
    Attr a = {.n = 0};
    int64_t *axes = NEW(im->cx, int64_t, MAXDIM);
    for (int d = 0; d < rank; d++)
        if (seen[d]) axes[a.n++] = d;
    a.i = axes;
    return a;
}

static void finish(Import *im, Node *y, Attr axes) {
    out(im, 0, attr_int(im, "keepdims", 1) ? y : squeezed(im->g, y, axes));
}

#define REDUCTION(f, before, op, after)                              \
    void import_reduce_##f(Import *im, const DocNode *n) {           \
        Graph *g = im->g;                                            \
        Node *x = in(im, 0);                                         \
        Attr axes = axes_of(im, x->shape.n);                         \
        (void)n, x = before;                                         \
        x = reduced(g, op, x, axes);                                 \
        finish(im, after, axes);                                     \
    }
REDUCTION(sum, x, OP_ReduceSum, x)
REDUCTION(prod, x, OP_ReduceProd, x)
REDUCTION(max, x, OP_ReduceMax, x)
REDUCTION(min, x, OP_ReduceMin, x)
REDUCTION(mean, x, OP_ReduceMean, x)
REDUCTION(l1, op1(g, Abs, x), OP_ReduceSum, x)
REDUCTION(sum_square, square(g, x), OP_ReduceSum, x)
REDUCTION(log_sum, x, OP_ReduceSum, op1(g, Log, x))

// Integers take their roots and logarithms as doubles.
static Node *real(Graph *g, Node *x) { return dtype_is_float(x->type) ? x : node_cast(g, x, DT_F64); }
REDUCTION(l2, square(g, x), OP_ReduceSum, node_cast(g, op1(g, Sqrt, real(g, x)), in(im, 0)->type))

// log sum exp x = m + log sum exp(x - m),  m the largest; where that is infinite, nothing is taken off
void import_reduce_log_sum_exp(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *x = in(im, 0);
    Attr axes = axes_of(im, x->shape.n);
    Node *m = reduced(g, OP_ReduceMax, x, axes);
    m = op3(g, Where, op1(g, IsInf, m), node_like(g, x, 0), m);
    finish(im, op2(g, Add, m, op1(g, Log, reduced(g, OP_ReduceSum, op1(g, Exp, op2(g, Sub, x, m)), axes))), axes);
}

static void import_arg(Import *im, bool max) {
    Node *x = in(im, 0);
    int axis = attr_axis(im, "axis", 0, x->shape.n);
    finish(im, arg_extreme(im->g, x, axis, max, attr_int(im, "select_last_index", 0)),
           (Attr){.n = 1, .i = (int64_t[]){axis}});
}
void import_arg_max(Import *im, const DocNode *n) { (void)n, import_arg(im, true); }
void import_arg_min(Import *im, const DocNode *n) { (void)n, import_arg(im, false); }

// ---- softmax and its relatives ----

// Before opset 13 all axes from `axis` on were one.
static Attr soft_axes(Import *im, const Node *x) {
    int rank = x->shape.n;
    if (im->opset >= 13) {
        int axis = attr_axis(im, "axis", -1, rank);
        return axes_from(im->cx, axis, axis + 1);
    }
    int64_t axis = attr_int(im, "axis", 1), first = axis < 0 ? axis + rank : axis;
    if (first < 0 || first > rank)
        import_fail(im, E_MALFORMED, "axis %lld is outside a tensor of %d axes", (long long)axis, rank);
    return axes_from(im->cx, (int)first, rank);
}

void import_softmax(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    out(im, 0, op1a(im->g, Softmax, x, soft_axes(im, x)));
}

void import_log_softmax(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    out(im, 0, op1a(im->g, LogSoftmax, x, soft_axes(im, x)));
}

// The axes from `first` on as one.
static Shape coerced(Shape s, int first) {
    Shape r = s;
    r.n = first + 1, r.d[first] = 1;
    for (int d = first; d < s.n; d++) r.d[first] *= s.d[d];
    if (s.batch > first) r.batch = first + 1;
    return r;
}

// 1 at the first of the largest, 0 elsewhere
void import_hardmax(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *x = in(im, 0);
    Attr axes = soft_axes(im, x);
    int axis = axes.n ? (int)axes.i[0] : x->shape.n;
    Node *flat = axes.n == 1 ? x : node_reshape(g, x, coerced(x->shape, axis));
    Node *hit = op2(g, Equal, iota_along(g, flat->shape, axis), arg_extreme(g, flat, axis, true, false));
    out(im, 0, node_reshape(g, node_cast(g, hit, x->type), x->shape));
}

static void cumulative(Import *im, Op op) {
    Node *x = in(im, 0);
    int64_t *v;
    if (in_ints(im, 1, &v) != 1 || v[0] < -x->shape.n || v[0] >= x->shape.n)
        import_fail(im, E_MALFORMED, "its axis does not fit %s", shape_str(im->cx, x->shape));
    int64_t axis = v[0] < 0 ? v[0] + x->shape.n : v[0];
    Attr how = AXES(axis, attr_int(im, "exclusive", 0) != 0, attr_int(im, "reverse", 0) != 0);
    out(im, 0, graph_op(im->g, op, how, 1, &x));
}

void import_cum_sum(Import *im, const DocNode *n) { (void)n, cumulative(im, OP_CumSum); }
void import_cum_prod(Import *im, const DocNode *n) { (void)n, cumulative(im, OP_CumProd); }
