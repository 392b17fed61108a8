// Operators whose indices are data, and those that yield indices. Negative indices count from the
// end; what lies outside is index 0 and raises the run's error flag.
#include "../op.h"

#define X n->in[0]

static const char *name_of(const Node *n) { return optab[n->op].name; }

static void needs_indices(Graph *g, const Node *n, const Node *index) {
    if (!dtype_is_int(index->type))
        fail(g->cx, E_MALFORMED, "%s: its indices are %s", name_of(n), dtypes[index->type].name);
}

// Nothing can be taken from an axis without elements.
static void needs_elements(Graph *g, const Node *n, int axis) {
    if (X->shape.d[axis] == 0 && numel(n->shape) > 0)
        fail(g->cx, E_MALFORMED, "%s: axis %d of %s has no elements", name_of(n), axis, shape_str(g->cx, X->shape));
}

static void needs_fixed(Graph *g, const Node *n, int axis) {
    if (X->shape.batch == axis + 1 && g->max_batch > 1)
        fail(g->cx, E_UNSUPPORTED, "%s: along the batch axis of %s", name_of(n), shape_str(g->cx, X->shape));
}

// A value as an index into an axis of that size.
static Expr *wrapped(Kernel *k, Expr *v, int64_t size) {
    v = k_cast(k, DT_I64, v);
    if (v->op == K_IMM) return ix_data(k, k_imm_i(k, DT_I64, v->i < 0 ? v->i + size : v->i), size);
    Expr *below = k2(k, K_LT, v, k_imm_i(k, DT_I64, 0));
    return ix_data(k, k_select(k, below, k2(k, K_ADD, v, k_imm_i(k, DT_I64, size)), v), size);
}

static void push_axis(Shape *y, Shape from, int d) {
    y->d[y->n++] = from.d[d];
    if (from.batch == d + 1) y->batch = y->n;
}

// y[a.., i.., b..] = x[a.., indices[i..], b..], along attr.i[0]
void infer_gather(Graph *g, Node *n) {
    Shape x = X->shape, t = n->in[1]->shape;
    int axis = (int)n->attr.i[0];
    needs_indices(g, n, n->in[1]);
    if (axis < 0 || axis >= x.n || x.n - 1 + t.n > MAXDIM)
        fail(g->cx, E_MALFORMED, "Gather: axis %d of %s by %s", axis, shape_str(g->cx, x), shape_str(g->cx, t));
    needs_fixed(g, n, axis);
    for (int d = 0; d < axis; d++) push_axis(&n->shape, x, d);
    for (int d = 0; d < t.n; d++) push_axis(&n->shape, t, d);
    for (int d = axis + 1; d < x.n; d++) push_axis(&n->shape, x, d);
    if (x.batch && t.batch && g->max_batch > 1)
        fail(g->cx, E_UNSUPPORTED, "Gather: from %s by %s, both of which grow with the batch", shape_str(g->cx, x),
             shape_str(g->cx, t));
    needs_elements(g, n, axis);
}

Expr *emit_gather(Kernel *k, Node *n, Expr **at) {
    int axis = (int)n->attr.i[0], r = n->in[1]->shape.n;
    Expr *in[MAXDIM];
    for (int d = 0; d < axis; d++) in[d] = at[d];
    for (int d = axis + 1; d < X->shape.n; d++) in[d] = at[d + r - 1];
    in[axis] = wrapped(k, pull(k, n->in[1], at + axis), X->shape.d[axis]);
    return pull(k, X, in);
}

// y[a.., i, b..] = x[a.., indices[a.., i, b..], b..], along attr.i[0]. The indices may cover less
// than x does.
void infer_gather_elements(Graph *g, Node *n) {
    Shape x = X->shape, t = n->in[1]->shape;
    int axis = (int)n->attr.i[0];
    bool fits = x.n == t.n && axis >= 0 && axis < x.n;
    needs_indices(g, n, n->in[1]);
    for (int d = 0; fits && d < x.n; d++) fits = d == axis || t.d[d] <= x.d[d];
    if (!fits)
        fail(g->cx, E_MALFORMED, "GatherElements: axis %d of %s by %s", axis, shape_str(g->cx, x), shape_str(g->cx, t));
    needs_fixed(g, n, axis);
    if (x.batch && t.batch != x.batch && g->max_batch > 1)
        fail(g->cx, E_UNSUPPORTED, "GatherElements: %s by %s, the batch differs", shape_str(g->cx, x),
             shape_str(g->cx, t));
    n->shape = t;
    needs_elements(g, n, axis);
}

