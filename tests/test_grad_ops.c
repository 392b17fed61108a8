// Every gradient against central differences in double precision, by the evaluator and compiled; with
// TVC_GRAD_TARGET=cuda:sm_90 and the like, for a GPU.
#include "codegen/compile.h"
#include "ir/eval.h"
#include "ir/grad.h"
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
ATTR(CumProd, CumProd, 1, 0, 0)
ATTR(CumProdExclusive, CumProd, 1, 1, 0)
ATTR(CumProdBack, CumProd, 0, 0, 1)
ATTR(CumProdBackExclusive, CumProd, 1, 1, 1)
ATTR(TopKValues, TopKValues, 1, 2, 1, 1)
ATTR(TopKSmallest, TopKValues, 0, 1, 0, 1)
ATTR(CumSumBack, CumSum, 0, 1, 1)

static Node *b_Concat(Graph *g, Node **x) { return graph_op(g, OP_Concat, AXES(1), 2, x); }
static Node *b_Where(Graph *g, Node **x) {
    return op3(g, Where, op2(g, Less, x[0], x[1]), op2(g, Mul, x[0], x[0]), x[1]);
}
// Its differences are wider than what it rounds.
static Node *b_Cast(Graph *g, Node **x) { return node_cast(g, node_cast(g, x[0], DT_F32), DT_F64); }
static Node *indices(Graph *g, Shape s, int64_t most) {
    int64_t *i = NEW(g->cx, int64_t, numel(s));
    for (int64_t k = 0; k < numel(s); k++) i[k] = (k * 5 + 2) % most - (k & 1 ? most : 0);
    return graph_const(g, DT_I64, s, i);
}
static Node *b_Gather(Graph *g, Node **x) {
    return graph_op(g, OP_Gather, AXES(1), 2, (Node *[]){x[0], indices(g, SHAPE(2, 5), 3)});
}
static Node *b_GatherElements(Graph *g, Node **x) {
    return graph_op(g, OP_GatherElements, AXES(1), 2, (Node *[]){x[0], indices(g, SHAPE(2, 4), 3)});
}
static Node *scatter(Graph *g, Node **x, int64_t how) {
    static const int64_t at[] = {2, 0, 1, -1};
    Node *i = graph_const(g, DT_I64, SHAPE(2, 2), at);
    return graph_op(g, OP_ScatterElements, AXES(1, how), 3, (Node *[]){x[0], i, x[1]});
}
static Node *b_Scatter(Graph *g, Node **x) { return scatter(g, x, 0); }
static Node *b_ScatterAdd(Graph *g, Node **x) { return scatter(g, x, 1); }
static Node *places(Graph *g) {
    static const int64_t at[] = {2, 0, 1, 3};
    return graph_const(g, DT_I64, SHAPE(2, 2), at);
}
static Node *b_GatherND(Graph *g, Node **x) {
    return graph_op(g, OP_GatherND, AXES(0), 2, (Node *[]){x[0], places(g)});
}
static Node *b_ScatterND(Graph *g, Node **x) {
    return graph_op(g, OP_ScatterND, AXES(0), 3, (Node *[]){x[0], places(g), x[1]});
}
static Node *b_ScatterNDAdd(Graph *g, Node **x) {
    return graph_op(g, OP_ScatterND, AXES(1), 3, (Node *[]){x[0], places(g), x[1]});
}
static Node *scatter_by(Graph *g, Node **x, Op op, int64_t how) {      // some places are named twice
    static const int64_t rows[] = {0, 0, 2, 2, 2, 2, 1, 0, 1}, points[] = {2, 1, 0, 0, 2, 1};
    bool nd = op == OP_ScatterND;
    Node *i = nd ? graph_const(g, DT_I64, SHAPE(3, 2), points) : graph_const(g, DT_I64, SHAPE(3, 3), rows);
    return graph_op(g, op, nd ? AXES(how) : AXES(1, how), 3, (Node *[]){x[0], i, x[1]});
}
#define SCATTER(name, op, how) static Node *b_##name(Graph *g, Node **x) { return scatter_by(g, x, OP_##op, how); }
SCATTER(ScatterMul, ScatterElements, 2)
SCATTER(ScatterMax, ScatterElements, 3)
SCATTER(ScatterMin, ScatterElements, 4)
SCATTER(ScatterNDMul, ScatterND, 2)
SCATTER(ScatterNDMax, ScatterND, 3)
SCATTER(ScatterNDMin, ScatterND, 4)
static Node *b_ScatterMulZero(Graph *g, Node **x) { return b_ScatterMul(g, (Node *[]){x[2], op2(g, Sub, x[0], x[1])}); }
static Node *gather_nd(Graph *g, Node *x, Shape s, int64_t lead) {
    int64_t depth = s.d[s.n - 1], *i = NEW(g->cx, int64_t, numel(s));
    for (int64_t k = 0; k < numel(s); k++) {
        int64_t most = x->shape.d[lead + k % depth];
        i[k] = (k * 7 + 1) % most - (k % 3 == 0 ? most : 0);
    }
    return graph_op(g, OP_GatherND, AXES(lead), 2, (Node *[]){x, graph_const(g, DT_I64, s, i)});
}
static Node *b_GatherND1(Graph *g, Node **x) { return gather_nd(g, x[0], SHAPE(2, 4, 1), 1); }
static Node *b_GatherND2(Graph *g, Node **x) { return gather_nd(g, x[0], SHAPE(2, 3, 2, 2), 2); }
static Node *b_CumProdZero(Graph *g, Node **x) { return b_CumProd(g, (Node *[]){op2(g, Sub, x[0], x[1])}); }
static Node *b_Det(Graph *g, Node **x) { return op2(g, Det, x[0], op1(g, Eliminate, x[0])); }
// Rank one less, and two less: the second row of some equals the first.
static Node *b_DetSingular(Graph *g, Node **x) {
    Node *row = node_slice(g, x[0], 1, 0, 1), *rest = node_slice(g, x[0], 1, 2, x[0]->shape.d[1] - 2);
    return b_Det(g, (Node *[]){node_concat(g, 1, 3, (Node *[]){row, row, rest})});
}
// Two regions of one image that overlap and one of the other that reaches beyond it.
static Node *regions(Graph *g, Op op, Node *x, Attr a) {
    static const double at[] = {0.3, 0.4, 3.1, 4.2, 1.2, 0.1, 4.6, 3.3, 2.4, 2.6, 7.5, 6.4};
    static const double pool[] = {0, 0, 0, 3, 4, 0, 1, 0, 4, 3, 1, 2, 2, 7, 6};
    static const int64_t image[] = {0, 0, 1};
    Node *i = graph_const(g, DT_I64, SHAPE(3), image);
    if (op == OP_MaxRoiPool) return graph_op(g, op, a, 2, (Node *[]){x, graph_const(g, DT_F64, SHAPE(3, 5), pool)});
    return graph_op(g, op, a, 3, (Node *[]){x, graph_const(g, DT_F64, SHAPE(3, 4), at), i});
}
#define ROI(name, op, scale, ...) static Node *b_##name(Graph *g, Node **x) { \
    Attr a = AXES(__VA_ARGS__); \
    a.f = scale; \
    return regions(g, OP_##op, x[0], a); \
}
ROI(RoiAlign, RoiAlign, 1, 2, 3, 0, 2, 1)
ROI(RoiAlignSized, RoiAlign, 0.8, 3, 2, 0, 0, 0)
ROI(RoiAlignMax, RoiAlign, 1, 2, 2, 1, 3, 1)
ROI(MaxRoiPool, MaxRoiPool, 1, 2, 3)
// Rows with one zero, none, two.
static Node *b_ReduceProdZero(Graph *g, Node **x) {
    return op1a(g, ReduceProd, op2(g, Sub, x[0], x[1]), AXES(1));
}
static Node *b_Steps(Graph *g, Node **x) {
    Node *sum = op2(g, Mul, x[0], op1(g, Floor, x[0]));
    sum = op2(g, Add, sum, op2(g, Mul, x[0], op1(g, Ceil, op2(g, Mul, x[0], x[0]))));
    sum = op2(g, Add, sum, op2(g, Mul, x[0], op1(g, Round, x[0])));
    return op2(g, Mul, op2(g, Add, sum, op1(g, Trunc, x[0])), op1(g, Sign, x[0]));
}
static Node *b_Nothing(Graph *g, Node **x) {
    return graph_op(g, OP_Dropout, (Attr){.f = 0.5}, 1, (Node *[]){op1(g, Keep, x[0])});
}
static Node *b_BatchNorm(Graph *g, Node **x) {
    Node *c = op2(g, Mul, x[1], x[1]);
    return graph_op(g, OP_BatchNorm, (Attr){.f = 0.1}, 5, (Node *[]){x[0], x[1], x[2], x[2], c});
}

