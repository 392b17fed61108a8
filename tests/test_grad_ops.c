// Every gradient against central differences in double precision, by the evaluator and compiled.
#include "codegen/compile.h"
#include "ir/eval.h"
#include "passes/autodiff.h"
#include "runtime/exec.h"
#include <setjmp.h>
#include <cmocka.h>
#undef fail                            // ours gives up on the request

typedef Node *BuildFn(Graph *g, Node **x);

typedef struct Case {
    const char *name;
    BuildFn *build;
    Shape shape[3];
    double from, to;                   // values of the inputs
} Case;

static double wave(int64_t i, int which) {
    uint64_t h = (uint64_t)(i * 3 + which) * 0x9E3779B97F4A7C15u + 12345;
    h ^= h >> 31, h *= 0xBF58476D1CE4E5B9u, h ^= h >> 29;
    return (double)(h >> 11) * 0x1p-53;
}

#define UN(op) static Node *b_##op(Graph *g, Node **x) { return op1(g, op, x[0]); }
#define BI(op) static Node *b_##op(Graph *g, Node **x) { return op2(g, op, x[0], x[1]); }
UN(Neg) UN(Abs) UN(Sqrt) UN(Exp) UN(Log) UN(Log1p) UN(Sin) UN(Cos) UN(Tan) UN(Asin) UN(Acos) UN(Atan) UN(Sinh) UN(Cosh)
UN(Tanh) UN(Asinh) UN(Acosh) UN(Atanh) UN(Erf) UN(Relu) UN(Sigmoid)
BI(Add) BI(Sub) BI(Mul) BI(Div) BI(Pow) BI(Max) BI(Min) BI(Mod) BI(FMod) BI(MatMul)

#define ATTR(name, op, ...) static Node *b_##name(Graph *g, Node **x) { return op1a(g, op, x[0], AXES(__VA_ARGS__)); }
ATTR(Transpose, Transpose, 2, 0, 1)
ATTR(Reshape, Reshape, 6, 4)
ATTR(Expand, Expand, 2, 3, 4)
ATTR(Slice, Slice, 0, 3, 1, -2, 2, 2)
ATTR(SliceFlip, Slice, 2, 3, -1, -1, 3, 4)
ATTR(Pad, Pad, 1, -1, 1, 2, 5, 6)
ATTR(PadSpread, Pad, 1, 0, 2, 3, 8, 10)
ATTR(ReduceSum, ReduceSum, 0, 2)
ATTR(ReduceProd, ReduceProd, 1)
ATTR(ReduceMax, ReduceMax, 1)
ATTR(ReduceMin, ReduceMin, 0, 1)
ATTR(ReduceMean, ReduceMean, 2)
ATTR(Softmax, Softmax, 1)
ATTR(LogSoftmax, LogSoftmax, 1)
ATTR(CumSum, CumSum, 1, 0, 0)
ATTR(CumSumBack, CumSum, 0, 1, 1)

static Node *b_Concat(Graph *g, Node **x) { return graph_op(g, OP_Concat, AXES(1), 2, x); }
static Node *b_Where(Graph *g, Node **x) { return op3(g, Where, op2(g, Less, x[0], x[1]), op2(g, Mul, x[0], x[0]), x[1]); }
static Node *b_Cast(Graph *g, Node **x) { return op2(g, Mul, node_cast(g, node_cast(g, x[0], DT_F64), DT_F64), x[0]); }
static Node *indices(Graph *g, Shape s, int64_t most) {
    int64_t *i = NEW(g->cx, int64_t, numel(s));
    for (int64_t k = 0; k < numel(s); k++) i[k] = (k * 5 + 2) % most - (k & 1 ? most : 0);
    return graph_const(g, DT_I64, s, i);
}
static Node *b_Gather(Graph *g, Node **x) { return graph_op(g, OP_Gather, AXES(1), 2, (Node *[]){x[0], indices(g, SHAPE(2, 5), 3)}); }
static Node *b_GatherElements(Graph *g, Node **x) { return graph_op(g, OP_GatherElements, AXES(1), 2, (Node *[]){x[0], indices(g, SHAPE(2, 4), 3)}); }
static Node *b_BatchNorm(Graph *g, Node **x) {
    Node *c = op2(g, Mul, x[1], x[1]);
    return graph_op(g, OP_BatchNorm, (Attr){.f = 0.1}, 5, (Node *[]){x[0], x[1], x[2], x[2], c});
}

