// A training program by hand: a small network with BatchNorm learns, frozen parts stay, a step that
// meets NaN changes nothing, the threads do not matter.
#include "codegen/compile.h"
#include "passes/train.h"
#include "runtime/exec.h"
#include <setjmp.h>
#include <cmocka.h>
#undef fail                            // ours gives up on the request

enum { N = 8, C = 3, CLASSES = 4 };

static float noise(int64_t i) {
    uint64_t h = (uint64_t)i * 0x9E3779B97F4A7C15u;
    h ^= h >> 31, h *= 0xBF58476D1CE4E5B9u, h ^= h >> 29;
    return (float)((double)(h >> 11) * 0x1p-53 - 0.5);
}

static Node *param(Graph *g, const char *name, Shape s, float scale, float plus) {
    float *p = NEW(g->cx, float, numel(s));
    for (int64_t i = 0; i < numel(s); i++) p[i] = noise(i + name[0] * 1000) * scale + plus;
    return graph_param(g, name, DT_F32, s, p);
}

static Node *conv(Graph *g, Node *x, Node *w, int64_t stride) {
    Window win = {.rank = 2, .group = 1, .axis = {{3, stride, 1, 1, 1}, {3, stride, 1, 1, 1}}};
    return graph_op(g, OP_Conv, window_attr(g->cx, &win), 2, (Node *[]){x, w});
}

static Node *bn(Graph *g, Node *x, const char *a, const char *b, const char *m, const char *v) {
    Shape s = SHAPE(x->shape.d[1]);
    return graph_op(
        g, OP_BatchNorm, (Attr){.f = 1e-5, .f2 = 0.9}, 5,
        (Node *[]){x, param(g, a, s, 0, 1), param(g, b, s, 0, 0), param(g, m, s, 0, 0), param(g, v, s, 0, 1)});
}

// conv - bn - relu - pool - conv - bn - relu - global average - dense
static Node *network(Graph *g) {
    Shape s = {.n = 4, .batch = 1, .d = {N, C, 12, 12}};
    Node *x = graph_input(g, "x", DT_F32, s);
    Node *y = op1(g, Relu, bn(g, conv(g, x, param(g, "a.w", SHAPE(16, C, 3, 3), 1, 0), 1), "b.s", "c.b", "d.m", "e.v"));
    Window pool = {.rank = 2, .group = 1, .axis = {{2, 2, 1, 0, 0}, {2, 2, 1, 0, 0}}};
    y = graph_op(g, OP_MaxPool, window_attr(g->cx, &pool), 1, &y);
    y = graph_op(g, OP_Dropout, (Attr){.f = 0.1, .f2 = 5}, 1, &y);
    y = op1(g, Relu, bn(g, conv(g, y, param(g, "f.w", SHAPE(20, 16, 3, 3), 0.5f, 0), 2), "g.s", "h.b", "i.m", "j.v"));
    y = op1a(g, ReduceMean, y, AXES(2, 3));
    Shape flat = {.n = 2, .batch = 1, .d = {N, 20}};
    y = op2(g, MatMul, node_reshape(g, y, flat),
            op1a(g, Transpose, param(g, "k.w", SHAPE(CLASSES, 20), 1, 0), AXES(1, 0)));
    y = op2(g, Add, y, param(g, "l.b", SHAPE(CLASSES), 0, 0));
    graph_root(g, "y", op1a(g, Softmax, y, AXES(1)), NULL, FN_FORWARD);
    return y;
}

typedef struct Run {
    const char *from;
    OptimizerKind kind;
    int threads;
    bool poison;
    double loss[2];
    float weight[CLASSES * 20], first[16];
    int features;
} Run;

static int group_of(void *user, const char *name) { return strcmp(name, ((Run *)user)->from) >= 0 ? 0 : -1; }

static void set(Session *s, const char *name, double v) { session_write(s, session_slot(s, name), &v); }

static void batch(Session *s, const Run *r) {
    float x[N * C * 144];
    int64_t label[N];
    for (int n = 0; n < N; n++) {
        label[n] = n % CLASSES;
        for (int i = 0; i < C * 144; i++)
            x[n * C * 144 + i] = noise(n * 999 + i) + (i % CLASSES == label[n] ? 1.f : 0.f);
    }
    if (r->poison) x[77] = NAN;
    session_write(s, session_slot(s, "x"), x);
    session_write(s, session_slot(s, "tvc.target"), label);
}

static float get(Session *s, const char *name) { return *(float *)session_data(s, session_slot(s, name)); }

