// fold.c -- constants are computed here. No per-operator code: a kernel is evaluated where it
// stands. Parameters are not folded: what depends on them alone is `init`'s work, and large
// results stay formulas.
#include "passes.h"

enum { MOST = 4096 };                    // elements

Node *fold_node(Graph *g, Node *n) {
    if (op_is_leaf(n) || !n->frozen || numel(n->shape) > MOST || n->op == OP_Keep) return NULL;
    if (n->nin == 0) return NULL;                    // BatchSize, Iota: small enough as they are
    for (int i = 0; i < n->nin; i++)
        if (n->in[i]->op != OP_Const) return NULL;
    int size = dtypes[n->type].bytes;
    char *data = cx_alloc(g->cx, ck_mul(g->cx, (size_t)numel(n->shape), (size_t)size) + 8);
    Kernel *k = kernel_of(g->cx, g, n, "fold");
    void **buf = NEW(g->cx, void *, k->nbuf);
    buf[0] = data;
    for (int i = 1; i < k->nbuf; i++) buf[i] = (void *)(uintptr_t)k->buf[i]->data;
    if (!kernel_eval(k, buf, g->max_batch))          // all of it, whatever a run will use
        fail(g->cx, E_MALFORMED, "%s '%s': a constant index or divisor is out of range", optab[n->op].name,
             cx_show(g->cx, n->name));
    if (n->shape.n) return graph_const(g, n->type, n->shape, data);
    return dtype_is_float(n->type) ? graph_scalar(g, n->type, dtype_get_f(n->type, data))
                                   : graph_scalar_i(g, n->type, dtype_get_i(n->type, data));
}

static Node *fold_one(Graph *g, Node *n, void *env) { (void)env; return fold_node(g, n); }

void fold(Graph *g) { while (graph_map(g, fold_one, NULL)) {} }
