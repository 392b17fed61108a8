// import.c -- builds the graph of a whole document: inputs, weights, then node by node through the rows.
#include "import_values.h"
#include "names.h"

// ---- rows ----

typedef struct Row { const char *op; int64_t from, to; ImportFn *fn; } Row;

static const Row rows[] = {
#define ROW(op, from, to, fn) {op, from, to, import_##fn},
#include "import_rows.h"
};
enum { NROWS = sizeof rows / sizeof *rows };

// By operator: its first row. Rows of one operator stand together.
static void index_rows(Import *im) {
    for (int i = 0; i < NROWS; i++)
        if (!names_get(im->rows, rows[i].op)) names_put(im->cx, im->rows, rows[i].op, (void *)(uintptr_t)&rows[i]);
}

static bool has_subgraph(const DocNode *n) {
    for (int i = 0; i < n->nattr; i++)
        if (n->attr[i].kind == ATTR_G || n->attr[i].kind == ATTR_GS) return true;
    return false;
}

static bool is_local_function(const Model *m, const DocNode *n) {
    for (int i = 0; i < m->nfunction; i++)
        if (!strcmp(m->function[i].name, n->op) && !strcmp(m->function[i].domain, n->domain)) return true;
    return false;
}

static ImportFn *row_for(Import *im, const DocNode *n) {
    if (is_local_function(im->m, n)) import_fail(im, E_UNSUPPORTED, "local functions are not supported");
    if (has_subgraph(n)) import_fail(im, E_UNSUPPORTED, "operators with subgraphs are not supported");
    const char *key = *n->domain ? cx_fmt(im->cx, "%s:%s", n->domain, n->op) : n->op;
    const Row *row = names_get(im->rows, key);
    for (; row && row < rows + NROWS && !strcmp(row->op, key); row++)
        if (im->opset >= row->from && im->opset <= row->to) return row->fn;
    import_fail(im, E_UNSUPPORTED, "operator %s of opset %lld is not supported", cx_show(im->cx, key),
                (long long)im->opset);
}

// ---- values by name ----

static Shape shape_of(Import *im, const char *what, const Tensor *t) {
    if (t->rank > MAXDIM)
        fail(im->cx, E_UNSUPPORTED, "%s '%s' has %d axes; at most %d are supported", what, cx_show(im->cx, t->name),
             t->rank, MAXDIM);
    Shape s = {.n = t->rank};
    for (int d = 0; d < t->rank; d++) s.d[d] = t->dim[d];
    return s;
}

static Node *weight(Import *im, const char *name, const Tensor *t) {
    if (t->type == DT_NONE)
        fail(im->cx, E_UNSUPPORTED, "initializer '%s' is of a type tvc does not compute with (%d)",
             cx_show(im->cx, name), t->onnx_type);
    Shape s = shape_of(im, "initializer", t);
    if (dtype_is_float(t->type)) return graph_param(im->g, name, t->type, s, t->data);
    if (s.n == 0) return graph_scalar_i(im->g, t->type, dtype_get_i(t->type, t->data));
    Node *n = graph_const(im->g, t->type, s, t->data);
    n->name = name;
    return n;
}

static Value *add_value(Import *im, const char *name, Node *n) {
    Value *v = NEW(im->cx, Value, 1);
    v->node = n;
    names_put(im->cx, im->names, name, v);
    return v;
}

Value *import_value(Import *im, const char *name) {
    Value *v = names_get(im->names, name);
    if (v) return v;
    const Tensor *t = model_init(im->m, name);
    if (t) return add_value(im, name, weight(im, name, t));
    if (im->n)
        import_fail(im, E_UNSUPPORTED, "its input '%s' is a sparse initializer or missing", cx_show(im->cx, name));
    fail(im->cx, E_UNSUPPORTED, "'%s' is a sparse initializer or missing", cx_show(im->cx, name));
}

// ---- inputs ----

static const ShapeChoice *choice_for(const Import *im, const char *name) {
    for (int i = 0; i < im->o->nshape; i++)
        if (!strcmp(im->o->shape[i].input, name)) return &im->o->shape[i];
    return NULL;
}

static bool is_open(Dim d) { return d.value <= 0; }

// Outermost sizes written as 1 are free too, unless some input says which ones are by leaving its own open.
static bool ones_are_free(const Model *m) {
    for (int i = 0; i < m->ninput; i++) {
        const ValueInfo *v = m->input[i];
        if (!model_init(m, v->name) && v->rank > 0 && is_open(v->dim[0])) return false;
    }
    return true;
}

