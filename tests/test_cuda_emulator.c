// Generated CUDA, run on the CPU in three thread schedules, against the evaluator; no GPU is needed.
//   test_cuda_emulator [CASE]      one case, its text on standard output
#include "cuda_run.h"
#include <setjmp.h>
#include <cmocka.h>
#undef fail                            // ours gives up on the request

static const char *only;

static void check_all(void *arg) {
    Cx *cx = arg;
    Job *job = NEW(cx, Job, NCASES);
    int n = 0, bad = 0;
    for (int i = 0; i < NCASES; i++)
        if (!only || !strcmp(only, cases[i].name)) job[n++] = job_of(cx, &cases[i]);
    const char *folder = scratch_folder(cx);
    void *lib = emulate(cx, job, n, folder);
    remove_folder(cx, folder);
    for (int i = 0; i < n; i++) {
        if (only) printf("%s", job[i].text[0].s);
        bool taken = !strcmp(job[i].text[0].schedule, cases[job[i].c - cases].schedule);
        double e = judge(cx, &job[i], lib);
        if (!(e <= 1) || !taken) bad++, print_error("%s: schedule %s, error %g of what is allowed\n", job[i].c->name, job[i].text[0].schedule, e);
    }
    unsigned long *conflicts = dlsym(lib, "emu_conflicts"), *fragments = dlsym(lib, "emu_fragments");
    if (*conflicts) bad++, print_error("%lu of %lu fragments meet a bank twice\n", *conflicts, *fragments);
    dlclose(lib);
    if (bad) fail(cx, E_CHECK, "%d of %d cases are wrong", bad, n);
}

static void test_cases(void **state) {
    (void)state;
    Cx *cx = cx_new();
    bool ok = cx_guard(cx, check_all, cx);
    if (!ok) print_error("%s\n", cx->error);
    cx_free(cx);
    assert_true(ok);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases)};
    only = argc > 1 ? argv[1] : NULL;
#ifndef __x86_64__
    puts("skipped: the emulator switches threads in x86-64's own way");
    return 0;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
