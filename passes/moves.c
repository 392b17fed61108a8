// moves.c -- Reshapes and Transposes that meet become one, or none.
#include "passes.h"

static bool only_units_move(const Node *t) {
    int64_t last = -1;
    for (int i = 0; i < t->shape.n; i++)
        if (t->shape.d[i] != 1 || t->shape.batch == i + 1) {
            if (t->attr.i[i] < last) return false;
            last = t->attr.i[i];
        }
    return true;
}

static Node *moves_one(Graph *g, Node *n, void *env) {
    (void)env;
    if (n->op == OP_Keep && (op_is_leaf(n->in[0]) || n->in[0]->op == OP_Keep)) return n->in[0];     // has a buffer
    if (n->op != OP_Reshape && n->op != OP_Transpose) return NULL;
    Node *x = n->in[0];
    if (n->op == OP_Transpose && only_units_move(n)) return op1a(g, Reshape, x, shape_attr(&n->shape));
    if (n->op == OP_Reshape && same_shape(n->shape, x->shape)) return x;
    if (x->op != n->op) return NULL;
    if (n->op == OP_Reshape) return op1a(g, Reshape, x->in[0], n->attr);
    int64_t perm[MAXDIM];
    for (int i = 0; i < n->attr.n; i++) perm[i] = x->attr.i[n->attr.i[i]];
    return graph_op(g, OP_Transpose, (Attr){.n = n->attr.n, .i = perm}, 1, x->in);
}

void moves(Graph *g) { while (graph_map(g, moves_one, NULL)) {} }
