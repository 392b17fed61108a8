// Generated CUDA, run on the CPU in three thread schedules, against the evaluator; no GPU is needed.
//   test_cuda_emulator [CASE]      one case, its text on standard output
#include "cuda_run.h"
#include <setjmp.h>
#include <cmocka.h>
#undef fail                            // ours gives up on the request

enum { NDRAWN = 40 };
static const char *only;

static void check(Cx *cx, const Case *c, int ncase) {
    Job *job = NEW(cx, Job, ncase);
    int n = 0, bad = 0;
    for (int i = 0; i < ncase; i++)
        if (!only || !strcmp(only, c[i].name)) {
            job[n] = job_of(cx, &c[i]);
            if (strcmp(job[n].text.s, job_of(cx, &c[i]).text.s)) fail(cx, E_CHECK, "%s prints in two ways", c[i].name);
            n++;
        }
    const char *folder = scratch_folder(cx);
    void *lib = emulate(cx, job, n, folder);
    remove_folder(cx, folder);
    for (int i = 0; i < n; i++) {
        const char *want = job[i].c->schedule, *got = job[i].text.schedule;
        if (only) printf("%s", job[i].text.s);
        double e = judge(cx, &job[i], lib);
        const char *holds = job[i].c->holds, *missing = holds && !strstr(job[i].text.s, holds) ? holds : NULL;
        if (e <= 1 && (!want || !strcmp(want, got)) && !missing) continue;
        print_error("%s: schedule %s, error %g of what is allowed%s%s\n", job[i].c->name, got, e,
                    missing ? ", and not: " : "", missing ? missing : "");
        bad++;
    }
    unsigned long *conflicts = dlsym(lib, "emu_conflicts"), *fragments = dlsym(lib, "emu_fragments");
    if (*conflicts) bad++, print_error("%lu of %lu fragments meet a bank twice\n", *conflicts, *fragments);
    dlclose(lib);
    if (bad) fail(cx, E_CHECK, "%d of %d cases are wrong", bad, n);
}

static void run(void (*fn)(void *)) {
    Cx *cx = cx_new();
    bool ok = cx_guard(cx, fn, cx);
    if (!ok) print_error("%s\n", cx->error);
    cx_free(cx);
    assert_true(ok);
}

static void check_cases(void *arg) { check(arg, cases, NCASES); }

// ---- shapes nobody thought of ----

static int64_t draw(uint32_t *seed, int64_t from, int64_t to) {
    *seed = *seed * 1664525 + 1013904223;
    return from + (int64_t)(*seed >> 8) % (to - from + 1);
}

static Case drawn_case(Cx *cx, int i) {
    static BuildFn *const build[] = {conv,      matmul,     conv_dx,      conv_dw,  bn_relu_conv,
                                     matmul_bt, statistics, matmul_at_bt, max_pool, add_relu};
    static const DType type[] = {DT_F16, DT_F32, DT_BF16};
    uint32_t s = (uint32_t)i * 2654435761u + 99;
    Case c = {.name = cx_fmt(cx, "drawn_%d", i), .build = build[i % 10], .type = type[draw(&s, 0, 2)]};
    c.max = draw(&s, 1, 3), c.used = draw(&s, 1, c.max);
    c.n = 1, c.c = draw(&s, 1, 40), c.h = draw(&s, 4, 9), c.w = draw(&s, 4, 9), c.o = draw(&s, 1, 80);
    c.r = draw(&s, 1, 3), c.stride = draw(&s, 1, 2), c.pad = draw(&s, 0, c.r - 1);
    if (draw(&s, 0, 1)) c.c = (c.c + 7) / 8 * 8, c.o = (c.o + 7) / 8 * 8;
    if (draw(&s, 0, 3) == 0) c.pixel = (c.c + 7) / 8 * 8;
    if (c.build == matmul || c.build == matmul_bt || c.build == matmul_at_bt)
        c.n = draw(&s, 1, 90), c.c = draw(&s, 1, 150);
    if (c.build == matmul_at_bt) c.max = c.used = 0;
    SumsFn *const sums[] = {NULL, mean_of, statistics_of, gradient_of};
    if (c.build == conv || c.build == conv_dx || c.build == bn_relu_conv) c.sums = sums[draw(&s, 0, 3)];
    return c;
}

