// Normalisation.
#include "../op.h"

// A vector over the channels (axis 1), shaped to broadcast against rank r.
Node *node_per_channel(Graph *g, Node *v, int r) {
    Shape s = {.n = r - 1};
    for (int d = 0; d < s.n; d++) s.d[d] = d ? 1 : numel(v->shape);
    return node_reshape(g, v, s);
}

// bn(x, scale, shift, mean, var) = x * s + (shift - mean * s),  s = scale / sqrt(var + f)
Node *expand_batch_norm(Graph *g, Node *n) {
    Node *x = n->in[0], *scale = n->in[1], *shift = n->in[2], *mean = n->in[3], *var = n->in[4];
    for (int i = 1; i < 5; i++)
        if (x->shape.n < 2 || numel(n->in[i]->shape) != x->shape.d[1])
            fail(g->cx, E_MALFORMED, "BatchNormalization: %s statistics for %s", shape_str(g->cx, n->in[i]->shape),
                 shape_str(g->cx, x->shape));
    Node *s = op2(g, Div, scale, op1(g, Sqrt, op2(g, Add, var, node_like(g, var, n->attr.f))));
    Node *t = op2(g, Sub, shift, op2(g, Mul, mean, s));
    s = node_cast(g, s, x->type), t = node_cast(g, t, x->type);
    return op2(g, Add, op2(g, Mul, x, node_per_channel(g, s, x->shape.n)), node_per_channel(g, t, x->shape.n));
}

// What only training does, passes/train.c puts in the place of Dropout.
Node *expand_identity(Graph *g, Node *n) { (void)g; return n->in[0]; }
