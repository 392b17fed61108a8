// import_index.c -- operators that take or place elements by index, and those that yield indices.
#include "import.h"

static int64_t one_int(Import *im, int k) {
    int64_t *v;
    if (in_ints(im, k, &v) != 1) import_fail(im, E_MALFORMED, "its input %d is to be one number", k);
    return *v;
}

// ---- taking ----

// By one known number: a cut.
static Node *take_one(Import *im, Node *x, int axis, int64_t i) {
    int64_t n = x->shape.d[axis], from = i < 0 ? i + n : i;
    if (from < 0 || from >= n)
        import_fail(im, E_MALFORMED, "index %lld on an axis of %lld", (long long)i, (long long)n);
    Node *cut = node_slice(im->g, x, axis, from, 1);
    Shape s = {0};
    for (int d = 0; d < x->shape.n; d++) {
        if (d == axis) continue;
        s.d[s.n++] = x->shape.d[d];
        if (x->shape.batch == d + 1) s.batch = s.n;
    }
    return node_reshape(im->g, cut, s);
}

void import_gather(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0), *index = in(im, 1);
    int axis = attr_axis(im, "axis", 0, x->shape.n);
    bool cut = index->shape.n == 0 && in_known(im, 1) && x->shape.batch != axis + 1;
    out(im, 0,
        cut ? take_one(im, x, axis, one_int(im, 1)) : graph_op(im->g, OP_Gather, AXES(axis), 2, (Node *[]){x, index}));
}

void import_gather_elements(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    out(im, 0,
        graph_op(im->g, OP_GatherElements, AXES(attr_axis(im, "axis", 0, x->shape.n)), 2, (Node *[]){x, in(im, 1)}));
}

void import_gather_nd(Import *im, const DocNode *n) {
    (void)n;
    out(im, 0, graph_op(im->g, OP_GatherND, AXES(attr_int(im, "batch_dims", 0)), 2, (Node *[]){in(im, 0), in(im, 1)}));
}

// Each row's first lengths[row] elements in reverse order: element t comes from lengths - 1 - t.
void import_reverse_sequence(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *x = in(im, 0), *length = node_cast(g, in(im, 1), DT_I64);
    int time = attr_axis(im, "time_axis", 0, x->shape.n), row = attr_axis(im, "batch_axis", 1, x->shape.n);
    if (time == row || time > 1 || row > 1 || length->shape.n != 1 || length->shape.d[0] != x->shape.d[row])
        import_fail(im, E_MALFORMED, "axes %d and %d of %s", time, row, shape_str(im->cx, x->shape));
    Shape per_row = {.n = x->shape.n}, plane = x->shape;
    for (int d = 0; d < x->shape.n; d++) {
        per_row.d[d] = d == row ? x->shape.d[d] : 1;
        if (d > 1) plane.d[d] = 1;
    }
    if (plane.batch > 2) plane.batch = 0;
    per_row.batch = length->shape.batch ? row + 1 : 0;
    length = node_reshape(g, length, per_row);
    Node *t = node_iota(g, plane, time), *last = op2(g, Sub, length, graph_scalar_i(g, DT_I64, 1));
    Node *from = op3(g, Where, op2(g, Less, t, length), op2(g, Sub, last, t), t);
    out(im, 0, graph_op(g, OP_GatherElements, AXES(time), 2, (Node *[]){x, node_expand(g, from, x->shape)}));
}

// ---- placing ----

static int64_t meeting(Import *im) {
    static const char *name[] = {"none", "add", "mul", "max", "min"};
    const char *how = attr_string(im, "reduction", "none");
    for (int i = 0; i < 5; i++)
        if (!strcmp(how, name[i])) return i;
    import_fail(im, E_UNSUPPORTED, "reduction '%s' is not supported", cx_show(im->cx, how));
}

// A hand-written body reads buffers; a literal has none.
static Node *in_buffer(Import *im, int k) {
    Node *x = in(im, k);
    return op_is_splat(x) ? op1(im->g, Keep, x) : x;
}

void import_scatter_elements(Import *im, const DocNode *n) {
    (void)n;
    Node *in3[] = {in_buffer(im, 0), in_buffer(im, 1), in_buffer(im, 2)};
    int axis = attr_axis(im, "axis", 0, in3[0]->shape.n);
    out(im, 0, graph_op(im->g, OP_ScatterElements, AXES(axis, meeting(im)), 3, in3));
}

void import_scatter_nd(Import *im, const DocNode *n) {
    (void)n;
    Node *in3[] = {in_buffer(im, 0), in_buffer(im, 1), in_buffer(im, 2)};
    out(im, 0, graph_op(im->g, OP_ScatterND, AXES(meeting(im)), 3, in3));
}

// on where a place's number on the new axis is the index, off elsewhere
void import_one_hot(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *index = node_cast(g, in(im, 0), DT_I64), *value = in(im, 2);
    int64_t depth = one_int(im, 1);
    Shape s = index->shape, one = {0}, line = {0};
    int axis = attr_axis(im, "axis", -1, s.n + 1);
    if (s.n == MAXDIM) import_fail(im, E_UNSUPPORTED, "indices of %d axes", MAXDIM);
    if (depth < 0 || value->shape.n != 1 || value->shape.d[0] != 2)
        import_fail(im, E_MALFORMED, "%lld classes, values %s", (long long)depth, shape_str(im->cx, value->shape));
    for (int d = 0; d <= s.n; d++) {
        line.d[d] = d == axis ? depth : 1;
        one.d[d] = d == axis ? 1 : s.d[d - (d > axis)];
        if (s.batch == d + 1) one.batch = 1 + d + (d >= axis);
    }
    one.n = line.n = s.n + 1;
    Node *zero = graph_scalar_i(g, DT_I64, 0), *back = op2(g, Add, index, graph_scalar_i(g, DT_I64, depth));
    index = node_reshape(g, op3(g, Where, op2(g, Less, index, zero), back, index), one);
    Node *hit = op2(g, Equal, index, node_iota(g, line, axis));
    out(im, 0, op3(g, Where, hit, take_one(im, value, 0, 1), take_one(im, value, 0, 0)));
}

