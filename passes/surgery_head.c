// surgery_head.c -- another number of classes: new weights in the head's own form, hidden layers
// before it, and whatever after it counts classes: shapes of values, Reshapes.
#include "surgery_graph.h"

// ---- how far back the head goes ----
static const char *const elementwise[] = {
    "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh",     "Clip", "Softplus",
    "Erf",  "Gelu",      "Mish",  "Add", "Sub",  "Mul",     "Div",         "Dropout",   "Identity", "Cast", NULL};

enum { REGION = 64 };                    // nodes of one activation function, at most

// The one node that is no element-wise operator and that `value` is computed from; NULL: there are several.
static DocNode *sole_source(Model *m, const char *value) {
    DocNode *todo[REGION], *source = NULL, *first = model_producer(m, value);
    int n = 0;
    if (first) todo[n++] = first;
    for (int i = 0; i < n; i++) {
        if (!op_among(todo[i], elementwise)) {
            if (source && source != todo[i]) return NULL;
            source = todo[i];
            continue;
        }
        for (int k = 0; k < todo[i]->nin; k++) {
            Constant c;
            DocNode *up = model_producer(m, todo[i]->in[k]);
            bool known = !todo[i]->in[k][0] || constant_of(m, todo[i]->in[k], &c);
            for (int j = 0; j < n && !known; j++) known = todo[j] == up;
            if (known) continue;
            if (!up || n == REGION) return NULL;
            todo[n++] = up;
        }
    }
    return source;
}

// The features that the first of the classifier's layers reads, and how many they are.
static const char *module_start(Model *m, const Head *h, int64_t *features) {
    const char *x = h->node->in[0], *why;
    Head up;
    for (DocNode *n; (n = sole_source(m, x)) && heads_layer(m, n, &up, &why) && strcmp(up.kind, "Conv") != 0;)
        x = n->in[0], *features = up.in_features;
    return x;
}

// ---- after the head ----
// Which of a value's axes counts classes, or -1. A Conv's is the first after the batch, a matrix product's the last.
static int class_axis(const Head *h, int rank, const int64_t *dim) {
    int found = -1;
    for (int d = rank > 1; d < rank; d++)
        if (dim[d] == h->classes && (found < 0 || strcmp(h->kind, "Conv") != 0)) found = d;
    return found;
}

static void patch_shape(Model *m, const Head *h, const char *name, int64_t classes) {
    const ValueInfo *old = name[0] ? model_value(m, name) : NULL;
    if (!old || old->rank < 1) return;
    int64_t *size = NEW(m->cx, int64_t, old->rank);
    for (int d = 0; d < old->rank; d++) size[d] = old->dim[d].value;
    int axis = class_axis(h, old->rank, size);
    if (axis < 0) return;
    ValueInfo v = *old;
    v.dim = NEW(m->cx, Dim, v.rank);
    memcpy(v.dim, old->dim, sizeof *v.dim * (size_t)v.rank);
    v.dim[axis] = (Dim){.value = classes};
    model_set_value(m, &v);
}

static void patch_reshape(Maker *k, const Head *h, DocNode *n) {
    const AttrValue *a = node_attr(n, "shape");
    const int64_t *old = a && a->kind == ATTR_IS ? a->is : NULL;
    int rank = old          ? a->n
               : n->nin > 1 ? constant_ints(k->m, n->in[1], &old)
                            : -1,
        axis = rank < 0 ? -1 : class_axis(h, rank, old);
    if (rank < 0) return;                                        // computed from the shape of what comes in
    bool open = false;
    for (int d = 0; d < rank; d++) open |= old[d] == -1;
    if (axis < 0 && !open)
        fail(k->m->cx, E_UNSUPPORTED, "%s, after the head, splits the %lld classes in a fixed way",
             node_label(k->m->cx, n), (long long)h->classes);
    if (axis < 0) return;
    int64_t *shape = NEW(k->m->cx, int64_t, rank);
    memcpy(shape, old, sizeof *old * (size_t)rank);
    shape[axis] = k->s->classes;
    if (a) model_set_attr(k->m, n, (NewAttr){.name = "shape", .kind = ATTR_IS, .n = rank, .is = shape});
    else replace_constant(k, n, 1, ints_tensor(k, rank, shape));
}

static void refuse_class_constants(Model *m, const Head *h, const DocNode *n) {
    for (int i = 0; i < n->nin; i++) {
        Constant c;
        if (!n->in[i][0] || !constant_of(m, n->in[i], &c)) continue;
        if (class_axis(h, c.rank, c.dim) >= 0)
            fail(m->cx, E_UNSUPPORTED, "%s, after the head, has numbers of its own for each of the %lld classes",
                 node_label(m->cx, n), (long long)h->classes);
    }
}

