// scale.c -- a per-channel factor on a convolution's result is a factor on its weights:
//     Mul(Conv(x, w), s)  =>  Conv(x, Mul(w, s'))       s [O,1..], s' [O,1,1..], both frozen
// This is all there is to folding BatchNorm: the factor and the new weights are init's work, the
// shift stays behind as the convolution's bias. Trainable weights are left alone.
#include "passes.h"

// s holds one number per channel of an image of rank r (or one for all)
static bool per_channel(const Node *s, int r, int64_t channels) {
    Shape x = s->shape;
    if (numel(x) == 1) return true;
    int axis = x.n - r + 1;                            // where broadcasting puts the channels
    return axis >= 0 && numel(x) == channels && x.d[axis] == channels;
}

static Node *scale_one(Graph *g, Node *n, void *env) {
    (void)env;
    if (n->op != OP_Mul) return NULL;
    for (int i = 0; i < 2; i++) {
        Node *c = n->in[i], *s = n->in[1 - i];
        if (c->op != OP_Conv || !s->frozen || !c->in[1]->frozen || c->in[1]->train) continue;
        Shape w = c->in[1]->shape, one = {.n = w.n};
        if (!per_channel(s, c->shape.n, w.d[0])) continue;
        for (int d = 0; d < w.n; d++) one.d[d] = d ? 1 : numel(s->shape);
        Node *scaled = op2(g, Mul, c->in[1], node_reshape(g, s, one));
        return graph_op(g, OP_Conv, c->attr, 2, (Node *[]){c->in[0], scaled});
    }
    return NULL;
}

void scale(Graph *g) { graph_map(g, scale_one, NULL); }
