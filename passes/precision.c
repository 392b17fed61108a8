// precision.c -- which numbers a GPU stores between kernels. With g->product of 16 bits, images and the factors
// of sums of products are kept in it: formulas read them as f32, sums are made in f32. Everything else stays f32:
// statistics, softmax, loss, gradients of weights, updates, and the parameters themselves.
//
// Runs after fuse, as it only changes how what has a buffer lies in it. Types of nodes no longer follow from
// those of their inputs then.
#include "passes.h"

static bool is_product(const Node *n) { return n->op == OP_Conv || n->op == OP_ConvDw || n->op == OP_MatMul; }

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

void precision(Graph *g) {
    if (g->product != DT_F16 && g->product != DT_BF16) return;
    bool *narrow = NEW(g->cx, bool, g->norder), *fixed = NEW(g->cx, bool, g->norder), *sample = samples(g);
    for (int i = 0; i < g->nroot; i++) fixed[g->root[i].value->id] = true;
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        fixed[i] |= op_is_leaf(n) || n->type != DT_F32;
        for (int k = 0; k < n->nin && op_kind(n) == BODY; k++) fixed[owner(n->in[k])->id] = true;
        if (n->stored && sample[i] && is_image(n)) narrow[owner(n)->id] = true;
        for (int k = 0; k < n->nin && is_product(n) && n->type == DT_F32; k++) {
            Node *x = behind_moves(n->in[k]);
            if (x->stored) narrow[owner(x)->id] = true;
        }
    }
    for (int i = 0; i < g->norder; i++) fixed[owner(g->order[i])->id] |= fixed[i];
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        int o = owner(n)->id;
        if (n->stored && narrow[o] && !fixed[o]) n->type = g->product;
    }
}