Expr *emit_gather_elements(Kernel *k, Node *n, Expr **at) {
    int axis = (int)n->attr.i[0];
    Expr *in[MAXDIM];
    memcpy(in, at, sizeof *in * (size_t)n->shape.n);
    in[axis] = wrapped(k, pull(k, n->in[1], at), X->shape.d[axis]);
    return pull(k, X, in);
}

// y[a.., i.., c..] = x[a.., indices[a.., i.., 0], indices[a.., i.., 1] .., c..]; a.. are attr.i[0] axes
void infer_gather_nd(Graph *g, Node *n) {
    Shape x = X->shape, t = n->in[1]->shape;
    int64_t lead = n->attr.i[0], depth = t.n ? t.d[t.n - 1] : 0;
    bool fits = t.n > 0 && lead >= 0 && lead < t.n && depth >= 1 && depth <= x.n - lead &&
                t.n - 1 + x.n - lead - depth <= MAXDIM;
    needs_indices(g, n, n->in[1]);
    for (int d = 0; fits && d < lead; d++) fits = x.d[d] == t.d[d];
    if (!fits) fail(g->cx, E_MALFORMED, "GatherND: %s by %s", shape_str(g->cx, x), shape_str(g->cx, t));
    for (int d = 0; d < t.n - 1; d++) push_axis(&n->shape, t, d);
    for (int d = (int)(lead + depth); d < x.n; d++) push_axis(&n->shape, x, d);
    for (int d = (int)lead; d < lead + depth; d++) needs_fixed(g, n, d), needs_elements(g, n, d);
    bool shared = x.batch && x.batch <= lead, clash = shared ? x.batch != t.batch : x.batch && t.batch;
    if (g->max_batch > 1 && (clash || t.batch == t.n))
        fail(g->cx, E_UNSUPPORTED, "GatherND: %s by %s, the batch differs", shape_str(g->cx, x), shape_str(g->cx, t));
}

Expr *emit_gather_nd(Kernel *k, Node *n, Expr **at) {
    Shape x = X->shape, t = n->in[1]->shape;
    int lead = (int)n->attr.i[0], depth = (int)t.d[t.n - 1];
    Expr *in[MAXDIM], *place[MAXDIM];
    memcpy(in, at, sizeof *in * (size_t)lead);
    memcpy(place, at, sizeof *place * (size_t)(t.n - 1));
    for (int i = 0; i < depth; i++) {
        place[t.n - 1] = ix_imm(k, i);
        in[lead + i] = wrapped(k, pull(k, n->in[1], place), x.d[lead + i]);
    }
    for (int d = lead + depth; d < x.n; d++) in[d] = at[t.n - 1 + d - lead - depth];
    return pull(k, X, in);
}

// Scatters: a copy of x in which updates take the places that indices name; attr.i holds the axis
// (ScatterElements only), then how an update meets what was there: 0 replaces it, 1 adds, 2
// multiplies, 3 and 4 keep the greater and the lesser.
static void infer_scatter(Graph *g, Node *n) {
    needs_indices(g, n, n->in[1]);
    if (n->in[2]->type != X->type)
        fail(g->cx, E_MALFORMED, "%s: updates of type %s for %s", name_of(n), dtypes[n->in[2]->type].name,
             dtypes[X->type].name);
    n->shape = X->shape;
}

void infer_scatter_elements(Graph *g, Node *n) {
    Shape x = X->shape, t = n->in[1]->shape;
    int axis = (int)n->attr.i[0];
    infer_scatter(g, n);
    bool fits = same_dims(t, n->in[2]->shape) && t.n == x.n && axis >= 0 && axis < x.n;
    for (int d = 0; fits && d < x.n; d++) fits = d == axis || t.d[d] <= x.d[d];
    if (!fits)
        fail(g->cx, E_MALFORMED, "ScatterElements: axis %d of %s by %s from %s", axis, shape_str(g->cx, x),
             shape_str(g->cx, t), shape_str(g->cx, n->in[2]->shape));
    needs_fixed(g, n, axis);
    bool alike = (x.batch == t.batch || !x.batch) && t.batch == n->in[2]->shape.batch && batch_outermost(x) &&
                 batch_outermost(t);
    if (g->max_batch > 1 && !alike)
        fail(g->cx, E_UNSUPPORTED, "ScatterElements: %s by %s, the batch differs", shape_str(g->cx, x),
             shape_str(g->cx, t));
    if (t.batch && !x.batch) n->frozen &= g->max_batch == 1;       // how many updates there are, only a run knows
}

