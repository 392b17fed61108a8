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
        pad[d] = back ? start + (size - 1) * step : start, pad[r + d] = back ? -step : step;
        pad[2 * r + d] = X->shape.d[d];
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
