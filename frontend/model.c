// model.c -- questions to a Model: attributes by name, what a name stands for, the order of the nodes.
#include "document.h"

// ---- attributes ----

const AttrValue *node_attr(const DocNode *n, const char *name) {
    for (int i = 0; i < n->nattr; i++)
        if (!strcmp(n->attr[i].name, name)) return &n->attr[i];
    return NULL;
}

int64_t node_int(const DocNode *n, const char *name, int64_t otherwise) {
    const AttrValue *a = node_attr(n, name);
    return a && a->kind == ATTR_I ? a->i : otherwise;
}

float node_float(const DocNode *n, const char *name, float otherwise) {
    const AttrValue *a = node_attr(n, name);
    return a && a->kind == ATTR_F ? a->f : otherwise;
}

const char *node_string(const DocNode *n, const char *name, const char *otherwise) {
    const AttrValue *a = node_attr(n, name);
    return a && a->kind == ATTR_S ? a->s : otherwise;
}

const char *node_label(Cx *cx, const DocNode *n) {
    if (*n->name) return cx_fmt(cx, "node '%s' (%s)", cx_show(cx, n->name), cx_show(cx, n->op));
    return cx_fmt(cx, "node %d (%s)", n->index, cx_show(cx, n->op));
}

// ---- names ----

Def *doc_find(const Document *d, const char *name) { return names_get(&d->names, name); }

Def *doc_def(Document *d, const char *name) {
    if (!*name) return NULL;
    Def *def = doc_find(d, name);
    if (def) return def;
    doc_check(d, names_growth(&d->names));
    def = DOC_NEW(d, Def, 1);
    names_put(d->cx, &d->names, name, def);
    return def;
}

Tensor *model_init(const Model *m, const char *name) {
    Def *def = doc_find(m->doc, name);
    return def && def->init ? &def->init->view : NULL;
}

DocNode *model_producer(const Model *m, const char *value) {
    Def *def = doc_find(m->doc, value);
    return def && def->node ? &def->node->view : NULL;
}

ValueInfo *model_value(const Model *m, const char *name) {
    Def *def = doc_find(m->doc, name);
    ValueItem *v = !def ? NULL : def->input ? def->input : def->output ? def->output : def->value;
    return v ? &v->view : NULL;
}

int64_t model_opset(const Model *m, const char *domain) {
    if (!strcmp(domain, "ai.onnx")) domain = "";
    int64_t version = 0;
    for (int i = 0; i < m->nopset; i++)
        if (!strcmp(m->opset[i].domain, domain)) version = m->opset[i].version;
    return version;
}

const char *model_meta(const Model *m, const char *key) {
    for (int i = 0; i < m->nmeta; i++)
        if (!strcmp(m->meta[i]->key, key)) return m->meta[i]->value;
    return NULL;
}

// ---- checks ----

static bool defined(const Def *def) { return def && (def->init || def->node || def->input || def->sparse); }

static void name_twice(const Model *m, const char *what, const char *name) {
    fail(m->cx, E_MALFORMED, "%s: %s '%s' is defined twice", cx_show(m->cx, m->path), what, cx_show(m->cx, name));
}

static void name_outputs(Model *m, NodeItem *n) {
    for (int k = 0; k < n->view.nout; k++) {
        Def *def = doc_def(m->doc, n->view.out[k]);
        if (!def) continue;
        if (defined(def))
            fail(m->cx, E_MALFORMED, "%s: %s: its output '%s' is already defined", cx_show(m->cx, m->path),
                 node_label(m->cx, &n->view), cx_show(m->cx, n->view.out[k]));
        def->node = n;
    }
}

static Def *named(Model *m, const char *what, const char *name) {
    Def *def = doc_def(m->doc, name);
    if (!def) fail(m->cx, E_MALFORMED, "%s: %s without a name", cx_show(m->cx, m->path), what);
    return def;
}

void check_names(Model *m) {
    for (int i = 0; i < m->ninit; i++) {
        Def *def = named(m, "an initializer", m->init[i]->name);
        if (def->init) name_twice(m, "initializer", m->init[i]->name);
        def->init = tensor_item(m->init[i]);
    }
    for (int i = 0; i < m->nsparse; i++) named(m, "a sparse initializer", m->sparse[i])->sparse = true;
    for (int i = 0; i < m->ninput; i++) {
        Def *def = named(m, "an input", m->input[i]->name);
        if (def->input) name_twice(m, "input", m->input[i]->name);
        def->input = value_item(m->input[i]);
    }
    for (int i = 0; i < m->nnode; i++) {
        name_outputs(m, node_item(m->node[i]));
        Def *def = doc_def(m->doc, m->node[i]->name);
        if (def) def->label = true;
    }
    for (int i = 0; i < m->noutput; i++) named(m, "an output", m->output[i]->name)->output = value_item(m->output[i]);
    for (int i = 0; i < m->nvalue; i++) {
        Def *def = doc_def(m->doc, m->value[i]->name);
        if (def && !def->value) def->value = value_item(m->value[i]);
    }
}

// ---- order ----

static void check_defined(const Model *m) {
    for (int i = 0; i < m->nnode; i++)
        for (int k = 0; k < m->node[i]->nin; k++) {
            const char *name = m->node[i]->in[k];
            if (*name && !defined(doc_find(m->doc, name)))
                fail(m->cx, E_MALFORMED, "%s: %s: its input %d, '%s', is defined nowhere", cx_show(m->cx, m->path),
                     node_label(m->cx, m->node[i]), k, cx_show(m->cx, name));
        }
    if (!m->noutput) fail(m->cx, E_MALFORMED, "%s: the graph has no outputs", cx_show(m->cx, m->path));
    for (int i = 0; i < m->noutput; i++)
        if (!defined(doc_find(m->doc, m->output[i]->name)))
            fail(m->cx, E_MALFORMED, "%s: output '%s' is produced by no node", cx_show(m->cx, m->path),
                 cx_show(m->cx, m->output[i]->name));
}

typedef enum Visit { NEW_NODE, OPEN, DONE } Visit;

// Producers first, otherwise in file order: a depth-first walk with its own stack.
static void visit_from(const Model *m, int root, Visit *state, int *stack, int *next, int *order, int *n) {
    int depth = 0;
    stack[0] = root, state[root] = OPEN;
    while (depth >= 0) {
        const DocNode *node = m->node[stack[depth]];
        int *k = &next[node->index];
        if (*k == node->nin) {
            state[node->index] = DONE, order[(*n)++] = node->index;
            depth--;
            continue;
        }
        const DocNode *from = model_producer(m, node->in[(*k)++]);
        if (!from || state[from->index] == DONE) continue;
        if (state[from->index] == OPEN)
            fail(m->cx, E_MALFORMED, "%s: %s: its input '%s' depends on its own output: the graph has a cycle",
                 cx_show(m->cx, m->path), node_label(m->cx, node), cx_show(m->cx, node->in[*k - 1]));
        state[from->index] = OPEN, stack[++depth] = from->index;
    }
}

const int *model_order(Model *m) {
    Document *d = m->doc;
    if (d->order) return d->order;
    check_defined(m);
    Visit *state = DOC_NEW(d, Visit, m->nnode);
    int *stack = DOC_NEW(d, int, m->nnode), *next = DOC_NEW(d, int, m->nnode), *order = DOC_NEW(d, int, m->nnode),
        n = 0;
    for (int i = 0; i < m->nnode; i++)
        if (state[i] == NEW_NODE) visit_from(m, i, state, stack, next, order, &n);
    return d->order = order;
}
