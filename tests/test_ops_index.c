// Gathers, scatters and orders against plain loops (move_loops.h).
#include "move_loops.h"

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

// ---- order ----

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

FAMILY(gathers) FAMILY(gathers_elements) FAMILY(gathers_nd) FAMILY(scatters_elements) FAMILY(scatters_nd)
FAMILY(tops)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gathers),           cmocka_unit_test(test_gathers_elements), cmocka_unit_test(test_gathers_nd),
        cmocka_unit_test(test_scatters_elements), cmocka_unit_test(test_scatters_nd),      cmocka_unit_test(test_tops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
