// write.c -- the document with its edits, written back. Parts come in their old order; new items
// stand where their neighbours in the view stand; what nobody touched is copied as it is.
#include "external.h"
#include "sha1.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIDE_ALIGN = 4096, SIDE_LEAST = 1024 }; // in bytes: of weights in a side file; smaller ones stay

typedef struct Moved {
    uint64_t offset;
    bool is;
} Moved;

typedef struct Writer {
    Model *m;
    const char *side_name; // NULL: all new weights stay in the model
    char checksum[SHA1_TEXT];
    Moved *moved; // per initializer of the view
} Writer;

typedef struct Piece {
    const Writer *w;
    const void *item;
    int index;
} Piece; // what emit functions get

// ---- single items ----

static void put_others(WireOut *o, Cx *cx, Bytes bytes, uint64_t left_out) {
    Wire w = wire_open(cx, "", bytes);
    for (Field f; wire_next(&w, &f);)
        if (f.number > 63 || !(left_out >> f.number & 1)) wire_put(o, f.whole);
}

static void emit_node(WireOut *o, const void *piece) {
    const Piece *p = piece;
    const NodeItem *n = p->item;
    for (int i = 0; i < n->view.nin; i++) wire_put_string(o, N_INPUT, n->view.in[i]);
    for (int i = 0; i < n->view.nout; i++) wire_put_string(o, N_OUTPUT, n->view.out[i]);
    put_others(o, p->w->m->cx, n->item.bytes, 1 << N_INPUT | 1 << N_OUTPUT | 1 << N_ATTRIBUTE);
    for (int i = 0; i < n->view.nattr; i++) wire_put_bytes(o, N_ATTRIBUTE, n->attr[i]);
}

typedef struct Entry {
    const char *key, *value;
} Entry;

static void emit_entry(WireOut *o, const void *entry) {
    const Entry *e = entry;
    wire_put_string(o, 1, e->key);
    wire_put_string(o, 2, e->value);
}

static void put_external(WireOut *o, const Writer *w, const Tensor *t, uint64_t offset) {
    char from[24], length[24];
    snprintf(from, sizeof from, "%llu", (unsigned long long)offset);
    snprintf(length, sizeof length, "%llu", (unsigned long long)t->count * (unsigned)dtypes[t->type].bytes);
    Entry e[] = {{"location", w->side_name}, {"offset", from}, {"length", length}, {"checksum", w->checksum}};
    for (size_t i = 0; i < sizeof e / sizeof *e; i++) wire_put_message(o, T_EXTERNAL, emit_entry, &e[i]);
    wire_put_int(o, T_LOCATION, 1);
}

static void emit_init(WireOut *o, const void *piece) {
    const Piece *p = piece;
    const TensorItem *t = p->item;
    const uint64_t data = 1 << T_DIMS | 1 << T_TYPE | 1 << T_SEGMENT | 1 << T_FLOAT | 1 << T_INT32 | 1 << T_STRING |
                          1 << T_INT64 | 1 << T_RAW | 1 << T_DOUBLE | 1 << T_UINT64 | 1 << T_EXTERNAL | 1 << T_LOCATION;
    const Moved *moved = p->w->side_name ? &p->w->moved[p->index] : &(Moved){0};
    for (int i = 0; i < t->view.rank; i++) wire_put_int(o, T_DIMS, t->view.dim[i]);
    wire_put_int(o, T_TYPE, t->view.onnx_type);
    put_others(o, p->w->m->cx, t->item.bytes, data);
    if (moved->is) put_external(o, p->w, &t->view, moved->offset);
    else wire_put_bytes(o, T_RAW, (Bytes){t->view.data, tensor_bytes(&t->view)});
}

// ---- lists of items ----

typedef struct List {
    uint32_t number;
    int n, at, last;
} List; // at: next to write; last: index of its last part

static const void *view_at(const Model *m, uint32_t number, int i) {
    switch (number) {
    case G_NODE: return m->node[i];
    case G_INIT: return m->init[i];
    case G_INPUT: return m->input[i];
    case G_OUTPUT: return m->output[i];
    case G_VALUE: return m->value[i];
    default: return m->meta[i];
    }
}

