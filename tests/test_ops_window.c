// Windows against plain loops in double precision over random shapes: convolutions, transposed ones and pools of 1 to 3
// image axes with groups, dilations and lopsided padding, with part of a free batch in use; and what is refused.
// The loops place every element where ONNX's formulas say, window by window, without a graph.
#include "frontend/import.h"
#include "ir/eval.h"
#include "onnx_build.h"
#include "reading.h"

enum { N = 3, USED = 2, ROUNDS = 120, MOST = 1 << 14, F32 = 1, I64 = 7 };

typedef struct Problem {
    int rank;
    bool ceil, include;
    int64_t group, c, o;                                  // channels in and out
    int64_t size[3], kernel[3], stride[3], dilation[3], before[3], after[3], extra[3], out[3];
    float x[MOST], w[MOST], b[64];
    double want[MOST];
    int64_t place[MOST];
} Problem;

static uint64_t seed = 11;

static int64_t roll(int64_t low, int64_t high) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return low + (int64_t)((seed >> 33) % (uint64_t)(high - low + 1));
}

static int64_t product(const int64_t *v, int n) {
    int64_t p = 1;
    while (n-- > 0) p *= v[n];
    return p;
}

static int64_t reach(const Problem *p, int d) { return (p->kernel[d] - 1) * p->dilation[d] + 1; }

// The place of number `flat` in a box of these sizes.
static void unflat(const int64_t *size, int n, int64_t flat, int64_t *at) {
    for (int d = n - 1; d >= 0; flat /= size[d--]) at[d] = flat % size[d];
}

static void random_problem(Problem *p, int64_t low_pad) {
    *p = (Problem){.rank = (int)roll(1, 3), .group = roll(1, 3)};
    p->c = p->group * roll(1, 2), p->o = p->group * roll(1, 3);
    for (int d = 0; d < p->rank; d++) {
        p->size[d] = roll(4, 7), p->kernel[d] = roll(1, 3), p->stride[d] = roll(1, 3), p->dilation[d] = roll(1, 2);
        p->before[d] = roll(low_pad, p->kernel[d] / 2), p->after[d] = roll(low_pad, p->kernel[d] / 2);
    }
    for (int i = 0; i < MOST; i++) p->x[i] = (float)roll(-1000, 1000) / 256, p->w[i] = (float)roll(-1000, 1000) / 1024;
    for (int i = 0; i < 64; i++) p->b[i] = (float)roll(-1000, 1000) / 256;
}

// ---- documents ----

static void add_pads(Pb *node, const Problem *p) {
    int64_t pads[6];
    for (int d = 0; d < p->rank; d++) pads[d] = p->before[d], pads[p->rank + d] = p->after[d];
    pb_message(node, 5, onnx_attr_ints("pads", 2 * p->rank, pads));
}

static Pb window_node(const Problem *p, const char *op, const char *in, const char *out) {
    Pb n = onnx_node(op, "the node", in, out);
    pb_message(&n, 5, onnx_attr_ints("strides", p->rank, p->stride));
    pb_message(&n, 5, onnx_attr_ints("dilations", p->rank, p->dilation));
    add_pads(&n, p);
    return n;
}

static Pb document(const Problem *p, Pb node, int opset, const int64_t *wdim, const char *second) {
    Pb g = {0};
    int64_t x[5] = {-1, p->c, p->size[0], p->size[1], p->size[2]};
    pb_message(&g, 1, node);
    if (wdim) {
        pb_message(&g, 5, onnx_tensor("w", F32, p->rank + 2, wdim, p->w, 4 * (size_t)product(wdim, p->rank + 2)));
        pb_message(&g, 5, onnx_tensor("b", F32, 1, &p->o, p->b, 4 * (size_t)p->o));
    }
    pb_message(&g, 11, onnx_value("x", F32, p->rank + 2, x));
    pb_message(&g, 12, onnx_value("y", F32, 0, NULL));
    if (second) pb_message(&g, 12, onnx_value(second, I64, 0, NULL));
    return onnx_model(g, 7, opset);
}

// ---- running ----

typedef struct Run { Cx *cx; Pb doc; const Problem *p; Graph *g; void *result[2]; } Run;

static void run_go(void *arg) {
    Run *r = arg;
    ImportOptions o = {.max_batch = N};
    r->g = model_import(model_read_bytes(r->cx, "test.onnx", (Bytes){r->doc.at, r->doc.n}), &o);
    if (r->p) r->g->input[0]->data = r->p->x;
    expand_ops(r->g);
    if (r->p) graph_eval(r->g, USED, r->result, NULL, NULL);
}

