// Rows on a GPU without a GPU (tests/standin/): every loss with its gradient, softmax and normalisations over the
// last axis, beside the same graphs on the CPU; and that each is the one kernel it should be, of the schedule `rows`.
#include "cuda_pair.h"
#include "passes/train.h"

enum { DEEP = 9, MOSTCLASSES = 300 };

// ---- losses ----

typedef struct LossCase { Loss loss; int64_t classes; int rows, launches; } LossCase;   // of a step; 0: any

static double weight[MOSTCLASSES];

static const LossCase losses[] = {
    {{.kind = LOSS_CROSS_ENTROPY}, 10, 1, 5},
    {{.kind = LOSS_CROSS_ENTROPY}, 2, 1, 5},
    {{.kind = LOSS_CROSS_ENTROPY}, 300, 1, 5},
    {{.kind = LOSS_CROSS_ENTROPY, .smoothing = 0.1}, 40, 1, 5},
    {{.kind = LOSS_CROSS_ENTROPY, .class_weights = weight}, 10, 1, 9},
    {{.kind = LOSS_CROSS_ENTROPY, .class_weights = weight, .smoothing = 0.2}, 300, 1, 7},
    {{.kind = LOSS_NLL}, 33, 0, 0},
    {{.kind = LOSS_NLL, .class_weights = weight}, 5, 0, 0},
    {{.kind = LOSS_BCE}, 17, 0, 0},
    {{.kind = LOSS_MSE}, 260, 0, 0},
    {{.kind = LOSS_L1}, 3, 0, 0},
};
enum { NLOSSCASES = sizeof losses / sizeof *losses };

static const LossCase *now;                              // the case that is being built

static bool by_class(const Loss *l) { return l->kind == LOSS_CROSS_ENTROPY || l->kind == LOSS_NLL; }

static int everything(void *user, const char *name) { return (void)user, (void)name, 0; }

static void scored(Graph *g) {
    Node *z = op2(g, MatMul, rows(g, "x", DT_F32, DEEP), param(g, "w", SHAPE(DEEP, now->classes)));
    if (now->loss.kind == LOSS_NLL) z = op1a(g, LogSoftmax, z, AXES(1));
    graph_root(g, "y", z, NULL, FN_FORWARD);
    TrainOptions o = {
        .loss = now->loss, .ngroup = 1, .group = everything, .nscores = 1, .scores = &z, .bare = true};
    train_graph(g, &o);
}

static void feed_loss(Pair *r) {
    static float x[MAX * DEEP], target[MAX * MOSTCLASSES];
    int64_t class[MAX];
    for (int i = 0; i < MAX * DEEP; i++) x[i] = 3 * wave(i + 7);
    for (int i = 0; i < MAX * MOSTCLASSES; i++) target[i] = fabsf(wave(i));
    for (int i = 0; i < MAX; i++) class[i] = i * 31 % now->classes;
    write_both(r, "x", x);
    write_both(r, "tvc.target", by_class(&now->loss) ? (const void *)class : target);
}

static int of_schedule(const Program *p, int fn, const char *schedule) {
    int n = 0;
    for (int i = p->functions[fn].from; i < p->functions[fn].to; i++) {
        const char *label = program_text(p, p->steps[i].label), *last = strrchr(label, ' ');
        n += last && !strcmp(last + 1, schedule);
    }
    return n;
}

static int launches(const Program *p, int fn) { return p->functions[fn].to - p->functions[fn].from; }

static void check_losses(void *arg) {
    for (int i = 0; i < MOSTCLASSES; i++) weight[i] = 0.5 + 0.01 * (double)(i * 7 % 50);
    for (int i = 0; i < NLOSSCASES; i++) {
        now = &losses[i];
        Pair r = pair(arg, scored, (Wishes){.tolerance = 2e-5});
        for (int64_t batch = MAX; batch > 0; batch -= 13) {
            Fault f;
            for (int s = 0; s < 2; s++) session_set_batch(r.s[s], batch, &f);
            feed_loss(&r);
            for (int s = 0; s < 2; s++) call(arg, r.s[s], FN_TRAIN_STEP);
            compare(&r, "tvc.loss"), compare(&r, "grad/w");
        }
        int n = of_schedule(r.p[1], FN_TRAIN_STEP, "rows"), all = launches(r.p[1], FN_TRAIN_STEP);
        if (now->rows && (n != now->rows || all != now->launches))
            fail(arg, E_CHECK, "loss %d: %d kernels of rows, %d in all", i, n, all);
        close_pair(&r);
    }
}

// ---- forward ----

