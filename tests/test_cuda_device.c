// Sessions on a GPU without a GPU: programs compiled for sm_90 by the stand-in for NVRTC, run by the stand-in
// for the driver (tests/standin/), against the same graphs on the CPU. Work is really done late there, early,
// or by one stream early and by the other late: whatever is missing between them shows. What is checked:
// batches, recordings and their replay, hand-written bodies, seeds and steps, data out of range, updates,
// inputs written ahead, long copies, profiles, threads, and every call of the driver failing in turn.
#include "cuda_pair.h"
#include "passes/train.h"
#include "runtime/cuda_driver.h"
#include <pthread.h>

enum { WIDE = 24 };

// ---- graphs ----

// Products, a hand-written body between kernels, a table looked up by data, noise.
static void mixed(Graph *g) {
    Node *x = rows(g, "x", DT_F32, 40), *at = rows(g, "at", DT_I64, 3);
    Node *y = op1(g, Relu, op2(g, MatMul, x, param(g, "w", SHAPE(40, WIDE))));
    Node *sums = graph_op(g, OP_CumSum, AXES(1, 0, 0), 1, &y);
    graph_root(g, "sums", op1(g, Tanh, sums), NULL, 1);
    graph_root(g, "best", op1(g, Neg, graph_op(g, OP_TopKValues, AXES(1, 5, 1, 1), 1, &y)), NULL, 1);
    graph_root(g, "where", graph_op(g, OP_TopKIndices, AXES(1, 5, 1, 1), 1, &y), NULL, 1);
    graph_root(g, "table", graph_op(g, OP_Gather, AXES(0), 2, (Node *[]){param(g, "table", SHAPE(7, 2)), at}), NULL, 1);
    graph_root(g, "noise", graph_op(g, OP_Random, (Attr){.n = 2, .i = (int64_t[]){4, 5}, .f = 1}, 0, NULL), NULL, 1);
}

static Node *conv(Graph *g, Node *x, const char *name, int64_t out, int64_t stride) {
    Window w = {.rank = 2, .group = 1, .axis = {{3, stride, 1, 1, 1}, {3, stride, 1, 1, 1}}};
    return graph_op(g, OP_Conv, window_attr(g->cx, &w), 2,
                    (Node *[]){x, param(g, name, SHAPE(out, x->shape.d[1], 3, 3))});
}

// Three convolutions of one image, of different sizes, in one launch; what is made of them in another.
static void siblings(Graph *g) {
    Node *x = graph_input(g, "x", DT_F32, (Shape){.n = 4, .batch = 1, .d = {MAX, 4, 6, 6}});
    x = op1(g, Relu, conv(g, x, "first", 16, 1));
    graph_root(g, "a", op1(g, Tanh, conv(g, x, "a", 24, 1)), NULL, 1);
    graph_root(g, "b", conv(g, x, "b", 40, 2), NULL, 1);
    graph_root(g, "c", conv(g, x, "c", 9, 1), NULL, 1);
}

static Node *over_images(Graph *g, Node *x) { return op1a(g, ReduceSum, x, AXES(0, 2, 3)); }

// Sums over two convolutions, which the later one makes; one that waits for a body between, and so cannot be made there.
static void carried(Graph *g) {
    Node *x = graph_input(g, "x", DT_F32, (Shape){.n = 4, .batch = 1, .d = {MAX, 4, 6, 6}});
    Node *y = conv(g, x, "first", 16, 1), *z = conv(g, op1(g, Tanh, y), "second", 16, 1);
    Node *last = conv(g, op1(g, Tanh, z), "third", 24, 2), *far = graph_op(g, OP_CumSum, AXES(3, 0, 0), 1, &last);
    graph_root(g, "a", over_images(g, y), NULL, 1);
    graph_root(g, "b", over_images(g, op2(g, Mul, y, z)), NULL, 1);
    graph_root(g, "c", over_images(g, op2(g, Mul, last, op1(g, Tanh, far))), NULL, 1);
}

