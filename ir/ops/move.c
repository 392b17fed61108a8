// Operators that only rename elements: the output at an index is the input at another.
// The batch axis may be carried along anywhere, but never cut, spread or joined with what lies
// outside it: its size is not known before the run.
#include "../op.h"

#define X n->in[0]

static bool grows(const Node *n, int d) { return n->shape.batch == d + 1; }

void infer_transpose(Graph *g, Node *n) {
    Shape x = X->shape;
    unsigned seen = 0;
    for (int i = 0; i < n->attr.n; i++)
        if (n->attr.i[i] >= 0 && n->attr.i[i] < x.n) seen |= 1u << n->attr.i[i];
    if (n->attr.n != x.n || seen != (1u << x.n) - 1)
        fail(g->cx, E_MALFORMED, "Transpose: the permutation does not fit %s", shape_str(g->cx, x));
    n->shape.n = x.n;
    for (int i = 0; i < x.n; i++) {
        n->shape.d[i] = x.d[n->attr.i[i]];
        if (grows(X, (int)n->attr.i[i])) n->shape.batch = i + 1;
    }
}

Expr *emit_transpose(Kernel *k, Node *n, Expr **at) {
    Expr *in[MAXDIM];
    for (int i = 0; i < n->shape.n; i++) in[n->attr.i[i]] = at[i];
    return pull(k, X, in);
}

static Shape sub_shape(Shape s, int from, int to) {
    Shape r = {.n = to - from};
    for (int i = from; i < to; i++) {
        r.d[i - from] = s.d[i];
        if (s.batch == i + 1) r.batch = i - from + 1;
    }
    return r;
}

void next_group(Shape x, Shape y, int *i, int *j) {
    int64_t p = *i < x.n ? x.d[(*i)++] : 1, q = *j < y.n ? y.d[(*j)++] : 1;
    while (p != q)
        if (p < q) p *= x.d[(*i)++];
        else q *= y.d[(*j)++];
}

bool batch_outermost(Shape s) {
    for (int d = 0; d + 1 < s.batch; d++)
        if (s.d[d] != 1) return false;
    return true;
}

// In its group of axes the batch must be outermost on both sides (after axes of size 1), so that
// leaving out its tail leaves out the tail of the elements.
static bool keeps_batch(Shape x, Shape y) {
    if (numel(x) == 0) return !x.batch == !y.batch;
    for (int i = 0, j = 0, i0, j0; i < x.n || j < y.n;) {
        i0 = i, j0 = j;
        next_group(x, y, &i, &j);
        Shape a = sub_shape(x, i0, i), b = sub_shape(y, j0, j);
        if (!a.batch != !b.batch || !batch_outermost(a) || !batch_outermost(b)) return false;
    }
    return true;
}

void infer_reshape(Graph *g, Node *n) {
    n->shape = attr_shape(n->attr);
    if (numel(n->shape) != numel(X->shape))
        fail(g->cx, E_MALFORMED, "Reshape: %s does not hold %s", shape_str(g->cx, n->shape),
             shape_str(g->cx, X->shape));
    if (g->max_batch > 1 && !keeps_batch(X->shape, n->shape))
        fail(g->cx, E_UNSUPPORTED, "Reshape: from %s to %s, the batch would not stay outermost",
             shape_str(g->cx, X->shape), shape_str(g->cx, n->shape));
}

// By groups of axes that hold the same number of elements: no division where blocks line up.
Expr *emit_reshape(Kernel *k, Node *n, Expr **at) {
    Expr *in[MAXDIM];
    Shape x = X->shape, y = n->shape;
    if (numel(x) == 0) {
        for (int i = 0; i < x.n; i++) in[i] = ix_imm(k, 0);
        return pull(k, X, in);
    }
    for (int i = 0, j = 0, i0, j0; i < x.n || j < y.n;) {
        i0 = i, j0 = j;
        next_group(x, y, &i, &j);
        ix_split(k, sub_shape(x, i0, i), ix_flat(k, sub_shape(y, j0, j), at + j0), in + i0);
    }
    return pull(k, X, in);
}

