// import_known.c -- numbers the model computes about shapes, worked out while importing.
#include "import_values.h"
#include "../ir/op.h"

enum {
    FOLDED_MAX = 16 << 20,            // bytes of constants computed for one document
    ROOMS_MAX = 32 << 20,             // bytes of tables its rows compute
    WORK_MAX = 1 << 28,               // element visits spent on them
    CONE_MAX = 64,                    // nodes computed at once
};

bool is_known(const Node *n) { return n->op == OP_Const && numel(n->shape) <= KNOWN_MAX; }

// ---- reading constants ----

static double real_at(const Node *n, int64_t i) {
    if (op_is_splat(n)) return splat_value(n);
    return dtype_get_f(n->type, (const char *)n->data + i * dtypes[n->type].bytes);
}

static int64_t whole_at(const Node *n, int64_t i) {
    if (op_is_splat(n)) return n->attr.n ? n->attr.i[0] : (int64_t)n->attr.f;
    return dtype_get_i(n->type, (const char *)n->data + i * dtypes[n->type].bytes);
}

bool known_same(const Node *a, const Node *b) {
    if (a->type != b->type || !same_dims(a->shape, b->shape)) return false;
    for (int64_t i = 0; i < numel(a->shape); i++) {
        double x = real_at(a, i), y = real_at(b, i);
        bool same = dtype_is_float(a->type) ? x == y || (x != x && y != y) : whole_at(a, i) == whole_at(b, i);
        if (!same) return false;
    }
    return true;
}

// ---- computing ----

// How many elements computing n visits, at most.
static int64_t work(const Node *n) {
    int64_t most = 1;
    bool direct = op_is_ewise(n) || op_kind(n) == MOVE || op_is_leaf(n);
    for (int k = 0; k < n->nin && !direct; k++)
        if (numel(n->in[k]->shape) > most) most = numel(n->in[k]->shape);
    return most * numel(n->shape);
}

// May root be computed here: small, and nothing under it that only a run knows?
static bool computable(Import *im, Node *root, bool from_samples) {
    Node *todo[CONE_MAX + MAXIN];
    int n = 0, seen = 0;
    uint64_t stamp = ++im->g->stamp;
    todo[n++] = root;
    while (n) {
        Node *x = todo[--n];
        if (x->stamp == stamp) continue;
        x->stamp = stamp;
        if (x->op == OP_BatchSize || x->op == OP_Random || ++seen + n > CONE_MAX || numel(x->shape) > KNOWN_MAX)
            return false;
        if ((x->op == OP_Input && !from_samples) || (op_is_leaf(x) && !op_is_splat(x) && !x->data)) return false;
        im->work += work(x);
        for (int k = 0; k < x->nin; k++) todo[n++] = x->in[k];
    }
    return im->work < WORK_MAX;
}

static Node *constant_of(Import *im, const Node *n, const void *data) {
    bool scalar = n->shape.n == 0;
    if (scalar && dtype_is_float(n->type)) return graph_scalar(im->g, n->type, dtype_get_f(n->type, data));
    if (scalar) return graph_scalar_i(im->g, n->type, dtype_get_i(n->type, data));
    Shape s = n->shape;
    s.batch = 0;
    return graph_const(im->g, n->type, s, data);
}

// The value of one node whose inputs are leaves with data. NULL: it is too large after all.
static Node *value_of(Import *im, Node *n) {
    Cx *cx = im->cx;
    if (numel(n->shape) > KNOWN_MAX * CONE_MAX) return NULL;
    char *data = cx_alloc(cx, (size_t)(numel(n->shape) * dtypes[n->type].bytes) + 8);
    CxMark before = cx_mark(cx);                         // the formula leaves nothing behind
    Kernel *k = kernel_of(cx, im->g, n, optab[n->op].name);
    void **buf = NEW(cx, void *, k->nbuf);
    buf[0] = data;
    for (int i = 1; i < k->nbuf; i++)
        if (!(buf[i] = (void *)(uintptr_t)k->buf[i]->data)) return NULL;
    if (!kernel_eval(k, buf, im->g->max_batch))
        import_fail(im, E_MALFORMED, "a constant index or divisor is out of range");
    cx_release(cx, before);
    return constant_of(im, n, data);
}

