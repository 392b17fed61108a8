// The proof of the proof: generated CUDA with one thing wrong must not pass the emulator. Each change runs
// in a process of its own, since most of them end it.
#include "cuda_run.h"
#include <setjmp.h>
#include <signal.h>
#include <cmocka.h>
#undef fail                            // ours gives up on the request

static const struct { const char *of, *from, *to; bool passes; } changes[] = {
    {"conv3x3", "tvc_wait(1);", "tvc_wait(1);", true},                                 // nothing at all
    {"conv3x3", "__syncthreads();", "", false},
    {"conv3x3", "tvc_wait(1);", "", false},
    {"conv3x3", "tvc_wait(1);", "tvc_wait(2);", false},
    {"conv3x3", "tvc_wait(1); __syncthreads();", "__syncthreads(); tvc_wait(1);", false},
    {"conv3x3", "% 3, more", "% 2, more", false},                                      // a stage too few
    {"conv3x3", "(unsigned)(a_g0[u]", "0 * (unsigned)(a_g0[u]", false},                // a guard
    {"conv3x3_bf16", "k < num", "k < 9999 + num", false},
    {"conv3x3", "tvc_quotient((u32)m", "tvc_quotient(1 + (u32)m", false},
    {"conv3x3", "(lane & 15)", "(lane & 14)", false},
    {"conv3x3", "tvc_mma_f16(acc[i], a[i], b)", "tvc_mma_f16(acc[i], a[0], b)", false},
    {"conv3x3", "a_s ^ ks", "a_s + ks", false},                                        // the permutation
    {"conv3x3", "put ^ 8", "put ^ 16", false},
    {"conv3x3", "tvc_syncwarp();", "", false},
    {"conv3x3_c13_pad", "left < 16 ? left : 16", "16", false},                         // what pads the channels is NaN
    {"conv3x3_c20", "tvc_copy_8(", "tvc_copy_16(", false},
    {"conv_dw", "ctx->batch", "3", false},
    {"bn_relu_conv", "__syncthreads();", "", false},
    {"bn_relu_conv", "a_ok >> (3 - u) & 1", "1", false},                               // padding is not computed
    {"bn_relu_conv", "tvc_wait(1);", "", false},
    {"matmul", "tvc_ldmatrix_trans(b", "tvc_ldmatrix(b", false},
    {"matmul_odd", "a_in[u] = m < num", "a_in[u] = m < 99 + num", false},
    {"matmul_odd", "&& n < num", "&& n < 99 + num", false},
    {"matmul_f32", "(q & 1) * 4", "(q >> 1) * 4", false},
    {"matmul_k4", "__syncthreads();", "", false},
    {"statistics", "__syncthreads();", "", false},
    {"conv_split3", "if (!tvc_last(", "if (block_part != 2) return; if (0 && !tvc_last(", false},
    {"conv_split3", "p < num", "p < -1 + num", false},
    {"conv_split3", "block_part * share", "0", false},
    {"conv_split3", "left < share ? left : share", "left", false},
    {"conv_split3", "tvc_last(count, (u32)", "tvc_last(count, -1u + (u32)", false},
    {"matmul_split_more", "(u32 *)ctx->work + group", "(u32 *)ctx->work", false},      // a count for all tiles
    {"statistics_split4", "tvc_last(count, (u32)", "tvc_last(count, -1u + (u32)", false},
    {"statistics_split4", "begin + share < all ? begin + share : all", "all", false},
    {"sums_conv_bf16", "int d = 16; d >= 4", "int d = 16; d >= 8", false},              // a lane in four is left out
    {"sums_conv_bf16", "    __syncthreads();\n    f32 *const sums", "    f32 *const sums", false},
    {"sums_conv_bf16", "blocks_m = ((int)(", "blocks_m = ((int)(405 + 0 * ", false},   // those of the greatest batch
    {"sums_conv_bf16", "rest_m <", "1 < rest_m ? 1 : rest_m <", false},                // the first is the last
    {"sums_conv_bf16", "number_m - first_m", "0", false},
    {"sums_conv_bf16", "const int column", "if (threadIdx.x == 0) *turn = 1; const int column", false},  // not zero again
    {"sums_conv_bf16", "bf16_to_f32(y0.x[e])", "w[e]", false},                         // not as stored
    {"sums_dx_split3", "turns + block_y", "turns + 0", false},                         // a count for all columns
    {"sums_dx_split3", "sums_left + (long)block_y", "sums_left + 0", false},
    {"sums_dx_split3", "turns = (u32 *)ctx->work +", "turns = (u32 *)ctx->work + 0 *", false},     // the other count
    {"sums_many", "first_m = group_m", "first_m = 0", false},
    {"sums_many", "rest_m <", "0 && rest_m <", false},
    {"sums_many", "left_m += ", "left_m += 0 * ", false},
    {"sums_many", "number_m = group_m, ", "", false},
    {"sums_many", "turn + group_m", "turn", false},
    {"depthwise", "= row + e;", "= row;", false},
    {"depthwise", "< 9u", "< 99u", false},
    {"depthwise_s2_bf16", "if (u >= 1600) return;", "", false},
    {"depthwise_dw_split", "p < num", "p < -1 + num", false},
    {"exp_sum_long", "__syncthreads();", "", false},
    {"softmax_loss", "__syncthreads();", "", false},
    {"softmax_loss", "w < 8", "w < 7", false},
    {"softmax_loss", "c < 257", "c < 512", false},                                     // beyond the row
    {"softmax_loss_50000", "+= 256", "+= 512", false},
    {"softmax_loss_warp", "int d = 16", "int d = 8", false},
    {"softmax_loss_warp", "row < rows ? row : 0;", "row;", false},
    {"softmax_loss_10", "int d = 8", "int d = 16", false},                             // the neighbours' row, too
    {"layer_norm", "__syncthreads();", "", false},
    {"layer_norm", "i < 3", "i < 2", false},
    {"exp_sum", "int d = 16", "int d = 8", false},
    {"add_relu_bf16_odd", "if (u >= num", "if (0 && u >= num", false},
};
enum { NCHANGES = sizeof changes / sizeof *changes };

