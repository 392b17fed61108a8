// Movement and indexing against plain loops over random shapes, with part of a free batch in use.
// The loops know nothing of the graph: they say which element of the input stands where.
#include "ir/eval.h"
#include "ir/op.h"
#include <setjmp.h>
#include <cmocka.h>

enum { N = 4, MOST = 4096, ROUNDS = 150 };

static Cx *cx;
static Graph *g;
static int64_t used;                  // of the batch
static uint64_t seed = 7;

static int64_t roll(int64_t n) {      // 0..n-1
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((seed >> 33) % (uint64_t)n);
}

// ---- tensors ----

typedef struct T { Node *n; double v[MOST]; } T;      // values in the order of the maximum batch

static int64_t size_of(Shape s, int d) { return s.batch == d + 1 ? s.d[d] / N * used : s.d[d]; }

static int64_t flat(Shape s, const int64_t *at) {
    int64_t f = 0;
    for (int d = 0; d < s.n; d++) f = f * s.d[d] + at[d];
    return f;
}

static bool next(Shape s, int64_t *at) {
    for (int d = s.n - 1; d >= 0; d--) {
        if (++at[d] < size_of(s, d)) return true;
        at[d] = 0;
    }
    return false;
}

static bool is_empty(Shape s) {
    for (int d = 0; d < s.n; d++)
        if (size_of(s, d) == 0) return true;
    return false;
}

static Shape random_shape(int rank, int batch_axis) {       // -1: no batch
    Shape s = {.n = rank, .batch = batch_axis + 1};
    for (int d = 0; d < rank; d++) s.d[d] = d == batch_axis ? N * (1 + roll(2)) : 1 + roll(4);
    return s;
}

static void fill(T *t, DType type, int64_t low, int64_t high) {
    int64_t bytes = dtypes[type].bytes, count = numel(t->n->shape);
    char *data = cx_alloc(cx, (size_t)(count * bytes));
    for (int64_t i = 0; i < count; i++) {
        t->v[i] = (double)(low + roll(high - low + 1));
        dtype_set_f(type, data + i * bytes, t->v[i]);
    }
    t->n->data = data;
}

static T *input(DType type, Shape s, int64_t low, int64_t high) {
    T *t = NEW(cx, T, 1);
    assert_true(numel(s) <= MOST);
    t->n = graph_input(g, "x", type, s);
    fill(t, type, low, high);
    return t;
}

static T *numbers(Shape s) { return input(DT_F32, s, -1000, 1000); }

// The one check: element `at` of y is value(user, at), over what is in use.
typedef double ValueFn(void *user, const int64_t *at);
static void check(Node *y, ValueFn *value, void *user) {
    void *result;
    g->nroot = 0;
    graph_root(g, "y", y, NULL, 1);
    graph_eval(g, used, &result, NULL, NULL);
    int64_t at[MAXDIM] = {0};
    if (is_empty(y->shape)) return;
    do {
        double got = dtype_get_f(y->type, (char *)result + flat(y->shape, at) * dtypes[y->type].bytes);
        double want = value(user, at);
        if (got != want) fail_msg("%s %s: %g instead of %g", optab[y->op].name, shape_str(cx, y->shape), got, want);
    } while (next(y->shape, at));
}

typedef struct Use { T *x, *index, *y, **many; int n, axis, depth, lead; int64_t a[MAXDIM], b[MAXDIM]; } Use;

static double x_at(const Use *u, const int64_t *at) { return u->x->v[flat(u->x->n->shape, at)]; }

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

// ---- gathers ----

static int64_t index_at(const Use *u, const int64_t *at, int64_t size) {
    int64_t i = (int64_t)u->index->v[flat(u->index->n->shape, at)];
    return i < 0 ? i + size : i;
}

static double gathered(void *user, const int64_t *at) {
    Use *u = user;
    Shape x = u->x->n->shape, t = u->index->n->shape;
    int64_t in[MAXDIM];
    for (int d = 0; d < x.n; d++)
        if (d != u->axis) in[d] = at[d < u->axis ? d : d + t.n - 1];
    in[u->axis] = index_at(u, at + u->axis, x.d[u->axis]);
    return x_at(u, in);
}

static void gathers(void) {
    int r = 1 + (int)roll(4), q = (int)roll(3), which = (int)roll(3);      // 0: x has the batch, 1: the indices have it
    Use u = {.axis = (int)roll(r)};
    int batch = which == 0 && r > 1 ? (u.axis + 1 + (int)roll(r - 1)) % r : -1;
    u.x = numbers(random_shape(r, batch));
    int64_t size = u.x->n->shape.d[u.axis];
    u.index = input(DT_I32, random_shape(q, which == 1 && q ? (int)roll(q) : -1), -size, size - 1);
    check(graph_op(g, OP_Gather, AXES(u.axis), 2, (Node *[]){u.x->n, u.index->n}), gathered, &u);
}

