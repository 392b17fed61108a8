// Movement against plain loops (move_loops.h), and what movement and indexing refuse.
#include "move_loops.h"

// ---- transpose, expand, reshape ----

static double transposed(void *user, const int64_t *at) {
    Use *u = user;
    int64_t in[MAXDIM];
    for (int d = 0; d < u->x->n->shape.n; d++) in[u->a[d]] = at[d];
    return x_at(u, in);
}

static void transposes(void) {
    int r = 1 + (int)roll(5);
    Use u = {.x = numbers(random_shape(r, (int)roll(r + 1) - 1))};
    for (int d = 0; d < r; d++) u.a[d] = d;
    for (int d = r - 1; d > 0; d--) {
        int64_t e = roll(d + 1), t = u.a[d];
        u.a[d] = u.a[e], u.a[e] = t;
    }
    check(node_transpose(g, u.x->n, u.a), transposed, &u);
}

static double expanded(void *user, const int64_t *at) {
    Use *u = user;
    Shape s = u->x->n->shape;
    int64_t in[MAXDIM];
    for (int d = 0; d < s.n; d++) in[d] = s.d[d] == 1 ? 0 : at[u->n - s.n + d];
    return x_at(u, in);
}

static void expands(void) {
    int r = 1 + (int)roll(4), more = (int)roll(3), axis = (int)roll(r + 1) - 1;
    Shape s = random_shape(r, axis), to = {.n = r + more};
    for (int d = 0; d < to.n; d++) to.d[d] = d < more ? 1 + roll(3) : s.d[d - more];
    for (int d = 0; d < r; d++)
        if (d != axis && roll(2)) s.d[d] = 1;
    if (axis >= 0) to.batch = axis + more + 1;
    Use u = {.x = numbers(s), .n = to.n};
    check(node_expand(g, u.x->n, to), expanded, &u);
}

// Element number i of what is in use stays number i.
static double reshaped(void *user, const int64_t *at) {
    Use *u = user;
    Shape x = u->x->n->shape, y = u->y->n->shape;
    int64_t number = 0, in[MAXDIM];
    for (int d = 0; d < y.n; d++) number = number * size_of(y, d) + at[d];
    for (int d = x.n - 1; d >= 0; number /= size_of(x, d--)) in[d] = number % size_of(x, d);
    return x_at(u, in);
}

// Axes joined at random; what was joined split again, elsewhere.
static void reshapes(void) {
    int axis = (int)roll(3) - 1;
    Shape s = random_shape(4, axis), joined = {0}, split = {0};
    for (int d = 0; d < s.n; d++) {
        bool join = d > 0 && roll(2) && s.batch != d + 1;    // the batch stays outermost of its group
        if (!join) joined.d[joined.n++] = 1;
        joined.d[joined.n - 1] *= s.d[d];
        if (s.batch == d + 1) joined.batch = joined.n;
    }
    Use u = {.x = numbers(s), .y = NEW(cx, T, 1)};
    u.y->n = node_reshape(g, u.x->n, joined);
    check(u.y->n, reshaped, &u);
    for (int d = 0; d < joined.n; d++) {
        bool batch = joined.batch == d + 1;
        int64_t part = batch ? joined.d[d] / N : joined.d[d], f = part % 2 == 0 ? 2 : part % 3 == 0 ? 3 : 1;
        split.d[split.n++] = joined.d[d] / f;
        if (batch) split.batch = split.n;
        split.d[split.n++] = f;
    }
    u.y->n = node_reshape(g, u.x->n, split);
    check(u.y->n, reshaped, &u);
}

// ---- slice, pad, concat ----

static double sliced(void *user, const int64_t *at) {
    Use *u = user;
    int64_t in[MAXDIM];
    for (int d = 0; d < u->x->n->shape.n; d++) in[d] = u->a[d] + at[d] * u->b[d];
    return x_at(u, in);
}