static void big(Graph *g) {
    Node *x = graph_input(g, "x", DT_F32, SHAPE(3 << 20));
    graph_root(g, "y", op1(g, Neg, x), NULL, 1);
}

static int everything(void *user, const char *name) { return (void)user, (void)name, 0; }

// A small network that learns.
static void learning(Graph *g) {
    Node *x = rows(g, "x", DT_F32, 6);
    Node *y = op1(g, Tanh, op2(g, MatMul, x, param(g, "a", SHAPE(6, 8))));
    y = op2(g, MatMul, y, param(g, "b", SHAPE(8, 3)));
    graph_root(g, "y", y, NULL, FN_FORWARD);
    double lr, momentum, decay;
    TrainOptions o = {.optimizer = optimizer_default(OPT_ADAM, &lr, &momentum, &decay),
                      .ngroup = 1,
                      .group = everything,
                      .nscores = 1,
                      .scores = &y};
    train_graph(g, &o);
}

static void feed_one(Session *s, int round) {
    float x[MAX * 40];
    int64_t at[MAX * 3];
    for (int i = 0; i < MAX * 40; i++) x[i] = wave(i + round * 131);
    for (int i = 0; i < MAX * 3; i++) at[i] = (i + round) % 7;
    session_write(s, session_slot(s, "x"), x), session_write(s, session_slot(s, "at"), at);
}

static void feed(Pair *r, int64_t batch, int round) {
    Fault f;
    for (int i = 0; i < 2; i++) {
        session_set_batch(r->s[i], batch, &f), session_set_step(r->s[i], (uint64_t)round);
        feed_one(r->s[i], round);
    }
}

static void compare_all(Pair *r) {
    static const char *const names[] = {"sums", "best", "where", "table", "noise"};
    for (int i = 0; i < 5; i++) compare(r, names[i]);
}

static void run_and_compare(Pair *r) {
    for (int i = 0; i < 2; i++) call(r->cx, r->s[i], 1);
    compare_all(r);
}

// Eager, recorded, replayed, pushed out of the table and recorded again, with other data, batches and steps each time.
static void check_batches(void *arg) {
    Pair r = pair(arg, mixed, (Wishes){0});
    for (int round = 0; round < 3; round++)
        for (int64_t batch = MAX; batch > 0; batch -= round == 2 ? 7 : 1) {
            feed(&r, batch, round);
            run_and_compare(&r);
        }
    for (int round = 3; round < 8; round++) {
        feed(&r, round % 2 ? MAX : 3, round);
        run_and_compare(&r);
    }
    close_pair(&r);
}

static void batches(void **state) { (void)state, in_all_orders(check_batches); }

static void run_images(Pair *r) {
    static const int64_t sizes[] = {MAX, 1, 7, 13, MAX};
    float *x = NEW(r->cx, float, MAX * 144);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < MAX * 144; i++) x[i] = wave(i + round * 131);
        Fault f;
        for (int i = 0; i < 2; i++) session_set_batch(r->s[i], sizes[round], &f);
        write_both(r, "x", x);
        for (int i = 0; i < 2; i++) call(r->cx, r->s[i], 1);
        compare(r, "a"), compare(r, "b"), compare(r, "c");
    }
}

// A smaller batch leaves some blocks of each part without work.
static void check_siblings(void *arg) {
    Pair r = pair(arg, siblings, (Wishes){0});
    const Function *f = &r.p[1]->functions[1];
    int tiles = 0;
    for (int i = f->from; i < f->to; i++)
        tiles += strstr(program_text(r.p[1], r.p[1]->steps[i].label), " tiles") != NULL;
    if (tiles != 1) fail(r.cx, E_CHECK, "%d launches of several products", tiles);
    run_images(&r);
    close_pair(&r);
}

static void beside(void **state) { (void)state, in_order(check_siblings, 0); }

