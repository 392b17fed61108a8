// Sums of products over blocked channels: an image [N, C, H, W] kept as [N, C/b, H, W, b], so that
// the last axis is a vector. The same sums as in contract.c with the channel axes split.
#include "../op.h"

#define X n->in[0]
#define Y n->in[1]
#define D(t, axis) (n->in[t]->shape.d[axis])

static void image_shape(Graph *g, Node *n, int64_t blocks, int64_t b) {
    Window w = window_of(n);
    n->shape = X->shape;
    n->shape.d[1] = blocks, n->shape.d[4] = b;
    window_shape(g, &w, X->shape, &n->shape);
}

// x [N, C/b, H, W, b] by w [O/B, C/b/groups, R, S, b, B]. With groups, each group of blocks of B
// outputs reads its own blocks of x.
void infer_conv_blk(Graph *g, Node *n) {
    int64_t groups = n->attr.i[0];
    if (D(0, 1) != D(1, 1) * groups || D(0, 4) != D(1, 4) || D(1, 0) % groups)
        fail(g->cx, E_INTERNAL, "ConvBlk: %s by %s", shape_str(g->cx, X->shape), shape_str(g->cx, Y->shape));
    image_shape(g, n, D(1, 0), D(1, 5));
}

Expr *emit_conv_blk(Kernel *k, Node *n, Expr **at) {
    Window w = window_of(n);
    Expr *c = k_var(k, D(1, 1), false), *r = k_var(k, D(1, 2), false), *s = k_var(k, D(1, 3), false),
         *b = k_var(k, D(1, 4), false);
    Expr *group = ix(k, I_DIV, at[1], ix_imm(k, D(1, 0) / w.group)),
         *block = w.group == 1 ? c : ix(k, I_ADD, ix_mul(k, group, D(1, 1)), c);
    Expr *x = pull_padded(
        k, X, (Expr *[]){at[0], block, window_tap(k, &w, 0, at[2], r), window_tap(k, &w, 1, at[3], s), b}, 0);
    Expr *f = pull(k, Y, (Expr *[]){at[1], c, r, s, b, at[4]}), *v[] = {c, r, s, b}, *e = k2(k, K_MUL, x, f);
    for (int i = 3; i >= 0; i--) e = k_reduce(k, K_SUM, v[i], e);
    return e;
}

// x [N, C/b, H, W, b], dy [N, O/B, P, Q, B] -> dw [O/B, C/b, R, S, b, B]
void infer_conv_dw_blk(Graph *g, Node *n) {
    Window w = window_of(n);
    (void)g;
    n->shape = SHAPE(D(1, 1), D(0, 1), w.axis[0].kernel, w.axis[1].kernel, D(0, 4), D(1, 4));
}

// The sum over images and pixels of dy's of what x shows tap r, s of them.
static Expr *over_pixels(Kernel *k, Node *n, Expr *xblock, Expr *xlane, Expr *yblock, Expr *ylane, Expr *r, Expr *s) {
    Window w = window_of(n);
    Expr *v[] = {k_axis(k, Y->shape, 0), k_var(k, D(1, 2), false), k_var(k, D(1, 3), false)};
    Expr *x = pull_padded(
        k, X, (Expr *[]){v[0], xblock, window_tap(k, &w, 0, v[1], r), window_tap(k, &w, 1, v[2], s), xlane}, 0);
    Expr *e = k2(k, K_MUL, x, pull(k, Y, (Expr *[]){v[0], yblock, v[1], v[2], ylane}));
    for (int i = 2; i >= 0; i--) e = k_reduce(k, K_SUM, v[i], e);
    return e;
}

Expr *emit_conv_dw_blk(Kernel *k, Node *n, Expr **at) {
    return over_pixels(k, n, at[1], at[4], at[0], at[5], at[2], at[3]);
}

// every channel by its own kernel: -> dw [C/b, R, S, b]
void infer_depthwise_dw_blk(Graph *g, Node *n) {
    Window w = window_of(n);
    (void)g;
    n->shape = SHAPE(D(0, 1), w.axis[0].kernel, w.axis[1].kernel, D(0, 4));
}

Expr *emit_depthwise_dw_blk(Kernel *k, Node *n, Expr **at) {
    return over_pixels(k, n, at[0], at[3], at[0], at[3], at[1], at[2]);
}

