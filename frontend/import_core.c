// import_core.c -- constants, shapes, and names for other values.
#include "import.h"

// A tensor inside a node: numbers stay constants, several floats are weights.
static Node *tensor_node(Import *im, const Tensor *t, const char *name) {
    if (t->type == DT_NONE)
        import_fail(im, E_UNSUPPORTED, "a tensor of a type tvc does not compute with (%d)", t->onnx_type);
    if (t->rank > MAXDIM)
        import_fail(im, E_UNSUPPORTED, "a tensor of %d axes; at most %d are supported", t->rank, MAXDIM);
    Shape s = {.n = t->rank};
    for (int d = 0; d < t->rank; d++) s.d[d] = t->dim[d];
    if (s.n == 0 && dtype_is_float(t->type)) return graph_scalar(im->g, t->type, dtype_get_f(t->type, t->data));
    if (s.n == 0) return graph_scalar_i(im->g, t->type, dtype_get_i(t->type, t->data));
    if (dtype_is_float(t->type) && t->count > 1) return graph_param(im->g, name, t->type, s, t->data);
    return graph_const(im->g, t->type, s, t->data);
}

void import_constant(Import *im, const DocNode *n) {
    const AttrValue *a = n->nattr ? &n->attr[0] : NULL;
    for (int i = 1; i < n->nattr && a->kind == ATTR_NONE; i++) a = &n->attr[i];
    Shape one = a ? (Shape){.n = 1, .d = {a->n}} : (Shape){0};
    const char *name = out_wanted(im, 0) ? n->out[0] : NULL;
    switch (a ? a->kind : ATTR_NONE) {
    case ATTR_T: out(im, 0, tensor_node(im, a->t, name)); return;
    case ATTR_F: out(im, 0, graph_scalar(im->g, DT_F32, (double)a->f)); return;
    case ATTR_I: out(im, 0, graph_scalar_i(im->g, DT_I64, a->i)); return;
    case ATTR_IS: out(im, 0, graph_const(im->g, DT_I64, one, a->is)); return;
    case ATTR_FS:
        out(im, 0, a->n > 1 ? graph_param(im->g, name, DT_F32, one, a->fs) : graph_const(im->g, DT_F32, one, a->fs));
        return;
    default: import_fail(im, E_UNSUPPORTED, "a constant of strings, or a sparse one, is not supported");
    }
}

// Large ones are weights, which some models make so: they get a buffer, though no data until the run. What grows with
// the batch (states, masks) is spread where it is used.
enum { WEIGHT_MIN = 64 };

void import_constant_of_shape(Import *im, const DocNode *n) {
    const AttrValue *a = node_attr(n, "value");
    Node *v = graph_scalar(im->g, DT_F32, 0);
    if (a && a->kind == ATTR_T && a->t->count == 1 && a->t->type != DT_NONE)
        v = dtype_is_float(a->t->type) ? graph_scalar(im->g, a->t->type, dtype_get_f(a->t->type, a->t->data))
                                       : graph_scalar_i(im->g, a->t->type, dtype_get_i(a->t->type, a->t->data));
    Shape s = in_shape(im, 0);
    Node *y = s.n ? op1a(im->g, Expand, v, shape_attr(&s)) : v;
    bool weight = dtype_is_float(y->type) && numel(s) > WEIGHT_MIN && !s.batch && !im->fold;
    out(im, 0, weight ? op1(im->g, Keep, y) : y);
}

void import_identity(Import *im, const DocNode *n) { (void)n, out(im, 0, in(im, 0)); }

// Sizes of x in the world where the batch is `batch`.
static void sizes_at(Import *im, Shape x, int64_t batch, int64_t *size) {
    for (int d = 0; d < x.n; d++) size[d] = x.batch == d + 1 ? x.d[d] / im->g->max_batch * batch : x.d[d];
}

static int64_t clamp_axis(int64_t axis, int rank) {
    if (axis < 0) axis += rank;
    return axis < 0 ? 0 : axis > rank ? rank : axis;
}

void import_shape(Import *im, const DocNode *n) {
    (void)n;
    Shape x;
    in_rows(im, 0, &x);
    int64_t here[MAXDIM], there[MAXDIM], start = clamp_axis(attr_int(im, "start", 0), x.n);
    int64_t end = clamp_axis(attr_int(im, "end", x.n), x.n);
    sizes_at(im, x, im->g->max_batch, here), sizes_at(im, x, im->g->max_batch + 1, there);
    out_sizes(im, 0, end > start ? (int)(end - start) : 0, here + start, there + start);
}

void import_size(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    int64_t here = numel(x->shape), there = x->shape.batch ? here / im->g->max_batch * (im->g->max_batch + 1) : here;
    out_sizes(im, 0, -1, &here, &there);
}
