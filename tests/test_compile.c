// Compiled kernels against the evaluator: graphs by hand, each built twice, at the full batch and
// below it.
#include "codegen/compile.h"
#include "ir/eval.h"
#include "ir/op.h"
#include "runtime/exec.h"
#include <setjmp.h>
#include <cmocka.h>
#undef fail                            // ours gives up on the request

enum { BATCH = 3 };

typedef void BuildFn(Graph *g);

static float wave(int64_t i) { return (float)((double)((i * 7919 + 13) % 2003) / 1001.0 - 1.0); }

static void *numbers(Cx *cx, DType t, Shape s) {
    char *p = cx_alloc(cx, (size_t)numel(s) * (size_t)dtypes[t].bytes + 16);
    for (int64_t i = 0; i < numel(s); i++) {
        if (dtype_is_float(t)) dtype_set_f(t, p + i * dtypes[t].bytes, (double)wave(i));
        else dtype_set_i(t, p + i * dtypes[t].bytes, (i * 31) % 7);
    }
    return p;
}

static Shape batched(Graph *g, Shape s) {
    s.d[0] *= g->max_batch, s.batch = 1;
    return s;
}

static Node *input(Graph *g, DType t, Shape s) {
    Node *n = graph_input(g, "x", t, batched(g, s));
    n->data = numbers(g->cx, t, n->shape);
    return n;
}

static Node *param(Graph *g, Shape s) { return graph_param(g, "w", DT_F32, s, numbers(g->cx, DT_F32, s)); }

static Node *conv(Graph *g, Node *x, Node *w, Window win) {
    return graph_op(g, OP_Conv, window_attr(g->cx, &win), 2, (Node *[]){x, w});
}

#define ROOT(n) graph_root(g, "y", n, NULL, 1)

// ---- the graphs ----

static void conv_bn_relu(Graph *g) {
    Node *x = input(g, DT_F32, SHAPE(1, 16, 9, 10)), *w = param(g, SHAPE(32, 16, 3, 3)), *v = param(g, SHAPE(32));
    Node *y = conv(g, x, w, (Window){.rank = 2, .group = 1, .axis = {{3, 1, 1, 1, 1}, {3, 2, 1, 1, 0}}});
    Node *var = op2(g, Mul, v, v);
    y = graph_op(g, OP_BatchNorm, (Attr){.f = 1e-3}, 5, (Node *[]){y, v, v, v, var});
    y = op1(g, Relu, y);
    Node *z = conv(g, y, param(g, SHAPE(32, 32, 1, 1)),
                   (Window){.rank = 2, .group = 1, .axis = {{1, 1, 1, 0, 0}, {1, 1, 1, 0, 0}}});
    z = op1(g, Relu, op2(g, Add, z, y));
    ROOT(z);
    ROOT(op1a(g, ReduceMean, z, AXES(2, 3)));
}

static void conv_odd(Graph *g) {
    Node *x = input(g, DT_F32, SHAPE(1, 6, 7, 5)), *w = param(g, SHAPE(10, 3, 3, 2));
    Node *y = conv(g, x, w, (Window){.rank = 2, .group = 2, .axis = {{3, 1, 2, 1, 2}, {2, 2, 1, 0, 1}}});
    ROOT(y);
    ROOT(conv(g, x, param(g, SHAPE(6, 1, 3, 3)),
              (Window){.rank = 2, .group = 6, .axis = {{3, 1, 1, 1, 1}, {3, 1, 1, 1, 1}}}));
}

#define SQUARE(k, stride, pad)                                                                                         \
    ((Window){.rank = 2, .group = 1, .axis = {{k, stride, 1, pad, pad}, {k, stride, 1, pad, pad}}})