static void slices(void) {
    int r = 1 + (int)roll(4);
    Shape s = random_shape(r, (int)roll(r + 1) - 1);
    Use u = {.x = numbers(s)};
    int64_t attr[3 * MAXDIM];
    for (int d = 0; d < r; d++) {
        int64_t step = 1 + roll(3), most = (s.d[d] - 1) / step + 1, size = roll(most + 1);
        int64_t reach = size ? (size - 1) * step : 0;
        int64_t first = roll(s.d[d] - reach);
        bool back = roll(2), whole = s.batch == d + 1;
        u.a[d] = whole ? 0 : back ? first + reach : first, u.b[d] = whole ? 1 : back ? -step : step;
        attr[d] = u.a[d], attr[r + d] = u.b[d], attr[2 * r + d] = whole ? s.d[d] : size;
    }
    check(op1a(g, Slice, u.x->n, ((Attr){.n = 3 * r, .i = attr})), sliced, &u);
}

static double padded(void *user, const int64_t *at) {
    Use *u = user;
    Shape s = u->x->n->shape;
    int64_t in[MAXDIM];
    for (int d = 0; d < s.n; d++) {
        int64_t from = at[d] - u->a[d];
        if (from < 0 || from % u->b[d] || from / u->b[d] >= s.d[d]) return -7;
        in[d] = from / u->b[d];
    }
    return x_at(u, in);
}

static void pads(void) {
    int r = 1 + (int)roll(4);
    Shape s = random_shape(r, (int)roll(r + 1) - 1);
    Use u = {.x = numbers(s)};
    int64_t attr[3 * MAXDIM];
    for (int d = 0; d < r; d++) {
        bool whole = s.batch == d + 1;
        u.a[d] = whole ? 0 : roll(5) - 2, u.b[d] = whole || roll(2) ? 1 : 1 + roll(3);
        int64_t size = u.a[d] + (s.d[d] - 1) * u.b[d] + 1 + roll(5) - 2;
        attr[d] = u.a[d], attr[r + d] = u.b[d], attr[2 * r + d] = whole ? s.d[d] : size < 0 ? 0 : size;
    }
    check(op1a(g, Pad, u.x->n, ((Attr){.n = 3 * r, .i = attr, .f = -7})), padded, &u);
}

static double joined_at(void *user, const int64_t *at) {
    Use *u = user;
    int64_t in[MAXDIM];
    memcpy(in, at, sizeof in);
    for (int i = 0;; in[u->axis] -= u->many[i++]->n->shape.d[u->axis])
        if (in[u->axis] < u->many[i]->n->shape.d[u->axis]) return u->many[i]->v[flat(u->many[i]->n->shape, in)];
}

static void concats(void) {
    int r = 2 + (int)roll(3);
    Use u = {.n = 1 + (int)roll(4), .axis = (int)roll(r)};
    Shape s = random_shape(r, (u.axis + 1 + (int)roll(r - 1)) % r);
    Node *x[4];
    u.many = NEW(cx, T *, u.n);
    for (int i = 0; i < u.n; i++) {
        s.d[u.axis] = roll(4);
        x[i] = (u.many[i] = numbers(s))->n;
    }
    check(node_concat(g, u.axis, u.n, x), joined_at, &u);
}

// ---- bytes ----

static double bits_of(void *user, const int64_t *at) {
    Use *u = user;
    float v = (float)x_at(u, at);
    int32_t i;
    memcpy(&i, &v, sizeof i);
    return i;
}

static void bits(void) {
    Use u = {.x = numbers(random_shape(3, (int)roll(2) - 1))};
    Node *as_ints = op1a(g, Bits, u.x->n, AXES(DT_I32));
    check(as_ints, bits_of, &u);
    for (int d = 0; d < 3; d++) u.a[d] = d;
    check(op1a(g, Bits, as_ints, AXES(DT_F32)), transposed, &u);
}

// ---- what is refused ----

static Node *vector_of(int64_t v) { int64_t one[] = {v}; return graph_ints(g, 1, one); }

static Node *batched(void) {
    Shape s = SHAPE(N, 3, 4);
    s.batch = 1;
    return numbers(s)->n;
}

