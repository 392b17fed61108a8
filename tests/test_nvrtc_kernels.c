// The emulator's kernels through the real compiler: all have the registers they want, but for those named here; and a
// second build takes all of them from the cache. Needs libnvrtc, but no GPU.
//   test_nvrtc_kernels [ARCH..]    a table of registers, spilled and shared bytes
#include "codegen/target_cuda.h"
#include "cuda_cases.h"
#include <setjmp.h>
#include <cmocka.h>
#undef fail                            // ours gives up on the request

enum { MAXARCH = 8, STATIC_SHARED = 48 << 10 };
static const char *const usual[] = {"sm_90", NULL}, *const *archs = usual;

// ptxas would rather use local memory than so many registers that a block less fits on a multiprocessor. Bytes, those
// of the stack frame and of what is stored to it together:
static const struct { const char *name; int bytes; } spills[] = {
    {"matmul_tf32", 32},              // at 64 registers: four addresses, stored before the loop, read once for each tile of k
    {"exp_sum_f64", 16},              // at 40: one double across an exponential
    {"conv_f32", 32},                 // at 80: f32 factors in two halves each want twice the fragments
};

static int allowed(const CudaUnit *u) {
    for (size_t i = 0; i < sizeof spills / sizeof *spills; i++)
        if (!strcmp(u->name + strlen("k_"), spills[i].name)) return spills[i].bytes;
    return 0;
}

static int units(Cx *cx, CudaUnit *u) {
    int n = 0;
    for (int i = 0; i < NCASES; i++) {
        Job j = job_of(cx, &cases[i]);
        u[n++] = (CudaUnit){.name = kernel_name(cx, &j), .text = j.text.s};
    }
    return n;
}

static void build(void *arg) {
    Cx *cx = arg;
    CudaUnit *u[MAXARCH];
    int n = 0, bad = 0, narch = 0;
    for (; archs[narch] && narch < MAXARCH; narch++) {
        u[narch] = NEW(cx, CudaUnit, NCASES);
        n = units(cx, u[narch]);
        CudaBuilt b = build_cuda(cx, archs[narch], 0, u[narch], n, false),
                  again = build_cuda(cx, archs[narch], 0, u[narch], n, false);
        if (again.ncached != again.npart)
            fail(cx, E_CHECK, "%d of %d parts come from the cache", again.ncached, again.npart);
        for (int i = 0; i < b.npart; i++)
            if (b.part[i].bytes != again.part[i].bytes || memcmp(b.part[i].cubin, again.part[i].cubin, b.part[i].bytes))
                fail(cx, E_CHECK, "the cache gives back other bytes");
    }
    for (int i = 0; i < n; i++) {
        printf("%-28s", u[0][i].name);
        for (int a = 0; a < narch; a++) {
            CudaUnit *x = &u[a][i];
            printf("  %s %3d regs %d spilled %5d shared", archs[a], x->registers, x->spilled, x->shared);
            bad += x->spilled > allowed(x) || x->registers == 0 || x->shared > STATIC_SHARED;
        }
        printf("\n");
    }
    if (bad) fail(cx, E_CHECK, "%d kernels spill", bad);
}

static void guarded(void (*fn)(void *), Err code, const char *part) {
    Cx *cx = cx_new();
    bool ok = cx_guard(cx, fn, cx);
    if (ok != (code == E_OK) || (!ok && (cx->code != code || !strstr(cx->error, part)))) {
        print_error("%s\n", ok ? "did not fail" : cx->error);
        ok = false;
    } else ok = true;
    cx_free(cx);
    assert_true(ok);
}

static void test_kernels(void **state) {
    (void)state;
    if (!nvrtc_found()) { puts("skipped: libnvrtc was not found"); skip(); }
    guarded(build, E_OK, "");
}

static void one_kernel(void *arg) {
    CudaUnit u = {.name = "k", .text = "TVC_KERNEL(32) $(const Ctx run) {}\n"};
    build_cuda(arg, "sm_90", 0, &u, 1, true);
}

static void old_arch(void *arg) { build_cuda(arg, "sm_30", 0, &(CudaUnit){.name = "k", .text = ""}, 1, true); }

static void test_messages(void **state) {
    (void)state;
    if (nvrtc_found()) guarded(old_arch, E_DEVICE, "no architecture sm_30");
    setenv("TVC_NVRTC", "", 1);
    guarded(one_kernel, E_DEVICE, "was not found");
    setenv("TVC_NVRTC", "libm.so.6", 1);
    guarded(one_kernel, E_DEVICE, "too old");
    unsetenv("TVC_NVRTC");
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kernels), cmocka_unit_test(test_messages)};
    char cache[] = "/tmp/tvc-nvrtc-XXXXXX", command[64];
    if (argc > 1) archs = (const char *const *)(argv + 1);
    if (!mkdtemp(cache)) return 1;
    setenv("TVC_CACHE", cache, 1);
    int bad = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(command, sizeof command, "rm -r %s", cache);
    return system(command) ? 1 : bad;
}
