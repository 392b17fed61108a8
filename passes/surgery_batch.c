// surgery_batch.c -- makes the batch free in the written file: a name instead of 1 in inputs,
// outputs and stated shapes, and -1 or 0 for it in Reshapes that had a fixed 1. What may be done is
// what shape inference shows: the document is imported with a free batch, which fails where
// something depends on it.
#include "surgery_graph.h"

static const char batch_name[] = "N";

// The values that Reshapes make; NULL-terminated.
static const char **reshaped_values(Model *m) {
    const char **keep = NEW(m->cx, const char *, m->nnode + 1);
    int n = 0;
    for (int i = 0; i < m->nnode; i++)
        if (m->node[i]->nout && m->node[i]->out[0][0] && op_is(m->node[i], "Reshape")) keep[n++] = m->node[i]->out[0];
    return keep;
}

// The amount for the batch in a Reshape: whatever remains, or as it comes in.
static int64_t batch_amount(Model *m, const DocNode *n, int rank, const int64_t *shape, int axis) {
    bool open = false;
    for (int d = 0; d < rank; d++) open |= shape[d] == -1;
    if (!open) return -1;
    if (axis == 0) return 0;
    fail(m->cx, E_UNSUPPORTED, "%s: its amounts leave no room for a free batch", node_label(m->cx, n));
}

static void free_reshape(Maker *k, DocNode *n, const Shape *s) {
    const AttrValue *a = node_attr(n, "shape");
    const int64_t *old = a && a->kind == ATTR_IS ? a->is : NULL;
    int rank = old ? a->n : n->nin > 1 ? constant_ints(k->m, n->in[1], &old) : -1, axis = s->batch - 1;
    if (rank != s->n || axis < 0 || old[axis] <= 0) return;
    int64_t *shape = NEW(k->m->cx, int64_t, rank);
    memcpy(shape, old, sizeof *old * (size_t)rank);
    shape[axis] = batch_amount(k->m, n, rank, old, axis);
    if (a) model_set_attr(k->m, n, (NewAttr){.name = "shape", .kind = ATTR_IS, .n = rank, .is = shape});
    else replace_constant(k, n, 1, ints_tensor(k, rank, shape));
}

static void free_axis(Model *m, const ValueInfo *old, int axis) {
    if (axis < 0 || axis >= old->rank || old->dim[axis].value < 0) return;
    ValueInfo v = *old;
    v.dim = NEW(m->cx, Dim, v.rank);
    memcpy(v.dim, old->dim, sizeof *v.dim * (size_t)v.rank);
    v.dim[axis] = (Dim){.value = -1, .param = batch_name};
    model_set_value(m, &v);
}

void free_the_batch(Maker *k) {
    Model *m = k->m;
    ImportOptions o = k->s->import;
    const char **keep = reshaped_values(m);
    o.max_batch = 2, o.keep = keep;
    Graph *g = model_import(m, &o);
    int at = 0;
    for (int i = 0; i < m->ninput; i++)
        if (!model_init(m, m->input[i]->name)) free_axis(m, m->input[i], g->input[at++]->shape.batch - 1);
    for (int i = 0; i < m->noutput; i++) free_axis(m, m->output[i], g->root[i].value->shape.batch - 1);
    while (m->nvalue) model_remove_value(m, m->value[m->nvalue - 1]->name);       // stated for the old batch
    for (int i = 0; keep[i]; i++) free_reshape(k, model_producer(m, keep[i]), &g->root[m->noutput + i].value->shape);
}