static int64_t open_size(Import *im, const ValueInfo *v, int d) {
    if (d == 0) return 1;
    bool image = v->rank == 4 && d >= 2 && v->dim[1].value > 0 && v->dim[1].value <= 4;
    if (image) {
        cx_note(im->cx, "input '%s' leaves axis %d open: 224 is assumed (--shape %s=... sets it)",
                cx_show(im->cx, v->name), d, cx_show(im->cx, v->name));
        return 224;
    }
    fail(im->cx, E_UNSUPPORTED, "input '%s' leaves axis %d%s%s open: give it as --shape %s=...",
         cx_show(im->cx, v->name), d, v->dim[d].param ? " " : "",
         v->dim[d].param ? cx_show(im->cx, v->dim[d].param) : "", cx_show(im->cx, v->name));
}

static int64_t input_size(Import *im, const ValueInfo *v, const ShapeChoice *c, int d) {
    if (v->rank < 0) return c->dim[d];
    if (c && v->dim[d].value > 0 && c->dim[d] != v->dim[d].value)
        fail(im->cx, E_USAGE, "input '%s': axis %d is %lld in the model, not %lld", cx_show(im->cx, v->name), d,
             (long long)v->dim[d].value, (long long)c->dim[d]);
    if (!is_open(v->dim[d])) return v->dim[d].value;
    return c && c->dim[d] >= 0 ? c->dim[d] : open_size(im, v, d);
}

static Shape input_shape(Import *im, const ValueInfo *v, bool one_is_free) {
    const ShapeChoice *c = choice_for(im, v->name);
    if (v->rank < 0 && !c)
        fail(im->cx, E_UNSUPPORTED, "input '%s' has no shape in the model: give it as --shape %s=...",
             cx_show(im->cx, v->name), cx_show(im->cx, v->name));
    int rank = v->rank < 0 ? c->rank : v->rank;
    if (c && c->rank != rank)
        fail(im->cx, E_USAGE, "input '%s' has %d axes, not %d", cx_show(im->cx, v->name), rank, c->rank);
    if (rank > MAXDIM)
        fail(im->cx, E_UNSUPPORTED, "input '%s' has %d axes; at most %d are supported", cx_show(im->cx, v->name), rank,
             MAXDIM);
    Shape s = {.n = rank};
    for (int d = 0; d < rank; d++) s.d[d] = input_size(im, v, c, d);
    bool open =
        v->rank > 0 && is_open(v->dim[0]) && (!c || c->dim[0] == 1 || c->dim[0] < 0 || c->dim[0] == im->g->max_batch);
    bool one = one_is_free && rank > 1 && s.d[0] == 1;
    if (im->g->max_batch > 1 && (open || one)) s.d[0] = im->g->max_batch, s.batch = 1;
    return s;
}

static const Tensor *given_for(const Import *im, const char *name) {
    for (int k = 0; k < im->o->ngiven; k++)
        if (!strcmp(im->o->given[k].input, name)) return im->o->given[k].value;
    return NULL;
}

static void add_inputs(Import *im) {
    bool one_is_free = ones_are_free(im->m);
    for (int i = 0; i < im->m->ninput; i++) {
        const ValueInfo *v = im->m->input[i];
        if (model_init(im->m, v->name)) continue;
        if (strcmp(v->kind, "tensor"))
            fail(im->cx, E_UNSUPPORTED, "input '%s' is no tensor (%s)", cx_show(im->cx, v->name), v->kind);
        if (v->type == DT_NONE)
            fail(im->cx, E_UNSUPPORTED, "input '%s' is of a type tvc does not compute with (%d)",
                 cx_show(im->cx, v->name), v->onnx_type);
        const Tensor *given = given_for(im, v->name);
        Shape shape = given ? shape_of(im, "input", given) : input_shape(im, v, one_is_free);
        Node *x = graph_input(im->g, v->name, v->type, shape);
        if (given && given->type == v->type) x->data = given->data;
        add_value(im, v->name, x);
    }
}

// ---- for rows: inputs, outputs, attributes ----

void import_fail(Import *im, Err code, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fail(im->cx, code, "%s", text);                      // Cx.doing names the node
}

bool in_given(Import *im, int k) { return k < im->n->nin && *im->n->in[k]; }

Node *in(Import *im, int k) {
    if (!in_given(im, k)) import_fail(im, E_MALFORMED, "its input %d is missing", k);
    Value *v = import_value(im, im->n->in[k]);
    if (v->joined)
        import_fail(im, E_UNSUPPORTED,
                    "its input '%s' joins the batch with axes outside it: only --batch 1 allows that",
                    cx_show(im->cx, im->n->in[k]));
    if (im->fold) return im->world && v->twin ? v->twin : known_eval(im, v->node);
    return known_as_data(im, v, im->n->in[k]);
}