static void train(void *arg) {
    Cx *cx = ((void **)arg)[0];
    Run *r = ((void **)arg)[1];
    Graph *g = graph_new(cx, N);
    Node *scores = network(g);
    double lr, momentum, decay;
    TrainOptions o = {.optimizer = optimizer_default(r->kind, &lr, &momentum, &decay),
                      .ngroup = 1,
                      .group = group_of,
                      .user = r,
                      .nscores = 1,
                      .scores = &scores,
                      .clip = 5};
    TrainGraph *t = train_graph(g, &o);
    r->features = t->nfeature;
    Compiled *c = graph_compile(g, NULL);
    Fault f;
    Session *s = session_new(c->program, &(SessionOptions){.threads = r->threads, .seed = 3}, &f);
    if (!s) fail(cx, f.code, "%s", f.text);
    for (int step = 1; step <= 30; step++) {
        batch(s, r);
        set(s, "tvc.step", step), set(s, "lr.0", lr * 5), set(s, "momentum.0", momentum),
            set(s, "weight_decay.0", decay);
        session_set_step(s, (uint64_t)step);
        for (int fn = FN_FEATURES; fn >= FN_TRAIN_STEP; fn--)
            if (session_call(s, fn, &f)) fail(cx, f.code, "%s", f.text);
        if (step == 1) r->loss[0] = (double)get(s, "tvc.loss");
        if ((get(s, "tvc.finite") != 1) != r->poison)
            fail(cx, E_CHECK, "finite is %g at step %d", (double)get(s, "tvc.finite"), step);
    }
    r->loss[1] = (double)get(s, "tvc.loss");
    memcpy(r->weight, session_data(s, session_slot(s, "k.w")), sizeof r->weight);
    int first = session_slot(s, "b.s");
    if (first >= 0 && session_data(s, first)) memcpy(r->first, session_data(s, first), sizeof r->first);
    session_free(s);
}

static void run(Run *r) {
    Cx *cx = cx_new();
    bool ok = cx_guard(cx, train, (void *[]){cx, r});
    if (!ok) print_error("%s\n", cx->error);
    cx_free(cx);
    assert_true(ok);
}

static void learns(void **state) {
    (void)state;
    for (int k = 0; k < NOPTIMIZERS; k++) {
        Run r = {.from = "a", .kind = (OptimizerKind)k, .threads = 1};
        run(&r);
        if (!(r.loss[1] < 0.8 * r.loss[0]) && k != OPT_ADADELTA)
            print_error("optimizer %d: loss from %g to %g\n", k, r.loss[0], r.loss[1]), assert_true(false);
        assert_int_equal(r.features, 0);
    }
}

static void frozen_prefix(void **state) {
    (void)state;
    Run r = {.from = "f", .kind = OPT_SGD, .threads = 1};
    run(&r);
    assert_int_equal(r.features, 1);
    assert_true(r.loss[1] < r.loss[0]);
    Run head = {.from = "k", .kind = OPT_ADAM, .threads = 1};
    run(&head);
    assert_int_equal(head.features, 1);
}

static void poison(void **state) {
    (void)state;
    Run r = {.from = "a", .kind = OPT_ADAM, .threads = 2, .poison = true};
    run(&r);
    for (int i = 0; i < CLASSES * 20; i++) assert_true(r.weight[i] == noise(i + 'k' * 1000));
}

static void threads(void **state) {
    (void)state;
    Run a = {.from = "a", .kind = OPT_ADAM, .threads = 1}, b = a, c = a;
    b.threads = 2, c.threads = 4;
    run(&a), run(&b), run(&c);
    assert_memory_equal(a.weight, b.weight, sizeof a.weight);
    assert_memory_equal(a.weight, c.weight, sizeof a.weight);
}

// The losses of a network that does not learn, at steps 1, 1 and 2: only what Dropout drops may differ.
static void drop_three_times(void *arg) {
    Cx *cx = ((void **)arg)[0];
    double *loss = ((void **)arg)[1];
    Run r = {.from = "a"};
    double lr, momentum, decay;
    Graph *g = graph_new(cx, N);
    Node *scores = network(g);
    TrainOptions o = {.optimizer = optimizer_default(OPT_SGD, &lr, &momentum, &decay),
                      .ngroup = 1,
                      .group = group_of,
                      .user = &r,
                      .nscores = 1,
                      .scores = &scores};
    train_graph(g, &o);
    Compiled *c = graph_compile(g, &(CompileOptions){.isa = -1, .no_compiler = ((void **)arg)[2] != NULL});
    Fault f;
    Session *s = session_new(c->program, &(SessionOptions){.threads = 2, .seed = 3}, &f);
    if (!s) fail(cx, f.code, "%s", f.text);
    for (int i = 0; i < 3; i++) {
        batch(s, &r);
        set(s, "lr.0", 0);
        session_set_step(s, i < 2 ? 1 : 2);
        if (session_call(s, FN_TRAIN_STEP, &f)) fail(cx, f.code, "%s", f.text);
        loss[i] = (double)get(s, "tvc.loss");
    }
    session_free(s);
}

static void fresh_masks(void **state) {
    (void)state;
    double loss[2][3];
    for (int interpreted = 0; interpreted < 2; interpreted++) {
        Cx *cx = cx_new();
        bool ok = cx_guard(cx, drop_three_times, (void *[]){cx, loss[interpreted], interpreted ? cx : NULL});
        if (!ok) print_error("%s\n", cx->error);
        cx_free(cx);
        assert_true(ok);
        assert_true(loss[interpreted][0] == loss[interpreted][1]);
        assert_true(fabs(loss[interpreted][0] - loss[interpreted][2]) > 1e-4);
    }
    for (int i = 0; i < 3; i++) assert_true(fabs(loss[0][i] - loss[1][i]) < 1e-5);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(fresh_masks), cmocka_unit_test(learns),
                                       cmocka_unit_test(frozen_prefix), cmocka_unit_test(poison),
                                       cmocka_unit_test(threads)};
    return cmocka_run_group_tests_name("train_graph", tests, NULL, NULL);
}