static Node *window(Graph *g, Op op, int nin, Node **x, Window w, double f) {
    Attr a = window_attr(g->cx, &w);
    a.f = f;
    return graph_op(g, op, a, nin, x);
}
#define WIN(name, op, nin, f, ...) static Node *b_##name(Graph *g, Node **x) { return window(g, OP_##op, nin, x, (Window)__VA_ARGS__, f); }
WIN(Conv, Conv, 2, 0, {.rank = 2, .group = 1, .axis = {{3, 1, 1, 1, 1}, {2, 1, 1, 0, 1}}})
WIN(ConvStride, Conv, 2, 0, {.rank = 2, .group = 1, .axis = {{3, 2, 1, 1, 1}, {2, 3, 1, 0, 0}}})
WIN(ConvDilated, Conv, 2, 0, {.rank = 2, .group = 1, .axis = {{3, 1, 2, 2, 1}, {2, 2, 2, 1, 1}}})
WIN(ConvWide, Conv, 2, 0, {.rank = 2, .group = 1, .axis = {{3, 1, 1, 3, 3}, {2, 1, 1, 2, 2}}})
WIN(ConvGroups, Conv, 2, 0, {.rank = 2, .group = 2, .axis = {{3, 2, 1, 1, 1}, {2, 1, 1, 0, 1}}})
WIN(ConvDepthwise, Conv, 2, 0, {.rank = 2, .group = 4, .axis = {{3, 2, 1, 1, 1}, {3, 1, 1, 1, 1}}})
WIN(Conv1, Conv, 2, 0, {.rank = 1, .group = 1, .axis = {{3, 2, 1, 1, 0}}})
WIN(Conv3, Conv, 2, 0, {.rank = 3, .group = 1, .axis = {{2, 1, 1, 0, 0}, {2, 2, 1, 1, 0}, {2, 1, 1, 0, 1}}})
WIN(MaxPool, MaxPool, 1, 0, {.rank = 2, .group = 1, .axis = {{3, 2, 1, 1, 1}, {2, 1, 2, 0, 1}}})
WIN(SumPool, SumPool, 1, 0, {.rank = 2, .group = 1, .axis = {{3, 2, 1, 1, 1}, {2, 1, 1, 0, 0}}})
WIN(AveragePool, AveragePool, 1, 0, {.rank = 2, .group = 1, .axis = {{3, 2, 1, 1, 1}, {2, 1, 1, 0, 1}}})
WIN(AveragePoolAll, AveragePool, 1, 1, {.rank = 2, .group = 1, .axis = {{3, 2, 1, 1, 1}, {2, 1, 1, 0, 1}}})

