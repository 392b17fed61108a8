// pipeline.c -- the list of passes, in order.
#include "passes.h"
#include "rewrite.h"

typedef struct Pass {
    const char *name;
    void (*run)(Graph *g);
    const char *doc;
} Pass;

static const Pass algebra[] = {
    {"simplify", simplify,    "algebra: rules.c until nothing matches"},
    {"fold",     fold,        "operators on constants into constants"},
    {"simplify", simplify,    "again, with the new constants"},
    {"scale",    scale,       "per-channel factors into convolution weights"},
    {"sums",     sums,        "normalisations in as few passes as algebra allows"},
    {"simplify", simplify,    "what that left"},
    {0},
}, cpu_passes[] = {
    {"layout",   layout,      "blocked channels around convolutions, pushed outwards"},
    {"moves",    moves,       "Reshapes and Transposes that meet cancel"},
    {"remake",   remake,      "what gradients need of the way forward is made again"},
    {"fuse",     fuse,        "which nodes get a buffer; the rest melt into their user"},
    {0},
}, gpu_passes[] = {
    {"stems",    stems,       "pictures of few channels in a form that is copied 16 bytes at a time"},
    {"moves",    moves,       "Reshapes and Transposes that meet cancel"},
    {"channels", keep_images, "weights and images of leaves with their channels last"},
    {"remake",   remake,      "what gradients need of the way forward is made again"},
    {"fuse",     fuse,        "which nodes get a buffer; the rest melt into their user"},
    {"mates",    mates,       "sums over the same images, updates, rows: in one kernel"},
    {"precision", precision,  "how wide images and factors lie in memory"},
    {0},
};

// What must hold between any two passes. typed: types follow from those of the inputs.
static void check(Graph *g, bool typed) {
    graph_sort(g);
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i], again = *n;
        for (int k = 0; k < n->nin; k++) assert(n->in[k]->id < n->id);
        if (op_is_leaf(n) || !typed) continue;
        again.shape = (Shape){0};
        if (n->nin) again.type = n->in[0]->type;
        optab[n->op].infer(g, &again);
        assert(same_shape(n->shape, again.shape) && n->type == again.type);
    }
}

static void run_list(Graph *g, const Pass *p) {
    const char *dump = getenv("TVC_DUMP");
    for (; p->name; p++) {
        int before = g->norder;
        p->run(g);
        check(g, p->run != precision);
        if (debug() >= 2)
            fprintf(stderr, "%-9s %4d -> %4d nodes, %3zu MB   %s\n", p->name, before, g->norder, g->cx->used >> 20,
                    p->doc);
        if (dump && (!strcmp(dump, p->name) || !strcmp(dump, "all"))) {
            fprintf(stderr, "# after %s\n", p->name);
            graph_print(g, stderr);
        }
    }
}

void run_passes(Graph *g) {
    run_list(g, algebra);
    run_list(g, g->gpu ? gpu_passes : cpu_passes);
}