void infer_expand(Graph *g, Node *n) {
    Shape to = attr_shape(n->attr);
    n->shape = bcast_shape(g, "Expand", X->shape, to);
    if (!same_dims(n->shape, to))
        fail(g->cx, E_MALFORMED, "Expand: %s does not broadcast to %s", shape_str(g->cx, X->shape),
             shape_str(g->cx, to));
}
Expr *emit_expand(Kernel *k, Node *n, Expr **at) { return pull_bcast(k, n, 0, at); }

Expr *emit_keep(Kernel *k, Node *n, Expr **at) { return pull(k, X, at); }

// Slice: x[start + i * step]; attr.i = {starts, steps, sizes}. Steps may be negative.
static void infer_cut(Graph *g, Node *n, const char *what) {
    int r = X->shape.n;
    n->shape = X->shape;
    if (n->attr.n != 3 * r) fail(g->cx, E_MALFORMED, "%s: attributes do not fit %s", what, shape_str(g->cx, X->shape));
    for (int d = 0; d < r; d++) {
        n->shape.d[d] = n->attr.i[2 * r + d];
        if (grows(X, d) && (n->attr.i[d] != 0 || n->attr.i[r + d] != 1 || n->shape.d[d] != X->shape.d[d]))
            fail(g->cx, E_UNSUPPORTED, "%s: cuts the batch axis of %s", what, shape_str(g->cx, X->shape));
    }
}

void infer_slice(Graph *g, Node *n) {
    int r = X->shape.n;
    infer_cut(g, n, "Slice");
    for (int d = 0; d < r; d++) {
        int64_t first = n->attr.i[d], size = n->shape.d[d], last = first + (size - 1) * n->attr.i[r + d];
        if (size > 0 && (first < 0 || last < 0 || first >= X->shape.d[d] || last >= X->shape.d[d]))
            fail(g->cx, E_MALFORMED, "Slice: reaches outside %s", shape_str(g->cx, X->shape));
    }
}

Expr *emit_slice(Kernel *k, Node *n, Expr **at) {
    Expr *in[MAXDIM];
    int r = n->shape.n;
    for (int d = 0; d < r; d++) in[d] = ix_add(k, ix_mul(k, at[d], n->attr.i[r + d]), n->attr.i[d]);
    return pull(k, X, in);
}

// Pad: y[before + i * spread] = x[i], f elsewhere; attr.i = {before, spread, sizes}. A negative
// `before` cuts. With spread 1 this is padding; more puts room between the elements.
void infer_pad(Graph *g, Node *n) { infer_cut(g, n, "Pad"); }

Expr *emit_pad(Kernel *k, Node *n, Expr **at) {
    Expr *in[MAXDIM], *from[MAXDIM], *other = k_imm(k, n->type, n->attr.f);
    int r = n->shape.n;
    for (int d = 0; d < r; d++) {
        from[d] = ix_add(k, at[d], -n->attr.i[d]);
        in[d] = ix(k, I_DIV, from[d], ix_imm(k, n->attr.i[r + d]));
    }
    bool plain = true;
    for (int d = 0; d < r; d++) plain &= n->attr.i[r + d] == 1;
    if (plain) return pull_padded(k, X, in, n->attr.f);
    Expr *x = pull(k, X, in);
    for (int d = r - 1; d >= 0; d--) {
        int64_t step = n->attr.i[r + d], reach = X->shape.d[d] ? (X->shape.d[d] - 1) * step + 1 : 0;
        if (step != 1) x = k_inside(k, ix(k, I_MOD, from[d], ix_imm(k, step)), 1, x, other);
        x = k_inside(k, from[d], reach, x, other);
    }
    return x;
}