static Err run(Run *r) {
    r->cx = cx_new();
    return cx_guard(r->cx, run_go, r) ? E_OK : r->cx->code;
}

static void run_end(Run *r) { cx_free(r->cx), free(r->doc.at); }

// Sizes of p->out, channels `o`, and every number of the batch in use.
static void check(Run *r, const char *what, int64_t o) {
    const Problem *p = r->p;
    if (run(r)) fail_msg("%s: %s", what, r->cx->error);
    Shape s = r->g->root[0].value->shape;
    assert_int_equal(s.n, p->rank + 2);
    assert_int_equal(s.batch, 1);
    assert_int_equal(s.d[1], o);
    for (int d = 0; d < p->rank; d++) assert_int_equal(s.d[2 + d], p->out[d]);
    const float *y = r->result[0];
    for (int64_t i = 0; i < USED * o * product(p->out, p->rank); i++)
        if (!(fabs((double)y[i] - p->want[i]) <= 1e-4 * (1 + fabs(p->want[i]))) && p->want[i] == p->want[i] &&
            (double)y[i] != p->want[i])
            fail_msg("%s: %g instead of %g at %lld", what, (double)y[i], p->want[i], (long long)i);
}

// ---- convolutions ----

// Adds to y[n, o] the product of x[n, c] and w[.., ..], element by element: forwards an output collects from where its
// window's taps lie, transposed an input gives to where its taps lie.
static void convolve(Problem *p, int64_t n, int64_t o, int64_t c, const float *w, bool transposed) {
    int64_t xs = product(p->size, p->rank), ys = product(p->out, p->rank), ks = product(p->kernel, p->rank);
    const float *x = p->x + (n * p->c + c) * xs;
    double *y = p->want + (n * p->o + o) * ys;
    for (int64_t i = 0; i < (transposed ? xs : ys); i++)
        for (int64_t r = 0; r < ks; r++) {
            int64_t at[3], tap[3], other = 0;
            bool inside = true;
            unflat(transposed ? p->size : p->out, p->rank, i, at), unflat(p->kernel, p->rank, r, tap);
            for (int d = 0; d < p->rank; d++) {
                int64_t place = at[d] * p->stride[d] + tap[d] * p->dilation[d] - p->before[d];
                int64_t size = transposed ? p->out[d] : p->size[d];
                inside = inside && place >= 0 && place < size;
                other = other * size + place;
            }
            if (inside && transposed) y[other] += (double)x[i] * (double)w[r];
            else if (inside) y[i] += (double)x[other] * (double)w[r];
        }
}

static void expect_convolution(Problem *p, bool transposed) {
    int64_t ci = p->c / p->group, co = p->o / p->group, ks = product(p->kernel, p->rank), ys = product(p->out, p->rank);
    assert_true(N * p->o * ys <= MOST && N * p->c * product(p->size, p->rank) <= MOST);
    for (int64_t i = 0; i < USED * p->o * ys; i++) p->want[i] = (double)p->b[i / ys % p->o];
    for (int64_t n = 0; n < USED; n++)
        for (int64_t o = 0; o < p->o; o++)
            for (int64_t c = o / co * ci; c < (o / co + 1) * ci; c++)
                convolve(p, n, o, c, p->w + (transposed ? c * co + o % co : o * ci + c % ci) * ks, transposed);
}

static void one_conv(Problem *p) {
    random_problem(p, -1);
    for (int d = 0; d < p->rank; d++) {
        int64_t room = p->size[d] + p->before[d] + p->after[d];
        for (p->out[d] = 0; p->out[d] * p->stride[d] + reach(p, d) <= room;) p->out[d]++;
        if (p->out[d] == 0) return;
    }
    int64_t w[5] = {p->o, p->c / p->group, p->kernel[0], p->kernel[1], p->kernel[2]};
    Pb node = window_node(p, "Conv", "x,w,b", "y");
    pb_message(&node, 5, onnx_attr_int("group", p->group));
    expect_convolution(p, false);
    Run r = {.doc = document(p, node, 11, w, NULL), .p = p};
    check(&r, "Conv", p->o);
    run_end(&r);
}