static Node *cut_batch(void) { return node_slice(g, batched(), 0, 0, 1); }
static Node *pad_batch(void) { return op1a(g, Pad, batched(), AXES(1, 0, 0, 1, 1, 1, N + 1, 3, 4)); }
static Node *mix_batch(void) { return node_reshape(g, batched(), SHAPE(3, N, 4)); }
static Node *bury_batch(void) {
    Shape flat_ = {.n = 1, .batch = 1, .d = {12 * N}};
    return node_reshape(g, node_transpose(g, batched(), AXES(1, 0, 2).i), flat_);
}
static Node *join_batches(void) { Node *x = batched(); return node_concat(g, 0, 2, (Node *[]){x, x}); }
static Node *take(Op op, Node *x, int64_t i) { return graph_op(g, op, AXES(0), 2, (Node *[]){x, vector_of(i)}); }
static Node *take_of_batch(void) { return take(OP_Gather, batched(), 0); }
static Node *wrong_sizes(void) { return node_reshape(g, numbers(SHAPE(2, 3))->n, SHAPE(5)); }
static Node *wrong_order(void) { return node_transpose(g, numbers(SHAPE(2, 3))->n, AXES(0, 0).i); }
static Node *wrong_cut(void) { return node_slice(g, numbers(SHAPE(2, 3))->n, 1, 2, 2); }
static Node *take_nothing(void) { return take(OP_Gather, numbers(SHAPE(0, 3))->n, 0); }
static Node *too_many(void) { return op1a(g, TopKValues, numbers(SHAPE(3))->n, AXES(0, 4, 1, 1)); }
static Node *take_beyond(void) { return take(OP_Gather, numbers(SHAPE(3))->n, 3); }
static Node *take_before(void) { return take(OP_GatherElements, numbers(SHAPE(3))->n, -4); }
static Node *take_far(void) { return take(OP_GatherND, numbers(SHAPE(3))->n, INT64_MIN); }
static Node *put_beyond(void) {
    Node *x = numbers(SHAPE(3))->n, *u = numbers(SHAPE(1))->n;
    return graph_op(g, OP_ScatterElements, AXES(0, 0), 3, (Node *[]){x, vector_of(3), u});
}
static Node *put_before(void) {
    Node *x = numbers(SHAPE(3, 2))->n, *u = numbers(SHAPE(2))->n;
    return graph_op(g, OP_ScatterND, AXES(1), 3, (Node *[]){x, vector_of(INT64_MIN), u});
}

static const struct { Node *(*make)(void); Err code; const char *error; } refused[] = {
    {cut_batch, E_UNSUPPORTED, "cuts the batch"},        {pad_batch, E_UNSUPPORTED, "cuts the batch"},
    {mix_batch, E_UNSUPPORTED, "outermost"},             {bury_batch, E_UNSUPPORTED, "outermost"},
    {join_batches, E_UNSUPPORTED, "along the batch"},    {take_of_batch, E_UNSUPPORTED, "along the batch"},
    {wrong_sizes, E_MALFORMED, "does not hold"},         {wrong_order, E_MALFORMED, "permutation"},
    {wrong_cut, E_MALFORMED, "outside"},                 {take_nothing, E_MALFORMED, "no elements"},
    {too_many, E_MALFORMED, "TopK"},                     {take_beyond, E_MALFORMED, "out of range"},
    {take_before, E_MALFORMED, "out of range"},          {take_far, E_MALFORMED, "out of range"},
    {put_beyond, E_MALFORMED, "out of range"},           {put_before, E_MALFORMED, "out of range"},
};

static void run_refused(void *arg) {
    void *result;
    g = graph_new(cx, N);
    graph_root(g, "y", refused[*(size_t *)arg].make(), NULL, 1);
    graph_eval(g, N, &result, NULL, NULL);
}

static void refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        cx = cx_new();
        if (cx_guard(cx, run_refused, &i)) fail_msg("number %zu was not refused", i);
        if (cx->code != refused[i].code || !strstr(cx->error, refused[i].error))
            fail_msg("number %zu was refused by: %s", i, cx->error);
        cx_free(cx);
    }
}

FAMILY(transposes) FAMILY(expands) FAMILY(reshapes) FAMILY(slices) FAMILY(pads) FAMILY(concats)
FAMILY(bits)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transposes), cmocka_unit_test(test_expands), cmocka_unit_test(test_reshapes),
        cmocka_unit_test(test_slices),     cmocka_unit_test(test_pads),    cmocka_unit_test(test_concats),
        cmocka_unit_test(test_bits),       cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
