// test_stems.c -- a network's first convolution and its weights' gradient in the form that passes/stems.c gives them
// for a GPU (the stand-ins of tests/standin/), beside the same graph as it was written, on the CPU. All numbers are eighths
// so small that every precision and every order of sums gives the same: results must be equal to the bit. And what
// else lets a convolution copy its picture: channels last.
#include "cuda_pair.h"
#include "passes/passes.h"

enum { IMAGES = 3, USED = 2, OUTPUTS = 24, COMPUTED = 2 };  // COMPUTED: the case whose picture is computed first

typedef struct Stem { int64_t c, h, w, kernel, stride, before, after, dilation; } Stem;

static const Stem stem[] = {
    {3, 21, 23, 7, 2, 3, 3, 1}, {3, 20, 22, 7, 2, 2, 3, 1},    // as TensorFlow pads
    {3, 15, 13, 3, 2, 1, 1, 1}, {3, 14, 13, 3, 2, 0, 0, 1},
    {3, 9, 11, 3, 1, 1, 1, 1},  {1, 12, 12, 5, 1, 0, 0, 1},
    {1, 15, 16, 7, 2, 3, 3, 1}, {2, 9, 9, 3, 1, 1, 1, 1},
    {2, 11, 9, 3, 3, 1, 0, 1},  {4, 15, 15, 3, 2, 1, 1, 1},
    {5, 9, 9, 3, 1, 1, 1, 1},   {13, 9, 10, 1, 1, 0, 0, 1},
    {3, 31, 29, 11, 4, 2, 2, 1}, {3, 16, 20, 4, 4, 0, 0, 1},
    {3, 32, 32, 16, 16, 0, 0, 1}, {3, 17, 17, 3, 2, 2, 2, 2},
    {3, 12, 15, 5, 3, 7, 6, 1}, {3, 9, 30, 3, 6, 0, 0, 1},     // more padding than taps; columns that nobody reads
    {3, 9, 9, 3, 1 << 30, 1, 1, 1},
};
enum { STEMS = sizeof stem / sizeof *stem };

static int64_t reach(const Stem *s, int64_t size) {
    return (size + s->before + s->after - (s->kernel - 1) * s->dilation - 1) / s->stride + 1;
}

static Shape images(Graph *g, int64_t c, int64_t h, int64_t w) {
    return (Shape){.n = 4, .batch = 1, .d = {g->max_batch, c, h, w}};
}

static float eighth(int64_t i) { return (float)((i * 7919 + 13) % 17 - 8) / 8; }

static Node *weights(Graph *g, const char *name, Shape s) {
    float *p = NEW(g->cx, float, numel(s));
    for (int64_t i = 0; i < numel(s); i++) p[i] = eighth(i * 3 + 1);
    return graph_param(g, name, DT_F32, s, p);
}

static void add(Graph *g, int i) {
    const Stem *s = &stem[i];
    Window w = {.rank = 2, .group = 1};
    for (int d = 0; d < 2; d++) {
        w.axis[d].kernel = s->kernel, w.axis[d].stride = s->stride, w.axis[d].dilation = s->dilation;
        w.axis[d].before = s->before, w.axis[d].after = s->after;
    }
    Node *x = graph_input(g, cx_fmt(g->cx, "x%d", i), DT_F32, images(g, s->c, s->h, s->w));
    Node *dy = graph_input(g, cx_fmt(g->cx, "dy%d", i), DT_F32, images(g, OUTPUTS, reach(s, s->h), reach(s, s->w)));
    Node *f = weights(g, cx_fmt(g->cx, "w%d", i), SHAPE(OUTPUTS, s->c, s->kernel, s->kernel));
    if (i == COMPUTED) x = op2(g, Mul, op2(g, Sub, x, node_like(g, x, 0.125)), node_like(g, x, 0.5));
    Node *y = graph_op(g, OP_Conv, window_attr(g->cx, &w), 2, (Node *[]){x, f});
    Node *dw = graph_op(g, OP_ConvDw, window_attr(g->cx, &w), 2, (Node *[]){x, dy});
    graph_root(g, cx_fmt(g->cx, "y%d", i), y, NULL, 1), graph_root(g, cx_fmt(g->cx, "dw%d", i), dw, NULL, 1);
}

static void add_all(Graph *g) {
    for (int i = 0; i < STEMS; i++) add(g, i);
}

static void fill(Pair *r, const char *name, int seed) {
    TensorDesc d = session_desc(r->s[0], session_slot(r->s[0], name));
    int64_t n = desc_elements(&d);
    float *v = NEW(r->cx, float, n);
    for (int64_t i = 0; i < n; i++) v[i] = eighth(i * 5 + seed);
    write_both(r, name, v);
}