static void one_transposed(Problem *p) {
    random_problem(p, 0);
    for (int d = 0; d < p->rank; d++) {
        p->size[d] -= 2, p->extra[d] = roll(0, p->stride[d] - 1);
        p->out[d] = (p->size[d] - 1) * p->stride[d] + reach(p, d) + p->extra[d] - p->before[d] - p->after[d];
        if (p->out[d] < 1) return;
    }
    if (N * p->o * product(p->out, p->rank) > MOST) return;
    int64_t w[5] = {p->c, p->o / p->group, p->kernel[0], p->kernel[1], p->kernel[2]};
    Pb node = window_node(p, "ConvTranspose", "x,w,b", "y");
    pb_message(&node, 5, onnx_attr_int("group", p->group));
    pb_message(&node, 5, onnx_attr_ints("output_padding", p->rank, p->extra));
    expect_convolution(p, true);
    Run r = {.doc = document(p, node, 11, w, NULL), .p = p};
    check(&r, "ConvTranspose", p->o);
    run_end(&r);
}

// ---- pools ----

// A window exists if it fits; rounding up, also the first that hangs over, if it starts before the padding behind.
static void pool_sizes(Problem *p) {
    for (int d = 0; d < p->rank; d++) {
        int64_t end = p->size[d] + p->before[d], room = end + p->after[d], o = 0;
        while (o * p->stride[d] + reach(p, d) <= room ||
               (p->ceil && o > 0 && (o - 1) * p->stride[d] + reach(p, d) < room && o * p->stride[d] < end)) o++;
        p->out[d] = o;
    }
}

typedef struct Seen { double sum, max; int64_t inside, counted, first; } Seen;

static Seen look(const Problem *p, const float *x, int64_t window) {
    Seen s = {.max = -INFINITY, .first = -1};
    for (int64_t r = 0; r < product(p->kernel, p->rank); r++) {
        int64_t at[3], tap[3], flat = 0;
        bool inside = true, counted = true;
        unflat(p->out, p->rank, window, at), unflat(p->kernel, p->rank, r, tap);
        for (int d = 0; d < p->rank; d++) {
            int64_t place = at[d] * p->stride[d] + tap[d] * p->dilation[d] - p->before[d];
            inside = inside && place >= 0 && place < p->size[d];
            counted = counted && place < p->size[d] + p->after[d];
            flat = flat * p->size[d] + place;
        }
        s.counted += counted, s.inside += inside;
        if (!inside) continue;
        s.sum += (double)x[flat];
        if ((double)x[flat] > s.max) s.max = (double)x[flat], s.first = flat;
    }
    return s;
}

static Pb pool_node(const Problem *p, const char *op, const char *out) {
    Pb node = window_node(p, op, "x", out);
    pb_message(&node, 5, onnx_attr_ints("kernel_shape", p->rank, p->kernel));
    pb_message(&node, 5, onnx_attr_int("ceil_mode", p->ceil));
    return node;
}

static void one_pool(Problem *p, bool average) {
    random_problem(p, 0);
    p->ceil = roll(0, 1), p->include = roll(0, 1);
    pool_sizes(p);
    int64_t xs = product(p->size, p->rank), ys = product(p->out, p->rank);
    if (ys == 0) return;
    for (int64_t i = 0; i < USED * p->c * ys; i++) {
        Seen s = look(p, p->x + i / ys * xs, i % ys);
        p->want[i] = average ? s.sum / (double)(p->include ? s.counted : s.inside) : s.max;
        p->place[i] = i / ys * xs + s.first;
    }
    Pb node = pool_node(p, average ? "AveragePool" : "MaxPool", average ? "y" : "y,i");
    if (average) pb_message(&node, 5, onnx_attr_int("count_include_pad", p->include));
    Run r = {.doc = document(p, node, 19, NULL, average ? NULL : "i"), .p = p};
    check(&r, average ? "AveragePool" : "MaxPool", p->c);
    const int64_t *place = r.result[1];
    for (int64_t i = 0; !average && i < USED * p->c * ys; i++)
        if (p->want[i] > -INFINITY) assert_int_equal(place[i], p->place[i]);
    run_end(&r);
}

static Problem problem;

static void test_conv(void **state) {
    (void)state;
    for (int i = 0; i < ROUNDS; i++) one_conv(&problem);
}

static void test_conv_transpose(void **state) {
    (void)state;
    for (int i = 0; i < ROUNDS; i++) one_transposed(&problem);
}

static void test_max_pool(void **state) {
    (void)state;
    for (int i = 0; i < ROUNDS; i++) one_pool(&problem, false);
}