static void put_item(WireOut *o, const Writer *w, uint32_t number, const Item *item, int index) {
    Piece p = {w, item, index};
    bool node = number == G_NODE && ((const NodeItem *)item)->edited;
    bool init = number == G_INIT && (((const TensorItem *)item)->edited || (w->side_name && w->moved[index].is));
    bool same = item->part && item->bytes.at + item->bytes.n == item->part->whole.at + item->part->whole.n;
    if (node || init) wire_put_message(o, number, node ? emit_node : emit_init, &p);
    else if (same) wire_put(o, item->part->whole);
    else wire_put_bytes(o, number, item->bytes);
}

// New items up to the next that has a place of its own; then, if that is `part`, it too.
static void put_list(WireOut *o, const Writer *w, List *l, const Part *part) {
    for (bool there = false; l->at < l->n && !there; l->at++) {
        const Item *item = item_of(view_at(w->m, l->number, l->at));
        if (item->part && item->part != part) return;
        there = item->part;
        put_item(o, w, l->number, item, l->at);
    }
}

static List *list_of(List *list, int n, uint32_t number) {
    for (int i = 0; i < n; i++)
        if (list[i].number == number) return &list[i];
    return NULL;
}

static void emit_graph(WireOut *o, const void *writer);

static void put_parts(WireOut *o, const Writer *w, const Part *part, int nparts, List *list, int nlists) {
    for (int i = 0; i < nlists; i++) list[i].last = -1;
    for (int i = 0; i < nparts; i++) {
        List *l = list_of(list, nlists, part[i].number);
        if (l) l->last = i;
    }
    for (int i = 0; i < nparts; i++) {
        List *l = list_of(list, nlists, part[i].number);
        if (l) put_list(o, w, l, &part[i]);
        else if (part == w->m->doc->model && part[i].number == M_GRAPH) wire_put_message(o, M_GRAPH, emit_graph, w);
        else wire_put(o, part[i].whole);
        if (l && l->last == i) put_list(o, w, l, NULL);
    }
    for (int i = 0; i < nlists; i++)
        if (list[i].last < 0) put_list(o, w, &list[i], NULL);
}

static void emit_graph(WireOut *o, const void *writer) {
    const Writer *w = writer;
    const Model *m = w->m;
    List list[] = {{.number = G_NODE, .n = m->nnode},
                   {.number = G_INIT, .n = m->ninit},
                   {.number = G_INPUT, .n = m->ninput},
                   {.number = G_OUTPUT, .n = m->noutput},
                   {.number = G_VALUE, .n = m->nvalue}};
    put_parts(o, w, m->doc->graph, m->doc->ngraph, list, 5);
}

static void emit_model(WireOut *o, const void *writer) {
    const Writer *w = writer;
    List list[] = {{.number = M_META, .n = w->m->nmeta}};
    put_parts(o, w, w->m->doc->model, w->m->doc->nmodel, list, 1);
}

// ---- weights that go to a side file ----

static bool movable(const TensorItem *t) { return !t->side && t->view.type && tensor_bytes(&t->view) >= SIDE_LEAST; }

static void put_hashed(OutFile *f, Sha1 *h, const void *data, size_t n) {
    file_write(f, data, n);
    sha1_add(h, data, n);
}

// All initializers that lie in the model, one after the other, each from a page's start.
static void write_side(Writer *w, OutFile *f) {
    static const uint8_t zeros[SIDE_ALIGN];
    const Model *m = w->m;
    Sha1 hash = sha1_start();
    w->moved = NEW(m->cx, Moved, m->ninit);
    for (int i = 0; i < m->ninit; i++) {
        const TensorItem *t = tensor_item(m->init[i]);
        if (!movable(t)) continue;
        put_hashed(f, &hash, zeros, (size_t)(-file_written(f) % SIDE_ALIGN));
        w->moved[i] = (Moved){file_written(f), true};
        put_hashed(f, &hash, t->view.data, tensor_bytes(&t->view));
    }
    sha1_text(&hash, w->checksum);
}

// "OUT.data", or another name if the document refers to that.
static const char *side_name(const Model *m, const char *base) {
    for (int k = 0;; k++) {
        const char *name = k ? cx_fmt(m->cx, "%s.data%d", base, k) : cx_fmt(m->cx, "%s.data", base);
        const SideFile *s = m->doc->side;
        while (s && strcmp(s->location, name)) s = s->next;
        if (!s) return name;
    }
}

// ---- side files the document refers to ----

typedef struct Copying {
    Model *m;
    int folder; // OUT's
    bool same;  // it is the model's own: nothing to copy, all to check
    const char *base, *path;
    OutFile **file; // in the making
    int n;
    const char **done; // locations
    int ndone;
} Copying;