// Concat along attr.i[0]. As a rule fuse gives the inputs room in the output'"'"'s buffer and this
// formula is never printed; where it is, each place takes from the input that covers it.
void infer_concat(Graph *g, Node *n) {
    Shape a = X->shape, b = n->in[1]->shape;
    int64_t axis = n->attr.i[0];
    bool fits = a.n == b.n && axis >= 0 && axis < a.n && X->type == n->in[1]->type;
    n->shape = a;
    if (fits) n->shape.d[axis] += b.d[axis], a.d[axis] = b.d[axis];
    if (!fits || !same_dims(a, b))
        fail(g->cx, E_MALFORMED, "Concat: %s with %s", shape_str(g->cx, X->shape), shape_str(g->cx, b));
    if (g->max_batch > 1 && (a.batch == axis + 1 || b.batch == axis + 1 || !a.batch != !b.batch))
        fail(g->cx, E_UNSUPPORTED, "Concat: %s with %s along the batch", shape_str(g->cx, X->shape),
             shape_str(g->cx, b));
}

Expr *emit_concat(Kernel *k, Node *n, Expr **at) {
    int64_t axis = n->attr.i[0], cut = X->shape.d[axis];
    Expr *second[MAXDIM];
    memcpy(second, at, sizeof *at * (size_t)n->shape.n);
    second[axis] = ix_add(k, at[axis], -cut);
    return k_inside(k, at[axis], cut, pull(k, X, at), pull(k, n->in[1], second));
}

// Weave along attr.i[0]: y[2i] = x[i], y[2i + 1] = its other input's [i]. As with Concat, fuse gives the
// inputs room in the result's buffer.
void infer_weave(Graph *g, Node *n) {
    int64_t axis = n->attr.i[0];
    n->shape = X->shape;
    if (!same_shape(X->shape, n->in[1]->shape) || X->type != n->in[1]->type || grows(X, (int)axis))
        fail(g->cx, E_INTERNAL, "Weave: %s with %s", shape_str(g->cx, X->shape), shape_str(g->cx, n->in[1]->shape));
    n->shape.d[axis] *= 2;
}

Expr *emit_weave(Kernel *k, Node *n, Expr **at) {
    int64_t axis = n->attr.i[0];
    Expr *in[MAXDIM], *two = ix_imm(k, 2);
    memcpy(in, at, sizeof *at * (size_t)n->shape.n);
    in[axis] = ix(k, I_DIV, at[axis], two);
    return k_inside(k, ix(k, I_MOD, at[axis], two), 1, pull(k, X, in), pull(k, n->in[1], in));
}

// ---- for those who build graphs ----

Node *node_transpose(Graph *g, Node *x, const int64_t *perm) {
    bool same = true;
    for (int d = 0; d < x->shape.n; d++) same &= perm[d] == d;
    return same ? x : op1a(g, Transpose, x, ((Attr){.n = x->shape.n, .i = perm}));
}

Node *node_expand(Graph *g, Node *x, Shape s) {
    return same_shape(x->shape, s) ? x : op1a(g, Expand, x, shape_attr(&s));
}

Node *node_slice(Graph *g, Node *x, int axis, int64_t from, int64_t size) {
    int r = x->shape.n;
    if (from == 0 && size == x->shape.d[axis]) return x;
    int64_t cut[3 * MAXDIM] = {0};
    for (int d = 0; d < r; d++) cut[r + d] = 1, cut[2 * r + d] = x->shape.d[d];
    cut[axis] = from, cut[2 * r + axis] = size;
    return op1a(g, Slice, x, ((Attr){.n = 3 * r, .i = cut}));
}

// Leaning left, so that Concats that begin alike share their beginnings.
Node *node_concat(Graph *g, int axis, int n, Node *const *x) {
    Node *all = x[0];
    for (int i = 1; i < n; i++) all = graph_op(g, OP_Concat, AXES(axis), 2, (Node *[]){all, x[i]});
    return all;
}