// The value of n, its operands first. Shared parts are computed once: Node.to keeps them while the stamp is this one.
static Node *value_under(Import *im, Node *n, uint64_t stamp) {
    if (op_is_leaf(n)) return n;
    if (n->stamp == stamp) return n->to;
    Node *simpler = optab[n->op].expand(im->g, n), *in[MAXIN], *r = NULL;
    if (simpler) r = value_under(im, simpler, stamp);
    else {
        bool all = true;
        for (int k = 0; k < n->nin && all; k++) all = (in[k] = value_under(im, n->in[k], stamp)) != NULL;
        if (all) r = value_of(im, graph_op(im->g, n->op, n->attr, n->nin, in));
    }
    n->stamp = stamp, n->to = r;
    return r;
}

// Inputs have data only where a sample was given.
static Node *compute(Import *im, Node *n, bool from_samples) {
    if (!computable(im, n, from_samples)) return NULL;
    if ((im->folded += numel(n->shape) * dtypes[n->type].bytes + 256) > FOLDED_MAX) return NULL;
    Node *r = value_under(im, n, ++im->g->stamp);
    return !r || r->op == OP_Const ? r : constant_of(im, r, r->data);
}

Node *known_eval(Import *im, Node *n) { return is_known(n) ? n : n->frozen ? compute(im, n, false) : NULL; }

// ---- known numbers as data ----

// c if both worlds hold c times their own N.
static bool times_batch(Import *im, int64_t here, int64_t there, int64_t *c) {
    int64_t n = im->g->max_batch;
    *c = there - here;
    return here == *c * n && there == *c * (n + 1);
}

Node *known_as_data(Import *im, const Value *v, const char *name) {
    Node *n = v->node;
    int64_t c;
    if (v->twin) {
        if (numel(n->shape) != 1 || !times_batch(im, whole_at(n, 0), whole_at(v->twin, 0), &c) ||
            (dtype_is_float(n->type) && real_at(n, 0) != (double)whole_at(n, 0)))
            import_fail(im, E_UNSUPPORTED, "its input '%s' depends on the batch in a way only a fixed batch allows",
                        cx_show(im->cx, name));
        return node_reshape(im->g, node_cast(im->g, graph_op(im->g, OP_BatchSize, AXES(c), 0, NULL), n->type),
                            n->shape);
    }
    if (n->op != OP_Const || n->shape.n == 0 || numel(n->shape) != 1) return n;
    Node *literal = dtype_is_float(n->type) ? graph_scalar(im->g, n->type, real_at(n, 0))
                                            : graph_scalar_i(im->g, n->type, whole_at(n, 0));
    return node_reshape(im->g, literal, n->shape);
}

Node *known_sizes(Import *im, int n, const int64_t *v) {
    if (n < 0) return graph_scalar_i(im->g, DT_I64, *v);
    int64_t *copy = NEW(im->cx, int64_t, n);
    if (n) memcpy(copy, v, sizeof *v * (size_t)n);
    return graph_const(im->g, DT_I64, (Shape){.n = 1, .d = {n}}, copy);
}

// ---- for rows ----

void *import_room(Import *im, int64_t count, size_t size) {
    size_t bytes = ck_mul(im->cx, (size_t)count, size);
    im->rooms = ck_add(im->cx, im->rooms, bytes);
    if (im->rooms > ROOMS_MAX)
        import_fail(im, E_LIMIT, "a table of %zu bytes; %d MB are the most for all of a model's", bytes,
                    ROOMS_MAX >> 20);
    return cx_alloc(im->cx, bytes);
}

static Node *known_input(Import *im, int k) {
    Value *v = import_value(im, im->n->in[k]);
    return im->world && v->twin ? v->twin : known_eval(im, v->node);
}

bool in_known(Import *im, int k) {
    if (!in_given(im, k)) return false;
    return (im->fold || !import_value(im, im->n->in[k])->twin) && known_input(im, k) != NULL;
}

static Node *must_know(Import *im, int k) {
    if (!in_given(im, k)) import_fail(im, E_MALFORMED, "its input %d is missing", k);
    Node *n = known_input(im, k);
    if (!n) n = compute(im, import_value(im, im->n->in[k])->node, true);
    if (n) return n;
    import_fail(im, E_UNSUPPORTED, "its input %d, '%s', must be known before the run, but depends on data", k,
                cx_show(im->cx, im->n->in[k]));
}

static void refuse_batch(Import *im, int k) {
    if (!im->fold && import_value(im, im->n->in[k])->twin)
        import_fail(im, E_UNSUPPORTED, "its input %d, '%s', depends on the batch: only a fixed batch allows that", k,
                    cx_show(im->cx, im->n->in[k]));
}

int in_ints(Import *im, int k, int64_t **v) {
    Node *n = must_know(im, k);
    refuse_batch(im, k);
    int count = (int)numel(n->shape);
    *v = NEW(im->cx, int64_t, count);
    for (int i = 0; i < count; i++) (*v)[i] = whole_at(n, i);
    return count;
}

