// losses.c -- see losses.h.
#include "losses.h"

// [N, classes] of 0 and 1
static Node *one_hot(Graph *g, Node *z, Node *target) {
    Attr a = shape_attr(&z->shape);
    a.f = 1;
    Shape column = {.n = 2, .batch = target->shape.batch, .d = {target->shape.d[0], 1}};
    return node_cast(g, op2(g, Equal, graph_op(g, OP_Iota, a, 0, NULL), node_reshape(g, target, column)), z->type);
}

static Node *weights_of(Graph *g, const Loss *l, Node *z) {
    int64_t classes = z->shape.d[1], size = dtypes[z->type].bytes;
    if (!l->class_weights) return NULL;
    char *w = NEW(g->cx, char, classes * size);
    for (int64_t i = 0; i < classes; i++) dtype_set_f(z->type, w + i * size, l->class_weights[i]);
    return graph_const(g, z->type, SHAPE(1, classes), w);
}

// - sum t log p / sum w[target],  t = w ((1 - s) onehot + s / classes)
static Node *class_loss(Graph *g, const Loss *l, Node *z, Node *target) {
    Node *hot = one_hot(g, z, target), *t = hot, *w = weights_of(g, l, z);
    Node *logp = l->kind == LOSS_NLL ? z : op1a(g, LogSoftmax, z, AXES(1));
    if (l->smoothing > 0) {
        t = op2(g, Mul, hot, node_like(g, z, 1 - l->smoothing));
        t = op2(g, Add, t, node_like(g, z, l->smoothing / (double)z->shape.d[1]));
    }
    if (w) t = op2(g, Mul, t, w), hot = op2(g, Mul, hot, w);
    Node *total = node_reduce_all(g, OP_ReduceSum, op2(g, Mul, t, logp));
    if (w) return op1(g, Neg, op2(g, Div, total, node_reduce_all(g, OP_ReduceSum, hot)));
    return op1(g, Neg, node_reduce_all(g, OP_ReduceMean, op1a(g, ReduceSum, op2(g, Mul, t, logp), AXES(1))));
}

// max(z, 0) - z y + log(1 + exp(-|z|))
static Node *bce(Graph *g, Node *z, Node *y) {
    Node *soft = op1(g, Log1p, op1(g, Exp, op1(g, Neg, op1(g, Abs, z))));
    return node_reduce_all(g, OP_ReduceMean, op2(g, Add, op2(g, Sub, op1(g, Relu, z), op2(g, Mul, z, y)), soft));
}

Node *loss_node(Graph *g, const Loss *l, Node *z, Node *target) {
    Node *d;
    switch (l->kind) {
    case LOSS_BCE: return bce(g, z, target);
    case LOSS_MSE: return d = op2(g, Sub, z, target), node_reduce_all(g, OP_ReduceMean, op2(g, Mul, d, d));
    case LOSS_L1: return node_reduce_all(g, OP_ReduceMean, op1(g, Abs, op2(g, Sub, z, target)));
    default: return class_loss(g, l, z, target);
    }
}
