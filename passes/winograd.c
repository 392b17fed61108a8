// winograd.c -- 3x3 convolution as F(4x4, 3x3): Lavin and Gray, "Fast algorithms for convolutional
// neural networks", CVPR 2016. As graph: the transforms are Mixes by small tables, the work is 36
// matrix products. The weights' part is frozen and so belongs to init.
//
//     y = A' [ (G w G') . (B' x B) ] A      on tiles of 6 by 6, 4 apart
#include "blocked.h"

enum { M = 4, K = 6 };
// By the points 0, a, -a, b, -b and infinity with a = sqrt(1/2), b = sqrt(2): half the rounding errors of 0, 1, -1, 2, -2.
#define a 0.70710678f
#define b 1.41421356f
static const float bt[] = {1, 0, -2.5f, 0, 1, 0,  0, -b, -2, a, 1, 0,  0, b, -2, -a, 1, 0,
                           0, -a, -.5f, b, 1, 0,  0, a, -.5f, -b, 1, 0,  0, 1, 0, -2.5f, 0, 1};
static const float at[] = {1, 1,   1,   1, 1, 0, 0, a,     -a,     b,     -b,     0,
                           0, .5f, .5f, 2, 2, 0, 0, a / 2, -a / 2, 2 * b, -2 * b, 1};
static const float gw[] = {1, 0, 0,  -1 / 1.5f, -a / 1.5f, -1 / 3.f,  -1 / 1.5f, a / 1.5f, -1 / 3.f,
                           1 / 6.f, b / 6, 1 / 3.f,  1 / 6.f, -b / 6, 1 / 3.f,  0, 0, 1};
#undef a
#undef b

static Node *mix(Graph *g, Node *x, int64_t axis, Node *table) {
    return graph_op(g, OP_Mix, AXES(axis), 2, (Node *[]){x, table});
}

static Node *table(Graph *g, const float *t, int64_t rows, int64_t cols) {
    return graph_const(g, DT_F32, SHAPE(rows, cols), t);
}

// Weights turned round: the convolution is a gradient's. What Winograd rounds is alike in all pixels of a tile and, of
// the weights, in all pictures; in sums over all pixels, as the gradient of a bias, it would not average out.
static bool is_turned(const Node *w) {
    for (; op_kind(w) == MOVE; w = w->in[0])
        for (int d = 0; w->op == OP_Slice && d < w->shape.n; d++)
            if (w->attr.i[w->shape.n + d] < 0) return true;
    return false;
}

// Enough channels for the products to outweigh the transforms, enough pixels to fill the tiles.
bool winograd_pays(Graph *g, const Node *n) {
    const int64_t *x = n->in[0]->shape.d, *w = n->in[1]->shape.d;
    Window win = window_of(n);
    bool fits = !is_turned(n->in[1]);
    for (int d = 0; d < 2; d++)
        fits &= win.axis[d].kernel == 3 && win.axis[d].stride == 1 && win.axis[d].dilation == 1 &&
                win.axis[d].before == 1 && win.axis[d].after == 1 && x[2 + d] >= 14;
    return fits && w[0] % g->lanes == 0 && w[1] % g->lanes == 0 && w[1] >= 64;
}

Node *winograd(Graph *g, Node *n, Node *x, Node *f) {
    const int64_t *y = n->shape.d;
    int64_t C = g->lanes, N = y[0], O = y[1] / C, I = x->shape.d[1], th = (y[2] + M - 1) / M, tw = (y[3] + M - 1) / M;
    int b = x->shape.batch ? 1 : 0;
    Node *B = table(g, bt, K, K), *A = table(g, at, M, K), *G = table(g, gw, K, 3);
    Node *v = op1a(g, Tiles, x, AXES(M, K, 1, th, tw));
    v = mix(g, mix(g, v, 5, B), 4, B);                                     // [N, I, th, tw, 6, 6, C]
    v = reshape_batch(g, op1a(g, Transpose, v, AXES(4, 5, 1, 0, 2, 3, 6)), b * 3, SHAPE(K * K, I, N * th * tw, C));

    Node *u = mix(g, mix(g, f, 3, G), 2, G);                               // [O, I, 6, 6, C, C]
    u = reshape_batch(g, op1a(g, Transpose, u, AXES(2, 3, 0, 1, 4, 5)), 0, SHAPE(K * K, O, I, C, C));

    Node *m = op2(g, MatMulBlk, op1(g, Keep, v), op1(g, Keep, u));
    m = reshape_batch(g, m, b * 4, SHAPE(K, K, O, N, th, tw, C));
    m = mix(g, mix(g, m, 1, A), 0, A);                                     // [4, 4, O, N, th, tw, C]
    m = reshape_batch(g, op1a(g, Transpose, m, AXES(3, 2, 4, 0, 5, 1, 6)), b, SHAPE(N, O, th * M, tw * M, C));
    return op1a(g, Slice, m, AXES(0, 0, 0, 0, 0, 1, 1, 1, 1, 1, N, O, y[2], y[3], C));
}