static double flops(const Program *p, const char *what) {
    double sum = 0;
    for (int i = p->functions[1].from; i < p->functions[1].to; i++) {
        const char *label = program_text(p, p->steps[i].label), *at = strstr(label, what);
        if (at && at[strlen(what)] == ' ') sum += p->steps[i].flops;
    }
    return sum;
}

// Of all convolutions as they were written.
static double own_flops(void) {
    double sum = 0;
    for (int i = 0; i < STEMS; i++) {
        const Stem *s = &stem[i];
        sum += 2.0 * IMAGES * OUTPUTS * (double)(s->c * s->kernel * s->kernel * reach(s, s->h) * reach(s, s->w));
    }
    return sum;
}

static void compare_all(Cx *cx, Precision precision) {
    Graph *g[2];
    Pair r = {.cx = cx, .w = {.tolerance = 1e-9}};
    for (int i = 0; i < 2; i++) {
        Fault f;
        add_all(g[i] = graph_new(cx, IMAGES));
        CompileOptions o = {.isa = -1, .target = i ? "cuda:sm_90" : NULL, .precision = precision};
        r.p[i] = graph_compile(g[i], &o)->program;
        r.s[i] = open_session(cx, r.p[i], (SessionOptions){.threads = 1});
        if (session_set_batch(r.s[i], USED, &f)) fail(cx, f.code, "%s", f.text);
    }
    for (int i = 0; i < STEMS; i++) fill(&r, cx_fmt(cx, "x%d", i), i), fill(&r, cx_fmt(cx, "dy%d", i), i + 1);
    call(cx, r.s[0], 1), call(cx, r.s[1], 1);
    for (int i = 0; i < STEMS; i++) compare(&r, cx_fmt(cx, "y%d", i)), compare(&r, cx_fmt(cx, "dw%d", i));
    close_pair(&r);
    static const char *const what[] = {"Conv", "ConvDw"};
    for (int i = 0; i < 2; i++)
        if (fabs(flops(r.p[1], what[i]) / own_flops() - 1) > 1e-9)
            fail(cx, E_CHECK, "%s: %g FLOPs, not %g", what[i], flops(r.p[1], what[i]), own_flops());
}

static void in_fp32(void *cx) { compare_all(cx, PRECISION_FP32); }
static void in_bf16(void *cx) { compare_all(cx, PRECISION_BF16); }
static void in_fp16(void *cx) { compare_all(cx, PRECISION_FP16); }

static void fp32(void **state) { (void)state, in_order(in_fp32, 0); }
static void bf16(void **state) { (void)state, in_order(in_bf16, 1); }
static void fp16(void **state) { (void)state, in_order(in_fp16, 2); }

// ---- what lays a picture out computes it, too: no launch more ----

static void check_launches(void *arg) {
    Cx *cx = arg;
    for (int i = 0; i < STEMS; i++) {
        Graph *g = graph_new(cx, IMAGES);
        add(g, i), g->nroot = 1;
        CompileOptions o = {.isa = -1, .target = "cuda:sm_90", .precision = PRECISION_BF16};
        const Program *p = graph_compile(g, &o)->program;
        int n = p->functions[1].to - p->functions[1].from;
        if (n != 2) fail(cx, E_CHECK, "case %d takes %d launches", i, n);
    }
}

static void launches(void **state) { (void)state, in_order(check_launches, 0); }

// ---- as a densely connected block's gradient: what is cut out of a formula, for a convolution to read ----

static void check_slice(void *arg) {
    Graph *g = graph_new(arg, IMAGES);
    Window w = {.rank = 2, .group = 1, .axis = {{3, 1, 1, 1, 1}, {3, 1, 1, 1, 1}}};
    Attr a = window_attr(g->cx, &w);
    Node *x = graph_input(g, "x", DT_F32, images(g, 8, 9, 9)), *f = weights(g, "f", SHAPE(16, 8, 3, 3));
    Node *before = graph_op(g, OP_Conv, a, 2, (Node *[]){x, f});       // has a buffer; its Relu has none
    Node *cut = node_slice(g, op1(g, Relu, before), 1, 8, 8), *y = graph_op(g, OP_Conv, a, 2, (Node *[]){cut, f});
    graph_root(g, "before", op1(g, Neg, before), NULL, 1), graph_root(g, "y", y, NULL, 1);
    g->gpu = true, g->lanes = 1, g->product = DT_BF16;
    run_passes(g);
    cut = g->root[1].value->in[0];
    if (!cut->stored || cut->view.stride[1] != 1) fail(g->cx, E_CHECK, "it does not lie channels last");
}

static void slice(void **state) { (void)state, in_order(check_slice, 0); }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fp32), cmocka_unit_test(bf16), cmocka_unit_test(fp16), cmocka_unit_test(launches),
        cmocka_unit_test(slice),
    };
#ifndef __x86_64__
    puts("skipped: the emulator switches threads in x86-64's own way");
    return 0;
#endif
    return cmocka_run_group_tests(tests, use_standins, clean);
}
