// surgery_batch.c -- makes the batch free in the written file: a name instead of 1 in inputs,
// outputs and stated shapes, and -1 or 0 for it in Reshapes that had a fixed size. What may be done is
// what shape inference shows: the document is imported with a free batch, which fails where
// something depends on it.
#include "surgery_graph.h"

static const char batch_name[] = "N";

// ---- what import says of the nodes that matter: Reshapes, and Concats ----

typedef struct Nodes {
    int n, nvalue;
    DocNode **node;
    int *first;                       // where a node's values begin: its first output, then its inputs
    const char **value;               // NULL-terminated
    Kept *kept;                       // of each value
} Nodes;

static bool matters(const DocNode *n) {
    for (int j = 0; j < n->nin; j++)
        if (!*n->in[j]) return false;
    return n->nout && *n->out[0] && n->nin && (op_is(n, "Reshape") || op_is(n, "Concat"));
}

static Nodes find_nodes(Model *m) {
    Nodes r = {.node = NEW(m->cx, DocNode *, m->nnode), .first = NEW(m->cx, int, m->nnode)};
    for (int i = 0; i < m->nnode; i++) {
        DocNode *n = m->node[i];
        if (!matters(n)) continue;
        r.node[r.n] = n, r.first[r.n++] = r.nvalue;
        *VEC_PUSH(m->cx, r.value, r.nvalue) = n->out[0];
        for (int j = 0; j < n->nin; j++) *VEC_PUSH(m->cx, r.value, r.nvalue) = n->in[j];
    }
    r.kept = NEW(m->cx, Kept, r.nvalue);
    *VEC_PUSH(m->cx, r.value, r.nvalue) = NULL;
    return r;
}

// ---- Reshape and Concat ----

static int open_amount(int rank, const int64_t *amount) {
    for (int d = 0; d < rank; d++)
        if (amount[d] == -1) return d;
    return -1;
}

// The amount for the batch: whatever remains; or as it comes in; or whatever remains, and a number for what did so far.
static void free_amount(int64_t *amount, int axis, Shape to, Shape from) {
    int open = open_amount(to.n, amount);
    bool as_it_comes = axis == 0 && from.batch == 1 && from.d[0] == to.d[0];
    if (open >= 0 && !as_it_comes) amount[open] = to.d[open];
    amount[axis] = open >= 0 && as_it_comes ? 0 : -1;
}

static void free_reshape(Maker *k, DocNode *n, const Kept *made, const Kept *taken) {
    const AttrValue *a = node_attr(n, "shape");
    const int64_t *old = a && a->kind == ATTR_IS ? a->is : NULL;
    Shape to = made->shape;
    int axis = to.batch - 1, rank = old ? a->n : n->nin > 1 ? constant_ints(k->m, n->in[1], &old) : -1;
    if (rank < 0 && n->nin > 1 && !taken[1].varies) rank = to.n, old = to.d;    // computed, but of constants
    if (rank != to.n || axis < 0 || old[axis] <= 0) return;
    int64_t *amount = NEW(k->m->cx, int64_t, rank);
    memcpy(amount, old, sizeof *old * (size_t)rank);
    free_amount(amount, axis, to, taken[0].shape);
    if (a) model_set_attr(k->m, n, (NewAttr){.name = "shape", .kind = ATTR_IS, .n = rank, .is = amount});
    else replace_constant(k, n, 1, ints_tensor(k, rank, amount));
}

// Import spreads a single token over the samples; the file does not say so.
static void check_concat(const Model *m, const DocNode *n, const Kept *made, const Kept *taken) {
    for (int j = 0; j < n->nin; j++)
        if (made->shape.batch && !taken[j].shape.batch)
            fail(m->cx, E_UNSUPPORTED, "%s: '%s' is one for all samples: the batch cannot be free in the file",
                 node_label(m->cx, n), cx_show(m->cx, n->in[j]));
}

// ---- inputs and outputs ----

static void free_axis(Model *m, const ValueInfo *old, int axis) {
    if (axis < 0 || axis >= old->rank || old->dim[axis].value < 0) return;
    ValueInfo v = *old;
    v.dim = NEW(m->cx, Dim, v.rank);
    memcpy(v.dim, old->dim, sizeof *v.dim * (size_t)v.rank);
    v.dim[axis] = (Dim){.value = -1, .param = old->dim[axis].value == 1 ? batch_name : NULL};
    model_set_value(m, &v);
}

void free_the_batch(Maker *k) {
    Model *m = k->m;
    Nodes r = find_nodes(m);
    ImportOptions o = k->s->import;
    o.max_batch = 2, o.keep = r.value, o.kept = r.kept;
    Graph *g = model_import(m, &o);
    int at = 0;
    for (int i = 0; i < m->ninput; i++)
        if (!model_init(m, m->input[i]->name)) free_axis(m, m->input[i], g->input[at++]->shape.batch - 1);
    for (int i = 0; i < m->noutput; i++) free_axis(m, m->output[i], g->root[i].value->shape.batch - 1);
    while (m->nvalue) model_remove_value(m, m->value[m->nvalue - 1]->name);       // stated for the old batch
    for (int i = 0; i < r.n; i++) {
        const Kept *made = &r.kept[r.first[i]];
        if (op_is(r.node[i], "Concat")) check_concat(m, r.node[i], made, made + 1);
        else free_reshape(k, r.node[i], made, made + 1);
    }
}
