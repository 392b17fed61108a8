// move_loops.h -- operators against plain loops over random shapes, with part of a free batch in use. The loops know nothing
// of the graph: they say which element of the input stands where. One request is open at a time: cx, g, used.
#ifndef MOVE_LOOPS_H
#define MOVE_LOOPS_H
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

#endif
