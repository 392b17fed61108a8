// matrices.c -- factors of products whose rows are no multiple of what a GPU copies at once: a row gets room behind it,
// so that the next one begins where a copy may. A view, as in channels.c, changes no operator.
//
// Attention over 197 places has such factors, and a classifier of 37 classes such gradients. Called by fuse when it is
// known what has a buffer.
#include "passes.h"

enum { ROW = 8 };                      // elements: 16 bytes of the narrow types

static bool is_odd(const Node *x) {
    int last = x->shape.n - 1;
    return x->stored && !x->home && !op_is_leaf(x) && dtype_is_float(x->type) && last > 0 &&
           x->shape.batch != x->shape.n && x->shape.d[last] > ROW && x->shape.d[last] % ROW &&
           x->view.stride[last] == 1 && x->view.stride[last - 1] == x->shape.d[last];
}

static void pad_row(Node *x) {
    int last = x->shape.n - 1;
    int64_t at = (x->shape.d[last] + ROW - 1) / ROW * ROW;
    for (int d = last - 1; d >= 0; d--) x->view.stride[d] = at, at *= x->shape.d[d];
    x->view.room = at;
}

// A Reshape that melts would no longer move evenly, nor would what else lies in the same buffer.
static void find_rows(const Graph *g, bool *pad, bool *fixed) {
    for (int i = g->norder - 1; i >= 0; i--) {            // users first: what a Transpose turns is a factor, too
        const Node *n = g->order[i];
        for (int k = 0; k < n->nin; k++) {
            const Node *x = n->in[k];
            fixed[x->id] |= n->op == OP_Reshape && !n->stored;
            if (n->op == OP_Transpose && !n->stored) pad[x->id] |= pad[i];
            if (n->op == OP_MatMul) pad[x->id] = true;
        }
        if (n->home) fixed[n->home->id] = true;
    }
}

void pad_rows(Graph *g, const bool *plain) {
    bool *pad = NEW(g->cx, bool, g->norder), *fixed = NEW(g->cx, bool, g->norder);
    find_rows(g, pad, fixed);
    for (int i = 0; i < g->norder; i++) {
        Node *x = g->order[i];
        if (pad[i] && !fixed[i] && !plain[i] && is_odd(x)) pad_row(x);
    }
}
