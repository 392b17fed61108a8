// Gradients of operators that move elements: the same move, backwards.
#include "../grad.h"

#define X n->in[0]

GRADIENT(transpose) {
    int64_t inverse[MAXDIM];
    for (int i = 0; i < n->attr.n; i++) inverse[n->attr.i[i]] = i;
    dx[0] = graph_op(g, OP_Transpose, (Attr){.n = n->attr.n, .i = inverse}, 1, &dy);
}

GRADIENT(reshape) { dx[0] = node_reshape(g, dy, X->shape); }
GRADIENT(expand)  { (void)g, (void)n, dx[0] = dy; }              // the driver sums over what was broadcast
GRADIENT(keep)    { (void)g, (void)n, dx[0] = dy; }

// Back to where the elements came from, zeros between; a negative step turns round first.
GRADIENT(slice) {
    int r = X->shape.n;
    int64_t turn[3 * MAXDIM], pad[3 * MAXDIM];
    bool turned = false;
    for (int d = 0; d < r; d++) {
        int64_t start = n->attr.i[d], step = n->attr.i[r + d], size = n->shape.d[d];
        bool back = step < 0;
        turned |= back;
        turn[d] = back ? size - 1 : 0, turn[r + d] = back ? -1 : 1, turn[2 * r + d] = size;
        pad[d] = back ? start + (size - 1) * step : start, pad[r + d] = back ? -step : step, pad[2 * r + d] = X->shape.d[d];
    }
    if (turned) dy = graph_op(g, OP_Slice, (Attr){.n = 3 * r, .i = turn}, 1, &dy);
    dx[0] = graph_op(g, OP_Pad, (Attr){.n = 3 * r, .i = pad}, 1, &dy);
}

// What lies inside is taken out again; what a negative padding cut off gets nothing.
GRADIENT(pad) {
    int r = X->shape.n;
    int64_t widen[3 * MAXDIM], take[3 * MAXDIM];
    for (int d = 0; d < r; d++) {
        int64_t before = n->attr.i[d], step = n->attr.i[r + d], first = before < 0 ? -before : 0;
        int64_t reach = before + first + (X->shape.d[d] - 1) * step + 1, size = n->shape.d[d] + first;
        widen[d] = first, widen[r + d] = 1, widen[2 * r + d] = size > reach ? size : reach;
        take[d] = before + first, take[r + d] = step, take[2 * r + d] = X->shape.d[d];
    }
    dy = graph_op(g, OP_Pad, (Attr){.n = 3 * r, .i = widen}, 1, &dy);
    dx[0] = graph_op(g, OP_Slice, (Attr){.n = 3 * r, .i = take}, 1, &dy);
}

GRADIENT(concat) {
    int axis = (int)n->attr.i[0];
    int64_t cut = X->shape.d[axis];
    dx[0] = node_slice(g, dy, axis, 0, cut);
    dx[1] = node_slice(g, dy, axis, cut, n->shape.d[axis] - cut);
}

enum { REPLACE, ADD };                // how a scatter meets what is there

GRADIENT(gather_elements) {
    dx[0] = graph_op(g, OP_ScatterElements, AXES(n->attr.i[0], ADD), 3, (Node *[]){node_zeros(g, X), n->in[1], dy});
}