static double gathered_elements(void *user, const int64_t *at) {
    Use *u = user;
    int64_t in[MAXDIM];
    memcpy(in, at, sizeof in);
    in[u->axis] = index_at(u, at, u->x->n->shape.d[u->axis]);
    return x_at(u, in);
}

// An index tensor for x: as large or smaller, other than along the batch.
static Shape index_shape(Shape x, int axis) {
    Shape t = x;
    for (int d = 0; d < x.n; d++)
        if (x.batch != d + 1) t.d[d] = 1 + roll(d == axis ? 6 : x.d[d]);
    return t;
}

static void gathers_elements(void) {
    int r = 2 + (int)roll(3);
    Use u = {.axis = (int)roll(r)};
    u.x = numbers(random_shape(r, roll(2) ? (u.axis + 1 + (int)roll(r - 1)) % r : -1));
    int64_t size = u.x->n->shape.d[u.axis];
    u.index = input(DT_I64, index_shape(u.x->n->shape, u.axis), -size, size - 1);
    check(graph_op(g, OP_GatherElements, AXES(u.axis), 2, (Node *[]){u.x->n, u.index->n}), gathered_elements, &u);
}

static double gathered_nd(void *user, const int64_t *at) {
    Use *u = user;
    Shape x = u->x->n->shape, t = u->index->n->shape;
    int64_t in[MAXDIM], place[MAXDIM];
    memcpy(place, at, sizeof place);
    for (int d = 0; d < u->lead; d++) in[d] = at[d];
    for (int i = 0; i < u->depth; i++) {
        place[t.n - 1] = i;
        in[u->lead + i] = index_at(u, place, x.d[u->lead + i]);
    }
    for (int d = u->lead + u->depth; d < x.n; d++) in[d] = at[t.n - 1 + d - u->lead - u->depth];
    return x_at(u, in);
}

static void gathers_nd(void) {
    int r = 2 + (int)roll(3);
    Use u = {.lead = (int)roll(r)};
    u.depth = 1 + (int)roll(r - u.lead);
    bool shared = u.lead && roll(2);
    Shape s = random_shape(r, shared ? (int)roll(u.lead) : -1), t = {.n = u.lead, .batch = s.batch};
    memcpy(t.d, s.d, sizeof t.d);
    for (int more = (int)roll(3); more > 0; more--) t.d[t.n++] = 1 + roll(3);
    if (!shared && t.n > u.lead && roll(2)) t.d[t.n - 1] = N, t.batch = t.n;
    t.d[t.n++] = u.depth;
    int64_t least = 8;
    for (int d = u.lead; d < u.lead + u.depth; d++) least = s.d[d] < least ? s.d[d] : least;
    u.x = numbers(s), u.index = input(DT_I64, t, -least, least - 1);
    check(graph_op(g, OP_GatherND, AXES(u.lead), 2, (Node *[]){u.x->n, u.index->n}), gathered_nd, &u);
}

// ---- scatters ----

static double meet(int64_t how, double a, double b) {
    return how == 0 ? b : how == 1 ? a + b : how == 2 ? a * b : how == 3 ? (a > b ? a : b) : a < b ? a : b;
}

static double y_at(void *user, const int64_t *at) { Use *u = user; return u->y->v[flat(u->x->n->shape, at)]; }

static DType scatter_type(void) { return (DType[]){DT_F32, DT_F64, DT_I32, DT_I64, DT_F16}[roll(5)]; }

static void scatters_elements(void) {
    int r = 2 + (int)roll(3);
    int64_t how = roll(5), at[MAXDIM] = {0}, to[MAXDIM];
    Use u = {.axis = 1 + (int)roll(r - 1), .y = NEW(cx, T, 1)};
    DType type = scatter_type();
    u.x = input(type, random_shape(r, roll(2) ? 0 : -1), -3, 3);
    Shape x = u.x->n->shape, t = index_shape(x, u.axis);
    u.index = input(DT_I64, t, -x.d[u.axis], x.d[u.axis] - 1);
    T *update = input(type, t, -3, 3);
    memcpy(u.y->v, u.x->v, sizeof u.y->v);
    do {
        memcpy(to, at, sizeof to);
        to[u.axis] = index_at(&u, at, x.d[u.axis]);
        double *v = &u.y->v[flat(x, to)];
        *v = meet(how, *v, update->v[flat(t, at)]);
        if (fabs(*v) > 1000) return;                       // beyond what every type here holds exactly
    } while (next(t, at));
    check(graph_op(g, OP_ScatterElements, AXES(u.axis, how), 3, (Node *[]){u.x->n, u.index->n, update->n}), y_at, &u);
}

