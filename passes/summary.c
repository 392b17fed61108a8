// summary.c -- counts parameters from the document and multiply-adds from the document's shapes.
#include "summary.h"
#include "surgery_graph.h"

const char **summary_values(Model *m) {
    const char **keep = NEW(m->cx, const char *, m->nnode + 1);
    int n = 0;
    for (int i = 0; i < m->nnode; i++)
        if (m->node[i]->nout && m->node[i]->out[0][0]) keep[n++] = m->node[i]->out[0];
    return keep;
}

typedef struct Counter {
    Model *m;
    const Graph *g;
    Summary s;
    const void **seen;                // weights counted already
    int nseen;
} Counter;

// ---- parameters ----
static bool seen_before(Counter *c, const void *source) {
    for (int i = 0; i < c->nseen; i++)
        if (c->seen[i] == source) return true;
    *VEC_PUSH(c->m->cx, c->seen, c->nseen) = source;
    return false;
}

static const char *const no_weights[] = {"Resize", "Upsample", "Dropout", "Clip", "Pad", "Reshape", "Expand", NULL};

static int64_t params_of(Counter *c, const DocNode *n) {
    Constant w;
    int64_t total = 0;
    bool statistics = op_is(n, "BatchNormalization");
    if (op_among(n, no_weights) || (n->nout && constant_of(c->m, n->out[0], &w))) return 0;
    for (int k = 0; k < n->nin; k++) {
        if (!n->in[k][0] || (statistics && k > 2) || !constant_of(c->m, n->in[k], &w)) continue;
        if (!dtype_is_float(w.type) || w.rank == 0 || seen_before(c, w.source)) continue;
        int64_t count = 1;
        for (int d = 0; d < w.rank; d++) count *= w.dim[d];
        total += count;
    }
    return total;
}

// ---- FLOPs ----
static bool shape_of(const Counter *c, const char *value, Shape *s) {
    Constant w;
    const DocNode *n = model_producer(c->m, value);
    if (n && strcmp(n->out[0], value) == 0 && c->s.layer[n->index].known) return *s = c->s.layer[n->index].shape, true;
    for (int i = 0; i < c->g->ninput; i++)
        if (strcmp(c->g->input[i]->name, value) == 0) return *s = c->g->input[i]->shape, true;
    if (!constant_of(c->m, value, &w)) return false;
    *s = (Shape){.n = w.rank};
    memcpy(s->d, w.dim, sizeof s->d);
    return true;
}

static double product(const Shape *s, int from) {
    double p = 1;
    for (int d = from; d < s->n; d++) p *= (double)s->d[d];
    return p;
}

static double flops_of(const Counter *c, const DocNode *n) {
    bool gemm = op_is(n, "Gemm"), conv = op_is(n, "Conv"), back = op_is(n, "ConvTranspose");
    Shape x, w, y = c->s.layer[n->index].shape;
    if ((!gemm && !conv && !back && !op_is(n, "MatMul")) || n->nin < 2 || !c->s.layer[n->index].known) return 0;
    if (!shape_of(c, n->in[0], &x) || !shape_of(c, n->in[1], &w) || x.n == 0) return 0;
    if (conv) return 2 * product(&y, 0) * product(&w, 1);
    if (back) return 2 * product(&x, 0) * product(&w, 1);
    return 2 * product(&y, 0) * (double)x.d[gemm && node_int(n, "transA", 0) ? 0 : x.n - 1];
}

static void take_shapes(Counter *c) {
    int at = c->m->noutput;
    for (int i = 0; i < c->m->nnode; i++) {
        const DocNode *n = c->m->node[i];
        if (n->nout == 0 || !n->out[0][0]) continue;
        const Node *v = c->g->root[at++].value;
        c->s.layer[i].known = true, c->s.layer[i].shape = v->shape, c->s.layer[i].type = v->type;
    }
}

Summary summary_make(Model *m, const Graph *g) {
    Counter c = {.m = m, .g = g, .s = {.layer = NEW(m->cx, LayerCost, m->nnode)}};
    if (g) take_shapes(&c);
    for (int i = 0; i < m->nnode; i++) {
        LayerCost *l = &c.s.layer[i];
        l->params = params_of(&c, m->node[i]);
        l->flops = g ? flops_of(&c, m->node[i]) : 0;
        c.s.params += l->params, c.s.flops += l->flops;
    }
    return c.s;
}