static void test_average_pool(void **state) {
    (void)state;
    for (int i = 0; i < ROUNDS; i++) one_pool(&problem, true);
}

// ---- what is refused ----

#define LIST(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (const int64_t *)(const int64_t[]){__VA_ARGS__}

// A 2-D node with one wrong attribute: it must be refused as malformed, by name.
static void refused(const char *op, const char *attr, int n, const int64_t *v) {
    Pb g = {0}, node = onnx_node(op, "the node", strstr(op, "Conv") ? "x,w" : "x", "y");
    static const float zeros[64];
    if (strcmp(attr, "kernel_shape") && !strstr(op, "Conv"))
        pb_message(&node, 5, onnx_attr_ints("kernel_shape", 2, (int64_t[]){2, 2}));
    if (n < 0) pb_message(&node, 5, onnx_attr_int(attr, *v));
    else pb_message(&node, 5, onnx_attr_ints(attr, n, v));
    pb_message(&g, 1, node);
    pb_message(&g, 5, onnx_tensor("w", F32, 4, (int64_t[]){4, 4, 2, 2}, zeros, sizeof zeros));
    pb_message(&g, 11, onnx_value("x", F32, 4, (int64_t[]){-1, 4, 6, 6}));
    pb_message(&g, 12, onnx_value("y", F32, 0, NULL));
    Run r = {.doc = onnx_model(g, 7, 19)};
    Err e = run(&r);
    if (e != E_MALFORMED && e != E_LIMIT)
        fail_msg("%s with %s %lld: code %d %s", op, attr, n ? (long long)*v : 0LL, (int)e, r.cx->error);
    assert_non_null(strstr(r.cx->error, "the node"));
    run_end(&r);
}

static void test_refused(void **state) {
    static const char *const ops[] = {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool"};
    static const char *const lists[] = {"kernel_shape", "strides", "dilations"};
    (void)state;
    for (int o = 0; o < 5; o++) {
        for (int a = 0; a < 3; a++) {
            refused(ops[o], lists[a], LIST(1));
            refused(ops[o], lists[a], LIST(1, 1, 1));
            refused(ops[o], lists[a], LIST(0, 1));
            refused(ops[o], lists[a], LIST(1, -1));
            refused(ops[o], lists[a], LIST((int64_t)1 << 40, 1));
            refused(ops[o], lists[a], LIST(INT64_MIN, INT64_MAX));
        }
        refused(ops[o], "pads", LIST(1, 1));
        refused(ops[o], "pads", LIST(0, 0, 0, INT64_MAX));
        refused(ops[o], "pads", LIST(INT64_MIN, 0, 0, 0));
    }
    refused("Conv", "pads", LIST(-3, 0, -3, 0));
    refused("MaxPool", "kernel_shape", LIST(7, 7));
    for (int o = 0; o < 2; o++) {
        refused(ops[o], "group", -1, (int64_t[]){0});
        refused(ops[o], "group", -1, (int64_t[]){-2});
        refused(ops[o], "group", -1, (int64_t[]){3});
        refused(ops[o], "group", -1, (int64_t[]){INT64_MAX});
    }
    refused("ConvTranspose", "output_padding", LIST(-1, 0));
    refused("ConvTranspose", "output_shape", LIST(0, 1));
    refused("ConvTranspose", "output_shape", LIST(1));
}

// Weights of another rank than the input's.
static void test_weights_of_wrong_rank(void **state) {
    static const float zeros[64];
    (void)state;
    for (int rank = 0; rank <= 6; rank++) {
        Pb g = {0};
        if (rank == 4) continue;
        pb_message(&g, 1, onnx_node(rank & 1 ? "Conv" : "ConvTranspose", "the node", "x,w", "y"));
        pb_message(&g, 5, onnx_tensor("w", F32, rank, (int64_t[]){1, 1, 1, 1, 1, 1}, zeros, 4));
        pb_message(&g, 11, onnx_value("x", F32, 4, (int64_t[]){-1, 1, 6, 6}));
        pb_message(&g, 12, onnx_value("y", F32, 0, NULL));
        Run r = {.doc = onnx_model(g, 7, 11)};
        assert_int_equal(run(&r), E_MALFORMED);
        assert_non_null(strstr(r.cx->error, "the node"));
        run_end(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_conv_transpose),
        cmocka_unit_test(test_max_pool),
        cmocka_unit_test(test_average_pool),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_weights_of_wrong_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
