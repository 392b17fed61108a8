// The middle of the house by hand-made examples: interning, index simplification, evaluation.
#include "ir/eval.h"
#include "ir/op.h"
#include <setjmp.h>
#include <cmocka.h>

static Cx *cx;

static int start(void **state) { (void)state; cx = cx_new(); return cx ? 0 : 1; }
static int finish(void **state) { (void)state; cx_free(cx); return 0; }

static void run_guarded(void (*fn)(void *), void *arg) {
    if (!cx_guard(cx, fn, arg)) fail_msg("%s", cx->error);
}

static void interning(void *arg) {
    (void)arg;
    Graph *g = graph_new(cx, 1);
    Node *x = graph_input(g, "x", DT_F32, SHAPE(2, 3)), *y = op2(g, Add, x, graph_scalar(g, DT_F32, 1));
    assert_ptr_equal(y, op2(g, Add, x, graph_scalar(g, DT_F32, 1)));
    assert_ptr_not_equal(y, op2(g, Add, x, graph_scalar(g, DT_F32, 2)));
    assert_ptr_not_equal(y, graph_again(g, y, 1));
    assert_ptr_not_equal(graph_scalar_i(g, DT_I64, 1), graph_scalar_i(g, DT_I32, 1));
}

static void conv_with_batch(void *arg) {
    (void)arg;
    enum { N = 4, USED = 2 };
    Graph *g = graph_new(cx, N);
    Shape s = SHAPE(N, 1, 3, 3);
    s.batch = 1;
    static float image[N * 9], weight[4] = {1, 10, 100, 1000};
    for (int i = 0; i < N * 9; i++) image[i] = (float)i;
    Node *x = graph_input(g, "x", DT_F32, s), *w = graph_param(g, "w", DT_F32, SHAPE(1, 1, 2, 2), weight);
    x->data = image;
    Window win = {.rank = 2, .group = 1, .axis = {{2, 1, 1, 0, 0}, {2, 1, 1, 1, 0}}};
    Node *y = graph_op(g, OP_Conv, window_attr(cx, &win), 2, (Node *[]){x, w});
    assert_string_equal(shape_str(cx, y->shape), "[N,1,2,3]");
    Node *mean = op1a(g, ReduceMean, y, AXES(0));
    graph_root(g, "y", y, NULL, 1);
    graph_root(g, "mean", optab[OP_ReduceMean].expand(g, mean), NULL, 1);
    void *result[2];
    graph_eval(g, USED, result, NULL, NULL);
    const float *v = result[0], *m = result[1];
    for (int n = 0; n < USED; n++)
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 3; j++) {
                const float *p = image + 9 * n + 3 * i + j;
                float want = p[0] * 10 + p[3] * 1000 + (j ? p[-1] + p[2] * 100 : 0);
                assert_true(v[6 * n + 3 * i + j] == want);
            }
    for (int i = 0; i < 6; i++) assert_true(fabsf(m[i] - (v[i] + v[6 + i]) / 2) < 1e-3f * fabsf(m[i]));
    assert_true(v[6 * USED] == 0);                    // what is not in use is not touched
}

static void indices(void *arg) {
    (void)arg;
    Graph *g = graph_new(cx, 1);
    Node *x = graph_input(g, "x", DT_F32, SHAPE(6, 16));
    Kernel *k = kernel_of(cx, g, op1(g, Neg, x), "k");
    Expr *a = k->axis[0], *b = k->axis[1], *flat = ix_flat(k, x->shape, k->axis);
    assert_ptr_equal(ix(k, I_DIV, flat, ix_imm(k, 16)), a);
    assert_ptr_equal(ix(k, I_MOD, flat, ix_imm(k, 16)), b);
    assert_ptr_equal(ix_add(k, ix_add(k, b, -3), 1), ix_add(k, b, -2));
    assert_ptr_equal(ix_add(k, ix_add(k, b, -3), 3), b);
    Expr *q = ix(k, I_DIV, b, ix_imm(k, 4)), *r = ix(k, I_MOD, b, ix_imm(k, 4));
    assert_ptr_equal(ix(k, I_ADD, ix_mul(k, q, 12), ix_mul(k, r, 3)), ix_mul(k, b, 3));
    assert_int_equal(ix_coef(flat, a), 16);
    assert_true(ix_coef(q, b) == IX_WILD);
    int64_t lo, hi;
    ix_range(k, ix_add(k, ix_mul(k, b, -2), 5), &lo, &hi);
    assert_int_equal(lo, -25);
    assert_int_equal(hi, 5);
}

static void test_interning(void **state) { (void)state; run_guarded(interning, NULL); }
static void test_conv_with_batch(void **state) { (void)state; run_guarded(conv_with_batch, NULL); }
static void test_indices(void **state) { (void)state; run_guarded(indices, NULL); }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interning),
        cmocka_unit_test(test_conv_with_batch),
        cmocka_unit_test(test_indices),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