// every channel by its own kernel: x [N, C/b, H, W, b] by w [C/b, R, S, b]
void infer_depthwise_blk(Graph *g, Node *n) {
    if (D(0, 1) != D(1, 0) || D(0, 4) != D(1, 3))
        fail(g->cx, E_INTERNAL, "DepthwiseBlk: %s by %s", shape_str(g->cx, X->shape), shape_str(g->cx, Y->shape));
    image_shape(g, n, D(0, 1), D(0, 4));
}

Expr *emit_depthwise_blk(Kernel *k, Node *n, Expr **at) {
    Window w = window_of(n);
    Expr *r = k_var(k, D(1, 1), false), *s = k_var(k, D(1, 2), false);
    Expr *x = pull_padded(
        k, X, (Expr *[]){at[0], at[1], window_tap(k, &w, 0, at[2], r), window_tap(k, &w, 1, at[3], s), at[4]}, 0);
    Expr *f = pull(k, Y, (Expr *[]){at[1], r, s, at[4]});
    return k_reduce(k, K_SUM, r, k_reduce(k, K_SUM, s, k2(k, K_MUL, x, f)));
}

// y[e,o,t,v] = sum c,u  x[e,c,t,u] * w[e,o,c,u,v]: one blocked matrix product per e. t may be the
// batch's axis.
void infer_matmul_blk(Graph *g, Node *n) {
    if (D(0, 0) != D(1, 0) || D(0, 1) != D(1, 2) || D(0, 3) != D(1, 3))
        fail(g->cx, E_INTERNAL, "MatMulBlk: %s by %s", shape_str(g->cx, X->shape), shape_str(g->cx, Y->shape));
    n->shape = X->shape;
    n->shape.d[1] = D(1, 1), n->shape.d[3] = D(1, 4);
}

Expr *emit_matmul_blk(Kernel *k, Node *n, Expr **at) {
    Expr *c = k_var(k, D(0, 1), false), *u = k_var(k, D(0, 3), false);
    Expr *x = pull(k, X, (Expr *[]){at[0], c, at[2], u}), *w = pull(k, Y, (Expr *[]){at[0], at[1], c, u, at[3]});
    return k_reduce(k, K_SUM, c, k_reduce(k, K_SUM, u, k2(k, K_MUL, x, w)));
}

// x [N,C,H,W,c] -> [N,C,TH,TW,k,k,c]: tiles of k by k, m apart; attr.i = {m, k, before, TH, TW}
void infer_tiles(Graph *g, Node *n) {
    const int64_t *a = n->attr.i;
    (void)g;
    n->shape = SHAPE(D(0, 0), D(0, 1), a[3], a[4], a[1], a[1], D(0, 4));
    n->shape.batch = X->shape.batch;
}

Expr *emit_tiles(Kernel *k, Node *n, Expr **at) {
    Expr *in[] = {at[0], at[1], NULL, NULL, at[6]};
    for (int d = 2; d < 4; d++)
        in[d] = ix_add(k, ix(k, I_ADD, ix_mul(k, at[d], n->attr.i[0]), at[d + 2]), -n->attr.i[2]);
    return pull_padded(k, X, in, 0);
}

// mix(x, table): y[.., e, ..] = sum i  table[e, i] * x[.., i, ..]  along axis attr.i[0]
void infer_mix(Graph *g, Node *n) {
    int64_t axis = n->attr.i[0];
    n->shape = X->shape;
    if (n->shape.d[axis] != D(1, 1))
        fail(g->cx, E_INTERNAL, "Mix: %s by %s", shape_str(g->cx, X->shape), shape_str(g->cx, Y->shape));
    n->shape.d[axis] = D(1, 0);
}

Expr *emit_mix(Kernel *k, Node *n, Expr **at) {
    int64_t axis = n->attr.i[0];
    Expr *in[MAXDIM], *v = k_var(k, D(0, axis), false);
    memcpy(in, at, sizeof *in * (size_t)n->shape.n);
    in[axis] = v;
    Expr *t = pull(k, Y, (Expr *[]){at[axis], v});
    return k_reduce(k, K_SUM, v, k2(k, K_MUL, t, pull(k, X, in)));
}