#define DIMS(...) {.n = sizeof((int64_t[]){__VA_ARGS__}) / 8, .d = {__VA_ARGS__}}
#define S(...) {DIMS(__VA_ARGS__)}
#define S2(a, b) {DIMS a, DIMS b}
#define S3(a, b, c) {DIMS a, DIMS b, DIMS c}
#define C1(op, from, to) {#op, b_##op, S(2, 3), from, to}
#define C2(op, from, to) {#op, b_##op, S2((2, 3), (3)), from, to}
static const Case cases[] = {
    C1(Neg, -1, 1), C1(Abs, -1, 1), C1(Sqrt, .1, 2), C1(Exp, -1, 1), C1(Log, .1, 2), C1(Log1p, -.5, 2), C1(Sin, -2, 2), C1(Cos, -2, 2),
    C1(Tan, -1, 1), C1(Asin, -.9, .9), C1(Acos, -.9, .9), C1(Atan, -2, 2), C1(Sinh, -1, 1), C1(Cosh, -1, 1), C1(Tanh, -1, 1),
    C1(Asinh, -2, 2), C1(Acosh, 1.1, 3), C1(Atanh, -.9, .9), C1(Erf, -2, 2), C1(Relu, -1, 1), C1(Sigmoid, -3, 3), C1(Cast, -1, 1),
    C2(Add, -1, 1), C2(Sub, -1, 1), C2(Mul, -1, 1), C2(Div, .3, 2), C2(Pow, .3, 2), C2(Max, -1, 1), C2(Min, -1, 1), C2(Mod, .3, 2),
    C2(FMod, .3, 2), C2(Where, -1, 1),
    {"MatMul", b_MatMul, S2((4, 3), (3, 5)), -1, 1}, {"MatMul batched", b_MatMul, S2((2, 4, 3), (2, 3, 5)), -1, 1},
    {"MatMul shared", b_MatMul, S2((2, 4, 3), (3, 5)), -1, 1}, {"MatMul broadcast", b_MatMul, S2((4, 3), (2, 3, 5)), -1, 1},
    {"Transpose", b_Transpose, S(2, 3, 4), -1, 1}, {"Reshape", b_Reshape, S(2, 3, 4), -1, 1}, {"Expand", b_Expand, S(3, 1), -1, 1},
    {"Slice", b_Slice, S(3, 4), -1, 1}, {"Slice flip", b_SliceFlip, S(3, 4), -1, 1}, {"Pad", b_Pad, S(3, 4), -1, 1},
    {"Pad spread", b_PadSpread, S(3, 4), -1, 1}, {"Concat", b_Concat, S2((2, 3), (2, 2)), -1, 1},
    {"ReduceSum", b_ReduceSum, S(2, 3, 4), -1, 1}, {"ReduceProd", b_ReduceProd, S(2, 3), .3, 2}, {"ReduceMax", b_ReduceMax, S(2, 5), -1, 1},
    {"ReduceMin", b_ReduceMin, S(2, 5), -1, 1}, {"ReduceMean", b_ReduceMean, S(2, 3, 4), -1, 1}, {"Softmax", b_Softmax, S(2, 5), -2, 2},
    {"LogSoftmax", b_LogSoftmax, S(2, 5), -2, 2}, {"CumSum", b_CumSum, S(2, 5), -1, 1}, {"CumSum back", b_CumSumBack, S(3, 5), -1, 1},
    {"Gather", b_Gather, S(2, 3, 2), -1, 1}, {"GatherElements", b_GatherElements, S(2, 3), -1, 1},
    {"BatchNorm", b_BatchNorm, S3((2, 3, 4), (3), (3)), .3, 1},
    {"Conv", b_Conv, S2((2, 3, 5, 4), (4, 3, 3, 2)), -1, 1}, {"Conv stride", b_ConvStride, S2((2, 3, 6, 8), (4, 3, 3, 2)), -1, 1},
    {"Conv dilated", b_ConvDilated, S2((2, 3, 7, 6), (2, 3, 3, 2)), -1, 1}, {"Conv wide", b_ConvWide, S2((1, 2, 4, 4), (2, 2, 3, 2)), -1, 1},
    {"Conv groups", b_ConvGroups, S2((2, 4, 5, 4), (6, 2, 3, 2)), -1, 1}, {"Conv depthwise", b_ConvDepthwise, S2((2, 4, 5, 4), (4, 1, 3, 3)), -1, 1},
    {"Conv 1-D", b_Conv1, S2((2, 3, 7), (4, 3, 3)), -1, 1}, {"Conv 3-D", b_Conv3, S2((1, 2, 3, 4, 3), (2, 2, 2, 2, 2)), -1, 1},
    {"MaxPool", b_MaxPool, S(2, 2, 6, 5), -1, 1}, {"SumPool", b_SumPool, S(2, 2, 6, 5), -1, 1},
    {"AveragePool", b_AveragePool, S(2, 2, 6, 5), -1, 1}, {"AveragePool all", b_AveragePoolAll, S(2, 2, 6, 5), -1, 1},
};

// ---- the judge ----

typedef struct Built { Graph *g; Node *x[3]; int n; } Built;