Node *in_rows(Import *im, int k, Shape *document) {
    const Shape *joined = in_given(im, k) ? import_value(im, im->n->in[k])->joined : NULL;
    Node *n = joined ? import_value(im, im->n->in[k])->node : in(im, k);
    *document = joined ? *joined : n->shape;
    return n;
}

Node *in_or(Import *im, int k, Node *otherwise) { return in_given(im, k) ? in(im, k) : otherwise; }

bool out_wanted(Import *im, int k) { return k < im->n->nout && *im->n->out[k]; }

void out(Import *im, int k, Node *value) {
    if (!out_wanted(im, k)) return;
    if (im->world) im->made[k].twin = value;
    else im->made[k].node = value;
}

void out_rows(Import *im, int k, Node *apart, Shape document) {
    out(im, k, apart);
    if (same_dims(apart->shape, document) || !out_wanted(im, k)) return;
    im->made[k].joined = memcpy(NEW(im->cx, Shape, 1), &document, sizeof document);
}

void out_sizes(Import *im, int k, int n, const int64_t *here, const int64_t *there) {
    if (!out_wanted(im, k)) return;
    im->made[k].node = known_sizes(im, n, here);
    im->made[k].twin = memcmp(here, there, sizeof *here * (size_t)(n < 0 ? 1 : n)) ? known_sizes(im, n, there) : NULL;
}

int64_t attr_int(Import *im, const char *name, int64_t otherwise) { return node_int(im->n, name, otherwise); }

double attr_float(Import *im, const char *name, double otherwise) {
    const AttrValue *a = node_attr(im->n, name);
    return a && a->kind == ATTR_F ? (double)a->f : otherwise;
}

const char *attr_string(Import *im, const char *name, const char *otherwise) {
    return node_string(im->n, name, otherwise);
}

int attr_ints(Import *im, const char *name, const int64_t **v) {
    const AttrValue *a = node_attr(im->n, name);
    if (!a) return -1;
    if (a->kind != ATTR_IS) import_fail(im, E_MALFORMED, "its attribute '%s' is no list of integers", name);
    *v = a->is;
    return a->n;
}

int attr_axis(Import *im, const char *name, int64_t otherwise, int rank) {
    int64_t axis = attr_int(im, name, otherwise), at = axis < 0 ? axis + rank : axis;
    if (at < 0 || at >= rank)
        import_fail(im, E_MALFORMED, "%s %lld is outside a tensor of %d axes", name, (long long)axis, rank);
    return (int)at;
}

// ---- node by node ----

static void call(Import *im, ImportFn *fn, int world, bool fold) {
    im->world = world, im->fold = fold;
    fn(im, im->n);
    im->world = 0, im->fold = false;
}

// Is everything the node reads known? Single weights count as known beside numbers that are: scales of sizes.
static bool all_known(Import *im, bool *twins) {
    bool some = false;
    *twins = false;
    for (int k = 0; k < im->n->nin; k++) {
        if (!in_given(im, k)) continue;
        const Value *v = import_value(im, im->n->in[k]);
        bool single = v->node->op == OP_Param && v->node->data && numel(v->node->shape) == 1;
        if (!is_known(v->node) && !single) return false;
        some |= !single, *twins |= v->twin != NULL;
    }
    return some;
}

// Compute the outputs of a node whose inputs are known. False: leave it to the graph (too large, random, or its very
// shape depends on the batch).
static bool fold(Import *im, ImportFn *fn, bool twins) {
    call(im, fn, 0, true);
    if (twins) call(im, fn, 1, true);
    for (int k = 0; k < im->n->nout; k++) {
        Value *v = &im->made[k];
        if (!v->node) continue;
        if (!(v->node = known_eval(im, v->node))) return false;
        if (v->twin && !(v->twin = known_eval(im, v->twin))) return false;
        if (v->twin && !same_dims(v->node->shape, v->twin->shape)) return false;
        if (v->twin && known_same(v->node, v->twin)) v->twin = NULL;
    }
    return true;
}

// Everything new under n comes from this document node.
static void mark(Import *im, Node *n, const char *name) {
    CxMark before = cx_mark(im->cx);
    Node **todo = NULL;
    int count = 0, cap = 0, doc = im->n->index + 1;
    if (!n->name) n->name = name;
    *STACK_PUSH(im->cx, todo, count, cap) = n;
    while (count) {
        Node *x = todo[--count];
        if (x->doc || op_is_leaf(x)) continue;
        x->doc = doc;
        for (int k = 0; k < x->nin; k++) *STACK_PUSH(im->cx, todo, count, cap) = x->in[k];
    }
    cx_release(im->cx, before);
}