// The folder of `location` below OUT's, made if need be; *base gets the last component.
static int make_folders(Copying *c, const char *location, const char **base) {
    Cx *cx = c->m->cx;
    int at = c->folder;
    for (const char *slash; (slash = strchr(location, '/')); location = slash + 1) {
        const char *name = cx_str(cx, location, (size_t)(slash - location));
        if (mkdirat(at, name, 0777) && errno != EEXIST)
            fail(cx, E_IO, "%s: cannot make folder '%s': %s", cx_show(cx, c->path), cx_show(cx, name), strerror(errno));
        int *fd = file_descriptor(cx);
        *fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (*fd < 0) fail(cx, E_IO, "%s: folder '%s': %s", cx_show(cx, c->path), cx_show(cx, name), strerror(errno));
        at = *fd;
    }
    *base = location;
    return at;
}

static bool same_file(int a, int b) {
    struct stat s, t;
    return !fstat(a, &s) && !fstat(b, &t) && s.st_dev == t.st_dev && s.st_ino == t.st_ino;
}

static void copy_side(Copying *c, const SideFile *s) {
    Cx *cx = c->m->cx;
    for (int i = 0; i < c->ndone; i++)
        if (!strcmp(c->done[i], s->location)) return;
    *VEC_PUSH(cx, c->done, c->ndone) = s->location;
    if (!strcmp(s->location, c->base))
        fail(cx, E_IO, "%s: the model keeps weights in a side file of that name", cx_show(cx, c->path));
    if (c->same) return;
    const char *base;
    int folder = make_folders(c, s->location, &base);
    OutFile *f = file_create_at(cx, folder, base, s->location);
    file_write(f, s->bytes.at, s->bytes.n);
    *VEC_PUSH(cx, c->file, c->n) = f;
}

// A tensor outside the list of initializers: in an attribute, a subgraph, a function.
static void copy_for_tensor(void *copying, const Wire *tensor) {
    Copying *c = copying;
    bool initializer = tensor->up->up && !tensor->up->up->up && !strcmp(tensor->name, "initializer[]");
    Wire w = *tensor;
    External e = {0};
    bool external = false;
    for (Field f; wire_next(&w, &f);) {
        if (f.number == T_EXTERNAL) external_entry(c->m->doc, tensor, &f, &e);
        if (f.number == T_LOCATION) external = wire_int(&w, &f, "data_location") == 1;
    }
    SideFile *s;
    if (!external || initializer) return;
    external_data(c->m->doc, tensor, &e, &s, -1);
    copy_side(c, s);
}

static void copy_sides(Copying *c) {
    Model *m = c->m;
    for (int i = 0; i < m->ninit; i++)
        if (tensor_item(m->init[i])->side) copy_side(c, tensor_item(m->init[i])->side);
    wire_scan(wire_open(m->cx, m->path, m->doc->bytes), MSG_MODEL, MSG_TENSOR, copy_for_tensor, c);
}

// ---- the whole ----

static void write_document(Writer *w, OutFile *f) {
    WireOut o = {.file = f};
    if (w->m->doc->edited || w->side_name) emit_model(&o, w);
    else wire_put(&o, w->m->doc->bytes);
}

Bytes model_bytes(Model *m) {
    model_order(m);
    return m->doc->edited ? wire_build(m->cx, emit_model, &(Writer){.m = m}) : m->doc->bytes;
}

void model_write(Model *m, const char *path) {
    Cx *cx = m->cx;
    Writer w = {.m = m};
    Copying c = {.m = m, .path = path};
    model_order(m); // an edit may have left a value without a producer
    c.folder = file_folder(cx, path, &c.base);
    c.same = same_file(c.folder, doc_folder(m->doc));
    copy_sides(&c);
    OutFile *out = file_create_at(cx, c.folder, c.base, path);
    if (m->doc->edited && wire_size(emit_model, &w) > (uint64_t)m->inline_limit) {
        const char *name = side_name(m, c.base);
        OutFile *side = file_create_at(cx, c.folder, name, name);
        write_side(&w, side);
        w.side_name = name;
        *VEC_PUSH(cx, c.file, c.n) = side;
    }
    write_document(&w, out);
    *VEC_PUSH(cx, c.file, c.n) = out; // last: what it refers to is there before it
    for (int i = 0; i < c.n; i++) file_sync(c.file[i]);
    for (int i = 0; i < c.n; i++) file_commit(c.file[i]);
}