// ---- by place ----

// x on and above the k-th diagonal of its last two axes, or on and below it; 0 elsewhere.
void import_trilu(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *x = in(im, 0), *k = in_or(im, 1, graph_scalar_i(g, DT_I64, 0));
    int r = x->shape.n;
    if (r < 2 || numel(k->shape) != 1) import_fail(im, E_MALFORMED, "%s has no diagonals", shape_str(im->cx, x->shape));
    Shape plane = x->shape;
    for (int d = 0; d < r - 2; d++) plane.d[d] = 1;
    if (plane.batch && plane.batch <= r - 2) plane.batch = 0;
    Node *right = op2(g, Sub, node_iota(g, plane, r - 1), node_iota(g, plane, r - 2));
    k = node_cast(g, node_reshape(g, k, (Shape){0}), DT_I64);
    Node *keep = attr_int(im, "upper", 1) ? op2(g, LessEqual, k, right) : op2(g, LessEqual, right, k);
    out(im, 0, op3(g, Where, keep, x, node_like(g, x, 0)));
}

// start + i * delta. Its length is bounded here: three numbers must not ask for all memory.
void import_range(Import *im, const DocNode *n) {
    (void)n;
    enum { LONGEST = 1 << 22 };
    Node *first = in(im, 0), *last = in(im, 1), *step = in(im, 2);
    double *start, *limit, *delta;
    if (in_floats(im, 0, &start) != 1 || in_floats(im, 1, &limit) != 1 || in_floats(im, 2, &delta) != 1)
        import_fail(im, E_MALFORMED, "its start, limit and delta are to be one number each");
    double count = ceil((*limit - *start) / *delta);
    if (*delta == 0 || count != count)
        import_fail(im, E_MALFORMED, "from %g to %g in steps of %g", *start, *limit, *delta);
    if (count > LONGEST) import_fail(im, E_LIMIT, "a range of %.0f elements; at most %d are made", count, LONGEST);
    if (first->type != last->type || first->type != step->type)
        import_fail(im, E_MALFORMED, "its start, limit and delta are of different types");
    Graph *g = im->g;
    Node *i = node_cast(g, node_iota(g, SHAPE(count > 0 ? (int64_t)count : 0), 0), first->type);
    first = node_reshape(g, first, (Shape){0}), step = node_reshape(g, step, (Shape){0});
    out(im, 0, op2(g, Add, first, op2(g, Mul, i, step)));
}

// ---- by order ----

static void top_k(Import *im, Node *x, int64_t k) {
    int axis = attr_axis(im, "axis", -1, x->shape.n);
    Attr a = AXES(axis, k, attr_int(im, "largest", 1) != 0, attr_int(im, "sorted", 1) != 0);
    if (out_wanted(im, 0)) out(im, 0, op1a(im->g, TopKValues, x, a));
    if (out_wanted(im, 1)) out(im, 1, op1a(im->g, TopKIndices, x, a));
}

void import_top_k(Import *im, const DocNode *n) { (void)n, top_k(im, in(im, 0), one_int(im, 1)); }
void import_top_k_1(Import *im, const DocNode *n) { (void)n, top_k(im, in(im, 0), attr_int(im, "k", -1)); }

// ---- results whose size depends on their input's contents: only for known ones ----

static Node *flat(Import *im, Node *x) {
    return node_reshape(im->g, x, (Shape){.n = 1, .batch = x->shape.batch != 0, .d = {numel(x->shape)}});
}

// The slices along an axis (of all elements, where none is named) at which the condition holds.
void import_compress(Import *im, const DocNode *n) {
    Node *x = in(im, 0);
    int axis = 0;
    if (node_attr(n, "axis")) axis = attr_axis(im, "axis", 0, x->shape.n);
    else x = flat(im, x);
    int64_t *keep, *index, count = 0, total = in_ints(im, 1, &keep);
    if (x->shape.n < 1 || total > x->shape.d[axis])
        import_fail(im, E_MALFORMED, "%lld conditions for %s", (long long)total, shape_str(im->cx, x->shape));
    index = NEW(im->cx, int64_t, total);
    for (int64_t i = 0; i < total; i++)
        if (keep[i]) index[count++] = i;
    out(im, 0, graph_op(im->g, OP_Gather, AXES(axis), 2, (Node *[]){x, graph_ints(im->g, count, index)}));
}

void import_non_zero(Import *im, const DocNode *n) {
    (void)n;
    double *v;
    Shape s = in(im, 0)->shape;
    int64_t total = in_floats(im, 0, &v), count = 0, at = 0;
    for (int64_t i = 0; i < total; i++) count += v[i] != 0;
    int64_t *place = NEW(im->cx, int64_t, s.n * count);
    for (int64_t i = 0; i < total; i++) {
        if (v[i] == 0) continue;
        int64_t rest = i;
        for (int d = s.n - 1; d >= 0; rest /= s.d[d--]) place[d * count + at] = rest % s.d[d];
        at++;
    }
    out(im, 0, graph_const(im->g, DT_I64, SHAPE(s.n, count), place));
}
