// edit.c -- changes to a Model. Each makes the new bytes of what it touches, reads them back with
// the reader's own functions, and keeps the names up to date; the mapped file never changes.
#include "document.h"

static void touch(Model *m) {
    m->doc->edited = true;
    m->doc->order = NULL;
}

static const char *own(Model *m, const char *s) { return s && *s ? cx_str(m->cx, s, strlen(s)) : ""; }

static Wire wire_of(Model *m, Bytes b) { return wire_open(m->cx, m->path, b); }

static void drop_part(const void *view) {
    Item *item = item_of(view);
    if (item->part) item->part->dropped = true;
    item->part = NULL;
}

// Make room for item `at` of a list of n; `number` is the list's field.
#define LIST_INSERT(m, number, list, n, at, view)                                                                      \
    do {                                                                                                               \
        int *room_ = &(m)->doc->room[number];                                                                          \
        if ((n) >= *room_) {                                                                                           \
            *room_ = (n) < 8 ? 16 : 2 * (n);                                                                           \
            (list) = cx_grow((m)->cx, (list), sizeof *(list) * (size_t)(n),                                            \
                             ck_mul((m)->cx, sizeof *(list), (size_t)*room_));                                         \
        }                                                                                                              \
        memmove((list) + (at) + 1, (list) + (at), sizeof *(list) * (size_t)((n) - (at)));                              \
        (list)[at] = (view);                                                                                           \
        (n)++;                                                                                                         \
    } while (0)

#define LIST_REMOVE(list, n, view)                                                                                     \
    do {                                                                                                               \
        int at_ = 0;                                                                                                   \
        while (at_ < (n) && (list)[at_] != (view)) at_++;                                                              \
        assert(at_ < (n));                                                                                             \
        memmove((list) + at_, (list) + at_ + 1, sizeof *(list) * (size_t)((n) - at_ - 1));                             \
        (n)--;                                                                                                         \
        drop_part(view);                                                                                               \
    } while (0)

// ---- attributes ----

static void emit_attribute(WireOut *o, const void *attr) {
    const NewAttr *a = attr;
    wire_put_string(o, A_NAME, a->name);
    switch (a->kind) {
    case ATTR_F: wire_put_float(o, A_F, a->f); break;
    case ATTR_I: wire_put_int(o, A_I, a->i); break;
    case ATTR_S: wire_put_string(o, A_S, a->s); break;
    case ATTR_T: wire_put_message(o, A_T, emit_tensor, a->t); break;
    case ATTR_FS:
        for (int i = 0; i < a->n; i++) wire_put_float(o, A_FLOATS, a->fs[i]);
        break;
    case ATTR_IS:
        for (int i = 0; i < a->n; i++) wire_put_int(o, A_INTS, a->is[i]);
        break;
    case ATTR_SS:
        for (int i = 0; i < a->n; i++) wire_put_string(o, A_STRINGS, a->ss[i]);
        break;
    default: assert(!"an attribute of this kind cannot be made");
    }
    wire_put_int(o, A_TYPE, a->kind);
}

static int attr_index(const DocNode *n, const char *name) {
    int i = 0;
    while (i < n->nattr && strcmp(n->attr[i].name, name)) i++;
    return i;
}

void model_set_attr(Model *m, DocNode *n, NewAttr a) {
    NodeItem *item = node_item(n);
    int i = attr_index(n, a.name), old = n->nattr;
    if (i == old) {
        n->attr = cx_grow(m->cx, n->attr, sizeof *n->attr * (size_t)old, sizeof *n->attr * ((size_t)old + 1));
        item->attr =
            cx_grow(m->cx, item->attr, sizeof *item->attr * (size_t)old, sizeof *item->attr * ((size_t)old + 1));
        n->nattr++;
    }
    item->attr[i] = wire_build(m->cx, emit_attribute, &a);
    Wire w = wire_of(m, item->attr[i]);
    read_attribute(m->doc, &w, &n->attr[i]);
    item->edited = true;
    touch(m);
}