// loss = sum of y * weights, so that every element of y counts differently
static Node *loss_of(Graph *g, Node *y) {
    double *w = NEW(g->cx, double, numel(y->shape));
    for (int64_t i = 0; i < numel(y->shape); i++) w[i] = wave(i, 7) + 0.5;
    Node *p = op2(g, Mul, y, graph_const(g, DT_F64, y->shape, w));
    int64_t axes[MAXDIM] = {0, 1, 2, 3, 4, 5, 6, 7};
    return node_reshape(g, op1a(g, ReduceSum, p, ((Attr){.n = y->shape.n, .i = axes})), (Shape){0});
}

static Built build(Cx *cx, const Case *c, double **data, bool with_gradients) {
    Built b = {.g = graph_new(cx, 1)};
    for (; b.n < 3 && c->shape[b.n].n; b.n++) {
        b.x[b.n] = graph_input(b.g, "x", DT_F64, c->shape[b.n]);
        b.x[b.n]->data = data[b.n];
    }
    graph_root(b.g, "loss", loss_of(b.g, c->build(b.g, b.x)), NULL, 1);
    expand_ops(b.g);
    if (!with_gradients) return b;
    Node *d[3];
    gradients(b.g, b.g->root[0].value, b.n, b.x, d);
    for (int i = 0; i < b.n; i++) graph_root(b.g, "dx", d[i], NULL, 1);
    expand_ops(b.g);
    return b;
}

static double loss_at(Cx *cx, const Case *c, double **data) {
    void *result[1];
    graph_eval(build(cx, c, data, false).g, 1, result, NULL, NULL);
    return *(double *)result[0];
}

static void compare(Cx *cx, const Case *c, double **data, Built *b, void *const *result, const char *by) {
    for (int i = 0; i < b->n; i++) {
        int64_t n = numel(c->shape[i]);
        for (int64_t k = 0; k < n; k += n > 24 ? n / 12 : 1) {
            double keep = data[i][k], h = 1e-5, up, down;
            data[i][k] = keep + h, up = loss_at(cx, c, data);
            data[i][k] = keep - h, down = loss_at(cx, c, data);
            data[i][k] = keep;
            double want = (up - down) / (2 * h), got = ((double *)result[i])[k];
            if (!(fabs(got - want) <= 1e-5 * fabs(want) + 1e-8))
                fail(cx, E_CHECK, "%s (%s): d loss / d x%d[%lld] is %.12g, central differences say %.12g", c->name, by, i, (long long)k, got, want);
        }
    }
}

static void judge(void *arg) {
    Cx *cx = ((void **)arg)[0];
    const Case *c = ((void **)arg)[1];
    double *data[3] = {0};
    for (int i = 0; i < 3 && c->shape[i].n; i++) {
        data[i] = NEW(cx, double, numel(c->shape[i]));
        for (int64_t k = 0; k < numel(c->shape[i]); k++) data[i][k] = c->from + (c->to - c->from) * wave(k, i);
    }
    Built b = build(cx, c, data, true);
    void *result[4];
    graph_eval(b.g, 1, result, NULL, NULL);
    compare(cx, c, data, &b, result + 1, "evaluator");
    b = build(cx, c, data, true);
    Compiled *p = graph_compile(b.g, NULL);
    Fault f;
    Session *s = session_new(p->program, NULL, &f);
    if (!s) fail(cx, f.code, "%s", f.text);
    for (int i = 0; i < b.n; i++) session_write(s, i, data[i]);
    if (session_call(s, 1, &f)) fail(cx, f.code, "%s", f.text);
    for (int i = 0; i < b.n; i++) result[i] = session_data(s, p->program->nslot - b.n + i);
    compare(cx, c, data, &b, result, "compiled");
    session_free(s);
}

static void test_all(void **state) {
    (void)state;
    int bad = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Cx *cx = cx_new();
        if (!cx_guard(cx, judge, (void *[]){cx, (void *)(uintptr_t)&cases[i]})) print_error("%s: %s\n", cases[i].name, cx->error), bad++;
        cx_free(cx);
    }
    assert_int_equal(bad, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all)};
    return cmocka_run_group_tests_name("grad_ops", tests, NULL, NULL);
}
