// The batch axis passes through: a model run on several samples at once gives, sample by sample, what it gives on each
// alone. One node or two of every family that contracts, resizes, interpolates or unrolls.
#include "frontend/import.h"
#include "ir/eval.h"
#include "onnx_build.h"
#include "reading.h"

enum { N = 3, USED = 2, MOST = 4096, F32 = 1, I64 = 7 };

typedef struct Weight { const char *name; int rank; int64_t dim[4]; } Weight;

typedef struct Family {
    const char *op, *in, *out;                            // `in` names x and weights, `out` ends with y
    int rank;
    int64_t x[4];                                         // of x behind the batch
    Weight w[4];
    const char *name[3];                                  // attributes: integers, or a text
    int64_t value[3];
    const char *text[3];
    float scales[4];                                      // Resize: an initializer "s" of four numbers
    int opset;
} Family;

static const Family families[] = {
    {"Gemm", "x,w,b", "y", 1, {5}, {{"w", 2, {5, 4}}, {"b", 1, {4}}}, {0}, {0}, {0}, {0}, 13},
    {"Gemm", "x,w", "y", 1, {5}, {{"w", 2, {4, 5}}}, {"transB"}, {1}, {0}, {0}, 13},
    {"MatMul", "x,w", "y", 2, {3, 5}, {{"w", 2, {5, 4}}}, {0}, {0}, {0}, {0}, 13},
    {"MatMul", "w,x", "y", 2, {5, 3}, {{"w", 2, {4, 5}}}, {0}, {0}, {0}, {0}, 13},
    {"MatMul", "x,w", "y", 1, {5}, {{"w", 1, {5}}}, {0}, {0}, {0}, {0}, 13},
    {"Einsum", "x,x", "y", 2, {3, 5}, {{0}}, {"equation"}, {0}, {"bij,bkj->bik"}, {0}, 13},
    {"Einsum", "x,w", "y", 2, {3, 5}, {{"w", 2, {5, 4}}}, {"equation"}, {0}, {"...j,jk->...k"}, {0}, 13},
    {"Einsum", "x", "y", 2, {3, 3}, {{0}}, {"equation"}, {0}, {"bii->bi"}, {0}, 13},
    {"Resize", "x,,s", "y", 3, {2, 3, 4}, {{0}}, {"mode"}, {0}, {"linear"}, {1, 1, 2, 1.5f}, 13},
    {"Resize", "x,,s", "y", 3, {2, 3, 4}, {{0}}, {"mode"}, {0}, {"cubic"}, {1, 1, .5f, 2}, 13},
    {"Resize", "x,,s", "y", 3, {2, 3, 4}, {{0}}, {"mode"}, {0}, {"nearest"}, {1, 1, 2, 3}, 13},
    {"Resize", "x,,s", "y", 3, {2, 9, 9}, {{0}}, {"mode", "antialias"}, {0, 1}, {"linear"}, {1, 1, .25f, .3f}, 18},
    {"GridSample", "x,x", "y", 3, {2, 2, 2}, {{0}}, {"align_corners"}, {1}, {0}, {0}, 16},
    {"RNN", "x,w,r", "y", 2, {4, 3}, {{"w", 3, {1, 2, 3}}, {"r", 3, {1, 2, 2}}}, {"layout"}, {1}, {0}, {0}, 14},
    {"GRU", "x,w,r", "y", 2, {4, 3}, {{"w", 3, {1, 6, 3}}, {"r", 3, {1, 6, 2}}}, {"layout"}, {1}, {0}, {0}, 14},
    {"LSTM",
     "x,w,r,b",
     "y",
     2,
     {4, 3},
     {{"w", 3, {2, 8, 3}}, {"r", 3, {2, 8, 2}}, {"b", 2, {2, 16}}},
     {"layout", "direction"},
     {1},
     {0, "bidirectional"},
     {0},
     14},
    {"LSTM", "x,w,r", ",y", 2, {4, 3}, {{"w", 3, {1, 8, 3}}, {"r", 3, {1, 8, 2}}}, {"layout"}, {1}, {0}, {0}, 14},
    {"GlobalAveragePool", "x", "y", 3, {2, 3, 4}, {{0}}, {0}, {0}, {0}, {0}, 13},
    {"GlobalLpPool", "x", "y", 3, {2, 3, 4}, {{0}}, {"p"}, {3}, {0}, {0}, 13},
    {"Det", "x", "y", 2, {3, 3}, {{0}}, {0}, {0}, {0}, {0}, 13},
};

static float x[MOST], w[MOST];