void model_remove_attr(Model *m, DocNode *n, const char *name) {
    NodeItem *item = node_item(n);
    int i = attr_index(n, name);
    if (i == n->nattr) return;
    size_t after = (size_t)(n->nattr - i - 1);
    memmove(n->attr + i, n->attr + i + 1, sizeof *n->attr * after);
    memmove(item->attr + i, item->attr + i + 1, sizeof *item->attr * after);
    n->nattr--;
    item->edited = true;
    touch(m);
}

// ---- nodes ----

static void number_nodes(Model *m, int from) {
    for (int i = from; i < m->nnode; i++) m->node[i]->index = i;
}

static void produce(Model *m, NodeItem *n, int k) {
    Def *def = doc_def(m->doc, n->view.out[k]);
    if (!def) return;
    assert(!def->node && "two nodes with the same output");
    def->node = n;
}

static void unproduce(Model *m, NodeItem *n, int k) {
    Def *def = doc_find(m->doc, n->view.out[k]);
    if (def && def->node == n) def->node = NULL;
}

static void emit_node_names(WireOut *o, const void *node) {
    const DocNode *n = node;
    if (*n->name) wire_put_string(o, N_NAME, n->name);
    wire_put_string(o, N_OP, n->op);
    if (*n->domain) wire_put_string(o, N_DOMAIN, n->domain);
}

static const char **own_list(Model *m, int n, const char **s) {
    const char **list = NEW(m->cx, const char *, n);
    for (int i = 0; i < n; i++) list[i] = own(m, s[i]);
    return list;
}

DocNode *model_add_node(Model *m, int at, const char *op, const char *domain, const char *name, int nin,
                        const char **in, int nout, const char **out, int nattr, const NewAttr *attr) {
    assert(at >= 0 && at <= m->nnode);
    NodeItem *item = NEW(m->cx, NodeItem, 1);
    DocNode *n = &item->view;
    *n = (DocNode){.op = own(m, op), .domain = own(m, domain), .name = own(m, name), .nin = nin, .nout = nout};
    n->in = own_list(m, nin, in);
    n->out = own_list(m, nout, out);
    item->item.bytes = wire_build(m->cx, emit_node_names, n);
    item->edited = true;
    LIST_INSERT(m, G_NODE, m->node, m->nnode, at, n);
    number_nodes(m, at);
    for (int k = 0; k < nout; k++) produce(m, item, k);
    for (int k = 0; k < nattr; k++) model_set_attr(m, n, attr[k]);
    Def *def = doc_def(m->doc, n->name);
    if (def) def->label = true;
    touch(m);
    return n;
}

void model_remove_node(Model *m, DocNode *n) {
    int at = n->index;
    for (int k = 0; k < n->nout; k++) unproduce(m, node_item(n), k);
    LIST_REMOVE(m->node, m->nnode, n);
    number_nodes(m, at);
    n->index = -1;
    touch(m);
}

// Element k of a list of names, which grows with "" as needed.
static void set_name(Model *m, const char ***list, int *n, int k, const char *value) {
    if (k >= *n) {
        *list = cx_grow(m->cx, *list, sizeof **list * (size_t)*n, sizeof **list * ((size_t)k + 1));
        while (*n <= k) (*list)[(*n)++] = "";
    }
    (*list)[k] = own(m, value);
}

void model_set_input(Model *m, DocNode *n, int k, const char *value) {
    set_name(m, &n->in, &n->nin, k, value);
    node_item(n)->edited = true;
    touch(m);
}

void model_set_output(Model *m, DocNode *n, int k, const char *value) {
    if (k < n->nout) unproduce(m, node_item(n), k);
    set_name(m, &n->out, &n->nout, k, value);
    produce(m, node_item(n), k);
    node_item(n)->edited = true;
    touch(m);
}

void model_trim_outputs(Model *m, DocNode *n, int nout) {
    for (int k = nout; k < n->nout; k++) unproduce(m, node_item(n), k);
    if (nout < n->nout) n->nout = nout;
    node_item(n)->edited = true;
    touch(m);
}

// ---- values ----

