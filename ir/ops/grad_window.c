// Gradients of windows and contractions.
#include "../grad.h"

#define X n->in[0]
#define Y n->in[1]

static Node *swapped(Graph *g, Node *x) {               // the last two axes
    int64_t perm[MAXDIM];
    for (int d = 0; d < x->shape.n; d++) perm[d] = d;
    perm[x->shape.n - 2] = x->shape.n - 1, perm[x->shape.n - 1] = x->shape.n - 2;
    return node_transpose(g, x, perm);
}

// A matrix that all rows share sums over all of them: the rows become one axis.
static Node *one_axis(Graph *g, Node *x) {
    Shape s = {.n = 2, .batch = x->shape.batch ? 1 : 0};
    s.d[1] = x->shape.d[x->shape.n - 1], s.d[0] = s.d[1] ? numel(x->shape) / s.d[1] : 0;
    return node_reshape(g, x, s);
}

GRADIENT(matmul) {
    bool shared = Y->shape.n == 2;
    dx[0] = op2(g, MatMul, dy, swapped(g, Y));
    dx[1] = shared ? op2(g, MatMul, swapped(g, one_axis(g, X)), one_axis(g, dy)) : op2(g, MatMul, swapped(g, X), dy);
}

// An adjoint is told the sizes of the image it makes.
static Attr with_sizes(Graph *g, const Node *n) {
    int rank = (n->attr.n - 1) / 5;
    int64_t *i = NEW(g->cx, int64_t, 1 + 6 * rank);
    memcpy(i, n->attr.i, sizeof *i * (size_t)n->attr.n);
    for (int d = 0; d < rank; d++) i[n->attr.n + d] = X->shape.d[2 + d];
    return (Attr){.n = 1 + 6 * rank, .i = i};
}

GRADIENT(sum_pool) { dx[0] = graph_op(g, OP_SumPoolDx, with_sizes(g, n), 1, &dy); }

// dy goes to the first maximum of each window.
GRADIENT(max_pool) {
    Node *tap = graph_op(g, OP_MaxPoolTap, n->attr, 2, (Node *[]){X, n});
    dx[0] = graph_op(g, OP_MaxPoolDx, with_sizes(g, n), 2, (Node *[]){tap, dy});
}

GRADIENT(conv) {
    dx[0] = graph_op(g, OP_ConvDx, with_sizes(g, n), 2, (Node *[]){Y, dy});
    dx[1] = graph_op(g, OP_ConvDw, n->attr, 2, (Node *[]){X, dy});
}
