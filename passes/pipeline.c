// pipeline.c -- the list of passes, in order.
#include "passes.h"
#include "rewrite.h"

static const struct Pass {
    const char *name;
    void (*run)(Graph *g);
    const char *doc;
} cpu_passes[] = {
    {"simplify", simplify,   "algebra: rules.c until nothing matches"},
    {"fold",     fold,       "operators on constants into constants"},
    {"simplify", simplify,   "again, with the new constants"},
    {"scale",    scale,      "per-channel factors into convolution weights"},
    {"layout",   layout,     "blocked channels around convolutions, pushed outwards"},
    {"moves",    moves,      "Reshapes and Transposes that meet cancel"},
    {"remake",   remake,     "what gradients need of the way forward is made again"},
    {"fuse",     fuse,       "which nodes get a buffer; the rest melt into their user"},
    {0},
}, gpu_passes[] = {
    {"simplify", simplify,   "algebra: rules.c until nothing matches"},
    {"fold",     fold,       "operators on constants into constants"},
    {"simplify", simplify,   "again, with the new constants"},
    {"scale",    scale,      "per-channel factors into convolution weights"},
    {"sums",     sums,       "normalisations in as few passes as algebra allows"},
    {"simplify", simplify,   "what that left"},
    {"moves",    moves,      "Reshapes and Transposes that meet cancel"},
    {"channels", keep_images, "weights and images of leaves with their channels last"},
    {"remake",   remake,     "what gradients need of the way forward is made again"},
    {"fuse",     fuse,       "which nodes get a buffer; the rest melt into their user"},
    {0},
};

// What must hold between any two passes.
static void check(Graph *g) {
    graph_sort(g);
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i], again = *n;
        if (op_is_leaf(n)) continue;
        again.shape = (Shape){0};
        if (n->nin) again.type = n->in[0]->type;
        optab[n->op].infer(g, &again);
        assert(same_shape(n->shape, again.shape) && n->type == again.type);
        for (int k = 0; k < n->nin; k++) assert(n->in[k]->id < n->id);
    }
}

void run_passes(Graph *g) {
    const char *dump = getenv("TVC_DUMP");
    for (const struct Pass *p = g->gpu ? gpu_passes : cpu_passes; p->name; p++) {
        int before = g->norder;
        p->run(g);
        check(g);
        if (debug() >= 2) fprintf(stderr, "%-9s %4d -> %4d nodes, %3zu MB   %s\n", p->name, before, g->norder, g->cx->used >> 20, p->doc);
        if (dump && (!strcmp(dump, p->name) || !strcmp(dump, "all"))) {
            fprintf(stderr, "# after %s\n", p->name);
            graph_print(g, stderr);
        }
    }    if (g->gpu) mates(g), precision(g);
}
