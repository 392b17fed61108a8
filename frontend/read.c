// read.c -- a file becomes a Model: mapped, scanned whole for damage, then shown part by part.
#include "document.h"
#include <onnx.pb-c.h>

// ---- memory and strings within bounds ----

void doc_check(Document *d, size_t bytes) {
    if (d->cx->used > d->allowed || bytes > d->allowed - d->cx->used)
        fail(d->cx, E_LIMIT, "%s: its many small parts would need more memory than a file of %zu bytes may take",
             cx_show(d->cx, d->file), d->bytes.n);
}

void *doc_alloc(Document *d, size_t n, size_t size) {
    size_t bytes = ck_mul(d->cx, n, size);
    doc_check(d, bytes);
    return cx_alloc(d->cx, bytes);
}

char *doc_string(Document *d, Bytes s) {
    enum { POOL = 1 << 14 };
    char *p;
    if (s.n >= POOL / 4) {
        p = doc_alloc(d, s.n + 1, 1);
    } else {
        if (s.n + 1 > d->pool_left) d->pool = doc_alloc(d, d->pool_left = POOL, 1);
        p = d->pool;
        d->pool += s.n + 1, d->pool_left -= s.n + 1;
    }
    memcpy(p, s.at, s.n);
    return p;
}

const char *doc_name(Document *d, const Wire *w, const Field *f, const char *name) {
    Bytes s = wire_bytes(w, f, name);
    if (!s.n) return "";
    if (memchr(s.at, 0, s.n)) wire_damage(w, f->whole.at, name, "holds a NUL byte");
    return doc_string(d, s);
}

static void *pb_alloc(void *document, size_t n) {
    Document *d = document;
    return d->cx->used > d->allowed || n > d->allowed - d->cx->used ? NULL : cx_alloc(d->cx, n);
}

static void pb_free(void *document, void *p) { (void)document, (void)p; }

ProtobufCMessage *doc_unpack(Document *d, const Wire *w, const ProtobufCMessageDescriptor *type) {
    ProtobufCAllocator a = {pb_alloc, pb_free, d};
    ProtobufCMessage *m = protobuf_c_message_unpack(type, &a, (size_t)(w->end - w->begin), w->begin);
    if (!m) wire_damage(w, w->begin, NULL, "is no %s, or one too large to read", type->short_name);
    return m;
}

// ---- parts ----

// The fields of a message in file order.
static Part *list_parts(Document *d, const Wire *whole, int *n) {
    size_t count = 0;
    Field f;
    for (Wire w = *whole; wire_next(&w, &f);) count++;
    if (count > INT32_MAX) fail(d->cx, E_LIMIT, "%s: %zu parts", cx_show(d->cx, d->file), count);
    Part *part = DOC_NEW(d, Part, count);
    Wire w = *whole;
    for (*n = 0; wire_next(&w, &f); ++*n) part[*n] = (Part){.whole = f.whole, .number = f.number};
    return part;
}

static int count_of(const Part *part, int n, uint32_t number) {
    int k = 0;
    for (int i = 0; i < n; i++) k += part[i].number == number;
    return k;
}

// ---- ModelProto ----

static void read_opset(Document *d, const Wire *w, const Field *f, OpsetId *o) {
    Wire in = wire_into(w, f, "opset_import[]");
    Onnx__OperatorSetIdProto *p = (void *)doc_unpack(d, &in, &onnx__operator_set_id_proto__descriptor);
    bool standard = !p->domain || !strcmp(p->domain, "ai.onnx");
    *o = (OpsetId){standard ? "" : p->domain, p->has_version ? p->version : 0};
}

static void read_function(Document *d, const Wire *w, const Field *f, FunctionId *fn) {
    Wire in = wire_into(w, f, "functions[]");
    *fn = (FunctionId){"", ""};
    for (Field g; wire_next(&in, &g);) {
        if (g.number == 1) fn->name = doc_name(d, &in, &g, "name");
        if (g.number == 10) fn->domain = doc_name(d, &in, &g, "domain");
    }
}