static void check_carried(void *arg) {
    Pair r = pair(arg, carried, (Wishes){.tolerance = 1e-4});
    const Function *f = &r.p[1]->functions[1];
    int folds = 0, carry = 0;
    for (int i = f->from; i < f->to; i++) {
        const Step *s = &r.p[1]->steps[i];
        const char *label = program_text(r.p[1], s->label);
        folds += strstr(label, " fold") != NULL, carry += strstr(label, " tile") && s->nwritten == 3;
    }
    if (folds != 1 || carry != 1) fail(r.cx, E_CHECK, "%d kernels of sums alone, %d in convolutions", folds, carry);
    run_images(&r);
    close_pair(&r);
}

static void sums_carried(void **state) { (void)state, in_order(check_carried, 0); }

static void check_range(void *arg) {
    Cx *cx = arg;
    Pair r = pair(cx, mixed, (Wishes){0});
    Fault f;
    for (int round = 0; round < 4; round++) {
        int64_t at[MAX * 3] = {0};
        feed(&r, MAX, round);
        at[17] = 7;
        write_both(&r, "at", at);
        for (int i = 0; i < 2; i++) {
            f = (Fault){0};
            if (session_call(r.s[i], 1, &f) != E_MALFORMED || !strstr(f.text, "Gather"))
                fail(cx, E_CHECK, "%d: %s", i, f.text);
        }
        feed(&r, MAX, round);
        run_and_compare(&r);                                  // the next call starts clean
    }
    close_pair(&r);
}

static void data_out_of_range(void **state) { (void)state, in_all_orders(check_range); }

static void check_long(void *arg) {
    Cx *cx = arg;
    Pair r = pair(cx, big, (Wishes){0});
    float *x = NEW(cx, float, 3 << 20);
    for (int i = 0; i < 3 << 20; i++) x[i] = wave(i);
    write_both(&r, "x", x);
    memset(x, 0, sizeof *x << 20);                            // the host's side is free again
    for (int i = 0; i < 2; i++) call(cx, r.s[i], 1);
    compare(&r, "y");
    close_pair(&r);
}

static void long_copies(void **state) { (void)state, in_all_orders(check_long); }

// Steps whose inputs are written while the one before runs.
static void check_ahead(void *arg) {
    Cx *cx = arg;
    Pair r = pair(cx, learning, (Wishes){0});
    Fault f;
    static const struct {
        const char *name;
        double v;
    } rates[] = {{"lr.0", 0.01}, {"momentum.0", 0.9}, {"weight_decay.0", 0}};
    for (int step = 0; step <= 8; step++) {
        float x[MAX * 6];
        int64_t label[MAX];
        double number = step + 1;
        for (int i = 0; i < MAX * 6; i++) x[i] = wave(i * (step + 3));
        for (int i = 0; i < MAX; i++) label[i] = (i + step) % 3;
        for (int i = 0; i < 2; i++) {                         // the CPU is waited for first
            if (i == 0 && step) session_wait(r.s[0], &f);
            session_write(r.s[i], session_slot(r.s[i], "x"), x),
                session_write(r.s[i], session_slot(r.s[i], "tvc.target"), label);
            session_write(r.s[i], session_slot(r.s[i], "tvc.step"), &number);
            for (int k = 0; k < 3; k++) session_write(r.s[i], session_slot(r.s[i], rates[k].name), &rates[k].v);
            if (i == 1 && session_wait(r.s[1], &f)) fail(cx, f.code, "%s", f.text);
        }
        if (step) compare(&r, "tvc.loss"), compare(&r, "a"), compare(&r, "b");
        for (int i = 0; i < 2; i++)
            if (session_start(r.s[i], FN_TRAIN_STEP, &f)) fail(cx, f.code, "%s", f.text);
        if (session_start(r.s[1], FN_TRAIN_STEP, &f) != E_USAGE) fail(cx, E_CHECK, "started twice");
    }
    close_pair(&r);                                           // while it runs
}

