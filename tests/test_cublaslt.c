// Products of matrices through cuBLASLt: the numbers of its header where that is installed, the library itself where
// it is (what it says of attributes needs no GPU), and sessions on the stand-ins (tests/standin/): which kernels are
// products, that the library does them with the same results as the CPU and our own kernels, at every batch, first,
// recorded and replayed; every call of it failing in turn; and what is said where it is missing or too old.
#include "cuda_pair.h"
#include "runtime/cublaslt.h"
#include <sys/wait.h>
#ifdef HAVE_CUBLASLT_H
#include <cublasLt.h>
#endif

// ---- the real one ----

#ifdef HAVE_CUBLASLT_H
#define SAME(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), #theirs)
SAME(LT_F32, CUDA_R_32F);
SAME(LT_F16, CUDA_R_16F);
SAME(LT_BF16, CUDA_R_16BF);
SAME(LT_COMPUTE_F32, CUBLAS_COMPUTE_32F);
SAME(LT_COMPUTE_TF32, CUBLAS_COMPUTE_32F_FAST_TF32);
SAME(LT_TRANSPOSE_A, CUBLASLT_MATMUL_DESC_TRANSA);
SAME(LT_TRANSPOSE_B, CUBLASLT_MATMUL_DESC_TRANSB);
SAME(LT_EPILOGUE, CUBLASLT_MATMUL_DESC_EPILOGUE);
SAME(LT_BIAS_POINTER, CUBLASLT_MATMUL_DESC_BIAS_POINTER);
SAME(LT_BIAS_TYPE, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE);
SAME(LT_EPILOGUE_NONE, CUBLASLT_EPILOGUE_DEFAULT);
SAME(LT_EPILOGUE_RELU, CUBLASLT_EPILOGUE_RELU);
SAME(LT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_BIAS);
SAME(LT_EPILOGUE_RELU_BIAS, CUBLASLT_EPILOGUE_RELU_BIAS);
SAME(LT_ROWS, CUBLASLT_MATRIX_LAYOUT_ROWS);
SAME(LT_COLUMNS, CUBLASLT_MATRIX_LAYOUT_COLS);
SAME(LT_COUNT, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT);
SAME(LT_STRIDE, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
SAME(LT_MOST_WORKSPACE, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
SAME(LT_REDUCTIONS, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK);
SAME(LT_ALIGN_A, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
SAME(LT_ALIGN_B, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
SAME(LT_ALIGN_C, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
SAME(LT_ALIGN_D, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);
SAME(LT_REDUCE_IN_F32, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
SAME(LT_NOT_SUPPORTED, CUBLAS_STATUS_NOT_SUPPORTED);
SAME(CUBLAS_OP_N, 0);
SAME(CUBLAS_OP_T, 1);
SAME(sizeof(LtAlgorithm), sizeof(cublasLtMatmulAlgo_t));
SAME(sizeof(LtFound), sizeof(cublasLtMatmulHeuristicResult_t));
SAME(offsetof(LtFound, workspace), offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
SAME(offsetof(LtFound, state), offsetof(cublasLtMatmulHeuristicResult_t, state));
#endif

// Attributes are taken with their sizes, and with no others. How many are not?
static int odd_attributes(const Cublaslt *l) {
    LtProduct p;
    LtLayout y;
    LtWish w;
    int32_t small = 1, epilogue = LT_EPILOGUE_RELU_BIAS, type = LT_BF16;
    int64_t wide = 128;
    int odd = 0;
    if (l->ProductCreate(&p, LT_COMPUTE_TF32, LT_F32) || l->LayoutCreate(&y, LT_F16, 64, 32, 64) || l->WishCreate(&w))
        return 1;
    const int turned[] = {LT_TRANSPOSE_A, LT_TRANSPOSE_B}, sizes[] = {LT_ROWS, LT_COLUMNS, LT_STRIDE};
    const int limits[] = {LT_REDUCTIONS, LT_ALIGN_A, LT_ALIGN_B, LT_ALIGN_C, LT_ALIGN_D};
    for (int i = 0; i < 2; i++) odd += l->ProductSet(p, turned[i], &small, 4) != 0;
    odd += l->ProductSet(p, LT_EPILOGUE, &epilogue, 4) != 0;
    odd += l->ProductSet(p, LT_BIAS_TYPE, &type, 4) != 0;
    odd += l->ProductSet(p, LT_BIAS_POINTER, &wide, 8) != 0;
    odd += l->ProductSet(p, LT_BIAS_POINTER, &wide, 4) == 0;
    for (int i = 0; i < 3; i++) odd += l->LayoutSet(y, sizes[i], &wide, 8) != 0;
    odd += l->LayoutSet(y, LT_COUNT, &small, 4) != 0;
    odd += l->LayoutSet(y, LT_COUNT, &wide, 8) == 0;
    odd += l->WishSet(w, LT_MOST_WORKSPACE, &wide, 8) != 0;
    for (int i = 0; i < 5; i++) odd += l->WishSet(w, limits[i], &small, 4) != 0;
    return odd + (l->ProductDestroy(p) || l->LayoutDestroy(y) || l->WishDestroy(w));
}

static void check_real(void *arg) {
    int major, minor;
    Fault f;
    unsetenv("TVC_CUBLASLT");
    if (cublaslt_version(&major, &minor, &f)) {
        print_message("the library itself is not looked at: %s\n", f.text);
        return;
    }
    const Cublaslt *l = cublaslt(major * 1000, &f);
    if (!l) fail(arg, f.code, "%s", f.text);
    if (odd_attributes(l)) fail(arg, E_CHECK, "%d attributes are other than we think", odd_attributes(l));
}

// In a process of its own, as a library that was opened stays so.
static void apart(void (*fn)(void *)) {
    int status = 0;
    pid_t child = fork();
    if (!child) {
        Cx *cx = cx_new();
        bool ok = cx_guard(cx, fn, cx);
        if (!ok) print_error("%s\n", cx->error);
        cx_free(cx);
        fflush(NULL);
        _exit(!ok);
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    assert_int_equal(status, 0);
}

static void real_library(void **state) { (void)state, apart(check_real); }

// ---- graphs ----

static Node *bias(Graph *g, const char *name, Node *x, int64_t n) {
    return op2(g, Add, x, param(g, name, SHAPE(n)));
}

// Rows times matrices, in all that an epilogue can be, and turned.
static void matrices(Graph *g) {
    Node *x = rows(g, "x", DT_F32, 72), *turned = op1a(g, Transpose, param(g, "t", SHAPE(24, 72)), AXES(1, 0));
    Node *y = op1(g, Relu, bias(g, "b", op2(g, MatMul, x, param(g, "w", SHAPE(72, 24))), 24));
    graph_root(g, "first", op1(g, Neg, y), NULL, 1);
    graph_root(g, "plain", op2(g, MatMul, x, turned), NULL, 1);
    Node *added = op2(g, Add, op2(g, MatMul, y, param(g, "v", SHAPE(24, 72))), x);
    graph_root(g, "added", op1(g, Relu, bias(g, "c", added, 72)), NULL, 1);
    graph_root(g, "relu", op1(g, Relu, op2(g, MatMul, y, param(g, "u", SHAPE(24, 40)))), NULL, 1);
    Node *twice = bias(g, "q", op2(g, MatMul, y, param(g, "r", SHAPE(24, 16))), 16);
    graph_root(g, "twice", bias(g, "p", twice, 16), NULL, 1);                            // one too many
    Node *z = op2(g, MatMul, y, param(g, "s", SHAPE(24, 16)));
    graph_root(g, "scaled", op2(g, Mul, z, node_like(g, z, 0.375)), NULL, 1);
    graph_root(g, "turned", op2(g, MatMul, op1a(g, Transpose, x, AXES(1, 0)), y), NULL, 1);       // the batch is summed
}
static const char *const of_matrices[] = {"first", "plain", "added", "relu", "twice", "scaled", "turned", NULL};

// Products side by side, one for each of the batch; images, 1x1: the first by channels, which is no plain product.
static void images(Graph *g) {
    Window win = {.rank = 2, .group = 1, .axis = {{1, 1, 1, 0, 0}, {1, 1, 1, 0, 0}}};
    Node *x = graph_input(g, "x", DT_F32, (Shape){.n = 4, .batch = 1, .d = {MAX, 8, 3, 3}});
    Node *y = graph_op(g, OP_Conv, window_attr(g->cx, &win), 2, (Node *[]){x, param(g, "w", SHAPE(16, 8, 1, 1))});
    y = op1(g, Relu, op2(g, Add, y, param(g, "b", SHAPE(16, 1, 1))));
    Node *z = graph_op(g, OP_Conv, window_attr(g->cx, &win), 2, (Node *[]){y, param(g, "v", SHAPE(16, 16, 1, 1))});
    graph_root(g, "image", op1(g, Relu, op2(g, Add, z, y)), NULL, 1);
    Node *m = graph_input(g, "m", DT_F32, (Shape){.n = 3, .batch = 1, .d = {MAX, 8, 9}});
    graph_root(g, "each", op2(g, MatMul, m, param(g, "u", SHAPE(9, 12))), NULL, 1);
    Node *pairs = op2(g, MatMul, op1a(g, Transpose, m, AXES(0, 2, 1)), m);
    graph_root(g, "pairs", pairs, NULL, 1);
    Node *other = op2(g, MatMul, m, op1a(g, Transpose, m, AXES(0, 2, 1)));      // each has a bias of its own
    Node *own = op1a(g, Transpose, op1a(g, ReduceMax, m, AXES(2)), AXES(0, 2, 1));
    graph_root(g, "bias", own, NULL, 1);
    graph_root(g, "own", op2(g, Add, other, own), NULL, 1);
}
static const char *const of_images[] = {"image", "each", "pairs", "own", NULL};

// ---- sessions ----

static void feed(Pair *r, int64_t batch, int round) {
    float x[MAX * 72];
    Fault f;
    for (int i = 0; i < MAX * 72; i++) x[i] = wave(i + round * 131);
    for (int i = 0; i < 2; i++) session_set_batch(r->s[i], batch, &f);
    for (int i = 0; i < 2; i++)
        for (const char *const *name = (const char *const[]){"x", "m", NULL}; *name; name++)
            if (session_slot(r->s[i], *name) >= 0) session_write(r->s[i], session_slot(r->s[i], *name), x);
}

static void run_and_compare(Pair *r, const char *const *names) {
    for (int i = 0; i < 2; i++) call(r->cx, r->s[i], 1);
    for (; *names; names++) compare(r, *names);
}

static void check(Cx *cx, BuildFn *build, const char *const *names, int products, Wishes w) {
    w.cublas = CUBLAS_ALWAYS;
    Pair r = pair(cx, build, w);
    if (session_in_library(r.s[1]) != products || *session_note(r.s[1]))
        fail(cx, E_CHECK, "%s: %d products, not %d; %s", *names, session_in_library(r.s[1]), products,
             session_note(r.s[1]));
    for (int round = 0; round < 3; round++)
        for (int64_t batch = MAX; batch > 0; batch -= round == 2 ? 7 : 1) {
            feed(&r, batch, round);
            run_and_compare(&r, names);
        }
    close_pair(&r);
}

static void check_matrices(void *cx) { check(cx, matrices, of_matrices, 6, (Wishes){0}); }
static void check_images(void *cx) { check(cx, images, of_images, 3, (Wishes){0}); }
static void beside_the_cpu(void **state) { (void)state, in_all_orders(check_matrices), in_all_orders(check_images); }

// Factors of fewer bits: beside our kernels, which round alike but for the order of sums. With 16 bits one product is
// refused, as its result has them and its bias has not.
static void check_narrow(void *arg) {
    static const struct { Precision precision; double tolerance; int matrices, images; } all[] = {
        {PRECISION_TF32, 1e-4, 6, 3}, {PRECISION_BF16, 2e-2, 5, 3}, {PRECISION_FP16, 2e-3, 5, 3}};
    for (int i = 0; i < 3; i++) {
        Wishes w = {.kernels = true, .precision = all[i].precision, .tolerance = all[i].tolerance};
        check(arg, matrices, of_matrices, all[i].matrices, w);
        check(arg, images, of_images, all[i].images, w);
    }
}
static void narrow(void **state) { (void)state, in_order(check_narrow, 0); }

// ---- which, and when ----

// By itself none that small is left to it, and then it is not even opened.
static void check_wishes(void *arg) {
    Cx *cx = arg;
    const Program *p = program(cx, matrices, "cuda:sm_90", PRECISION_FP32);
    setenv("TVC_CUBLASLT", "/nowhere/lib.so", 1);
    for (int i = 0; i < 2; i++) {
        Session *s = open_session(cx, p, (SessionOptions){.cublas = i ? CUBLAS_NEVER : CUBLAS_AUTO});
        if (session_in_library(s) || *session_note(s)) fail(cx, E_CHECK, "%s", session_note(s));
        session_free(s);
    }
}

static void wishes(void **state) { (void)state, apart(check_wishes); }

static void said(Cx *cx, const char *variable, const char *value, const char *word) {
    char *before = getenv(variable) ? strdup(getenv(variable)) : NULL;
    setenv(variable, value, 1);
    Wishes w = {.cublas = CUBLAS_ALWAYS};
    Pair r = pair(cx, matrices, w);
    feed(&r, MAX, 0);
    run_and_compare(&r, of_matrices);
    if (session_in_library(r.s[1]) || !strstr(session_note(r.s[1]), word))
        fail(cx, E_CHECK, "%s=%s: %s", variable, value, session_note(r.s[1]));
    close_pair(&r);
    if (before) setenv(variable, before, 1);
    else unsetenv(variable);
    free(before);
}

static void check_words(void *cx) {
    said(cx, "TVC_CUBLASLT", "", "no cuBLASLt was found");
    said(cx, "TVC_CUBLASLT", "/nowhere/lib.so", "no cuBLASLt was found");
    said(cx, "TVC_CUBLASLT", getenv("TVC_NVRTC"), "no cuBLASLt was found");
    said(cx, "STANDIN_CUBLASLT", "111103", "too old");
    said(cx, "STANDIN_VERSION", "12040", "newer than the driver");
    said(cx, "STANDIN_FAIL", "cublasLtCreate:1:1", "cublasLtCreate failed (status 1)");
}
static void words(void **state) { (void)state, apart(check_words); }

// ---- calls that fail: our own kernels go on ----

// Three calls: first, recorded, replayed. What is said of the library.
static const char *live(Cx *cx, const char *failure, int *left) {
    setenv("STANDIN_FAIL", failure, 1);
    Pair r = pair(cx, matrices, (Wishes){.cublas = CUBLAS_ALWAYS});
    for (int round = 0; round < 3; round++) feed(&r, MAX, round), run_and_compare(&r, of_matrices);
    const char *note = cx_str(cx, session_note(r.s[1]), strlen(session_note(r.s[1])));
    *left = session_in_library(r.s[1]);
    close_pair(&r);
    unsetenv("STANDIN_FAIL");
    return note;
}

static void check_failures(void *arg) {
    Cx *cx = arg;
    static const char *const symbols[] = {
#define X(ours, symbol, parameters) symbol,
        CUBLASLT_FUNCTIONS(X)
#undef X
    };
    int left;
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
        for (int nth = 1; nth < 20 && !strstr(symbols[i], "Destroy"); nth = nth * 2 + 1) {
            const char *failure = cx_fmt(cx, "%s:%d:14", symbols[i], nth), *note = live(cx, failure, &left);
            if (*note ? left != 0 || !strstr(note, "our own kernels") : nth == 1)
                fail(cx, E_CHECK, "%s: %s", failure, note);
        }
    if (*live(cx, "cublasLtMatmulAlgoGetHeuristic:2:15", &left) || left != 5)
        fail(cx, E_CHECK, "one refused: %d left", left);
    if (!strstr(live(cx, "cuStreamEndCapture:1:699", &left), "record")) fail(cx, E_CHECK, "a spoilt recording");
    if (*live(cx, "", &left) || left != 6) fail(cx, E_CHECK, "afterwards");
}
static void failures(void **state) { (void)state, in_order(check_failures, 0); }

// A device that is stuck is an error, not a reason to go on.
static void check_stuck(void *arg) {
    Cx *cx = arg;
    const Program *p = program(cx, matrices, "cuda:sm_90", PRECISION_FP32);
    Fault f = {0};
    setenv("STANDIN_FAIL", "cublasLtMatmul:3:700", 1);
    Session *s = session_new(p, &(SessionOptions){.cublas = CUBLAS_ALWAYS}, &f);
    Err e = s ? session_call(s, 1, &f) : f.code;
    if (e != E_DEVICE || !strstr(f.text, "illegal")) fail(cx, E_CHECK, "%d: %s", e, f.text);
    session_free(s);
    unsetenv("STANDIN_FAIL");
}
static void stuck(void **state) { (void)state, in_order(check_stuck, 0); }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_library), cmocka_unit_test(wishes), cmocka_unit_test(words),
        cmocka_unit_test(beside_the_cpu), cmocka_unit_test(narrow), cmocka_unit_test(failures), cmocka_unit_test(stuck),
    };
#ifndef __x86_64__
    puts("skipped: the emulator switches threads in x86-64's own way");
    return 0;
#endif
    return cmocka_run_group_tests(tests, use_standins, clean);
}