typedef struct NewValue {
    Cx *cx;
    const ValueInfo *v;
    Bytes old;
} NewValue;

static void emit_dim(WireOut *o, const void *dim) {
    const Dim *d = dim;
    if (d->value >= 0) wire_put_int(o, 1, d->value);
    else if (d->param && *d->param) wire_put_string(o, 2, d->param);
}

static void emit_shape(WireOut *o, const void *value) {
    const ValueInfo *v = value;
    for (int i = 0; i < v->rank; i++) wire_put_message(o, 1, emit_dim, &v->dim[i]);
}

static void emit_tensor_type(WireOut *o, const void *value) {
    const ValueInfo *v = value;
    wire_put_int(o, 1, v->type ? dtypes[v->type].onnx : v->onnx_type);
    if (v->rank >= 0) wire_put_message(o, 2, emit_shape, v);
}

static void emit_type(WireOut *o, const void *value) { wire_put_message(o, 1, emit_tensor_type, value); }

// A ValueInfoProto saying what v says; documentation and unknown fields stay as they were.
static void emit_value(WireOut *o, const void *new_value) {
    const NewValue *n = new_value;
    wire_put_string(o, 1, n->v->name);
    if (n->v->type || n->v->onnx_type) wire_put_message(o, 2, emit_type, n->v);
    Wire w = wire_open(n->cx, "", n->old);
    for (Field f; wire_next(&w, &f);)
        if (f.number != 1 && f.number != 2) wire_put(o, f.whole);
}

static bool same_dim(const Dim *a, const Dim *b) {
    const char *p = a->param ? a->param : "", *q = b->param ? b->param : "";
    return a->value == b->value && (a->value >= 0 || !strcmp(p, q));
}