static Node *window(Graph *g, Op op, int nin, Node **x, Window w, double f) {
    Attr a = window_attr(g->cx, &w);
    a.f = f;
    return graph_op(g, op, a, nin, x);
}
#define WIN(name, op, nin, f, ...) \
    static Node *b_##name(Graph *g, Node **x) { return window(g, OP_##op, nin, x, (Window)__VA_ARGS__, f); }
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
    C1(Neg, -1, 1), C1(Abs, -1, 1), C1(Sqrt, .1, 2), C1(Exp, -1, 1), C1(Log, .1, 2), C1(Log1p, -.5, 2), C1(Sin, -2, 2),
    C1(Cos, -2, 2), C1(Tan, -1, 1), C1(Asin, -.9, .9), C1(Acos, -.9, .9), C1(Atan, -2, 2), C1(Sinh, -1, 1),
    C1(Cosh, -1, 1), C1(Tanh, -1, 1), C1(Asinh, -2, 2), C1(Acosh, 1.1, 3), C1(Atanh, -.9, .9), C1(Erf, -2, 2),
    C1(Relu, -1, 1), C1(Sigmoid, -3, 3), {"Cast", b_Cast, S(2, 3), -1, 1}, {"steps", b_Steps, S(4, 5), -2.4, 2.4},
    {"Keep, Dropout", b_Nothing, S(2, 3), -1, 1}, C2(Add, -1, 1), C2(Sub, -1, 1), C2(Mul, -1, 1), C2(Div, .3, 2),
    C2(Pow, .3, 2), C2(Max, -1, 1), C2(Min, -1, 1), C2(Mod, .3, 2), C2(FMod, .3, 2), C2(Where, -1, 1),
    {"MatMul", b_MatMul, S2((4, 3), (3, 5)), -1, 1}, {"MatMul batched", b_MatMul, S2((2, 4, 3), (2, 3, 5)), -1, 1},
    {"MatMul shared", b_MatMul, S2((2, 4, 3), (3, 5)), -1, 1},
    {"MatMul broadcast", b_MatMul, S2((4, 3), (2, 3, 5)), -1, 1}, {"Transpose", b_Transpose, S(2, 3, 4), -1, 1},
    {"Reshape", b_Reshape, S(2, 3, 4), -1, 1}, {"Expand", b_Expand, S(3, 1), -1, 1}, {"Slice", b_Slice, S(3, 4), -1, 1},
    {"Slice flip", b_SliceFlip, S(3, 4), -1, 1}, {"Pad", b_Pad, S(3, 4), -1, 1},
    {"Pad spread", b_PadSpread, S(3, 4), -1, 1}, {"Concat", b_Concat, S2((2, 3), (2, 2)), -1, 1},
    {"ReduceSum", b_ReduceSum, S(2, 3, 4), -1, 1}, {"ReduceProd", b_ReduceProd, S(2, 3), .3, 2},
    {"ReduceMax", b_ReduceMax, S(2, 5), -1, 1}, {"ReduceMin", b_ReduceMin, S(2, 5), -1, 1},
    {"ReduceMean", b_ReduceMean, S(2, 3, 4), -1, 1}, {"Softmax", b_Softmax, S(2, 5), -2, 2},
    {"LogSoftmax", b_LogSoftmax, S(2, 5), -2, 2}, {"CumSum", b_CumSum, S(2, 5), -1, 1},
    {"CumSum back", b_CumSumBack, S(3, 5), -1, 1}, {"Gather", b_Gather, S(2, 3, 2), -1, 1},
    {"GatherElements", b_GatherElements, S(2, 3), -1, 1}, {"ScatterElements", b_Scatter, S2((2, 3), (2, 2)), -1, 1},
    {"ScatterElements add", b_ScatterAdd, S2((2, 3), (2, 2)), -1, 1}, {"GatherND", b_GatherND, S(3, 4), -1, 1},
    {"ScatterND", b_ScatterND, S2((3, 4), (2)), -1, 1}, {"ScatterND add", b_ScatterNDAdd, S2((3, 4), (2)), -1, 1},
    {"TopKValues", b_TopKValues, S(3, 5), -1, 1}, {"TopKValues smallest", b_TopKSmallest, S(4, 3), -1, 1},
    {"ReduceProd of zeros", b_ReduceProdZero, S2((3, 3), (3, 3)), .3, 2},
    {"ScatterElements mul", b_ScatterMul, S2((3, 3), (3, 3)), .3, 2},
    {"ScatterND mul", b_ScatterNDMul, S2((3, 4), (3)), .3, 2},
    {"ScatterElements max", b_ScatterMax, S2((3, 3), (3, 3)), -1, 1},
    {"ScatterND max", b_ScatterNDMax, S2((3, 4), (3)), -1, 1},
    {"ScatterElements min", b_ScatterMin, S2((3, 3), (3, 3)), -1, 1},
    {"ScatterND min", b_ScatterNDMin, S2((3, 4), (3)), -1, 1},
    {"ScatterElements mul of zeros", b_ScatterMulZero, S3((3, 3), (3, 3), (3, 3)), .3, 2},
    {"GatherND of samples", b_GatherND1, S(2, 3, 4), -1, 1}, {"GatherND of rows", b_GatherND2, S(2, 3, 4, 2, 2), -1, 1},
    {"CumProd", b_CumProd, S(2, 5), .3, 2}, {"CumProd exclusive", b_CumProdExclusive, S(2, 5), -1, 1},
    {"CumProd back", b_CumProdBack, S(3, 2, 2), -1, 1},
    {"CumProd back, exclusive", b_CumProdBackExclusive, S(2, 4, 3), -1, 1},
    {"CumProd of zeros", b_CumProdZero, S2((3, 3), (3, 3)), .3, 2}, {"Det", b_Det, S(2, 3, 3), -1, 1},
    {"Det of one", b_Det, S(4, 1, 1), -1, 1}, {"Det of four", b_Det, S(4, 4), -1, 1},
    {"Det singular", b_DetSingular, S(2, 4, 4), -1, 1}, {"RoiAlign", b_RoiAlign, S(2, 2, 5, 6), -1, 1},
    {"RoiAlign by size", b_RoiAlignSized, S(2, 2, 5, 6), -1, 1}, {"RoiAlign max", b_RoiAlignMax, S(2, 2, 5, 6), .2, 1},
    {"MaxRoiPool", b_MaxRoiPool, S(2, 2, 5, 6), -1, 1}, {"BatchNorm", b_BatchNorm, S3((2, 3, 4), (3), (3)), .3, 1},
    {"Conv", b_Conv, S2((2, 3, 5, 4), (4, 3, 3, 2)), -1, 1},
    {"Conv stride", b_ConvStride, S2((2, 3, 6, 8), (4, 3, 3, 2)), -1, 1},
    {"Conv dilated", b_ConvDilated, S2((2, 3, 7, 6), (2, 3, 3, 2)), -1, 1},
    {"Conv wide", b_ConvWide, S2((1, 2, 4, 4), (2, 2, 3, 2)), -1, 1},
    {"Conv groups", b_ConvGroups, S2((2, 4, 5, 4), (6, 2, 3, 2)), -1, 1},
    {"Conv depthwise", b_ConvDepthwise, S2((2, 4, 5, 4), (4, 1, 3, 3)), -1, 1},
    {"Conv 1-D", b_Conv1, S2((2, 3, 7), (4, 3, 3)), -1, 1},
    {"Conv 3-D", b_Conv3, S2((1, 2, 3, 4, 3), (2, 2, 2, 2, 2)), -1, 1}, {"MaxPool", b_MaxPool, S(2, 2, 6, 5), -1, 1},
    {"SumPool", b_SumPool, S(2, 2, 6, 5), -1, 1}, {"AveragePool", b_AveragePool, S(2, 2, 6, 5), -1, 1},
    {"AveragePool all", b_AveragePoolAll, S(2, 2, 6, 5), -1, 1},
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