static void patch_after(Maker *k, const Head *h) {
    Model *m = k->m;
    if (k->s->classes == h->classes) return;
    patch_shape(m, h, h->node->out[0], k->s->classes);
    const bool *after = depends_on(m, h->node->out[0]);
    int count = 0;
    DocNode **node = NEW(m->cx, DocNode *, m->nnode);            // numbers change while Constants are replaced
    for (int i = 0; i < m->nnode; i++)
        if (after[i]) node[count++] = m->node[i];
    for (int i = 0; i < count; i++) {
        if (op_is(node[i], "Reshape")) patch_reshape(k, h, node[i]);
        else if (node[i] != h->add) refuse_class_constants(m, h, node[i]);
        for (int j = 0; j < node[i]->nout; j++) patch_shape(m, h, node[i]->out[j], k->s->classes);
    }
}

// ---- the head itself ----
static void new_weight(Maker *k, const Head *h, const Constant *old, int64_t features) {
    int64_t dim[MAXDIM];
    bool transposed =
        strcmp(h->kind, "MatMul") == 0 || (strcmp(h->kind, "Gemm") == 0 && !node_int(h->node, "transB", 0));
    memcpy(dim, old->dim, sizeof dim);
    dim[transposed] = k->s->classes, dim[!transposed] = features;
    replace_constant(k, h->node, 1, fresh_tensor(k, old->type, old->rank, dim, usual_bound(features)));
}

static void new_bias(Maker *k, const Head *h, int64_t features) {
    DocNode *user = h->add ? h->add : h->node;
    Constant old;
    if (!constant_of(k->m, h->bias, &old))
        fail(k->m->cx, E_UNSUPPORTED, "the bias of %s is no constant", node_label(k->m->cx, h->node));
    int axis = -1;
    for (int d = 0; d < old.rank; d++)
        if (old.dim[d] == h->classes && (axis < 0 || strcmp(h->kind, "Conv") != 0)) axis = d;
    if (axis < 0) old.rank = 1, axis = 0;                        // one number for all classes
    old.dim[axis] = k->s->classes;
    replace_constant(k, user, h->bias_at, fresh_tensor(k, old.type, old.rank, old.dim, usual_bound(features)));
}

void replace_head(Maker *k, Head *h) {
    Model *m = k->m;
    Constant weight;
    int64_t features = h->in_features;
    bool constant = constant_of(m, h->weight, &weight);
    assert(constant);
    const char *x = k->s->whole_module ? module_start(m, h, &features) : h->node->in[0];
    int at = h->node->index;
    x = add_hidden(k, &at, x, h->kind, weight.rank - 2, weight.type, &features);
    if (strcmp(x, h->node->in[0]) != 0) model_set_input(m, h->node, 0, x);
    if (node_float(h->node, "alpha", 1) != 1) model_remove_attr(m, h->node, "alpha");
    if (node_float(h->node, "beta", 1) != 1) model_remove_attr(m, h->node, "beta");
    new_weight(k, h, &weight, features);
    if (h->bias) new_bias(k, h, features);
    patch_after(k, h);
}

// ---- a head for a feature extractor ----
void append_head(Maker *k) {
    Model *m = k->m;
    const ValueInfo *end = m->output[0];
    const char *x = end->name;
    DType t;
    Shape s = value_shape(m, k->s, x, &t);
    if (s.n < 2 || !dtype_is_float(t))
        fail(m->cx, E_UNSUPPORTED, "output '%s' %s of type %s is no features to classify by", cx_show(m->cx, x),
             shape_str(m->cx, s), dtypes[t].name);
    int at = m->nnode;
    int64_t pixels = 1, features = s.d[1];
    for (int d = 2; d < s.n; d++) pixels *= s.d[d];
    if (pixels > 1) x = add_node(k, &at, "GlobalAveragePool", "head.pool", 1, &x, 0, NULL);
    NewAttr axis = {.name = "axis", .kind = ATTR_I, .i = 1};
    if (s.n > 2) x = add_node(k, &at, "Flatten", "head.flatten", 1, &x, 1, &axis);
    x = add_hidden(k, &at, x, "Gemm", 0, t, &features);
    x = add_linear(k, &at, x, "head", "Gemm", 0, t, features, k->s->classes);
    Dim dim[] = {end->rank > 0 ? end->dim[0] : (Dim){.value = -1}, {.value = k->s->classes}};
    ValueInfo *out = NEW(m->cx, ValueInfo, m->noutput);
    out[0] = (ValueInfo){.name = x, .onnx_type = dtypes[t].onnx, .type = t, .rank = 2, .dim = dim, .kind = "tensor"};
    for (int i = 1; i < m->noutput; i++) out[i] = *m->output[i];
    model_set_outputs(m, m->noutput, out);
}