static Pb attribute(const char *name, int64_t value, const char *text) {
    Pb a = {0};
    if (!text) return onnx_attr_int(name, value);
    pb_text(&a, 1, name);
    pb_text(&a, 4, text);
    pb_int(&a, 20, 3);
    return a;
}

static Pb document(const Family *f) {
    Pb g = {0}, node = onnx_node(f->op, "the node", f->in, f->out);
    int64_t dim[5] = {-1, f->x[0], f->x[1], f->x[2], f->x[3]};
    for (int i = 0; i < 3 && f->name[i]; i++) pb_message(&node, 5, attribute(f->name[i], f->value[i], f->text[i]));
    pb_message(&g, 1, node);
    for (const Weight *t = f->w; t->name; t++) {
        size_t n = 1;
        for (int d = 0; d < t->rank; d++) n *= (size_t)t->dim[d];
        pb_message(&g, 5, onnx_tensor(t->name, F32, t->rank, t->dim, w, 4 * n));
    }
    if (strstr(f->in, ",s")) pb_message(&g, 5, onnx_tensor("s", F32, 1, (int64_t[]){4}, f->scales, sizeof f->scales));
    pb_message(&g, 11, onnx_value("x", F32, f->rank + 1, dim));
    pb_message(&g, 12, onnx_value("y", F32, 0, NULL));
    return onnx_model(g, 7, f->opset);
}

typedef struct Run { Cx *cx; Pb doc; int64_t max_batch, used; const float *x; Graph *g; void *y; } Run;

static void run_go(void *arg) {
    Run *r = arg;
    ImportOptions o = {.max_batch = r->max_batch};
    r->g = model_import(model_read_bytes(r->cx, "test.onnx", (Bytes){r->doc.at, r->doc.n}), &o);
    r->g->input[0]->data = r->x;
    expand_ops(r->g);
    graph_eval(r->g, r->used, &r->y, NULL, NULL);
}

static void run(Run *r, const char *what) {
    r->cx = cx_new();
    if (!cx_guard(r->cx, run_go, r)) fail_msg("%s: %s", what, r->cx->error);
}

static void run_end(Run *r) { cx_free(r->cx), free(r->doc.at); }

static void check(const Family *f) {
    Run all = {.doc = document(f), .max_batch = N, .used = USED, .x = x};
    int64_t step = 1;
    for (int d = 0; d < f->rank; d++) step *= f->x[d];
    run(&all, f->op);
    Shape s = all.g->root[0].value->shape;
    assert_true(s.batch > 0 && s.d[s.batch - 1] == N);
    int64_t inner = 1, outer = 1;
    for (int d = s.batch; d < s.n; d++) inner *= s.d[d];
    for (int d = 0; d < s.batch - 1; d++) outer *= s.d[d];
    for (int64_t n = 0; n < USED; n++) {
        Run one = {.doc = document(f), .max_batch = 1, .used = 1, .x = x + n * step};
        run(&one, f->op);
        assert_int_equal(numel(one.g->root[0].value->shape), outer * inner);
        for (int64_t o = 0; o < outer; o++)
            assert_memory_equal((float *)all.y + (o * N + n) * inner, (float *)one.y + o * inner, 4 * (size_t)inner);
        run_end(&one);
    }
    run_end(&all);
}

static void test_sample_by_sample(void **state) {
    (void)state;
    for (int i = 0; i < MOST; i++)
        x[i] = (float)((i * 37 + 11) % 101) / 64 - .75f, w[i] = (float)((i * 53 + 7) % 89) / 64 - .7f;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) check(&families[i]);
}

// What would mix the samples, or resize their number, is refused by name.
static void test_refused(void **state) {
    static const Family mixing[] = {
        {"Gemm", "x,w", "y", 1, {4}, {{"w", 2, {3, 4}}}, {"transA"}, {1}, {0}, {0}, 13},
        {"Resize", "x,,s", "y", 3, {2, 3, 4}, {{0}}, {"mode"}, {0}, {"nearest"}, {2, 1, 1, 1}, 13},
        {"RNN", "x,w,r", "y", 2, {4, 3}, {{"w", 3, {1, 2, 3}}, {"r", 3, {1, 2, 2}}}, {0}, {0}, {0}, {0}, 14},
    };
    (void)state;
    for (int i = 0; i < 3; i++) {
        Run r = {.doc = document(&mixing[i]), .max_batch = N, .used = USED, .x = x, .cx = cx_new()};
        assert_false(cx_guard(r.cx, run_go, &r));
        assert_non_null(strstr(r.cx->error, "the node"));
        run_end(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample_by_sample),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
