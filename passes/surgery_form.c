// surgery_form.c -- ending a model elsewhere, dropping its auxiliary heads, writing its inference form.
#include "../ir/near.h"
#include "surgery_graph.h"

Shape value_shape(Model *m, const Surgery *s, const char *value, DType *t) {
    ImportOptions o = s->import;
    o.max_batch = 0, o.keep = (const char *const[]){value, NULL};
    Graph *g = model_import(m, &o);
    const Node *n = g->root[m->noutput].value;
    *t = n->type;
    return n->shape;
}

// ---- --cut ----
static const char *find_value(Model *m, const char *name) {
    if (model_producer(m, name)) return name;
    for (int i = 0; i < m->nnode; i++)
        if (strcmp(m->node[i]->name, name) == 0 && m->node[i]->nout) return m->node[i]->out[0];
    const char **all = NULL;
    int n = 0;
    for (int i = 0; i < m->nnode; i++) {
        *VEC_PUSH(m->cx, all, n) = m->node[i]->name;
        for (int k = 0; k < m->node[i]->nout; k++) *VEC_PUSH(m->cx, all, n) = m->node[i]->out[k];
    }
    int k = near_name(name, n, all);
    fail(m->cx, E_USAGE, "no node computes '%s'%s%s%s", cx_show(m->cx, name), k >= 0 ? "; did you mean '" : "",
         k >= 0 ? cx_show(m->cx, all[k]) : "", k >= 0 ? "'?" : "; `tvc inspect` lists the nodes");
}

// The batch as the first input declares it.
static Dim batch_dim(const Model *m) {
    for (int i = 0; i < m->ninput; i++)
        if (!model_init(m, m->input[i]->name) && m->input[i]->rank > 0) return m->input[i]->dim[0];
    return (Dim){.value = -1};
}

void cut_at(Model *m, const Surgery *s) {
    const char *name = find_value(m, s->cut);
    const ValueInfo *known = model_value(m, name);
    ValueInfo v = {.name = name, .kind = "tensor"};
    if (known && known->onnx_type && known->rank >= 0) {
        v = *known;
    } else {
        DType t;
        Shape shape = value_shape(m, s, name, &t);
        v.onnx_type = dtypes[t].onnx, v.type = t, v.rank = shape.n;
        v.dim = NEW(m->cx, Dim, shape.n + 1);
        for (int d = 0; d < shape.n; d++) v.dim[d] = (Dim){.value = shape.d[d]};
        if (shape.n && shape.d[0] == 1) v.dim[0] = batch_dim(m);
    }
    model_set_outputs(m, 1, &v);
}

// ---- outputs taken away ----
// Keep the outputs for which gone[i] is false, as they are declared.
static void remove_outputs(Model *m, const bool *gone) {
    ValueInfo *v = NEW(m->cx, ValueInfo, m->noutput);
    int n = 0;
    for (int i = 0; i < m->noutput; i++)
        if (!gone[i]) v[n++] = *m->output[i];
    if (n < m->noutput) model_set_outputs(m, n, v);
}

void drop_aux(Model *m, const Heads *h) {
    if (h->n < 2) {
        cx_note(m->cx, "there is no auxiliary head to drop");
        return;
    }
    bool *gone = NEW(m->cx, bool, m->noutput);
    const bool *main_way = depends_on(m, h->head[0].node->out[0]);
    for (int a = 1; a < h->n; a++) {
        const bool *way = depends_on(m, h->head[a].node->out[0]);
        for (int i = 0; i < m->noutput; i++) {
            const DocNode *n = model_producer(m, m->output[i]->name);
            if (!n || n == h->head[0].node || main_way[n->index]) continue;
            gone[i] |= n == h->head[a].node || way[n->index];
        }
    }
    remove_outputs(m, gone);
}

// ---- --eval ----
// Outputs of n from `keep` on: unused ones go, and so do graph outputs that show them.
static void drop_extra_outputs(Model *m, DocNode *n, int keep) {
    bool *gone = NEW(m->cx, bool, m->noutput), shown = false;
    for (int k = keep; k < n->nout; k++) {
        if (!n->out[k][0]) continue;
        for (int i = 0; i < m->noutput; i++)
            if (strcmp(m->output[i]->name, n->out[k]) == 0) gone[i] = shown = true;
        if (value_users(m, n->out[k]) > value_is_output(m, n->out[k]))
            fail(m->cx, E_UNSUPPORTED, "output %d of %s is used by another node: there is no inference form", k,
                 node_label(m->cx, n));
    }
    if (shown) {
        cx_note(m->cx, "graph outputs of %s that exist only in training are dropped", node_label(m->cx, n));
        remove_outputs(m, gone);
    }
    for (int k = keep; k < n->nout; k++)
        if (n->out[k][0]) model_remove_value(m, n->out[k]);
    if (n->nout > keep) model_trim_outputs(m, n, keep);
}

void write_eval_form(Model *m) {
    int opset = node_opset(m);
    for (int i = 0; i < m->nnode; i++) {
        DocNode *n = m->node[i];
        bool norm = op_is(n, "BatchNormalization"), dropout = op_is(n, "Dropout");
        if (!norm && !dropout) continue;
        drop_extra_outputs(m, n, 1);
        if (opset < 7) model_set_attr(m, n, (NewAttr){.name = "is_test", .kind = ATTR_I, .i = 1});
        if (norm && node_int(n, "training_mode", 0))
            model_set_attr(m, n, (NewAttr){.name = "training_mode", .kind = ATTR_I, .i = 0});
        if (dropout && n->nin > 2 && n->in[2][0]) model_set_input(m, n, 2, "");
    }
}
