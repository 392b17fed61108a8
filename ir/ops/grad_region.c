// Gradients of pooled regions and of determinants.
#include "../grad.h"

#define X n->in[0]

// To the images; where a region lies gets nothing, as in PyTorch.
GRADIENT(roi_align) {
    dx[0] = graph_op(g, OP_RoiAlignDx, n->attr, 4, (Node *[]){X, n->in[1], n->in[2], dy});
}

GRADIENT(max_roi_pool) { dx[0] = graph_op(g, OP_MaxRoiPoolDx, n->attr, 3, (Node *[]){X, n->in[1], dy}); }

// x [outer, m, m] without row i and column j, for each of them: [outer, m, m, m - 1, m - 1].
static Node *minors(Graph *g, Node *x, int64_t m) {
    int64_t *left = NEW(g->cx, int64_t, m * (m - 1));
    for (int64_t i = 0; i < m; i++)
        for (int64_t k = 0; k < m - 1; k++) left[i * (m - 1) + k] = k + (k >= i);
    Node *rest = graph_const(g, DT_I64, SHAPE(m, m - 1), left);
    Node *rows = graph_op(g, OP_Gather, AXES(1), 2, (Node *[]){x, rest});                // [outer, i, m - 1, m]
    Node *both = graph_op(g, OP_Gather, AXES(3), 2, (Node *[]){rows, rest});
    return node_transpose(g, both, (int64_t[]){0, 1, 3, 2, 4});
}

// d det / d x[i, j] is the determinant of what is left without row i and column j, up to its sign: right for singular
// matrices too, which an inverse is not.
GRADIENT(det) {
    Shape x = X->shape, flat = {.n = 3, .batch = x.batch ? 1 : 0, .d = {1, 1, 1}}, one;
    int64_t m = x.d[x.n - 1];
    if (m == 0) return;
    for (int d = 0; d < x.n - 2; d++) flat.d[0] *= x.d[d];
    one = flat, flat.d[1] = flat.d[2] = m;
    dx[0] = node_reshape(g, dy, one);
    if (m > 1) {
        Node *left = minors(g, node_reshape(g, X, flat), m);
        Node *odd = op2(g, Mod, op2(g, Add, node_iota(g, SHAPE(m, 1), 0), node_iota(g, SHAPE(1, m), 1)),
                        graph_scalar_i(g, DT_I64, 2));
        Node *sign = op2(g, Sub, node_like(g, X, 1), op2(g, Mul, node_cast(g, odd, X->type), node_like(g, X, 2)));
        dx[0] = op2(g, Mul, dx[0], op2(g, Mul, sign, op2(g, Det, left, op1(g, Eliminate, left))));
    }
    dx[0] = node_reshape(g, dx[0], x);
}
