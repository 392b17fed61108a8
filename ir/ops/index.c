// Operators whose indices are data, and those that yield indices.
#include "../op.h"

#define X n->in[0]

// y[a.., i.., b..] = x[a.., indices[i..], b..], along attr.i[0]; negative indices count from the end
void infer_gather(Graph *g, Node *n) {
    Shape x = X->shape, t = n->in[1]->shape, *y = &n->shape;
    int axis = (int)n->attr.i[0];
    if (!dtype_is_int(n->in[1]->type) || axis < 0 || axis >= x.n || x.n - 1 + t.n > MAXDIM)
        fail(g->cx, E_MALFORMED, "Gather: axis %d of %s by %s indices", axis, shape_str(g->cx, x), dtypes[n->in[1]->type].name);
    if (x.batch == axis + 1 && g->max_batch > 1)
        fail(g->cx, E_UNSUPPORTED, "Gather: along the batch axis of %s", shape_str(g->cx, x));
    for (int d = 0; d < x.n - 1 + t.n; d++) {
        bool from_t = d >= axis && d < axis + t.n;
        Shape s = from_t ? t : x;
        int e = from_t ? d - axis : d < axis ? d : d - t.n + 1;
        y->d[y->n++] = s.d[e];
        if (s.batch == e + 1) y->batch = y->n;
    }
}

// A value as an index into an axis of that size.
static Expr *wrapped(Kernel *k, Expr *v, int64_t size) {
    v = k_cast(k, DT_I64, v);
    if (v->op == K_IMM) return ix_data(k, k_imm_i(k, DT_I64, v->i < 0 ? v->i + size : v->i), size);
    Expr *below = k2(k, K_LT, v, k_imm_i(k, DT_I64, 0));
    return ix_data(k, k_select(k, below, k2(k, K_ADD, v, k_imm_i(k, DT_I64, size)), v), size);
}

Expr *emit_gather(Kernel *k, Node *n, Expr **at) {
    int axis = (int)n->attr.i[0], r = n->in[1]->shape.n;
    Expr *in[MAXDIM];
    for (int d = 0; d < X->shape.n; d++) in[d] = at[d < axis ? d : d + r - 1];
    in[axis] = wrapped(k, pull(k, n->in[1], at + axis), X->shape.d[axis]);
    return pull(k, X, in);
}

// The index along axis f, as i64.
void infer_iota(Graph *g, Node *n) { (void)g, n->shape = attr_shape(n->attr), n->type = DT_I64; }
Expr *emit_iota(Kernel *k, Node *n, Expr **at) { return k_index(k, at[(int)n->attr.f]); }

// attr.i[0] * how many of the batch are in use, as i64.
void infer_batch_size(Graph *g, Node *n) { (void)g, n->type = DT_I64, n->frozen = false; }
Expr *emit_batch_size(Kernel *k, Node *n, Expr **at) { (void)at; return k_batch(k, n->attr.i[0]); }

// Uniform in [0, 1): f32, one stream of numbers per node that draws them.
void infer_random(Graph *g, Node *n) { (void)g, n->shape = attr_shape(n->attr), n->type = DT_F32, n->frozen = false; }
Expr *emit_random(Kernel *k, Node *n, Expr **at) { return k_random(k, ix_flat(k, n->shape, at), (int64_t)n->attr.f); }
