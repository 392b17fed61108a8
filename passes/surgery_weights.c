// surgery_weights.c -- weights that stand in nodes: Constant, and ConstantOfShape of a known shape, where a layer
// reads them as its weight, bias or statistic. Training and freezing know each by the name of its value.
#include "surgery_graph.h"

enum { CHAIN = 32 };

// Inputs from..to of the operator are learned.
static const struct Reader { const char *op; int from, to; } readers[] = {
    {"Conv", 1, 2},          {"ConvTranspose", 1, 2},         {"Gemm", 1, 2},               {"MatMul", 0, 1},
    {"PRelu", 1, 1},         {"BatchNormalization", 1, 4},    {"InstanceNormalization", 1, 2},
    {"LayerNormalization", 1, 2},                             {"GroupNormalization", 1, 2}, {"RMSNormalization", 1, 1},
    {"RNN", 1, 3},           {"GRU", 1, 3},                   {"LSTM", 1, 3},
};
static const char *const layers[] = {"Conv", "ConvTranspose", "Gemm", "MatMul", NULL};
static const char *const passing[] = {"Identity", "Cast", "Reshape", "Transpose", NULL};

static bool from_layer(Model *m, const DocNode *n) {
    for (int k = 0; k < n->nin; k++) {
        const DocNode *from = model_producer(m, n->in[k]);
        if (from && op_among(from, layers)) return true;
    }
    return false;
}

static bool reads_weight(Model *m, const DocNode *n, int k) {
    if (n->domain[0]) return false;
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (strcmp(n->op, readers[i].op) == 0) return k >= readers[i].from && k <= readers[i].to;
    return op_is(n, "Add") && from_layer(m, n);          // a bias on its own
}

// The node that the constant at this input starts from, or NULL.
static const DocNode *source_of(Model *m, const char *value) {
    const DocNode *n = model_producer(m, value);
    for (int i = 0; n && i < CHAIN && op_among(n, passing) && n->nin; i++) {
        if (model_init(m, n->in[0])) return NULL;
        n = model_producer(m, n->in[0]);
    }
    return n && n->nout == 1 && (op_is(n, "Constant") || op_is(n, "ConstantOfShape")) ? n : NULL;
}

static bool is_weight(Model *m, const DocNode *n) {
    Constant c;
    return constant_of(m, n->out[0], &c) && dtype_is_float(c.type) && (!c.tensor || c.as_stored);
}

const char **weight_nodes(Model *m, int *count) {
    const char **list = NULL;
    *count = 0;
    for (int i = 0; i < m->nnode; i++)
        for (int k = 0; k < m->node[i]->nin; k++) {
            const DocNode *n = reads_weight(m, m->node[i], k) ? source_of(m, m->node[i]->in[k]) : NULL;
            bool known = !n || !is_weight(m, n);
            for (int j = 0; j < *count && !known; j++) known = strcmp(list[j], n->out[0]) == 0;
            if (!known) *VEC_PUSH(m->cx, list, *count) = n->out[0];
        }
    return list;
}

static void *filled(Model *m, const Constant *c, int64_t count) {
    int64_t size = dtypes[c->type].bytes;
    char *data = cx_alloc(m->cx, ck_mul(m->cx, (size_t)count, (size_t)size));
    for (int64_t i = 0; i < count; i++) dtype_set_f(c->type, data + i * size, c->fill);
    return data;
}

void weight_to_init(Model *m, const char *name) {
    Constant c;
    DocNode *n = model_producer(m, name);
    bool known = n && constant_of(m, name, &c);
    assert(known);
    Tensor t = {.name = name, .type = c.type, .rank = c.rank, .dim = c.dim, .count = 1};
    for (int d = 0; d < c.rank; d++) t.count *= c.dim[d];
    t.data = c.tensor ? c.tensor->data : filled(m, &c, t.count);
    Reach *before = reach_mark(m);
    model_remove_node(m, n);
    model_set_init(m, name, &t);
    reach_sweep(m, before);                              // the shape of a ConstantOfShape
}