void infer_scatter_nd(Graph *g, Node *n) {
    Shape x = X->shape, t = n->in[1]->shape, u = n->in[2]->shape, want = {0};
    infer_scatter(g, n);
    int64_t depth = t.n ? t.d[t.n - 1] : 0;
    bool fits = t.n > 0 && depth >= 0 && depth <= x.n && t.n - 1 + x.n - depth <= MAXDIM;
    for (int d = 0; fits && d < t.n - 1; d++) push_axis(&want, t, d);
    for (int d = (int)depth; fits && d < x.n; d++) push_axis(&want, x, d);
    if (!fits || !same_dims(want, u))
        fail(g->cx, E_MALFORMED, "ScatterND: %s by %s from %s", shape_str(g->cx, x), shape_str(g->cx, t),
             shape_str(g->cx, u));
    if (g->max_batch > 1 && (x.batch || t.batch || u.batch))
        fail(g->cx, E_UNSUPPORTED, "ScatterND: %s by %s grows with the batch", shape_str(g->cx, x),
             shape_str(g->cx, t));
}

// The attr.i[1] largest (attr.i[2] = 1) or smallest elements along attr.i[0], best first.
void infer_top_k(Graph *g, Node *n) {
    int axis = (int)n->attr.i[0];
    int64_t k = n->attr.i[1];
    if (axis < 0 || axis >= X->shape.n || k < 0 || k > X->shape.d[axis])
        fail(g->cx, E_MALFORMED, "TopK: %lld along axis %d of %s", (long long)k, axis, shape_str(g->cx, X->shape));
    needs_fixed(g, n, axis);
    if (g->max_batch > 1 && !batch_outermost(X->shape))
        fail(g->cx, E_UNSUPPORTED, "TopK: the batch of %s is not outermost", shape_str(g->cx, X->shape));
    n->shape = X->shape;
    n->shape.d[axis] = k;
}
void infer_top_k_indices(Graph *g, Node *n) { infer_top_k(g, n), n->type = DT_I64; }

// The same bytes as numbers of another type of that size, attr.i[0].
void infer_bits(Graph *g, Node *n) {
    n->shape = X->shape, n->type = (DType)n->attr.i[0];
    if (dtypes[n->type].bytes != dtypes[X->type].bytes)
        fail(g->cx, E_MALFORMED, "Bits: %s is no size of %s", dtypes[n->type].name, dtypes[X->type].name);
    if (g->max_batch > 1 && !batch_outermost(X->shape))
        fail(g->cx, E_UNSUPPORTED, "Bits: the batch of %s is not outermost", shape_str(g->cx, X->shape));
}

// The index along axis f, as i64.
void infer_iota(Graph *g, Node *n) { (void)g, n->shape = attr_shape(n->attr), n->type = DT_I64; }
Expr *emit_iota(Kernel *k, Node *n, Expr **at) { return k_index(k, at[(int)n->attr.f]); }

Node *node_iota(Graph *g, Shape s, int axis) {
    Attr a = shape_attr(&s);
    a.f = axis;
    return graph_op(g, OP_Iota, a, 0, NULL);
}

Node *graph_ints(Graph *g, int64_t n, const int64_t *v) {
    int64_t *copy = NEW(g->cx, int64_t, n);
    if (n) memcpy(copy, v, sizeof *v * (size_t)n);
    return graph_const(g, DT_I64, SHAPE(n), copy);
}

// attr.i[0] * how many of the batch are in use, as i64.
void infer_batch_size(Graph *g, Node *n) { (void)g, n->type = DT_I64, n->frozen = false; }
Expr *emit_batch_size(Kernel *k, Node *n, Expr **at) { (void)at; return k_batch(k, n->attr.i[0]); }

// Uniform in [0, 1): f32, one stream of numbers per node that draws them.
void infer_random(Graph *g, Node *n) { (void)g, n->shape = attr_shape(n->attr), n->type = DT_F32, n->frozen = false; }
Expr *emit_random(Kernel *k, Node *n, Expr **at) { return k_random(k, ix_flat(k, n->shape, at), (int64_t)n->attr.f); }