// An item of the view, tied to its part.
static void *item_new(Document *d, Part *part, size_t size) {
    Item *item = doc_alloc(d, 1, size);
    item->part = part;
    part->item = true;
    return item;
}

static Meta *read_meta_part(Document *d, const Wire *w, const Field *f, Part *part) {
    Wire in = wire_into(w, f, "metadata_props[]");
    MetaItem *item = item_new(d, part, sizeof *item);
    read_meta(d, &in, item);
    return &item->view;
}

static void allocate_model(Document *d, Model *m) {
    m->opset = DOC_NEW(d, OpsetId, count_of(d->model, d->nmodel, M_OPSET));
    m->meta = DOC_NEW(d, Meta *, count_of(d->model, d->nmodel, M_META));
    m->function = DOC_NEW(d, FunctionId, count_of(d->model, d->nmodel, M_FUNCTION));
}

// Reads all but the graph, which is left in *graph.
static bool read_top(Document *d, Model *m, const Wire *whole, Field *graph) {
    Wire w = *whole;
    Part *part = d->model;
    bool found = false;
    for (Field f; wire_next(&w, &f); part++) switch (f.number) {
        case M_IR: m->ir_version = wire_int(&w, &f, "ir_version"); break;
        case M_PRODUCER: m->producer = doc_name(d, &w, &f, "producer_name"); break;
        case M_OPSET: read_opset(d, &w, &f, &m->opset[m->nopset++]); break;
        case M_META: m->meta[m->nmeta++] = read_meta_part(d, &w, &f, part); break;
        case M_FUNCTION: read_function(d, &w, &f, &m->function[m->nfunction++]); break;
        case M_GRAPH:
            if (found) wire_damage(&w, f.whole.at, "graph", "a second one");
            *graph = f, found = true;
            break;
        default: break;
        }
    return found;
}

static void note_newer(const Model *m) {
    const char *file = cx_show(m->cx, m->path);
    int64_t opset = model_opset(m, "");
    if (m->ir_version > NEWEST_IR)
        cx_note(m->cx, "%s: is of IR version %lld; versions up to %d are known, so something in it may go unread", file,
                (long long)m->ir_version, NEWEST_IR);
    if (opset > NEWEST_OPSET)
        cx_note(m->cx, "%s: is of opset %lld; operators are computed as in opset %d, the newest known", file,
                (long long)opset, NEWEST_OPSET);
}

// ---- GraphProto ----

static ValueInfo *read_value_part(Document *d, const Wire *w, const Field *f, Part *part, const char *name) {
    Wire in = wire_into(w, f, name);
    ValueItem *item = item_new(d, part, sizeof *item);
    read_value(d, &in, item);
    return &item->view;
}

static DocNode *read_node_part(Document *d, const Wire *w, const Field *f, Part *part, int index) {
    Wire in = wire_into(w, f, "node[]");
    NodeItem *item = item_new(d, part, sizeof *item);
    read_node(d, &in, item);
    item->view.index = index;
    return &item->view;
}

static Tensor *read_init_part(Document *d, const Wire *w, const Field *f, Part *part) {
    Wire in = wire_into(w, f, "initializer[]");
    TensorItem *item = item_new(d, part, sizeof *item);
    read_tensor(d, &in, item);
    if (!*item->view.name) wire_damage(&in, in.begin, "name", "is missing");
    return &item->view;
}

// The name of a sparse initializer is that of its values.
static const char *read_sparse_part(Document *d, const Wire *w, const Field *f) {
    Wire in = wire_into(w, f, "sparse_initializer[]");
    for (Field g; wire_next(&in, &g);) {
        if (g.number != 1) continue;
        Wire values = wire_into(&in, &g, "values");
        for (Field h; wire_next(&values, &h);)
            if (h.number == 8) return doc_name(d, &values, &h, "name");
    }
    return "";
}