// Which operators some case differentiates.
static bool met[NOPS];

static void meet(Graph *g) {
    graph_sort(g);
    for (int i = 0; i < g->norder; i++) met[g->order[i]->op] = true;
}

static Built build(Cx *cx, const Case *c, double **data, bool with_gradients) {
    Built b = {.g = graph_new(cx, 1)};
    for (; b.n < 3 && c->shape[b.n].n; b.n++) {
        b.x[b.n] = graph_input(b.g, "x", DT_F64, c->shape[b.n]);
        b.x[b.n]->data = data[b.n];
    }
    graph_root(b.g, "loss", loss_of(b.g, c->build(b.g, b.x)), NULL, 1);
    meet(b.g);
    expand_ops(b.g);
    meet(b.g);
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
            double keep = data[i][k], h = c->build == b_Cast ? 0.25 : 1e-5, up, down;
            data[i][k] = keep + h, up = loss_at(cx, c, data);
            data[i][k] = keep - h, down = loss_at(cx, c, data);
            data[i][k] = keep;
            double want = (up - down) / (2 * h), got = ((double *)result[i])[k];
            if (!(fabs(got - want) <= 1e-5 * fabs(want) + 1e-8))
                fail(cx, E_CHECK, "%s (%s): d loss / d x%d[%lld] is %.12g, central differences say %.12g", c->name,
                     by, i, (long long)k, got, want);
        }
    }
}

