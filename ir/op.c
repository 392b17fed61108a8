// op.c -- the operator table, made of the lines of ops.h.
#include "op.h"

const OpDef optab[NOPS] = {
#define OP(name, in, kind, I, X, E) [OP_##name] = {#name, in, kind, infer_##I, expand_##X, emit_##E},
#include "ops.h"
};

Op op_find(const char *name, size_t len) {
    for (int o = 0; o < NOPS; o++)
        if (strlen(optab[o].name) == len && !memcmp(optab[o].name, name, len)) return (Op)o;
    return NOPS;
}

double splat_value(const Node *n) { return n->attr.n ? (double)n->attr.i[0] : n->attr.f; }

void *splat_data(Cx *cx, const Node *n) {
    void *p = cx_alloc(cx, 8);
    if (dtype_is_float(n->type)) dtype_set_f(n->type, p, n->attr.f);
    else dtype_set_i(n->type, p, n->attr.i[0]);
    return p;
}

// The blank cells of the table.
void infer__(Graph *g, Node *n) { (void)g, (void)n; }
Node *expand__(Graph *g, Node *n) { (void)g, (void)n; return NULL; }
Expr *emit__(Kernel *k, Node *n, Expr **at) {
    (void)at;
    fail(k->cx, E_UNSUPPORTED, "%s has no formula; it should have been expanded before", optab[n->op].name);
}