static Node *mean(Graph *g, Node *x) {
    return op2(g, Mul, op1a(g, ReduceSum, x, AXES(2)), graph_scalar(g, DT_F32, 1.0 / (double)x->shape.d[2]));
}

static Node *sequence(Graph *g, int64_t n, int64_t c) {
    return graph_input(g, "x", DT_F32, (Shape){.n = 3, .batch = 1, .d = {MAX, n, c}});
}

static void soft_max(Graph *g) { graph_root(g, "y", op1a(g, Softmax, sequence(g, 5, 70), AXES(2)), NULL, 1); }

static void log_soft_max(Graph *g) { graph_root(g, "y", op1a(g, LogSoftmax, sequence(g, 2, 400), AXES(2)), NULL, 1); }

static void normalised(Graph *g) {
    Node *x = sequence(g, 3, 48), *d = op2(g, Sub, x, mean(g, x)), *var = mean(g, op2(g, Mul, d, d));
    Node *y = op2(g, Div, d, op1(g, Sqrt, op2(g, Add, var, graph_scalar(g, DT_F32, 1e-5))));
    graph_root(g, "y", op2(g, Add, op2(g, Mul, y, param(g, "s", SHAPE(48))), param(g, "b", SHAPE(48))), NULL, 1);
}

// Several kernels need a row's sum and each element of the softmax.
static void shared(Graph *g) {
    Node *x = sequence(g, 4, 33), *e = op1(g, Exp, x), *sum = op1a(g, ReduceSum, e, AXES(2)), *y = op2(g, Div, e, sum);
    graph_root(g, "y", y, NULL, 1);
    graph_root(g, "sum", sum, NULL, 1);
    graph_root(g, "tops", op2(g, Sub, op1a(g, ReduceMax, y, AXES(1)), op1a(g, ReduceSum, y, AXES(1))), NULL, 1);
}

// What one kernel of rows makes goes through a product and back: the last sum cannot be part of the first kernel.
static void through(Graph *g) {
    Node *y = op1a(g, Softmax, sequence(g, 4, 24), AXES(2)), *p = op2(g, MatMul, y, param(g, "w", SHAPE(24, 24)));
    graph_root(g, "p", p, NULL, 1);
    graph_root(g, "y", op2(g, Sub, op2(g, Mul, p, y), op1a(g, ReduceMax, op2(g, Add, p, y), AXES(2))), NULL, 1);
}

// The rows of one are the columns of the other: threads side by side along results read these better.
static void across(Graph *g) {
    Node *x = op1a(g, Transpose, sequence(g, 50, 40), AXES(0, 2, 1)), *d = op2(g, Sub, x, mean(g, x));
    graph_root(g, "y", mean(g, op2(g, Mul, d, d)), NULL, 1);
}

static const struct { BuildFn *build; int rows, launches; const char *names[4]; } ways[] = {
    {soft_max, 1, 1, {"y"}},
    {log_soft_max, 1, 1, {"y"}},
    {normalised, 1, 1, {"y"}},
    {shared, 1, 3, {"y", "sum", "tops"}},
    {through, 2, 3, {"y", "p"}},
    {across, 0, 2, {"y"}},
};

static void check_ways(void *arg) {
    static float x[MAX * 2000];
    for (int i = 0; i < MAX * 2000; i++) x[i] = 2 * wave(i + i / 17);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        Pair r = pair(arg, ways[i].build, (Wishes){.tolerance = 2e-5});
        for (int64_t batch = 3; batch <= MAX; batch += MAX - 3) {
            Fault f;
            for (int s = 0; s < 2; s++) session_set_batch(r.s[s], batch, &f);
            write_both(&r, "x", x);
            for (int s = 0; s < 2; s++) call(arg, r.s[s], 1);
            for (int k = 0; ways[i].names[k]; k++) compare(&r, ways[i].names[k]);
        }
        int n = of_schedule(r.p[1], 1, "rows"), all = launches(r.p[1], 1);
        if (n != ways[i].rows || all != ways[i].launches)
            fail(arg, E_CHECK, "way %zu: %d kernels of rows, %d in all", i, n, all);
        close_pair(&r);
    }
}

static void every_loss(void **state) { (void)state, in_all_orders(check_losses); }
static void forward(void **state) { (void)state, in_order(check_ways, 0); }

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_loss), cmocka_unit_test(forward)};
#ifndef __x86_64__
    puts("skipped: the emulator switches threads in x86-64's own way");
    return 0;
#endif
    return cmocka_run_group_tests(tests, use_standins, clean);
}