// Of differences of the inputs, which then are equal here and there.
static bool needs_zeros(const Case *c) {
    return c->build == b_ReduceProdZero || c->build == b_CumProdZero || c->build == b_ScatterMulZero;
}

static void judge(void *arg) {
    Cx *cx = ((void **)arg)[0];
    const Case *c = ((void **)arg)[1];
    double *data[3] = {0};
    for (int i = 0; i < 3 && c->shape[i].n; i++) {
        data[i] = NEW(cx, double, numel(c->shape[i]));
        for (int64_t k = 0; k < numel(c->shape[i]); k++) data[i][k] = c->from + (c->to - c->from) * wave(k, i);
        for (int64_t k = 1; i && needs_zeros(c) && k < 9; k++)
            if (k == 1 || k == 6 || k == 8) data[i][k] = data[0][k];
    }
    Built b = build(cx, c, data, true);
    void *result[4];
    graph_eval(b.g, 1, result, NULL, NULL);
    compare(cx, c, data, &b, result + 1, "evaluator");
    b = build(cx, c, data, true);
    Compiled *p = graph_compile(b.g, &(CompileOptions){.isa = -1, .target = getenv("TVC_GRAD_TARGET")});
    Fault f;
    Session *s = session_new(p->program, NULL, &f);
    if (!s) fail(cx, f.code, "%s", f.text);
    for (int i = 0; i < b.n; i++) session_write(s, i, data[i]);
    if (session_call(s, 1, &f)) fail(cx, f.code, "%s", f.text);
    for (int i = 0; i < b.n; i++) result[i] = (void *)(uintptr_t)session_view(s, p->program->nslot - b.n + i);
    compare(cx, c, data, &b, result, "compiled");
    session_free(s);
}