static void inputs_ahead(void **state) { (void)state, in_all_orders(check_ahead); }

// Inferences whose inputs, which share memory with outputs, are written while the one before runs, and read before the
// next begins.
static void check_stream(void *arg) {
    Cx *cx = arg;
    Pair r = pair(cx, mixed, (Wishes){0});
    Fault f;
    if (session_ahead(r.s[0]) || !session_ahead(r.s[1])) fail(cx, E_CHECK, "who computes on its own?");
    for (int64_t batch = MAX; batch > MAX - 2; batch--) {
        feed(&r, batch, 0);
        for (int round = 0; round < 5; round++) {
            for (int i = 0; i < 2; i++)
                if (session_start(r.s[i], 1, &f)) fail(cx, f.code, "%s", f.text);
            feed_one(r.s[1], round + 1);
            for (int i = 0; i < 2; i++)
                if (session_wait(r.s[i], &f)) fail(cx, f.code, "%s", f.text);
            compare_all(&r);
            feed_one(r.s[0], round + 1);
        }
    }
    close_pair(&r);
}

static void streams(void **state) { (void)state, in_all_orders(check_stream); }

static void check_profile(void *arg) {
    Pair r = pair(arg, mixed, (Wishes){.profile = true});
    for (int round = 0; round < 3; round++) feed(&r, MAX - round, round), run_and_compare(&r);
    const Function *fn = &r.p[1]->functions[1];
    for (int i = fn->from; i < fn->to; i++)
        if (!(session_seconds(r.s[1])[i] > 0)) fail(r.cx, E_CHECK, "step %d took no time", i);
    close_pair(&r);
}

static void profiles(void **state) { (void)state, in_order(check_profile, 0); }

// ---- calls that fail ----

// 0 or the error, what is said in *f; what was opened is closed again. The driver aborts if anything is left.
static Err live_once(const Program *p, Fault *f) {
    Session *s = session_new(p, &(SessionOptions){.device = "cuda"}, f);
    float x[MAX * 40] = {0};
    int64_t at[MAX * 3] = {0};
    Err e = s ? E_OK : f->code;
    for (int round = 0; round < 3 && !e; round++) {
        session_write(s, session_slot(s, "x"), x), session_write(s, session_slot(s, "at"), at);
        e = session_call(s, 1, f);
        if (!e && !session_view(s, session_slot(s, "sums"))) e = fault(f, E_DEVICE, "cannot be seen");
    }
    session_free(s);
    return e;
}

static bool named(const char *symbol, const char *const *words, int n) {
    for (int i = 0; i < n; i++)
        if (strstr(symbol, words[i])) return true;
    return false;
}

static bool gives_back(const char *symbol) {                  // what the driver does not take back is left
    return named(symbol, (const char *const[]){"Destroy", "Free", "Unload", "Release"}, 4);
}

// Not where tvc goes on without (recordings), nor where the call is not made again or not at all.
static bool must_notice(const char *symbol) {
    static const char *const words[] = {"cuInit", "Version", "cuGetError", "cuMemGetInfo", "Capture", "Instantiate",
                                        "Elapsed", "DtoD", "WaitEvent"};
    return !named(symbol, words, sizeof words / sizeof *words);
}