static void allocate_graph(Document *d, Model *m) {
    m->node = DOC_NEW(d, DocNode *, count_of(d->graph, d->ngraph, G_NODE));
    m->init = DOC_NEW(d, Tensor *, count_of(d->graph, d->ngraph, G_INIT));
    m->input = DOC_NEW(d, ValueInfo *, count_of(d->graph, d->ngraph, G_INPUT));
    m->output = DOC_NEW(d, ValueInfo *, count_of(d->graph, d->ngraph, G_OUTPUT));
    m->value = DOC_NEW(d, ValueInfo *, count_of(d->graph, d->ngraph, G_VALUE));
    m->sparse = DOC_NEW(d, const char *, count_of(d->graph, d->ngraph, G_SPARSE));
}

static void read_graph(Document *d, Model *m, const Wire *whole) {
    d->graph = list_parts(d, whole, &d->ngraph);
    allocate_graph(d, m);
    Wire w = *whole;
    Part *part = d->graph;
    for (Field f; wire_next(&w, &f); part++) switch (f.number) {
        case G_NODE: m->node[m->nnode] = read_node_part(d, &w, &f, part, m->nnode), m->nnode++; break;
        case G_NAME: m->graph_name = doc_name(d, &w, &f, "name"); break;
        case G_INIT: m->init[m->ninit++] = read_init_part(d, &w, &f, part); break;
        case G_INPUT: m->input[m->ninput++] = read_value_part(d, &w, &f, part, "input[]"); break;
        case G_OUTPUT: m->output[m->noutput++] = read_value_part(d, &w, &f, part, "output[]"); break;
        case G_VALUE: m->value[m->nvalue++] = read_value_part(d, &w, &f, part, "value_info[]"); break;
        case G_SPARSE: m->sparse[m->nsparse++] = read_sparse_part(d, &w, &f); break;
        default: break;
        }
}

// ---- the whole ----

Document *document_new(Cx *cx, const char *path, Bytes bytes) {
    Document *d = NEW(cx, Document, 1);
    size_t more = ck_add(cx, (size_t)48 << 20, ck_mul(cx, bytes.n, 3));
    *d = (Document){.cx = cx, .file = path, .bytes = bytes, .folder = -1, .allowed = ck_add(cx, cx->used, more)};
    return d;
}

Model *model_read_bytes(Cx *cx, const char *path, Bytes bytes) {
    path = cx_str(cx, path, strlen(path));
    if (!bytes.n) fail(cx, E_MALFORMED, "%s: is empty", cx_show(cx, path));
    Document *d = document_new(cx, path, bytes);
    Model *m = NEW(cx, Model, 1);
    *m = (Model){.cx = cx,
                 .path = path,
                 .producer = "",
                 .graph_name = "",
                 .inline_limit = INT32_MAX,
                 .file_bytes = (int64_t)bytes.n,
                 .doc = d};
    Wire w = wire_open(cx, path, bytes);
    wire_scan(w, MSG_MODEL, MSG_LEAF, NULL, NULL);
    d->model = list_parts(d, &w, &d->nmodel);
    allocate_model(d, m);
    Field graph;
    if (!read_top(d, m, &w, &graph))
        fail(cx, E_MALFORMED, "%s: holds no graph: is it an ONNX model?", cx_show(cx, path));
    note_newer(m);
    Wire g = wire_into(&w, &graph, "graph");
    read_graph(d, m, &g);
    check_names(m);
    model_order(m);
    m->memory = d->allowed > cx->used ? d->allowed - cx->used : 1;
    d->allowed = SIZE_MAX; // edits are ours
    return m;
}

Model *model_read(Cx *cx, const char *path) {
    Bytes mapped = file_map(cx, path);
    Model *m = model_read_bytes(cx, path, mapped);
    m->doc->mapped = mapped;
    return m;
}

void model_rest(const Model *m) { file_rest(m->doc->mapped); }