// Gather is GatherElements with the indices spread over the other axes: both are brought to rank
// [outer, indices, inner], where one scatter adds up.
GRADIENT(gather) {
    int axis = (int)n->attr.i[0];
    Shape x = X->shape, t = n->in[1]->shape;
    int64_t outer = 1, inner = 1, count = numel(t);
    for (int d = 0; d < axis; d++) outer *= x.d[d];
    for (int d = axis + 1; d < x.n; d++) inner *= x.d[d];
    bool batch_outside = x.batch && x.batch <= axis;
    Shape flat = SHAPE(outer, count, inner), table = SHAPE(outer, x.d[axis], inner);
    flat.batch = batch_outside ? 1 : t.batch ? 2 : x.batch ? 3 : 0, table.batch = batch_outside ? 1 : x.batch ? 3 : 0;
    Shape index = SHAPE(1, count, 1);
    index.batch = t.batch ? 2 : 0;
    Node *i = op1a(g, Expand, node_reshape(g, n->in[1], index), shape_attr(&flat));
    Node *base = op1a(g, Expand, node_like(g, n, 0), shape_attr(&table));
    Node *sum = graph_op(g, OP_ScatterElements, AXES(1, ADD), 3, (Node *[]){base, i, node_reshape(g, dy, flat)});
    dx[0] = node_reshape(g, sum, x);
}

GRADIENT(cum_sum) {
    dx[0] = graph_op(g, OP_CumSum, AXES(n->attr.i[0], n->attr.i[1], !n->attr.i[2]), 1, &dy);
}

GRADIENT(reduce_sum) { dx[0] = node_expand(g, dy, X->shape); }

GRADIENT(gather_nd) {
    if (n->attr.i[0] != 0) fail(g->cx, E_UNSUPPORTED, "GatherND '%s' with batch_dims has no gradient", cx_show(g->cx, n->name));
    dx[0] = graph_op(g, OP_ScatterND, AXES(ADD), 3, (Node *[]){node_zeros(g, X), n->in[1], dy});
}

static bool only_adds(Graph *g, Node *n, int64_t how) {
    if (how != REPLACE && how != ADD)
        fail(g->cx, E_UNSUPPORTED, "%s '%s' has a gradient only where it replaces or adds", optab[n->op].name, cx_show(g->cx, n->name));
    return how == ADD;
}

// What was replaced gets nothing.
GRADIENT(scatter_elements) {
    bool adds = only_adds(g, n, n->attr.i[1]);
    dx[0] = adds ? dy : graph_op(g, OP_ScatterElements, n->attr, 3, (Node *[]){dy, n->in[1], node_zeros(g, n->in[2])});
    dx[2] = graph_op(g, OP_GatherElements, AXES(n->attr.i[0]), 2, (Node *[]){dy, n->in[1]});
}

GRADIENT(scatter_nd) {
    bool adds = only_adds(g, n, n->attr.i[0]);
    dx[0] = adds ? dy : graph_op(g, OP_ScatterND, n->attr, 3, (Node *[]){dy, n->in[1], node_zeros(g, n->in[2])});
    dx[2] = graph_op(g, OP_GatherND, AXES(0), 2, (Node *[]){dy, n->in[1]});
}

GRADIENT(top_k) {
    Node *at = graph_op(g, OP_TopKIndices, n->attr, 1, &X);
    dx[0] = graph_op(g, OP_ScatterElements, AXES(n->attr.i[0], ADD), 3, (Node *[]){node_zeros(g, X), at, dy});
}

// The product of the others: with one zero among them only that one has any, with two none.
GRADIENT(reduce_prod) {
    Node *one = node_like(g, X, 1), *is_zero = op2(g, Equal, X, node_like(g, X, 0)), *safe = op3(g, Where, is_zero, one, X);
    Node *zeros = node_cast(g, is_zero, X->type), *product = graph_op(g, OP_ReduceProd, n->attr, 1, &safe);
    Node *others = op2(g, Sub, graph_op(g, OP_ReduceSum, n->attr, 1, &zeros), zeros);
    Node *rest = op3(g, Where, op2(g, Equal, others, node_like(g, X, 0)), op2(g, Div, product, safe), node_like(g, X, 0));
    dx[0] = op2(g, Mul, dy, rest);
}

// equal extremes share
GRADIENT(reduce_extreme) {
    Node *hit = node_cast(g, op2(g, Equal, X, n), n->type);
    dx[0] = op2(g, Mul, hit, op2(g, Div, dy, graph_op(g, OP_ReduceSum, n->attr, 1, &hit)));
}
