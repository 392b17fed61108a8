// Gradients of reductions and of running sums and products.
#include "../grad.h"

#define X n->in[0]

GRADIENT(reduce_sum) { dx[0] = node_expand(g, dy, X->shape); }

// The product of the others: with one zero among them only that one has any, with two none.
GRADIENT(reduce_prod) {
    Node *zero = node_like(g, X, 0), *is_zero = op2(g, Equal, X, zero);
    Node *safe = op3(g, Where, is_zero, node_like(g, X, 1), X);
    Node *zeros = node_cast(g, is_zero, X->type), *product = graph_op(g, OP_ReduceProd, n->attr, 1, &safe);
    Node *others = op2(g, Sub, graph_op(g, OP_ReduceSum, n->attr, 1, &zeros), zeros);
    Node *rest = op3(g, Where, op2(g, Equal, others, zero), op2(g, Div, product, safe), zero);
    dx[0] = op2(g, Mul, dy, rest);
}

// equal extremes share
GRADIENT(reduce_extreme) {
    if (n->attr.f > 0) return;
    Node *hit = node_cast(g, op2(g, Equal, X, n), n->type);
    dx[0] = op2(g, Mul, hit, op2(g, Div, dy, graph_op(g, OP_ReduceSum, n->attr, 1, &hit)));
}

GRADIENT(cum_sum) {
    dx[0] = graph_op(g, OP_CumSum, AXES(n->attr.i[0], n->attr.i[1], !n->attr.i[2]), 1, &dy);
}

// Product y[i] holds factors up to i, so x[j] gets the sum over i from j on of dy[i] times the others of y[i]: running
// products of rows in which factor j is 1. No division: zeros are like any factor. [outer, j, i, inner]
GRADIENT(cum_prod) {
    int axis = (int)n->attr.i[0];
    int64_t exclusive = n->attr.i[1], reverse = n->attr.i[2];
    Shape x = X->shape, flat = {.n = 4, .batch = x.batch ? 1 : 0, .d = {1, 1, x.d[axis], 1}};
    for (int d = 0; d < x.n; d++)
        if (d != axis) flat.d[d < axis ? 0 : 3] *= x.d[d];
    Node *j = node_iota(g, SHAPE(1, x.d[axis], 1, 1), 1), *i = node_iota(g, SHAPE(1, 1, x.d[axis], 1), 2);
    Node *rows = op3(g, Where, op2(g, Equal, i, j), node_like(g, X, 1), node_reshape(g, X, flat));
    Node *others = graph_op(g, OP_CumProd, AXES(2, exclusive, reverse), 1, &rows);
    Node *from = reverse ? i : j, *to = reverse ? j : i;
    Node *holds = exclusive ? op2(g, Less, from, to) : op2(g, LessEqual, from, to);
    Node *flow = op2(g, Mul, others, node_reshape(g, dy, flat));
    dx[0] = node_reshape(g, op1a(g, ReduceSum, op3(g, Where, holds, flow, node_like(g, X, 0)), AXES(2)), x);
}