// Channels that do not fill their last block, with a bias and a residual.
static void conv_part_block(Graph *g) {
    Node *x = input(g, DT_F32, SHAPE(1, 20, 7, 7)), *y = conv(g, x, param(g, SHAPE(20, 20, 1, 1)), SQUARE(1, 1, 0));
    y = op2(g, Add, op2(g, Add, y, param(g, SHAPE(20, 1, 1))), x);
    ROOT(y);
    Node *gate = conv(g, op1a(g, ReduceMean, y, AXES(2, 3)), param(g, SHAPE(20, 20, 1, 1)), SQUARE(1, 1, 0));
    ROOT(op2(g, Mul, y, op1(g, Sigmoid, gate)));
}

// What Winograd's convolutions meet: Concat, a window, a residual that is a convolution itself, a
// product over the flattened image.
static void winograd(Graph *g) {
    Node *x = input(g, DT_F32, SHAPE(1, 64, 15, 18)), *w = param(g, SHAPE(32, 64, 3, 3));
    Node *a = conv(g, x, w, SQUARE(3, 1, 1)), *b = conv(g, op1(g, Neg, x), w, SQUARE(3, 1, 1));
    ROOT(op1(g, Relu, graph_op(g, OP_Concat, AXES(1), 2, (Node *[]){a, b})));
    Window pool = SQUARE(3, 2, 1);
    Node *p = op1(g, Relu, op2(g, Add, b, param(g, SHAPE(32, 1, 1))));
    ROOT(graph_op(g, OP_MaxPool, window_attr(g->cx, &pool), 1, &p));
    ROOT(op1(g, Relu, op2(g, Add, op1(g, Neg, a), conv(g, x, param(g, SHAPE(32, 64, 1, 1)), SQUARE(1, 1, 0)))));
    Node *flat = node_reshape(g, p, batched(g, SHAPE(1, 32 * 15 * 18)));
    ROOT(op2(g, MatMul, flat, op1a(g, Transpose, param(g, SHAPE(8, 32 * 15 * 18)), AXES(1, 0))));
}

// Groups narrower than a block, wider, of sizes that share little with it, more outputs than inputs.
static void groups(Graph *g) {
    static const int64_t shape[][3] = {
        {2, 32, 32}, {5, 8, 8}, {3, 24, 24}, {2, 16, 48}, {3, 6, 4}}; // groups, channels, outputs
    for (size_t i = 0; i < sizeof shape / sizeof *shape; i++) {
        int64_t n = shape[i][0], c = shape[i][1], o = shape[i][2];
        Window w = SQUARE(3, 1, 1);
        w.group = n;
        Node *y = conv(g, input(g, DT_F32, SHAPE(1, n * c, 6, 7)), param(g, SHAPE(n * o, c, 3, 3)), w);
        ROOT(op1(g, Relu, op2(g, Add, y, param(g, SHAPE(n * o, 1, 1)))));
    }
}

// A convolution's result used twice by what follows; and squares of squares, too many for one formula.
static void shared(Graph *g) {
    Node *x = input(g, DT_F32, SHAPE(1, 16, 9, 9));
    Window dw = SQUARE(3, 1, 1);
    dw.group = 16;
    Node *y = conv(g, x, param(g, SHAPE(16, 16, 3, 3)), SQUARE(3, 1, 1)),
         *z = conv(g, x, param(g, SHAPE(16, 1, 3, 3)), dw);
    ROOT(op2(g, Add, op2(g, Mul, y, op1(g, Sigmoid, y)), x));
    z = op2(g, Mul, z, op1(g, Sigmoid, z));
    ROOT(op2(g, Mul, z, op1(g, Tanh, z)));
    Node *s = op2(g, Mul, x, graph_scalar(g, DT_F32, 0.999));
    for (int i = 0; i < 40; i++) s = op2(g, Mul, s, s);
    ROOT(s);
}

static void depthwise(Graph *g) {
    Node *x = input(g, DT_F32, SHAPE(1, 32, 9, 9)), *w = param(g, SHAPE(32, 1, 3, 3));
    Node *y = conv(g, x, w, (Window){.rank = 2, .group = 32, .axis = {{3, 2, 1, 1, 1}, {3, 2, 1, 1, 1}}});
    Node *zero = graph_scalar(g, DT_F32, 0), *six = graph_scalar(g, DT_F32, 0.5);
    ROOT(op2(g, Min, op2(g, Max, y, zero), six));
}

