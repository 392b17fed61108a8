// precision.c -- which numbers a GPU stores between kernels, where g->product (in the frozen prefix g->prefix_product)
// is a type of 16 bits. It goes by what a value is for, not by its operator's name:
//
//     factors of Conv, ConvDw, MatMul             16 bits: that is what tensor cores multiply; sums are f32
//     images [N, C, ...] with more than a pixel   16 bits, whatever made them, their gradients too; what is computed
//                                                 of them is computed in f32
//     sums over windows, axes, whole tensors      f32: statistics of normalisations, averages, the denominators of
//                                                 softmax, norms, losses
//     softmax, scores, losses                     f32, unless a product follows (as in attention)
//     gradients of weights, updates, state        f32
//     parameters, inputs, outputs                 f32; a product reads a rounded copy
//     what hand-written bodies read               f32
//     what init made to be added to 1x1           16 bits: libraries of products have no wider bias for results of 16
//     convolutions, and nothing else              (runtime/cuda_product.c)
//
// Runs after fuse, as it only changes how what has a buffer lies in it. Types of nodes no longer follow from
// those of their inputs then.
#include "passes.h"

// By id: nothing but the frozen prefix needs it. The graph is sorted.
bool *prefix_alone(Graph *g) {
    bool *mine = NEW(g->cx, bool, g->norder), *others = NEW(g->cx, bool, g->norder);
    for (int i = 0; i < g->nroot && g->prefix; i++) {
        bool in = g->root[i].fn == g->prefix;
        (in ? mine : others)[g->root[i].value->id] = true;
    }
    for (int i = g->norder - 1; i >= 0; i--)
        for (int k = 0; k < g->order[i]->nin; k++) {
            int x = g->order[i]->in[k]->id;
            mine[x] |= mine[i], others[x] |= others[i];
        }
    for (int i = 0; i < g->norder; i++) mine[i] &= !others[i];
    return mine;
}

static bool is_product(const Node *n) { return n->op == OP_Conv || n->op == OP_ConvDw || n->op == OP_MatMul; }

static bool is_sum(const Node *n) {
    switch (n->op) {
    case OP_ReduceSum: case OP_ReduceMax: case OP_ReduceMin: case OP_SumPool: return true;
    default: return false;
    }
}

static Node *behind_moves(Node *n) {
    while (!n->stored && op_kind(n) == MOVE) n = n->in[0];
    return n;
}

static bool is_image(const Node *n) {
    return n->shape.n > 3 && n->shape.d[n->shape.n - 1] * n->shape.d[n->shape.n - 2] > 1;
}

// By id: it is made of the inputs sample by sample; not so a gradient of weights, which has images' shape too.
static bool *samples(Graph *g) {
    bool *of = NEW(g->cx, bool, g->norder);
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        of[i] = n->op == OP_Input && numel(n->shape) > 1;
        for (int k = 0; k < n->nin && n->op != OP_ConvDw && numel(n->shape) > 1; k++) of[i] |= of[n->in[k]->id];
    }
    return of;
}

static bool is_addend(const Node *n, int k) {
    return n->op == OP_Add && !n->in[1 - k]->stored && is_pointwise(n->in[1 - k]);
}

// By id: made by init, and nothing but added to such convolutions.
static bool *biases(Graph *g) {
    bool *of = NEW(g->cx, bool, g->norder);
    for (int i = 0; i < g->norder; i++) of[i] = g->order[i]->frozen && !op_is_leaf(g->order[i]);
    for (int i = g->norder - 1; i >= 0; i--) {
        const Node *n = g->order[i];
        bool passes_on = op_kind(n) == MOVE && !n->stored && of[i];
        for (int k = 0; k < n->nin; k++) of[n->in[k]->id] &= passes_on || is_addend(n, k);
    }
    return of;
}

void precision(Graph *g) {
    if (!dtype_is_narrow(g->product) && !dtype_is_narrow(g->prefix_product)) return;
    bool *narrow = NEW(g->cx, bool, g->norder), *fixed = NEW(g->cx, bool, g->norder);
    bool *prefix = prefix_alone(g), *sample = samples(g), *bias = biases(g);
    for (int i = 0; i < g->nroot; i++) fixed[g->root[i].value->id] = true;
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        fixed[i] |= op_is_leaf(n) || n->type != DT_F32;
        for (int k = 0; k < n->nin && op_kind(n) == BODY; k++) fixed[owner(n->in[k])->id] = true;
        bool image = sample[i] && is_image(n) && !is_sum(n);
        if (n->stored && (image || bias[i])) narrow[owner(n)->id] = true;
        for (int k = 0; k < n->nin && is_product(n) && n->type == DT_F32; k++) {
            Node *x = behind_moves(n->in[k]);
            if (x->stored) narrow[owner(x)->id] = true;
        }
    }
    for (int i = 0; i < g->norder; i++) fixed[owner(g->order[i])->id] |= fixed[i];
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        int o = owner(n)->id;
        DType product = prefix[o] ? g->prefix_product : g->product;
        if (n->stored && narrow[o] && !fixed[o] && dtype_is_narrow(product)) n->type = product;
    }
}
