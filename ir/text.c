// text.c -- graphs as text, one line a node.
#include "op.h"

static void print_const(const Node *n, FILE *f) {
    if (dtype_is_float(n->type)) fprintf(f, " %.9g", n->attr.f);
    else fprintf(f, " %lld", (long long)n->attr.i[0]);
}

void graph_print(Graph *g, FILE *f) {
    graph_sort(g);
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        bool splat = op_is_splat(n);
        fprintf(f, "  %%%-3d = %s", n->id, optab[n->op].name);
        if (splat) print_const(n, f);
        for (int k = 0; k < n->nin; k++) fprintf(f, "%s%%%d", k ? ", " : " ", n->in[k]->id);
        for (int k = 0; !splat && k < n->attr.n; k++) fprintf(f, "%s%lld", k ? "," : " {", (long long)n->attr.i[k]);
        fprintf(f, "%s", !splat && n->attr.n ? "}" : "");
        if (!splat && (n->attr.f != 0 || n->attr.f2 != 0)) fprintf(f, " (%.9g, %.9g)", n->attr.f, n->attr.f2);
        fprintf(f, " : %s%s%s%s\n", dtypes[n->type].name, shape_str(g->cx, n->shape), n->name ? "  # " : "",
                n->name ? cx_show(g->cx, n->name) : "");
    }
    for (int i = 0; i < g->nroot; i++) {
        Root *r = &g->root[i];
        fprintf(f, "  %s %s = %%%d\n", r->store ? "update" : "output", cx_show(g->cx, r->name), r->value->id);
    }
}