// Windows on blocked channels: rows and columns that need no test, and edges that do, of all sizes.
static void windows(Graph *g) {
    static const Window w[] = {
        {.rank = 2, .group = 1, .axis = {{3, 2, 1, 1, 1}, {3, 2, 1, 1, 1}}},
        {.rank = 2, .group = 1, .axis = {{2, 1, 1, 0, 1}, {3, 1, 2, 2, 0}}},
        {.rank = 2, .group = 1, .axis = {{5, 1, 1, 2, 2}, {5, 1, 1, 2, 2}}},
        {.rank = 2, .group = 1, .axis = {{2, 2, 1, 0, 0}, {2, 2, 1, 0, 0}}},
    };
    Node *x = input(g, DT_F32, SHAPE(1, 20, 11, 13)), *y = conv(g, x, param(g, SHAPE(20, 20, 1, 1)), SQUARE(1, 1, 0));
    for (size_t i = 0; i < sizeof w / sizeof *w; i++) {
        Attr a = window_attr(g->cx, &w[i]);
        ROOT(op1(g, Relu, graph_op(g, OP_MaxPool, a, 1, &y)));
        ROOT(graph_op(g, OP_AveragePool, a, 1, &y));
    }
    Window five = {.rank = 2, .group = 20, .axis = {{5, 2, 1, 2, 1}, {5, 1, 2, 4, 4}}};
    Node *d = conv(g, y, param(g, SHAPE(20, 1, 5, 5)), five);
    ROOT(conv(g, op1(g, Relu, d), param(g, SHAPE(16, 20, 3, 3)), SQUARE(3, 1, 1)));
}

// What flows back through a strided convolution: phases woven together, with and without rest, one that no tap meets,
// of depthwise ones too; read by what follows, and by a window.
static void strided_back(Graph *g) {
    static const struct {
        int64_t kernel, before, size, group;
    } form[] = {{3, 1, 12, 1}, {3, 1, 11, 32}, {1, 0, 9, 1}, {4, 1, 10, 2}, {7, 3, 13, 1}};
    for (size_t i = 0; i < sizeof form / sizeof *form; i++) {
        int64_t k = form[i].kernel, size = form[i].size, out = (size + 2 * form[i].before - k) / 2 + 1;
        Window w = {.rank = 2,
                    .group = form[i].group,
                    .axis = {{k, 2, 1, form[i].before, form[i].before}, {k, 2, 1, form[i].before, form[i].before}}};
        Node *dy = input(g, DT_F32, SHAPE(1, 32, out, out)), *f = param(g, SHAPE(32, 32 / w.group, k, k));
        Attr a = window_attr(g->cx, &w);
        int64_t *to = NEW(g->cx, int64_t, a.n + 2);
        memcpy(to, a.i, sizeof *to * (size_t)a.n);
        to[a.n] = to[a.n + 1] = size;
        Node *dx = graph_op(g, OP_ConvDx, (Attr){.n = a.n + 2, .i = to}, 2, (Node *[]){f, dy});
        ROOT(op2(g, Mul, dx, input(g, DT_F32, SHAPE(1, 32, size, size))));
        if (i < 2) ROOT(conv(g, dx, param(g, SHAPE(16, 32, 3, 3)), SQUARE(3, 1, 1)));
    }
}