static void keep_outputs(Import *im) {
    for (int k = 0; k < im->n->nout; k++) {
        if (!out_wanted(im, k)) continue;
        const char *name = im->n->out[k];
        if (!im->made[k].node)
            import_fail(im, E_UNSUPPORTED, "its output %d, '%s', is not supported", k, cx_show(im->cx, name));
        mark(im, im->made[k].node, name);
        Value *v = add_value(im, name, im->made[k].node);
        v->twin = im->made[k].twin, v->joined = im->made[k].joined;
    }
}

static void announce(Import *im, const char *model) {
    CxMark mark_ = cx_mark(im->cx);
    snprintf(im->doing, sizeof im->doing, "%s: %s", model, node_label(im->cx, im->n));
    cx_release(im->cx, mark_);
}

static void import_node(Import *im, const DocNode *n, const char *model) {
    im->n = n, im->opset = model_opset(im->m, n->domain);
    if (im->opset == 0) im->opset = 1;                   // files older than opset imports
    announce(im, model);
    ImportFn *fn = row_for(im, n);
    im->made = NEW(im->cx, Value, n->nout);
    bool twins;
    if (!all_known(im, &twins) || !fold(im, fn, twins)) {
        memset(im->made, 0, sizeof *im->made * (size_t)n->nout);
        call(im, fn, 0, false);
    }
    keep_outputs(im);
}

static void add_root(Import *im, const char *name) {
    const Value *v = import_value(im, name);
    if (v->joined)
        fail(im->cx, E_UNSUPPORTED, "'%s' joins the batch with axes outside it: only --batch 1 allows that",
             cx_show(im->cx, name));
    graph_root(im->g, name, known_as_data(im, v, name), NULL, 1);
}

static void add_roots(Import *im) {
    im->n = NULL;
    for (int i = 0; i < im->m->noutput; i++) add_root(im, im->m->output[i]->name);
    for (int i = 0; im->o->keep && im->o->keep[i]; i++) {
        const Value *v = import_value(im, im->o->keep[i]);
        if (im->o->kept) im->o->kept[i] = (Kept){v->joined ? *v->joined : v->node->shape, v->twin != NULL};
        else if (!v->joined && !v->twin) add_root(im, im->o->keep[i]);
    }
}

// Does n make one number of several samples?
static bool mixes_samples(const Node *n) {
    int d = n->nin ? n->in[0]->shape.batch - 1 : -1;
    if (d < 0) return false;
    if (n->op == OP_MatMul) return d == n->in[0]->shape.n - 1;
    bool reduces = (n->op >= OP_ReduceSum && n->op <= OP_ReduceMean) || n->op == OP_Softmax || n->op == OP_LogSoftmax;
    for (int i = 0; reduces && i < n->attr.n; i++)
        if (n->attr.i[i] == d) return true;
    return false;
}

// A batch written as 1 may grow only where samples stay apart; one left open is the model's to mix.
static void check_apart(Import *im) {
    Graph *g = im->g;
    if (g->max_batch == 1 || !ones_are_free(im->m)) return;
    graph_sort(g);
    for (int i = 0; i < g->norder; i++)
        if (mixes_samples(g->order[i]))
            fail(im->cx, E_UNSUPPORTED,
                 "%s works across the batch of 1 that the model is written for: only --batch 1 allows that",
                 g->order[i]->doc ? node_label(im->cx, im->m->node[g->order[i]->doc - 1]) : "it");
}

Graph *model_import(Model *m, const ImportOptions *o) {
    Import *im = NEW(m->cx, Import, 1);
    *im = (Import){.cx = m->cx, .g = graph_new(m->cx, o->max_batch > 1 ? o->max_batch : 1), .m = m, .o = o};
    im->names = NEW(m->cx, Names, 1), im->rows = NEW(m->cx, Names, 1);
    const char *before = m->cx->doing, *model = cx_show(m->cx, m->path);
    size_t used = m->cx->used, limit = cx_allow(m->cx, m->memory);
    const int *order = model_order(m);
    index_rows(im);
    m->cx->doing = model;
    add_inputs(im);
    m->cx->doing = im->doing;
    for (int i = 0; i < m->nnode; i++) import_node(im, m->node[order[i]], model);
    m->cx->doing = model;
    add_roots(im);
    check_apart(im);
    m->cx->doing = before, m->cx->limit = limit;
    im->g->file = model;
    im->g->memory = m->cx->used - used < m->memory ? m->memory - (m->cx->used - used) : 1;
    return im->g;
}