int in_floats(Import *im, int k, double **v) {
    Node *n = must_know(im, k);
    refuse_batch(im, k);
    int count = (int)numel(n->shape);
    *v = NEW(im->cx, double, count);
    for (int i = 0; i < count; i++) (*v)[i] = real_at(n, i);
    return count;
}

Shape in_shape(Import *im, int k) {
    Node *here = must_know(im, k), *there = im->fold ? NULL : import_value(im, im->n->in[k])->twin;
    int64_t count = numel(here->shape), c;
    if (count > MAXDIM) import_fail(im, E_UNSUPPORTED, "a shape of more than %d axes", MAXDIM);
    Shape s = {.n = (int)count};
    for (int i = 0; i < s.n; i++) {
        s.d[i] = whole_at(here, i);
        if (!there || whole_at(there, i) == s.d[i]) continue;
        if (s.batch || !times_batch(im, s.d[i], whole_at(there, i), &c))
            import_fail(im, E_UNSUPPORTED,
                        "size %d of its input '%s' depends on the batch in a way only a fixed batch allows", i,
                        cx_show(im->cx, im->n->in[k]));
        s.batch = i + 1;
    }
    return s;
}

int ints_of(Import *im, const char *attr, int k, int64_t **v) {
    const int64_t *a;
    int n = attr_ints(im, attr, &a);
    if (n < 0) return in_given(im, k) ? in_ints(im, k, v) : -1;
    *v = NEW(im->cx, int64_t, n);
    if (n) memcpy(*v, a, sizeof *a * (size_t)n);
    return n;
}

// ---- Reshape ----

// Where y, a shape written for one sample of x, holds the batch: outermost among the axes that hold the same elements
// as the batch and its neighbours in x. The last axis holds features, not samples: rather are the rows joined with it.
static int batch_place(const Import *im, Shape x, Shape y) {
    int i = 0, j = 0, first = 0;
    x.d[x.batch - 1] /= im->g->max_batch;
    while (i < x.batch) first = j, next_group(x, y, &i, &j);
    return first == y.n - 1 && y.d[first] > 1 ? 0 : first;
}

// The new shape names no batch but x has one: it goes where the rest goes, if that is outermost, or where a 1 is
// outermost; or, if what is written holds exactly one sample, where that has it. (A rest beside an outermost size other
// than 1 says where the batch goes: not there.)
static void free_batch(Import *im, Shape x, Shape *y, int64_t known, int *rest) {
    int64_t batch = im->g->max_batch, sample = numel(x) / batch;
    if (y->n == 0 || known == 0 || sample % known) return;
    if (*rest == 0) {
        y->d[0] = numel(x) / known, y->batch = 1, *rest = -1;
    } else if (known == sample || (*rest > 0 && y->d[0] == 1)) {
        int d = *rest > 0 ? 0 : batch_place(im, x, *y);
        if (d < y->n) y->d[d] *= batch, y->batch = d + 1;
    }
}

static int64_t product_but(Import *im, Shape s, int but) {
    size_t p = 1;
    for (int d = 0; d < s.n; d++)
        if (d != but) p = ck_mul(im->cx, p, (size_t)s.d[d]);
    return p > INT64_MAX ? 0 : (int64_t)p;
}

Shape reshape_target(Import *im, Shape x, Shape apart, Shape want, bool zeros_are_sizes) {
    Shape y = want;
    int rest = -1;
    for (int d = 0; d < y.n; d++) {
        if (y.d[d] == 0 && !zeros_are_sizes) {
            if (d >= x.n) import_fail(im, E_MALFORMED, "axis %d is to be copied from %s", d, shape_str(im->cx, x));
            y.d[d] = x.d[d];
            if (x.batch == d + 1) y.batch = d + 1;
        } else if (y.d[d] == -1) {
            if (rest >= 0) import_fail(im, E_MALFORMED, "two sizes of the new shape are -1");
            rest = d;
        } else if (y.d[d] < 0) {
            import_fail(im, E_MALFORMED, "size %lld in the new shape", (long long)y.d[d]);
        }
    }
    if (x.batch && !y.batch && im->g->max_batch > 1) free_batch(im, apart, &y, product_but(im, y, rest), &rest);
    if (rest < 0) return y;
    int64_t known = product_but(im, y, rest);
    if (known == 0 || numel(x) % known)
        import_fail(im, x.batch && im->g->max_batch > 1 ? E_UNSUPPORTED : E_MALFORMED, "%s cannot be reshaped so",
                    shape_str(im->cx, x));
    y.d[rest] = numel(x) / known;
    return y;
}