// Depthwise ones of many rows and of few, with more places than a machine has registers; one place, with strides.
static void weight_gradients(Graph *g) {
    static const struct {
        int64_t kernel, stride, size, group;
    } form[] = {{3, 1, 24, 32}, {3, 2, 13, 20}, {5, 1, 7, 32}, {5, 2, 26, 16}, {1, 2, 15, 1}};
    for (size_t i = 0; i < sizeof form / sizeof *form; i++) {
        int64_t k = form[i].kernel, step = form[i].stride, pad = k / 2, size = form[i].size,
                out = (size + 2 * pad - k) / step + 1;
        int64_t channels = form[i].group > 1 ? form[i].group : 32;
        Window w = {.rank = 2, .group = form[i].group, .axis = {{k, step, 1, pad, pad}, {k, step, 1, pad, pad}}};
        Node *x = input(g, DT_F32, SHAPE(1, channels, size, size)),
             *dy = input(g, DT_F32, SHAPE(1, channels, out, out));
        x = op1(g, Relu, conv(g, x, param(g, SHAPE(channels, channels, 1, 1)), SQUARE(1, 1, 0)));
        dy = conv(g, dy, param(g, SHAPE(channels, channels, 1, 1)), SQUARE(1, 1, 0));
        ROOT(graph_op(g, OP_ConvDw, window_attr(g->cx, &w), 2, (Node *[]){x, dy}));
    }
}

static void softmax(Graph *g) {
    Node *x = input(g, DT_F32, SHAPE(2, 100));
    ROOT(op1a(g, Softmax, x, AXES(1)));
    ROOT(op1a(g, LogSoftmax, op2(g, Mul, x, graph_scalar(g, DT_F32, 30)), AXES(1)));
    ROOT(op1a(g, ReduceSum, x, AXES(0)));
    ROOT(op1a(g, ReduceMean, x, AXES(0, 1)));
}

static void pools(Graph *g) {
    Node *x = input(g, DT_F32, SHAPE(1, 16, 11, 8));
    Window w = {.rank = 2, .group = 1, .axis = {{3, 2, 1, 1, 1}, {2, 2, 1, 0, 0}}};
    Attr a = window_attr(g->cx, &w);
    ROOT(graph_op(g, OP_MaxPool, a, 1, &x));
    ROOT(graph_op(g, OP_AveragePool, a, 1, &x));
}

static void concats(Graph *g) {
    Node *x = input(g, DT_F32, SHAPE(1, 16, 6, 6)), *a = op1(g, Relu, x), *b = op1(g, Exp, x), *c = op1(g, Tanh, x);
    Node *ab = graph_op(g, OP_Concat, AXES(1), 2, (Node *[]){a, b});
    Node *abc = graph_op(g, OP_Concat, AXES(1), 2, (Node *[]){ab, c});
    Node *w = param(g, SHAPE(16, 48, 3, 3));
    ROOT(conv(g, abc, w, (Window){.rank = 2, .group = 1, .axis = {{3, 1, 1, 1, 1}, {3, 1, 1, 1, 1}}}));
    ROOT(op2(g, Mul, ab, ab));
    ROOT(graph_op(g, OP_Concat, AXES(2), 2, (Node *[]){a, b}));
}

static void matmuls(Graph *g) {
    Node *x = input(g, DT_F32, SHAPE(2, 20)), *w = param(g, SHAPE(20, 33)), *wt = param(g, SHAPE(48, 20));
    ROOT(op1(g, Relu, op2(g, Add, op2(g, MatMul, x, w), param(g, SHAPE(33)))));
    ROOT(op2(g, MatMul, x, op1a(g, Transpose, wt, AXES(1, 0))));
    Node *q = node_reshape(g, x, batched(g, SHAPE(2, 4, 5))), *kt = op1a(g, Transpose, q, AXES(0, 2, 1));
    ROOT(op2(g, MatMul, q, kt));
}

// Rows of several vectors, the last one overlapping; many rows, and one.
static void matmuls_wide(Graph *g) {
    Node *x = input(g, DT_F32, SHAPE(2, 20)), *sum = op1a(g, ReduceSum, x, AXES(0));
    ROOT(op2(g, MatMul, sum, param(g, SHAPE(20, 150))));
    Node *many = input(g, DT_F32, SHAPE(3, 17, 40));
    ROOT(op1(g, Tanh, op2(g, Add, op2(g, MatMul, many, param(g, SHAPE(40, 100))), param(g, SHAPE(100)))));
}