static const char *replaced(Cx *cx, const char *text, const char *from, const char *to) {
    const char *out = "", *d;
    if (!strstr(text, from)) fail(cx, E_CHECK, "there is no '%s' to change", from);
    for (; (d = strstr(text, from)); text = d + strlen(from))
        out = cx_fmt(cx, "%s%.*s%s", out, (int)(d - text), text, to);
    return cx_fmt(cx, "%s%s", out, text);
}

static Job changed_job(Cx *cx, int i) {
    Case *c = NEW(cx, Case, 1);
    for (int j = 0; j < NCASES; j++)
        if (!strcmp(cases[j].name, changes[i].of)) *c = cases[j];
    c->name = cx_fmt(cx, "changed_%d", i);
    Job j = job_of(cx, c);
    j.text.s = replaced(cx, j.text.s, changes[i].from, changes[i].to);
    return j;
}

static bool passes(Cx *cx, const Job *j, void *lib) {
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        static const int deadly[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
        for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
            signal(deadly[i], SIG_DFL); // cmocka's are not for us
        if (!freopen("/dev/null", "w", stderr)) _exit(2);
        alarm(60);
        _exit(judge(cx, j, lib) <= 1 ? 0 : 1);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) fail(cx, E_INTERNAL, "cannot start a process");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void check_all(void *arg) {
    Cx *cx = arg;
    Job *job = NEW(cx, Job, NCHANGES);
    int bad = 0;
    for (int i = 0; i < NCHANGES; i++) job[i] = changed_job(cx, i);
    const char *folder = scratch_folder(cx);
    void *lib = emulate(cx, job, NCHANGES, folder);
    remove_folder(cx, folder);
    for (int i = 0; i < NCHANGES; i++) {
        if (passes(cx, &job[i], lib) == changes[i].passes) continue;
        print_error("%s: '%s' made '%s' %s\n", changes[i].of, changes[i].from, changes[i].to,
                    changes[i].passes ? "fails" : "passes");
        bad++;
    }
    dlclose(lib);
    if (bad) fail(cx, E_CHECK, "%d of %d changes are not seen for what they are", bad, NCHANGES);
}

static void test_changes(void **state) {
    (void)state;
    Cx *cx = cx_new();
    bool ok = cx_guard(cx, check_all, cx);
    if (!ok) print_error("%s\n", cx->error);
    cx_free(cx);
    assert_true(ok);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_changes)};
#ifndef __x86_64__
    puts("skipped: the emulator switches threads in x86-64's own way");
    return 0;
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
