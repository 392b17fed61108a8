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
    return c;
}

static void check_drawn(void *arg) {
    Cx *cx = arg;
    Case *c = NEW(cx, Case, NDRAWN);
    for (int i = 0; i < NDRAWN; i++) c[i] = drawn_case(cx, i);
    check(cx, c, NDRAWN);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_drawn)};
    only = argc > 1 ? argv[1] : NULL;
#ifndef __x86_64__
    puts("skipped: the emulator switches threads in x86-64's own way");
    return 0;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