static void check_drawn(void *arg) {
    Cx *cx = arg;
    Case *c = NEW(cx, Case, NDRAWN);
    for (int i = 0; i < NDRAWN; i++) c[i] = drawn_case(cx, i);
    check(cx, c, NDRAWN);
}

// ---- sums in a product's kernel are as exact as those of a kernel of their own ----

// Far from zero beside its deviation; and a variance that loses digits there.
static Node *far_conv(Graph *g, const Case *c) {
    Node *y = conv_of(g, c, image(g, "x", c, c->c));
    return result(op2(g, Add, op2(g, Mul, y, filled(g, 0.01)), filled(g, 8)), c->type);
}

static Node *variance_of(Graph *g, const Case *c, Node *y) {
    Node *f = node_cast(g, y, DT_F32), *by = filled(g, 1.0 / (double)(c->max * c->h * c->w));
    Node *mean = op2(g, Mul, over_images(g, f), by), *square = op2(g, Mul, over_images(g, op2(g, Mul, f, f)), by);
    return mated(op2(g, Sub, square, op2(g, Mul, mean, mean)), mean);
}

// By the deviation of all from what they should be.
static double distance_of(const Node *n, const float *got, const float *want) {
    double off = 0, all = 0;
    for (int64_t i = 0; i < n->view.room; i++)
        off += pow((double)got[i] - (double)want[i], 2), all += pow((double)want[i], 2);
    return sqrt(off / all);
}

static void check_exact(void *arg) {
    Cx *cx = arg;
    static const Case far = {.name = "far", .schedule = "tile", .build = far_conv, .type = DT_F32, .n = 1, .c = 24, .h = 30, .w = 31, .o = 40, .r = 1,
                             .stride = 1, .max = 3, .used = 3, .sums = variance_of};
    Case apart = far;
    apart.name = "apart";
    Job job[2] = {job_of(cx, &far)};
    job[1] = (Job){.c = &apart, .k = job[0].sums, .text = render_cuda(cx, job[0].sums, &(CudaOptions){0})};
    const char *folder = scratch_folder(cx);
    void *lib = emulate(cx, job, 2, folder);
    remove_folder(cx, folder);
    Memory m = {.n = 0};
    const Node *v = job[1].k->out;
    double error[2];
    void *want = guarded_buffer(node_bytes(v)), *mean = guarded_buffer(node_bytes(v));
    void *evaluated[] = {want, mean, buffer(&m, job[0].k->out)};
    for (int b = job[0].k->nout; b < job[0].k->nbuf; b++)
        fill(job[0].k->buf[b], buffer(&m, job[0].k->buf[b]), far.max, far.used, (uint32_t)b);
    for (int i = 0; i < 2; i++) {
        char *work = calloc(1, (size_t)job[i].text.grid.workspace + 1);
        run_job(cx, &job[i], lib, &m, 0, work);
        free(work);
        if (!kernel_eval(job[1].k, evaluated, far.used)) fail(cx, E_CHECK, "the evaluator met bad data");
        error[i] = distance_of(v, buffer(&m, v), want);
    }
    free_buffer(want, node_bytes(v)), free_buffer(mean, node_bytes(v));
    for (int i = 0; i < m.n; i++) free_buffer(m.p[i], node_bytes(m.node[i]));
    dlclose(lib);
    printf("a variance far from zero: off by %.1e, in a kernel of its own by %.1e\n", error[0], error[1]);
    if (!(error[0] <= 1.2 * error[1])) fail(cx, E_CHECK, "the variance is off by %g, not %g", error[0], error[1]);
}

static void test_exact(void **state) {
    (void)state;
    run(check_exact);
}

static void test_drawn(void **state) {
    (void)state;
    run(check_drawn);
}

static void test_cases(void **state) {
    (void)state;
    run(check_cases);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_drawn), cmocka_unit_test(test_exact)};
    only = argc > 1 ? argv[1] : NULL;
#ifndef __x86_64__
    puts("skipped: the emulator switches threads in x86-64's own way");
    return 0;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