static void check_failures(void *arg) {
    Cx *cx = arg;
    const Program *p = program(cx, mixed, "cuda:sm_90", PRECISION_FP32);
    static const char *const symbols[] = {
#define X(ours, symbol, parameters) symbol,
        CUDA_FUNCTIONS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
        for (int nth = 1; nth < 40 && !gives_back(symbols[i]); nth = nth * 2 + 1) {
            Fault f = {0};
            setenv("STANDIN_FAIL", cx_fmt(cx, "%s:%d:%d", symbols[i], nth, nth == 3 ? 2 : nth == 7 ? 700 : 699), 1);
            Err e = live_once(p, &f);
            if (e && ((e != E_DEVICE && e != E_LIMIT) || !*f.text))
                fail(cx, E_CHECK, "%s: %d, %s", getenv("STANDIN_FAIL"), e, f.text);
            if (!e && nth == 1 && must_notice(symbols[i]))
                fail(cx, E_CHECK, "%s was not noticed", getenv("STANDIN_FAIL"));
        }
    unsetenv("STANDIN_FAIL");
    Fault f;
    if (live_once(p, &f)) fail(cx, E_CHECK, "afterwards: %s", f.text);
}

static void failures(void **state) { (void)state, in_order(check_failures, 0); }

static void said(Cx *cx, const Program *p, const char *name, const char *value, Err code, const char *word) {
    Fault f = {0};
    setenv(name, value, 1);
    Err e = live_once(p, &f);
    unsetenv(name);
    if (e != code || !strstr(f.text, word)) fail(cx, E_CHECK, "%s=%s: %d, %s", name, value, e, f.text);
}

static void check_words(void *arg) {
    Cx *cx = arg;
    const Program *p = program(cx, mixed, "cuda:sm_90", PRECISION_FP32);
    said(cx, p, "STANDIN_ARCH", "80", E_DEVICE, "--target cuda:sm_80");
    said(cx, p, "STANDIN_DEVICES", "0", E_DEVICE, "no NVIDIA GPU");
    said(cx, p, "STANDIN_MEMORY", "6000", E_LIMIT, "MB free");
    said(cx, p, "STANDIN_MEMORY", "600", E_LIMIT, "out of memory");
    said(cx, p, "STANDIN_FAIL", "cuMemAlloc_v2:2:700", E_DEVICE, "illegal memory access");
    said(cx, program(cx, mixed, NULL, PRECISION_FP32), "STANDIN_MEMORY", "1000000", E_DEVICE, "for the CPU");
    Fault f;
    assert_null(session_new(p, &(SessionOptions){.device = "cpu"}, &f));
    assert_non_null(strstr(f.text, "cuda:sm_90"));
    assert_null(session_new(p, &(SessionOptions){.device = "cuda:1"}, &f));
    assert_non_null(strstr(f.text, "no GPU 1"));
    if (live_once(program(cx, mixed, "cuda:compute_80", PRECISION_FP32), &f)) fail(cx, E_CHECK, "PTX: %s", f.text);
}

static void words(void **state) { (void)state, in_order(check_words, 0); }

// ---- many at once ----

static void *live(void *p) {
    Fault f;
    for (int i = 0; i < 3; i++)
        if (live_once(p, &f)) return "failed";
    return NULL;
}

static void check_threads(void *arg) {
    const Program *p = program(arg, mixed, "cuda:sm_90", PRECISION_FP32);
    pthread_t thread[3];
    void *result;
    for (int i = 0; i < 3; i++) pthread_create(&thread[i], NULL, live, (void *)(uintptr_t)p);
    for (int i = 0; i < 3; i++) {
        pthread_join(thread[i], &result);
        if (result) fail(arg, E_CHECK, "a session among others fails");
    }
}

static void threads(void **state) { (void)state, in_order(check_threads, 2); }

// ---- set-up ----

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches),     cmocka_unit_test(beside),       cmocka_unit_test(sums_carried),
        cmocka_unit_test(long_copies), cmocka_unit_test(inputs_ahead), cmocka_unit_test(data_out_of_range),
        cmocka_unit_test(profiles),    cmocka_unit_test(failures),     cmocka_unit_test(words),
        cmocka_unit_test(threads),     cmocka_unit_test(streams),
    };
#ifndef __x86_64__
    puts("skipped: the emulator switches threads in x86-64's own way");
    return 0;
#endif
    return cmocka_run_group_tests(tests, use_standins, clean);
}
