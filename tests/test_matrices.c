// test_matrices.c -- factors of products with rows of odd length, as attention over 19 places has and a classifier of
// 37 classes has for its gradient: their rows lie at multiples of 16 bytes on a GPU (the stand-ins of tests/standin/),
// and what comes of them is what the CPU makes of it. So it is where the batch is an inner axis.
#include "cuda_pair.h"
#include "passes/passes.h"

enum { PLACES = 19, WIDTH = 24, CLASSES = 37 };

// Attention, a dense layer, and the gradient of its weights for a given gradient of its scores.
static void build(Graph *g) {
    Shape s = {.n = 3, .batch = 1, .d = {MAX, PLACES, WIDTH}}, all = {.n = 2, .batch = 1, .d = {MAX, PLACES * WIDTH}};
    Node *x = graph_input(g, "x", DT_F32, s), *d = rows(g, "d", DT_F32, CLASSES);
    Node *y = op2(g, MatMul, x, op1a(g, Transpose, x, AXES(0, 2, 1)));
    y = op1a(g, Softmax, op2(g, Mul, y, node_like(g, y, 0.25)), AXES(2));
    y = node_reshape(g, op2(g, MatMul, y, x), all);
    graph_root(g, "y", op2(g, MatMul, y, param(g, "w", SHAPE(PLACES * WIDTH, CLASSES))), NULL, 1);
    d = op2(g, Mul, d, node_like(g, d, 0.5));
    graph_root(g, "dw", op2(g, MatMul, op1a(g, Transpose, y, AXES(1, 0)), d), NULL, 1);
    Node *z = op2(g, MatMul, op1a(g, Transpose, x, AXES(1, 0, 2)), param(g, "v", SHAPE(WIDTH, CLASSES)));
    graph_root(g, "z", op1a(g, Transpose, z, AXES(1, 0, 2)), NULL, 1);
}

static void check_views(void *cx) {
    Graph *g = graph_new(cx, MAX);
    build(g);
    g->gpu = true, g->lanes = 1, g->product = DT_BF16;
    expand_ops(g);
    run_passes(g);
    int odd = 0;
    for (int i = 0; i < g->norder; i++)
        for (int k = 0; k < g->order[i]->nin && g->order[i]->op == OP_MatMul; k++) {
            const Node *x = g->order[i]->in[k];
            while (!x->stored) x = x->in[0];
            int last = x->shape.n - 1;
            if (x->shape.d[last] % 8 == 0 || op_is_leaf(x)) continue;
            odd++;
            if (x->view.stride[last - 1] % 8) fail(cx, E_CHECK, "rows of %s begin anywhere", shape_str(cx, x->shape));
        }
    if (odd < 3) fail(cx, E_CHECK, "%d factors have odd rows", odd);
}

static void check_values(Cx *cx, Precision precision, double tolerance) {
    Pair r = pair(cx, build, (Wishes){.precision = precision, .tolerance = tolerance});
    float *v = NEW(cx, float, MAX * PLACES * WIDTH);
    for (int64_t i = 0; i < MAX * PLACES * WIDTH; i++) v[i] = wave(i);
    for (int64_t batch = MAX; batch > 0; batch -= 13) {
        Fault f;
        for (int i = 0; i < 2; i++)
            if (session_set_batch(r.s[i], batch, &f)) fail(cx, f.code, "%s", f.text);
        write_both(&r, "x", v), write_both(&r, "d", v);
        call(cx, r.s[0], 1), call(cx, r.s[1], 1);
        compare(&r, "y"), compare(&r, "dw"), compare(&r, "z");
    }
    close_pair(&r);
}

static void check_fp32(void *cx) { check_values(cx, PRECISION_FP32, 1e-4); }
static void check_bf16(void *cx) { check_values(cx, PRECISION_BF16, 0.08); }

static void views(void **state) { (void)state, in_order(check_views, 0); }
static void fp32(void **state) { (void)state, in_all_orders(check_fp32); }
static void bf16(void **state) { (void)state, in_order(check_bf16, 0); }

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(views), cmocka_unit_test(fp32), cmocka_unit_test(bf16)};
#ifndef __x86_64__
    puts("skipped: the emulator switches threads in x86-64's own way");
    return 0;
#endif
    return cmocka_run_group_tests(tests, use_standins, clean);
}