static bool same_value(const ValueInfo *a, const ValueInfo *b) {
    if (strcmp(a->name, b->name) || a->type != b->type || a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (!same_dim(&a->dim[i], &b->dim[i])) return false;
    return true;
}

static void change_value(Model *m, ValueItem *item, const ValueInfo *v) {
    if (item->item.bytes.n && same_value(&item->view, v)) return;
    item->item.bytes = wire_build(m->cx, emit_value, &(NewValue){m->cx, v, item->item.bytes});
    Wire w = wire_of(m, item->item.bytes);
    read_value(m->doc, &w, item);
    touch(m);
}

static ValueItem *value_new(Model *m, const ValueInfo *v) {
    ValueItem *item = NEW(m->cx, ValueItem, 1);
    change_value(m, item, v);
    return item;
}

void model_set_value(Model *m, const ValueInfo *v) {
    Def *def = doc_def(m->doc, v->name);
    ValueItem *item = def->input ? def->input : def->output ? def->output : def->value;
    if (item) {
        change_value(m, item, v);
        return;
    }
    def->value = value_new(m, v);
    LIST_INSERT(m, G_VALUE, m->value, m->nvalue, m->nvalue, &def->value->view);
}

void model_add_input(Model *m, const ValueInfo *v) {
    Def *def = doc_def(m->doc, v->name);
    assert(!def->input && !def->node);
    def->input = value_new(m, v);
    LIST_INSERT(m, G_INPUT, m->input, m->ninput, m->ninput, &def->input->view);
}

void model_remove_value(Model *m, const char *name) {
    Def *def = doc_find(m->doc, name);
    if (!def || !def->value) return;
    LIST_REMOVE(m->value, m->nvalue, &def->value->view);
    def->value = NULL;
    touch(m);
}

static void remove_outputs(Model *m) {
    for (int i = 0; i < m->noutput; i++) {
        doc_find(m->doc, m->output[i]->name)->output = NULL;
        drop_part(m->output[i]);
    }
    m->noutput = 0;
}

void model_set_outputs(Model *m, int n, const ValueInfo *v) {
    ValueItem **item = NEW(m->cx, ValueItem *, n);
    for (int i = 0; i < n; i++) {
        Def *def = doc_def(m->doc, v[i].name);
        item[i] = def->output ? def->output : def->value;
        bool unstated = !v[i].type && !v[i].onnx_type && item[i];
        if (!item[i]) item[i] = value_new(m, &v[i]);
        else if (!unstated) change_value(m, item[i], &v[i]);
    }
    for (int i = 0; i < n; i++) model_remove_value(m, v[i].name);
    remove_outputs(m);
    for (int i = 0; i < n; i++) {
        doc_def(m->doc, v[i].name)->output = item[i];
        LIST_INSERT(m, G_OUTPUT, m->output, m->noutput, i, &item[i]->view);
    }
    touch(m);
}

// ---- initializers ----

static void emit_name(WireOut *o, const void *name) { wire_put_string(o, T_NAME, name); }

static TensorItem *init_new(Model *m, Def *def, const char *name) {
    TensorItem *item = NEW(m->cx, TensorItem, 1);
    item->view.name = own(m, name);
    item->item.bytes = wire_build(m->cx, emit_name, name);
    LIST_INSERT(m, G_INIT, m->init, m->ninit, m->ninit, &item->view);
    return def->init = item;
}

// What a tensor says about its own value.
static ValueInfo value_of_tensor(Model *m, const char *name, const Tensor *t) {
    ValueInfo v = {.name = name, .onnx_type = dtypes[t->type].onnx, .type = t->type, .rank = t->rank, .kind = "tensor"};
    v.dim = NEW(m->cx, Dim, t->rank);
    for (int i = 0; i < t->rank; i++) v.dim[i].value = t->dim[i];
    return v;
}

void model_set_init(Model *m, const char *name, const Tensor *t) {
    assert(t->type && *name);
    Def *def = doc_def(m->doc, name);
    TensorItem *item = def->init ? def->init : init_new(m, def, name);
    int64_t *dim = NEW(m->cx, int64_t, t->rank);
    if (t->rank) memcpy(dim, t->dim, sizeof *dim * (size_t)t->rank);
    item->view = (Tensor){.name = item->view.name,
                          .onnx_type = dtypes[t->type].onnx,
                          .type = t->type,
                          .rank = t->rank,
                          .dim = dim,
                          .count = t->count,
                          .data = t->data};
    item->edited = true, item->side = NULL;
    ValueInfo v = value_of_tensor(m, item->view.name, t);
    if (def->input) change_value(m, def->input, &v);
    else if (m->ir_version < 4) model_add_input(m, &v); // there every initializer is an input too
    if (def->value) change_value(m, def->value, &v);
    if (def->output) change_value(m, def->output, &v);
    touch(m);
}

void model_remove_init(Model *m, const char *name) {
    Def *def = doc_find(m->doc, name);
    if (!def || !def->init) return;
    LIST_REMOVE(m->init, m->ninit, &def->init->view);
    def->init = NULL;
    if (def->input) {
        LIST_REMOVE(m->input, m->ninput, &def->input->view);
        def->input = NULL;
    }
    model_remove_value(m, name);
    touch(m);
}

// ---- metadata and names ----

static void emit_meta(WireOut *o, const void *meta) {
    const Meta *e = meta;
    wire_put_string(o, 1, e->key);
    wire_put_string(o, 2, e->value);
}

void model_set_meta(Model *m, const char *key, const char *value) {
    int i = 0;
    while (i < m->nmeta && strcmp(m->meta[i]->key, key)) i++;
    touch(m);
    if (!value) {
        if (i < m->nmeta) LIST_REMOVE(m->meta, m->nmeta, m->meta[i]);
        return;
    }
    if (i == m->nmeta) LIST_INSERT(m, M_META, m->meta, m->nmeta, i, &NEW(m->cx, MetaItem, 1)->view);
    *m->meta[i] = (Meta){own(m, key), own(m, value)};
    item_of(m->meta[i])->bytes = wire_build(m->cx, emit_meta, m->meta[i]);
}

const char *model_fresh_name(Model *m, const char *like) {
    const char *name = own(m, like);
    for (int k = 1; !*name || doc_find(m->doc, name); k++) name = cx_fmt(m->cx, "%s_%d", like, k);
    doc_def(m->doc, name)->label = true; // taken from now on
    return name;
}