static void integers(Graph *g) {
    Node *x = input(g, DT_I32, SHAPE(1, 50)), *f = node_cast(g, x, DT_F32), *three = graph_scalar_i(g, DT_I32, 3);
    Node *m = op2(g, Mod, op2(g, Sub, x, three), three), *less = op2(g, Less, m, x);
    ROOT(op3(g, Where, less, m, op2(g, Div, x, three)));
    ROOT(node_cast(g, op2(g, Mul, f, graph_scalar(g, DT_F32, -1.5)), DT_I8));
    ROOT(op2(g, And, less, op1(g, Not, op2(g, Equal, x, three))));
    ROOT(node_cast(g, f, DT_F16));
    ROOT(op1a(g, ReduceMax, x, AXES(1)));
    Node *table = param(g, SHAPE(7, 4));
    ROOT(graph_op(g, OP_Gather, AXES(0), 2, (Node *[]){table, x}));
}

static void functions(Graph *g) {
    Node *x = input(g, DT_F32, SHAPE(1, 2003)), *t = op2(g, Mul, x, graph_scalar(g, DT_F32, 20)), *p = op1(g, Abs, t);
    ROOT(op1(g, Exp, t));
    ROOT(op1(g, Log, p));
    ROOT(op1(g, Tanh, x));
    ROOT(op1(g, Sigmoid, t));
    ROOT(op1(g, Erf, x));
    ROOT(op2(g, Add, op1(g, Floor, t), op2(g, Mul, op1(g, Ceil, t), op1(g, Round, t))));
    ROOT(op1(g, Sqrt, p));
    ROOT(op3(g, Where, op2(g, Less, t, x), t, op1(g, Neg, x)));
}

static void moves(Graph *g) {
    Node *x = input(g, DT_F32, SHAPE(1, 4, 6, 5));
    ROOT(op1a(g, Transpose, x, AXES(2, 0, 3, 1)));
    ROOT(op1a(g, Slice, x, AXES(0, 3, 1, 0, 1, -1, 2, 1, g->max_batch, 4, 2, 5)));
    ROOT(graph_op(g, OP_Pad, (Attr){.n = 12, .i = (int64_t[]){0, 1, 2, -1, 1, 1, 2, 1, g->max_batch, 6, 14, 6}, .f = 7},
                  1, &x));
    ROOT(node_reshape(g, op1(g, Neg, x), batched(g, SHAPE(1, 10, 12))));
    ROOT(node_reshape(g, x, batched(g, SHAPE(4, 30))));
}

// ---- the judge ----

typedef struct Case { BuildFn *build; int64_t max, used; int isa; bool direct, no_compiler, fast; } Case;

static void compare(Cx *cx, const Root *r, const char *got, const char *want, const Case *c) {
    int64_t n = numel(r->value->shape), outer = r->value->shape.batch ? n / c->max * c->used : n;
    DType t = r->value->type;
    double largest = 1e-6;
    if (r->value->shape.batch > 1) return;                // not in front: only its own consumers see it whole
    for (int64_t i = 0; i < outer; i++) largest = fmax(largest, fabs(dtype_get_f(t, want + i * dtypes[t].bytes)));
    for (int64_t i = 0; i < outer; i++) {
        double a = dtype_get_f(t, got + i * dtypes[t].bytes), b = dtype_get_f(t, want + i * dtypes[t].bytes);
        if (!(fabs(a - b) <= (c->direct ? 2e-6 : 1e-5) * largest + 4e-6 * fabs(b) || a == b || (a != a && b != b)))
            fail(cx, E_CHECK, "element %lld of %s is %.9g, not %.9g", (long long)i, shape_str(cx, r->value->shape), a,
                 b);
    }
}