static void test_all(void **state) {
    (void)state;
    int bad = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Cx *cx = cx_new();
        if (!cx_guard(cx, judge, (void *[]){cx, (void *)(uintptr_t)&cases[i]}))
            print_error("%s: %s\n", cases[i].name, cx->error), bad++;
        cx_free(cx);
    }
    assert_int_equal(bad, 0);
}

// ---- rows of a table, of a batch that is not full ----

// The loss is half the sum of squares of the rows taken: each row's gradient is itself, as often as it is taken.
static void judge_table(Cx *cx, const double *table, const int64_t *taken, int n, const double *got) {
    for (int k = 0; k < 10; k++) {
        int times = 0;
        for (int i = 0; i < n; i++) times += taken[i] == k / 2 || taken[i] == k / 2 - 5;
        if (!(fabs(got[k] - times * table[k]) <= 1e-12))
            fail(cx, E_CHECK, "row %d: %g, not %d times %g", k / 2, got[k], times, table[k]);
    }
}

static void take_rows(void *arg) {
    Cx *cx = arg;
    int64_t taken[12] = {4, 0, -1, 4, 2, -5, 0, 2, 1, 1, 1, 1};
    double table[10];
    for (int k = 0; k < 10; k++) table[k] = wave(k, 2);
    Graph *g = graph_new(cx, 3);
    Node *from = graph_input(g, "table", DT_F64, SHAPE(5, 2));
    Node *which = graph_input(g, "which", DT_I64, (Shape){.n = 2, .batch = 1, .d = {3, 4}});
    Node *y = graph_op(g, OP_Gather, AXES(0), 2, (Node *[]){from, which}), *d;
    from->data = table, which->data = taken;
    Node *loss = node_reduce_all(g, OP_ReduceSum, op2(g, Mul, op2(g, Mul, y, y), node_like(g, y, 0.5)));
    gradients(g, loss, 1, &from, &d);
    graph_root(g, "d", d, NULL, 1);
    void *result[1];
    graph_eval(g, 2, result, NULL, NULL);
    judge_table(cx, table, taken, 8, result[0]);
    Compiled *p = graph_compile(g, NULL);
    Fault f;
    Session *s = session_new(p->program, NULL, &f);
    if (!s || session_set_batch(s, 2, &f)) fail(cx, f.code, "%s", f.text);
    session_write(s, 0, table), session_write(s, 1, taken);
    if (session_call(s, 1, &f)) fail(cx, f.code, "%s", f.text);
    judge_table(cx, table, taken, 8, session_data(s, p->program->nslot - 1));
    session_free(s);
}

