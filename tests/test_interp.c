// The interpreter against the evaluator, kernel by kernel: bytecode of every kind of formula, fused
// ones too, in odd sizes, with a batch in use that is not the largest, whole and in single units.
// Then damaged bytecode: refused, or run without leaving its buffers.
#include "codegen/formula.h"
#include "ir/op.h"
#include "runtime/interp.h"
#include <setjmp.h>
#include <cmocka.h>

enum { MAX_BATCH = 3, USED = 2, MOST_BUFFERS = 16 };

static Cx *cx;
static Graph *g;
static uint64_t seed = 1;
static int roll(int n) { return (int)((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 33) % n; }

static Shape batched(Shape s) { return s.batch = 1, s.d[0] = MAX_BATCH, s; }
#define BATCHED(...) batched(SHAPE(MAX_BATCH, __VA_ARGS__))

static Node *tensor(DType t, Shape s) {
    static int n;
    Node *x = graph_input(g, cx_fmt(cx, "x%d", n++), t, s);
    x->stored = true;
    return x;
}
static Node *floats(Shape s) { return tensor(DT_F32, s); }

// ---- running a kernel both ways ----

static int64_t room_bytes(const Node *n) { return n->view.room * dtypes[n->type].bytes; }

static void fill(Node *n, char *p) {
    for (int64_t i = 0; i < n->view.room; i++, p += dtypes[n->type].bytes) {
        if (dtype_is_float(n->type)) dtype_set_f(n->type, p, (roll(401) - 200) / 100.0);
        else dtype_set_i(n->type, p, n->type == DT_BOOL ? roll(2) : roll(7) + 1);
    }
}

static void compare(const Node *n, const char *got, const char *want, const char *what) {
    for (int64_t i = 0; i < n->view.room; i++) {
        double a = dtype_get_f(n->type, got + i * dtypes[n->type].bytes),
               b = dtype_get_f(n->type, want + i * dtypes[n->type].bytes);
        double slack =
            dtype_is_float(n->type) ? 1e-5 * (1 + fabs(b)) + (dtypes[n->type].bytes == 2 ? 0.01 * fabs(b) : 0) : 0;
        if (!(fabs(a - b) <= slack) && !(isnan(a) && isnan(b)) && a != b)
            fail_msg("%s: element %lld of %lld is %g, not %g", what, (long long)i, (long long)n->view.room, a, b);
    }
}

typedef struct Both {
    Kernel *k;
    Formula f;
    Program p;
    Step step;
    void *buf[MOST_BUFFERS];
    int64_t room[MOST_BUFFERS];
    int32_t error;
    KernelCtx ctx;
    FormulaArgs args;
} Both;

static Both *prepare(Node *n, const char *what) {
    Both *b = NEW(cx, Both, 1);
    view_set(n);
    Kernel *k = b->k = kernel_of(cx, g, n, what);
    assert_true(k->nbuf <= MOST_BUFFERS);
    b->f = formula_of(cx, k);
    b->p = (Program){.params = b->f.code, .nparam = b->f.n, .max_batch = MAX_BATCH, .text = "", .ntext = 1};
    b->step = (Step){.kind = STEP_FORMULA, .nref = k->nbuf, .nwritten = k->nout, .nformula = b->f.n,
                     .units = b->f.units, .per_batch = b->f.per_batch};
    for (int i = 0; i < k->nbuf; i++) {
        b->room[i] = room_bytes(k->buf[i]);
        b->buf[i] = malloc((size_t)b->room[i] + 1);           // of its own, so that ASan sees the ends
        cx_defer(cx, free, b->buf[i]);
        if (i < k->nout) memset(b->buf[i], 0, (size_t)b->room[i]);
        else fill(k->buf[i], b->buf[i]);
    }
    b->ctx = (KernelCtx){.batch = USED, .error = &b->error};
    b->args = (FormulaArgs){b->f.code, b->f.n, MAX_BATCH, b->buf, b->room, &b->ctx};
    return b;
}

static void check(Node *n, const char *what) {
    Both *b = prepare(n, what);
    Fault why;
    if (formula_check(&b->p, &b->step, &why)) fail_msg("%s: %s", what, why.text);
    void *want[MOST_BUFFERS];
    for (int i = 0; i < b->k->nbuf; i++) want[i] = i < b->k->nout ? cx_alloc(cx, (size_t)b->room[i]) : b->buf[i];
    bool good = kernel_eval(b->k, want, USED);
    int64_t units = b->f.per_batch ? b->f.units / MAX_BATCH * USED : b->f.units;
    for (int split = 0; split < 2; split++) {
        for (int64_t u = 0; u < units; u += split ? 1 : units) formula_run(u, split ? u + 1 : units, &b->args);
        if (good == (b->error != 0)) fail_msg("%s: error flag %d", what, b->error);
        for (int i = 0; i < b->k->nout; i++) {
            compare(b->k->buf[i], b->buf[i], want[i], what);
            memset(b->buf[i], 0, (size_t)b->room[i]);
        }
    }
}

// ---- formulas ----

static Node *conv(Node *x, int64_t channels, int64_t kernel, int64_t stride, int64_t pad, int64_t group,
                  int64_t dilation) {
    Shape s = SHAPE(channels, x->shape.d[1] / group, kernel, kernel);
    Window w = {.rank = 2,
                .group = group,
                .axis = {{kernel, stride, dilation, pad, pad}, {kernel, stride, dilation, pad, pad}}};
    return graph_op(g, OP_Conv, window_attr(cx, &w), 2, (Node *[]){x, floats(s)});
}

static void contractions(void) {
    check(conv(floats(BATCHED(5, 9, 11)), 6, 3, 1, 1, 1, 1), "conv 3x3");
    check(conv(floats(BATCHED(4, 12, 12)), 3, 3, 2, 1, 1, 1), "conv stride 2");
    check(conv(floats(BATCHED(4, 13, 9)), 8, 3, 1, 2, 1, 2), "conv dilated");
    check(conv(floats(BATCHED(300, 7, 7)), 5, 1, 1, 0, 1, 1), "conv 1x1");
    check(conv(floats(BATCHED(6, 8, 70)), 6, 3, 1, 1, 6, 1), "conv depthwise");
    check(conv(floats(BATCHED(6, 8, 8)), 4, 3, 1, 1, 2, 1), "conv grouped");
    Node *bias = floats(SHAPE(6, 1, 1)), *y = op2(g, Add, conv(floats(BATCHED(5, 9, 11)), 6, 3, 1, 1, 1, 1), bias);
    check(op1(g, Relu, y), "conv bias relu");
    check(op2(g, MatMul, floats(BATCHED(300)), floats(SHAPE(300, 40))), "matmul");
    check(op2(g, MatMul, floats(BATCHED(300)), op1a(g, Transpose, floats(SHAPE(40, 300)), AXES(1, 0))),
          "matmul transposed");
    check(op2(g, MatMul, floats(BATCHED(2, 5, 70)), floats(SHAPE(2, 70, 6))), "matmul batched");
    check(op2(g, MatMul, op1(g, Exp, floats(BATCHED(30))), floats(SHAPE(30, 40))), "matmul of a formula");
    check(op2(g, MatMul, tensor(DT_F64, SHAPE(7, 30)), tensor(DT_F64, SHAPE(30, 5))), "matmul f64");
    check(op2(g, MatMul, tensor(DT_F16, SHAPE(7, 30)), tensor(DT_F16, SHAPE(30, 5))), "matmul f16");
    check(op2(g, MatMul, tensor(DT_I32, SHAPE(7, 30)), tensor(DT_I32, SHAPE(30, 5))), "matmul i32");
}

static void reductions(void) {
    Node *x = floats(BATCHED(37, 5)), *ints = tensor(DT_I16, BATCHED(37, 5));
    for (int axis = 0; axis < 3; axis++) {
        check(op1a(g, ReduceSum, x, AXES(axis)), "sum"), check(op1a(g, ReduceProd, x, AXES(axis)), "prod");
        check(op1a(g, ReduceMax, x, AXES(axis)), "max"), check(op1a(g, ReduceMin, x, AXES(axis)), "min");
        check(op1a(g, ReduceSum, ints, AXES(axis)), "sum i16"), check(op1a(g, ReduceMax, ints, AXES(axis)), "max i16");
    }
    check(op1a(g, ReduceSum, x, AXES(0, 1, 2)), "sum of all");
    check(op1a(g, ReduceMin, tensor(DT_U64, SHAPE(3, 4)), AXES(1)), "min u64");
    Node *mean = op1a(g, ReduceSum, x, AXES(1)), *d = op2(g, Sub, x, mean);
    check(op1a(g, ReduceSum, op2(g, Mul, d, d), AXES(1)), "variance in one kernel");
    Node *e = op1(g, Exp, op2(g, Sub, x, op1a(g, ReduceMax, x, AXES(1))));
    check(op2(g, Div, e, op1a(g, ReduceSum, e, AXES(1))), "softmax in one kernel");
    Window w = {.rank = 2, .group = 1, .axis = {{3, 2, 1, 1, 1}, {3, 2, 1, 1, 1}}};
    Node *image = floats(BATCHED(3, 11, 80));
    check(op1a(g, MaxPool, image, window_attr(cx, &w)), "max pool");
    check(op1a(g, SumPool, image, window_attr(cx, &w)), "sum pool");
}

static void movement(void) {
    Node *x = floats(BATCHED(4, 6, 5));
    Shape flat = BATCHED(120), split = BATCHED(2, 12, 5), wide = BATCHED(4, 6, 5);
    check(op1a(g, Transpose, x, AXES(0, 2, 3, 1)), "transpose");
    check(op1a(g, Transpose, x, AXES(1, 0, 2, 3)), "transpose of the batch");
    check(op1a(g, Reshape, x, shape_attr(&flat)), "reshape");
    check(op1a(g, Reshape, op1a(g, Transpose, x, AXES(0, 2, 1, 3)), shape_attr(&split)), "reshape of transpose");
    check(op1a(g, Expand, floats(BATCHED(1, 6, 1)), shape_attr(&wide)), "expand");
    check(op1a(g, Slice, x, AXES(0, 3, 1, 4, 1, -1, 2, -2, MAX_BATCH, 3, 3, 2)), "slice");
    check(op1a(g, Pad, x, ((Attr){.n = 12, .i = (int64_t[]){0, 0, 1, 2, 1, 1, 1, 1, MAX_BATCH, 4, 9, 8}, .f = 7})),
          "pad");
    check(op1a(g, Pad, x, ((Attr){.n = 12, .i = (int64_t[]){0, 0, 1, 2, 1, 1, 2, 3, MAX_BATCH, 4, 14, 17}, .f = 7})),
          "pad spread");
    Node *y = floats(BATCHED(4, 6, 3)), *c = graph_op(g, OP_Concat, AXES(3), 2, (Node *[]){x, y});
    check(c, "concat");
    check(graph_op(g, OP_Concat, AXES(3), 2, (Node *[]){c, x}), "concat of concat");
    Node *rows = floats(SHAPE(9, 20)), *at = tensor(DT_I64, BATCHED(4));
    check(graph_op(g, OP_Gather, AXES(0), 2, (Node *[]){rows, at}), "gather rows");
    check(graph_op(g, OP_Gather, AXES(1), 2, (Node *[]){rows, tensor(DT_U8, SHAPE(5))}), "gather columns");
    check(graph_op(g, OP_Gather, AXES(0), 2, (Node *[]){floats(SHAPE(2, 20)), at}), "gather out of range");
}

static void values(void) {
    for (int t = DT_F32; t <= DT_BOOL; t++) {
        Node *a = tensor((DType)t, BATCHED(7, 50)), *b = tensor((DType)t, SHAPE(7, 50));
        if (t == DT_BOOL) {
            check(op2(g, And, a, b), "and"), check(op1(g, Not, a), "not"), check(op2(g, Xor, a, b), "xor");
            continue;
        }
        for (int op = OP_Add; op <= OP_Min; op++)
            check(graph_op(g, (Op)op, (Attr){0}, 2, (Node *[]){a, b}), optab[op].name);
        for (int op = OP_Equal; op <= OP_LessEqual; op++)
            check(graph_op(g, (Op)op, (Attr){0}, 2, (Node *[]){a, b}), optab[op].name);
        check(op3(g, Where, op2(g, Less, a, b), a, op2(g, Sub, a, b)), "where");
        for (int to = DT_F32; to <= DT_BOOL; to++)
            if (to != t) check(node_cast(g, a, (DType)to), "cast");
        for (int op = dtype_is_float((DType)t) ? OP_Floor : OP_Neg; op <= OP_Erf && dtype_is_float((DType)t); op++)
            check(graph_op(g, (Op)op, (Attr){0}, 1, (Node *[]){a}), optab[op].name);
        if (dtype_is_int((DType)t))
            for (int op = OP_BitAnd; op <= OP_ShiftRight; op++)
                check(graph_op(g, (Op)op, (Attr){0}, 2, (Node *[]){a, b}), optab[op].name);
        check(op1(g, Neg, a), "neg"), check(op1(g, Abs, a), "abs"), check(op1(g, Sign, a), "sign");
    }
    check(op2(g, Div, tensor(DT_I32, SHAPE(5)), op2(g, Sub, tensor(DT_I32, SHAPE(5)), graph_scalar(g, DT_I32, 3))),
          "division by zero");
    Shape s = SHAPE(4, 70);
    check(graph_op(g, OP_Iota, (Attr){.n = 2, .i = s.d, .f = 1}, 0, NULL), "iota");
    check(op2(g, Mul, floats(BATCHED(3)), node_cast(g, graph_op(g, OP_BatchSize, AXES(2), 0, NULL), DT_F32)),
          "batch size");
    check(op1(g, Exp, floats((Shape){0})), "scalar");
    check(op1(g, Neg, floats(BATCHED(1))), "only a batch");
    check(op1(g, Neg, floats(SHAPE(3, 0, 4))), "nothing");
}

static void several_results(void) {
    Node *x = floats(BATCHED(3, 90)), *a = op1(g, Exp, x), *b = op1(g, Cos, x);
    a->mate = b;
    view_set(b);
    check(a, "two results");
    a->mate = NULL;
}

// A result with padding around it: the padding is written, every time.
static void halo(void) {
    Node *y = op1(g, Neg, floats(BATCHED(3, 4, 6, 5)));
    for (int pads = 1; pads < 8; pads++) {
        for (int d = 0; d < 3; d++) y->halo[2 + d] = pads >> d & 1 ? d + 1 : 0;
        y->halo_value = 3.5;
        Both *b = prepare(y, "halo");
        Fault why;
        if (formula_check(&b->p, &b->step, &why)) fail_msg("halo: %s", why.text);
        int64_t units = b->f.per_batch ? b->f.units / MAX_BATCH * USED : b->f.units, at[5];
        formula_run(0, units, &b->args);
        assert_int_equal(b->error, 0);
        const float *got = b->buf[0], *x = b->buf[1];
        const View *v = &y->view;
        for (int64_t i = 0; i < v->room / MAX_BATCH * USED; i++) {
            int64_t from = 0, rest = i;
            bool inside = true;
            for (int d = 0; d < 5; d++) {
                at[d] = rest / v->stride[d] - y->halo[d], rest %= v->stride[d];
                inside &= at[d] >= 0 && at[d] < y->shape.d[d];
                from = from * y->shape.d[d] + at[d];
            }
            if (got[i] != (inside ? -x[from] : 3.5f))
                fail_msg("halo %d: element %lld is %g", pads, (long long)i, (double)got[i]);
        }
    }
}

// ---- damage ----

// Is the code small work? Extents, 2 words each, follow the header.
static bool quick(const int64_t *code, int n) {
    const FormulaHeader *h = (const FormulaHeader *)code;
    double work = 1;
    for (int64_t i = 0; i < h->nvar; i++) work *= 1 + (double)code[7 + 2 * i];
    return work * n < 1e6;
}

static void damaged(Node *n, const char *what) {
    static const int64_t values_of[] = {-1, 0, 1, 5, 255, INT32_MAX, INT64_MAX, INT64_MIN, (int64_t)1 << 39};
    Both *b = prepare(n, what);
    for (int i = 0; i < b->f.n; i++)
        for (size_t v = 0; v < sizeof values_of / sizeof *values_of; v++) {
            int64_t old = b->f.code[i];
            Fault why;
            b->f.code[i] = values_of[v];
            if (!formula_check(&b->p, &b->step, &why) && quick(b->f.code, b->f.n))
                formula_run(0, b->step.units, &b->args);
            b->f.code[i] = old;
        }
    for (int cut = 0; cut < b->f.n; cut++) {
        Fault why;
        b->step.nformula = cut;
        b->args.ncode = cut;
        if (!formula_check(&b->p, &b->step, &why)) formula_run(0, b->step.units, &b->args);
    }
}

static void damage(void) {
    Node *x = floats(SHAPE(2, 3, 4, 5)), *rows = floats(SHAPE(9, 4));
    damaged(op1(g, Relu, conv(x, 6, 3, 1, 1, 3, 1)), "conv");
    damaged(op1a(g, ReduceMax, op1(g, Exp, op1a(g, Slice, x, AXES(0, 1, 0, 0, 1, 1, 1, 1, 2, 2, 4, 5))), AXES(2)),
            "max");
    damaged(graph_op(g, OP_Concat, AXES(3), 2, (Node *[]){x, x}), "concat");
    damaged(graph_op(g, OP_Gather, AXES(1), 2, (Node *[]){rows, tensor(DT_I64, SHAPE(3))}), "gather");
    Node *y = op1(g, Neg, x);
    y->halo[2] = y->halo[3] = 1;
    damaged(y, "halo");
}

static int start(void **state) { (void)state; cx = cx_new(); return cx ? 0 : 1; }
static int finish(void **state) { (void)state; cx_free(cx); return 0; }

static void guarded(void *fn) {
    g = graph_new(cx, MAX_BATCH);
    (*(void (**)(void))fn)();
}

#define TEST(name)                                                             \
    static void test_##name(void **state) {                                    \
        (void)state;                                                           \
        void (*fn)(void) = name;                                               \
        if (!cx_guard(cx, guarded, &fn)) fail_msg("%s", cx->error);            \
    }
TEST(contractions) TEST(reductions) TEST(movement) TEST(values) TEST(several_results) TEST(halo) TEST(damage)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contractions), cmocka_unit_test(test_reductions),      cmocka_unit_test(test_movement),
        cmocka_unit_test(test_values),       cmocka_unit_test(test_several_results), cmocka_unit_test(test_halo),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
