// Sums of products.
#include "../op.h"

#define X n->in[0]
#define Y n->in[1]
#define D(t, axis) (n->in[t]->shape.d[axis])

static Shape outer(Shape s) { s.n -= 2; return s; }

// [.., m, k] by [.., k, n]; what lies before the last two axes broadcasts
void infer_matmul(Graph *g, Node *n) {
    Shape a = X->shape, b = Y->shape;
    if (a.n < 2 || b.n < 2 || a.d[a.n - 1] != b.d[b.n - 2] || X->type != Y->type)
        fail(g->cx, E_MALFORMED, "MatMul: %s by %s", shape_str(g->cx, a), shape_str(g->cx, b));
    bool sums = a.batch == a.n && b.batch == b.n - 1;       // over the batch: both sides must end together
    if ((a.batch == a.n || b.batch == b.n - 1) && !sums && g->max_batch > 1)
        fail(g->cx, E_UNSUPPORTED, "MatMul: %s by %s sums over the batch", shape_str(g->cx, a), shape_str(g->cx, b));
    Shape ao = outer(a), bo = outer(b);
    if (a.batch > ao.n) ao.batch = 0;
    if (b.batch > bo.n) bo.batch = 0;
    n->shape = bcast_shape(g, "MatMul", ao, bo);
    bool row = a.batch == a.n - 1, column = b.batch == b.n;
    if (g->max_batch > 1 && (n->shape.batch != 0) + row + column > 1)
        fail(g->cx, E_UNSUPPORTED, "MatMul: %s by %s, two axes would grow with the batch", shape_str(g->cx, a),
             shape_str(g->cx, b));
    if (row || column) n->shape.batch = n->shape.n + (row ? 1 : 2);
    n->shape.d[n->shape.n++] = a.d[a.n - 2], n->shape.d[n->shape.n++] = b.d[b.n - 1];
}

// n'"'"'s index, as an index of the outer axes of its input t
static void outer_at(Kernel *k, Node *n, int t, Expr **at, Expr **in) {
    Shape s = n->in[t]->shape;
    for (int d = 0; d < s.n - 2; d++)
        in[d] = s.d[d] == 1 && s.batch != d + 1 ? ix_imm(k, 0) : at[n->shape.n - s.n + d];
}

Expr *emit_matmul(Kernel *k, Node *n, Expr **at) {
    int ra = X->shape.n, rb = Y->shape.n, r = n->shape.n;
    Expr *a[MAXDIM], *b[MAXDIM], *j = k_axis(k, X->shape, ra - 1);
    outer_at(k, n, 0, at, a), outer_at(k, n, 1, at, b);
    a[ra - 2] = at[r - 2], a[ra - 1] = j;
    b[rb - 2] = j, b[rb - 1] = at[r - 1];
    return k_reduce(k, K_SUM, j, k2(k, K_MUL, pull(k, X, a), pull(k, Y, b)));
}

// Convolution, [N, C, image..] by [O, C/group, kernel..]; attributes: Window in op.h.
//     y[n,o,i..] = sum c,r..  x[n, c, i*stride + r*dilation - before ..] * w[o,c,r..]
void infer_conv(Graph *g, Node *n) {
    Window w = window_of(n);
    Shape x = X->shape, f = Y->shape;
    bool fits = x.n == w.rank + 2 && f.n == x.n && X->type == Y->type && w.group >= 1 && x.d[1] % w.group == 0 &&
                f.d[0] % w.group == 0 && f.d[1] == x.d[1] / w.group;
    for (int d = 0; fits && d < w.rank; d++) fits = f.d[2 + d] == w.axis[d].kernel;
    if (!fits)
        fail(g->cx, E_MALFORMED, "Conv: an input of %s by weights of %s in %lld groups", shape_str(g->cx, x),
             shape_str(g->cx, f), (long long)w.group);
    if ((x.batch > 1 || f.batch) && g->max_batch > 1)
        fail(g->cx, E_UNSUPPORTED, "Conv: an input of %s by weights of %s mixes the batch", shape_str(g->cx, x),
             shape_str(g->cx, f));
    n->shape = x;
    n->shape.d[1] = f.d[0];
    window_shape(g, &w, x, &n->shape);
}

Expr *emit_conv(Kernel *k, Node *n, Expr **at) {
    Window w = window_of(n);
    Expr *x[MAXDIM] = {at[0]}, *f[MAXDIM] = {at[1]}, *c = f[1] = k_var(k, D(1, 1), false);
    x[1] = ix(k, I_ADD, ix_mul(k, ix(k, I_DIV, at[1], ix_imm(k, D(1, 0) / w.group)), w.group == 1 ? 0 : D(1, 1)), c);
    for (int d = 0; d < w.rank; d++) {
        f[2 + d] = k_var(k, w.axis[d].kernel, false);
        x[2 + d] = window_tap(k, &w, d, at[2 + d], f[2 + d]);
    }
    Expr *e = k2(k, K_MUL, pull_padded(k, X, x, 0), pull(k, Y, f));
    for (int d = w.rank - 1; d >= 0; d--) e = k_reduce(k, K_SUM, f[2 + d], e);
    return k_reduce(k, K_SUM, c, e);
}