static void test_table(void **state) {
    (void)state;
    Cx *cx = cx_new();
    bool ok = cx_guard(cx, take_rows, cx);
    if (!ok) print_error("%s\n", cx->error);
    cx_free(cx);
    assert_true(ok);
}

// Operators that no trained path crosses: of integers and truths, adjoints, what layout makes after differentiation.
static const Op beside[] = {
    OP_Input, OP_Param, OP_Const, OP_BitAnd, OP_BitOr, OP_BitXor, OP_ShiftLeft, OP_ShiftRight, OP_Equal, OP_Less,
    OP_LessEqual,
    OP_And, OP_Or, OP_Xor, OP_Not, OP_IsNaN, OP_IsInf, OP_BitNot, OP_Bits, OP_Iota, OP_BatchSize, OP_Random,
    OP_TopKIndices, OP_MaxPoolPlace,
    OP_MaxPoolTap, OP_ConvDx, OP_ConvDw, OP_SumPoolDx, OP_MaxPoolDx, OP_ConvBlk, OP_DepthwiseBlk, OP_ConvDwBlk,
    OP_DepthwiseDwBlk,
    OP_MatMulBlk, OP_Tiles, OP_Mix, OP_Weave, OP_RoiAlignDx, OP_MaxRoiPoolDx,
};

static bool is_beside(Op op) {
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
        if (beside[i] == op) return true;
    return false;
}

// A new operator needs a case above, or a place in the list.
static void test_complete(void **state) {
    (void)state;
    int bad = 0;
    for (Op i = 0; i < NOPS; i++) {
        if (!met[i] && !is_beside(i)) print_error("%s: neither tested nor listed\n", optab[i].name), bad++;
        if (is_beside(i)) continue;
        if (!grad_of(i) && !op_has_expand(i)) print_error("%s has no gradient\n", optab[i].name), bad++;
    }
    assert_int_equal(bad, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all), cmocka_unit_test(test_table), cmocka_unit_test(test_complete),
    };
    return cmocka_run_group_tests_name("grad_ops", tests, NULL, NULL);
}
