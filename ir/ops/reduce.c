// Reductions over the axes attr.i[0..n), always kept as size 1.
#include "../op.h"

#define X n->in[0]

void infer_reduce(Graph *g, Node *n) {
    n->shape = X->shape;
    for (int i = 0; i < n->attr.n; i++) {
        int64_t d = n->attr.i[i];
        if (d < 0 || d >= n->shape.n)
            fail(g->cx, E_MALFORMED, "%s: no axis %lld in %s", optab[n->op].name, (long long)d,
                 shape_str(g->cx, X->shape));
        n->shape.d[d] = 1;
        if (n->shape.batch == d + 1) {
            n->shape.batch = 0;
            n->frozen &= g->max_batch == 1;           // how many there are to reduce, only a run knows
        }
    }
}

static Expr *reduce(Kernel *k, Node *n, Expr **at, KOp op) {
    Expr *in[MAXDIM];
    memcpy(in, at, sizeof *in * (size_t)n->shape.n);
    for (int i = 0; i < n->attr.n; i++) in[n->attr.i[i]] = k_axis(k, X->shape, (int)n->attr.i[i]);
    Expr *e = pull(k, X, in);
    for (int i = n->attr.n - 1; i >= 0; i--) e = k_reduce(k, op, in[n->attr.i[i]], e);
    return e;
}
Expr *emit_sum(Kernel *k, Node *n, Expr **at) { return reduce(k, n, at, K_SUM); }
Expr *emit_prod(Kernel *k, Node *n, Expr **at) { return reduce(k, n, at, K_PROD); }
Expr *emit_rmax(Kernel *k, Node *n, Expr **at) { return reduce(k, n, at, K_MAXIMUM); }
Expr *emit_rmin(Kernel *k, Node *n, Expr **at) { return reduce(k, n, at, K_MINIMUM); }

// How many elements each result sums up; grows with the batch if the batch is among them.
static Node *count(Graph *g, Node *n) {
    int64_t total = 1;
    bool grows = false;
    for (int i = 0; i < n->attr.n; i++) {
        total *= X->shape.d[n->attr.i[i]];
        grows |= X->shape.batch == n->attr.i[i] + 1;
    }
    if (!grows || g->max_batch == 1) return node_like(g, X, (double)total);
    return node_cast(g, graph_op(g, OP_BatchSize, AXES(total / g->max_batch), 0, NULL), n->type);
}

Node *expand_mean(Graph *g, Node *n) {
    Node *sum = graph_op(g, OP_ReduceSum, n->attr, 1, n->in), *c = count(g, n);
    if (!op_is_splat(c) || !dtype_is_float(n->type)) return op2(g, Div, sum, c);
    return op2(g, Mul, sum, node_like(g, X, 1 / splat_value(c)));
}

// x - max x, in a formula that is the same whatever is taken off: nothing flows back to it.
static Node *centred(Graph *g, Node *n) {
    Attr a = n->attr;
    a.f = 1;
    return op2(g, Sub, X, graph_op(g, OP_ReduceMax, a, 1, n->in));
}

// softmax(x) = e / sum e,  e = exp(x - max x)
Node *expand_softmax(Graph *g, Node *n) {
    Node *e = op1(g, Exp, centred(g, n));
    return op2(g, Div, e, graph_op(g, OP_ReduceSum, n->attr, 1, &e));
}

Node *expand_log_softmax(Graph *g, Node *n) {
    Node *z = centred(g, n), *e = op1(g, Exp, z);
    return op2(g, Sub, z, op1(g, Log, graph_op(g, OP_ReduceSum, n->attr, 1, &e)));
}

// Running sums along attr.i[0] (runtime/body_cumsum.c).
void infer_cum_sum(Graph *g, Node *n) {
    n->shape = X->shape;
    if (n->attr.n != 3 || n->attr.i[0] < 0 || n->attr.i[0] >= n->shape.n)
        fail(g->cx, E_MALFORMED, "CumSum: its axis does not fit %s", shape_str(g->cx, X->shape));
    if (g->max_batch > 1 && (X->shape.batch > 1 || X->shape.batch == n->attr.i[0] + 1))
        fail(g->cx, E_UNSUPPORTED, "CumSum: along or outside the batch axis of %s", shape_str(g->cx, X->shape));
}

// The product of all elements up to this one, by a pass over the whole axis for each: rare, and never long.
Expr *emit_cum_prod(Kernel *k, Node *n, Expr **at) {
    int axis = (int)n->attr.i[0];
    Expr *in[MAXDIM], *r = k_var(k, X->shape.d[axis], false);
    memcpy(in, at, sizeof *in * (size_t)n->shape.n);
    in[axis] = r;
    Expr *behind = n->attr.i[2] ? ix(k, I_ADD, r, ix_mul(k, at[axis], -1)) : ix(k, I_ADD, at[axis], ix_mul(k, r, -1));
    Expr *x = k_inside(k, ix_add(k, behind, -n->attr.i[1]), X->shape.d[axis], pull(k, X, in), k_imm(k, n->type, 1));
    return k_reduce(k, K_PROD, r, x);
}

Node *node_zeros(Graph *g, Node *like) { return node_expand(g, node_like(g, like, 0), like->shape); }

Node *node_reduce_all(Graph *g, Op reduction, Node *x) {
    int64_t axes[MAXDIM] = {0, 1, 2, 3, 4, 5, 6, 7};
    return node_reshape(g, graph_op(g, reduction, (Attr){.n = x->shape.n, .i = axes}, 1, &x), (Shape){0});
}