static void scatters_nd(void) {
    int r = 1 + (int)roll(4);
    int64_t how = roll(5), at[MAXDIM] = {0}, to[MAXDIM], place[MAXDIM];
    Use u = {.depth = 1 + (int)roll(r), .y = NEW(cx, T, 1)};
    DType type = scatter_type();
    Shape x = random_shape(r, -1), t = random_shape((int)roll(3), -1), s = t;
    u.x = input(type, x, -3, 3);
    int64_t least = 8;
    for (int d = 0; d < u.depth; d++) least = x.d[d] < least ? x.d[d] : least;
    for (int d = u.depth; d < r; d++) s.d[s.n++] = x.d[d];
    int q = t.n;
    t.d[t.n++] = u.depth;
    u.index = input(DT_I32, t, -least, least - 1);
    T *update = input(type, s, -3, 3);
    memcpy(u.y->v, u.x->v, sizeof u.y->v);
    do {
        memcpy(place, at, sizeof place);
        for (int i = 0; i < u.depth; i++) place[q] = i, to[i] = index_at(&u, place, x.d[i]);
        for (int d = u.depth; d < r; d++) to[d] = at[q + d - u.depth];
        double *v = &u.y->v[flat(x, to)];
        *v = meet(how, *v, update->v[flat(s, at)]);
        if (fabs(*v) > 1000) return;
    } while (next(s, at));
    check(graph_op(g, OP_ScatterND, AXES(how), 3, (Node *[]){u.x->n, u.index->n, update->n}), y_at, &u);
}

// ---- order, bytes ----

// How many elements of a row come before its element `me`: better ones, and equal ones of lower index.
static int64_t rank_of(const Use *u, int64_t *in, int64_t me, int64_t count) {
    int64_t before = 0;
    in[u->axis] = me;
    double mine = x_at(u, in);
    for (int64_t j = 0; j < count; j++) {
        in[u->axis] = j;
        double v = x_at(u, in);
        before += v == mine ? j < me : u->n ? v > mine : v < mine;
    }
    return before;
}

static double best_index(void *user, const int64_t *at) {
    Use *u = user;
    int64_t in[MAXDIM], count = u->x->n->shape.d[u->axis];
    memcpy(in, at, sizeof in);
    for (int64_t j = 0; j < count; j++)
        if (rank_of(u, in, j, count) == at[u->axis]) return (double)j;
    return -1;
}

static double best_value(void *user, const int64_t *at) {
    Use *u = user;
    int64_t in[MAXDIM];
    memcpy(in, at, sizeof in);
    in[u->axis] = (int64_t)best_index(u, at);
    return x_at(u, in);
}

static void tops(void) {
    int r = 2 + (int)roll(3);
    Use u = {.axis = 1 + (int)roll(r - 1), .n = (int)roll(2)};
    u.x = input(DT_F32, random_shape(r, roll(2) ? 0 : -1), -3, 3);
    Attr a = AXES(u.axis, 1 + roll(u.x->n->shape.d[u.axis]), u.n, 1);
    check(op1a(g, TopKValues, u.x->n, a), best_value, &u);
    check(op1a(g, TopKIndices, u.x->n, a), best_index, &u);
}

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

// ---- running ----

static void round_(void *arg) {
    g = graph_new(cx, N);
    used = 1 + roll(N);
    (*(void (**)(void))arg)();
}

static void rounds(void (*fn)(void)) {
    for (int i = 0; i < ROUNDS; i++) {
        cx = cx_new();
        if (!cx_guard(cx, round_, &fn)) fail_msg("round %d: %s", i, cx->error);
        cx_free(cx);
    }
}

#define FAMILY(name) static void test_##name(void **state) { (void)state; rounds(name); }
FAMILY(transposes) FAMILY(expands) FAMILY(reshapes) FAMILY(slices) FAMILY(pads) FAMILY(concats)
FAMILY(gathers) FAMILY(gathers_elements) FAMILY(gathers_nd) FAMILY(scatters_elements) FAMILY(scatters_nd)
FAMILY(tops) FAMILY(bits)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transposes),       cmocka_unit_test(test_expands),  cmocka_unit_test(test_reshapes),
        cmocka_unit_test(test_slices),           cmocka_unit_test(test_pads),     cmocka_unit_test(test_concats),
        cmocka_unit_test(test_gathers),          cmocka_unit_test(test_gathers_elements),
        cmocka_unit_test(test_gathers_nd),       cmocka_unit_test(test_scatters_elements),
        cmocka_unit_test(test_scatters_nd),      cmocka_unit_test(test_tops),
        cmocka_unit_test(test_bits),             cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
