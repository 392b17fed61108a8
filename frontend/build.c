// build.c -- see build.h.
#include "build.h"

Node *vector_at(Import *im, Node *v, int axis, int rank) {
    Shape s = {.n = rank - axis};
    if (numel(v->shape) == 1) return node_reshape(im->g, v, (Shape){0});
    if (v->shape.n != 1 || axis < 0 || s.n < 1)
        import_fail(im, E_MALFORMED, "%s along axis %d of %d axes", shape_str(im->cx, v->shape), axis, rank);
    for (int d = 0; d < s.n; d++) s.d[d] = d ? 1 : v->shape.d[0];
    return node_reshape(im->g, v, s);
}

Node *spread(Graph *g, Node *x, Shape to) { return same_shape(x->shape, to) ? x : op1a(g, Expand, x, shape_attr(&to)); }

Node *iota_along(Graph *g, Shape s, int axis) {
    Attr at;
    for (int d = 0; d < s.n; d++)
        if (d != axis) s.d[d] = 1;
    if (s.batch != axis + 1) s.batch = 0;
    at = shape_attr(&s);
    at.f = axis;
    return graph_op(g, OP_Iota, at, 0, NULL);
}

Node *squeezed(Graph *g, Node *x, Attr axes) {
    Shape s = {0};
    for (int d = 0; d < x->shape.n; d++) {
        bool gone = false;
        for (int i = 0; i < axes.n; i++) gone |= axes.i[i] == d;
        if (gone) continue;
        s.d[s.n++] = x->shape.d[d];
        if (x->shape.batch == d + 1) s.batch = s.n;
    }
    return node_reshape(g, x, s);
}

Node *unsqueezed(Graph *g, Node *x, int axis) {
    Shape s = {.n = x->shape.n + 1};
    if (s.n > MAXDIM) fail(g->cx, E_UNSUPPORTED, "more than %d axes", MAXDIM);
    for (int d = 0; d < s.n; d++) s.d[d] = d == axis ? 1 : x->shape.d[d < axis ? d : d - 1];
    if (x->shape.batch) s.batch = x->shape.batch > axis ? x->shape.batch + 1 : x->shape.batch;
    return node_reshape(g, x, s);
}

Node *concat2(Graph *g, Node *a, Node *b, int axis) { return graph_op(g, OP_Concat, AXES(axis), 2, (Node *[]){a, b}); }

Attr axes_from(Cx *cx, int first, int end) {
    int64_t *axes = NEW(cx, int64_t, MAXDIM);
    int n = 0;
    for (int d = first; d < end && n < MAXDIM; d++) axes[n++] = d;
    return (Attr){.n = n, .i = axes};
}

Node *reduced(Graph *g, Op op, Node *x, Attr axes) { return axes.n ? graph_op(g, op, axes, 1, &x) : x; }

// The places where x equals its extreme keep their index, the others hold the worst one.
Node *arg_extreme(Graph *g, Node *x, int axis, bool max, bool last) {
    Attr along = {.n = 1, .i = (int64_t[]){axis}};
    Node *best = reduced(g, max ? OP_ReduceMax : OP_ReduceMin, x, along), *index = iota_along(g, x->shape, axis);
    int64_t worst = last ? 0 : x->shape.d[axis] - 1;
    Node *kept = op3(g, Where, op2(g, Equal, x, best), index, graph_scalar_i(g, DT_I64, worst));
    return reduced(g, last ? OP_ReduceMax : OP_ReduceMin, kept, along);
}