// Sums over blocked channels have schedules of their own; a formula in the way would cost 100 times.
static void find_slow(Cx *cx, const Program *p) {
    for (int i = p->functions[1].from; i < p->functions[1].to; i++) {
        const char *label = program_text(p, p->steps[i].label);
        bool slow = strstr(label, " plain") || strstr(label, " lanes");
        if (slow && (strstr(label, "Blk") || strstr(label, "MatMul") || strstr(label, "Pool")))
            fail(cx, E_CHECK, "%s", label);
    }
}

static void judge(void *arg) {
    Case *c = ((void **)arg)[1];
    Cx *cx = ((void **)arg)[0];
    Graph *e = graph_new(cx, c->max), *g = graph_new(cx, c->max);
    c->build(e), c->build(g);
    void **want = NEW(cx, void *, e->nroot);
    expand_ops(e);
    graph_eval(e, c->used, want, NULL, NULL);
    Compiled *p =
        graph_compile(g, &(CompileOptions){.isa = c->isa, .direct = c->direct, .no_compiler = c->no_compiler});
    if (c->fast && !c->no_compiler) find_slow(cx, p->program);
    for (int threads = 1; threads <= 2; threads++) {
        Fault f = {0};
        Session *s = session_new(p->program, &(SessionOptions){.threads = threads}, &f);
        if (!s) fail(cx, f.code, "%s", f.text);
        for (int round = 0; round < 2; round++) {
            session_set_batch(s, c->used, &f);
            for (int i = 0; i < g->ninput; i++) session_write(s, i, g->input[i]->data);
            if (session_call(s, 1, &f)) fail(cx, f.code, "%s", f.text);
            for (int i = 0; i < g->nroot; i++)
                compare(cx, &g->root[i], session_data(s, p->program->nslot - g->nroot + i), want[i], c);
        }
        session_free(s);
    }
}

// For three instruction sets, then without a C compiler.
static void run(BuildFn *build, bool fast) {
    static const int isas[] = {-1, ISA_AVX2, ISA_GENERIC, -1};
    for (int i = 0; i < 4; i++)
        for (int used = 1; used <= BATCH; used += 2) {
            Case c = {build, BATCH, used, isas[i], used == 1, i == 3, fast};
            Cx *cx = cx_new();
            bool ok = cx_guard(cx, judge, (void *[]){cx, &c});
            if (!ok)
                print_error("%s, isa %d, %d of %d: %s\n", i == 3 ? "interpreted" : "compiled", isas[i], used, BATCH,
                            cx->error);
            cx_free(cx);
            assert_true(ok);
        }
}

#define TEST(name) static void test_##name(void **state) { (void)state; run(name, false); }
#define FAST(name) static void test_##name(void **state) { (void)state; run(name, true); }
FAST(conv_bn_relu) FAST(conv_part_block) FAST(winograd) TEST(conv_odd) FAST(depthwise) FAST(windows)
FAST(groups) FAST(weight_gradients) TEST(strided_back) FAST(shared) TEST(softmax) TEST(pools) TEST(concats)
TEST(matmuls) FAST(matmuls_wide) TEST(integers) TEST(functions) TEST(moves)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv_part_block),  cmocka_unit_test(test_winograd),
        cmocka_unit_test(test_windows),          cmocka_unit_test(test_groups),
        cmocka_unit_test(test_strided_back),     cmocka_unit_test(test_shared),
        cmocka_unit_test(test_weight_gradients), cmocka_unit_test(test_conv_bn_relu),
        cmocka_unit_test(test_conv_odd),         cmocka_unit_test(test_depthwise),
        cmocka_unit_test(test_softmax),          cmocka_unit_test(test_pools),
        cmocka_unit_test(test_concats),          cmocka_unit_test(test_matmuls),
        cmocka_unit_test(test_matmuls_wide),     cmocka_unit_test(test_integers),
        cmocka_unit_test(test_functions),        cmocka_unit_test(test_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
