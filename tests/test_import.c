// From documents to graphs: the free batch, numbers known at import in two worlds, old opsets, and refusals that name
// the node. Operators themselves are judged by the ONNX suite.
#include "frontend/import.h"
#include "ir/eval.h"
#include "onnx_build.h"
#include "reading.h"
#include <glob.h>

enum { N = 4, USED = 3, F32 = 1, I64 = 7 };

#define DIMS(...) (int)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]){__VA_ARGS__}

// ---- documents ----

static void add_node(Pb *g, const char *op, const char *in, const char *out) {
    pb_message(g, 1, onnx_node(op, out, in, out));
}
static void add_input(Pb *g, const char *name, int type, int rank, const int64_t *dim) {
    pb_message(g, 11, onnx_value(name, type, rank, dim));
}
static void add_output(Pb *g, const char *name) { pb_message(g, 12, onnx_value(name, F32, 0, NULL)); }

static void add_numbers(Pb *g, const char *name, int n, const int64_t *v) {
    int64_t dim = n < 0 ? 1 : n;
    pb_message(g, 5, onnx_tensor(name, I64, n < 0 ? 0 : 1, &dim, v, 8 * (size_t)dim));
}

static void add_floats(Pb *g, const char *name, int n, const float *v) {
    int64_t dim = n;
    pb_message(g, 5, onnx_tensor(name, F32, 1, &dim, v, 4 * (size_t)n));
}

// ---- importing and running ----

typedef struct Case {
    Cx *cx;
    Pb doc;
    ImportOptions o;
    Graph *g;
    float x[256];                    // every input's elements
    void **result;
} Case;

static void import_go(void *arg) {
    Case *c = arg;
    c->g = model_import(model_read_bytes(c->cx, "test.onnx", (Bytes){c->doc.at, c->doc.n}), &c->o);
    for (int i = 0; i < c->g->ninput; i++) c->g->input[i]->data = c->x;
    for (int i = 0; i < 256; i++) c->x[i] = (float)i + 1;
    expand_ops(c->g);
    c->result = NEW(c->cx, void *, c->g->nroot);
    graph_eval(c->g, c->g->max_batch > 1 ? USED : 1, c->result, NULL, NULL);
}

static Case run_case(Pb g, int opset, int64_t max_batch) {
    Case c = {.cx = cx_new(), .doc = onnx_model(g, 7, opset), .o.max_batch = max_batch};
    cx_guard(c.cx, import_go, &c);
    return c;
}

static void end_case(Case *c) { cx_free(c->cx), free(c->doc.at); }

static void expect_ok(const Case *c) {
    if (c->cx->code) fail_msg("%s", c->cx->error);
}

static void expect_shape(Case *c, const char *want) {
    expect_ok(c);
    assert_string_equal(shape_str(c->cx, c->g->root[0].value->shape), want);
}

static void expect_refused(Pb g, int opset, int64_t batch, Err code, const char *says) {
    Case c = run_case(g, opset, batch);
    assert_int_equal(c.cx->code, code);
    if (!strstr(c.cx->error, says)) fail_msg("'%s' does not say '%s'", c.cx->error, says);
    end_case(&c);
}

// ---- the free batch ----

static void test_batch_of_one_is_free(void **state) {
    (void)state;
    Pb g = {0};
    add_input(&g, "x", F32, DIMS(1, 2, 3));
    add_node(&g, "Reshape", "x,s", "r"), add_numbers(&g, "s", DIMS(1, -1));
    add_node(&g, "Reshape", "r,t", "y"), add_numbers(&g, "t", DIMS(1, 3, 2));
    add_output(&g, "y");
    Case c = run_case(g, 13, N);
    expect_shape(&c, "[N,3,2]");
    for (int i = 0; i < 6 * USED; i++) assert_true(((float *)c.result[0])[i] == c.x[i]);
    end_case(&c);
}

static void test_open_batch_wins_over_ones(void **state) {
    (void)state;
    Pb g = {0};
    add_input(&g, "x", F32, DIMS(-1, 3)), add_input(&g, "w", F32, DIMS(1, 3));
    add_node(&g, "Add", "x,w", "y"), add_output(&g, "y");
    Case c = run_case(g, 13, N);
    expect_shape(&c, "[N,3]");
    assert_int_equal(c.g->input[1]->shape.batch, 0);
    end_case(&c);
}

static void test_fixed_without_max_batch(void **state) {
    (void)state;
    Pb g = {0};
    add_input(&g, "x", F32, DIMS(-1, 3)), add_node(&g, "Relu", "x", "y"), add_output(&g, "y");
    Case c = run_case(g, 13, 0);
    expect_shape(&c, "[1,3]");
    end_case(&c);
}

// ---- two worlds ----

// y = x / (elements of x): 3 N, and only as many of the batch as are used
static void test_size_of_the_batch_as_data(void **state) {
    (void)state;
    Pb g = {0}, cast = onnx_node("Cast", "c", "n", "c");
    add_input(&g, "x", F32, DIMS(-1, 3));
    add_node(&g, "Size", "x", "n");
    pb_message(&cast, 5, onnx_attr_int("to", F32)), pb_message(&g, 1, cast);
    add_node(&g, "Div", "x,c", "y"), add_output(&g, "y");
    Case c = run_case(g, 13, N);
    expect_shape(&c, "[N,3]");
    for (int i = 0; i < 3 * USED; i++) assert_true(fabsf(((float *)c.result[0])[i] - c.x[i] / (3 * USED)) < 1e-6f);
    end_case(&c);
}

// The states of a recurrent network: zeros of [N, 5], the N taken out of a shape.
static void test_shape_with_batch(void **state) {
    (void)state;
    Pb g = {0}, concat = onnx_node("Concat", "cat", "n,five", "s");
    add_input(&g, "x", F32, DIMS(-1, 3));
    add_node(&g, "Shape", "x", "shape");
    add_node(&g, "Gather", "shape,first", "n"), add_numbers(&g, "first", DIMS(0)), add_numbers(&g, "five", DIMS(5));
    pb_message(&concat, 5, onnx_attr_int("axis", 0)), pb_message(&g, 1, concat);
    add_node(&g, "ConstantOfShape", "s", "z"), add_node(&g, "Exp", "z", "y"), add_output(&g, "y");
    Case c = run_case(g, 13, N);
    expect_shape(&c, "[N,5]");
    for (int i = 0; i < 5 * USED; i++) assert_true(((float *)c.result[0])[i] == 1);
    end_case(&c);
}

static Pb squared_size(void) {
    Pb g = {0}, cast = onnx_node("Cast", "c", "m", "c");
    add_input(&g, "x", F32, DIMS(-1, 3));
    add_node(&g, "Size", "x", "n"), add_node(&g, "Mul", "n,n", "m");
    pb_message(&cast, 5, onnx_attr_int("to", F32)), pb_message(&g, 1, cast);
    add_node(&g, "Div", "x,c", "y"), add_output(&g, "y");
    return g;
}

static void test_square_of_the_batch(void **state) {
    (void)state;
    expect_refused(squared_size(), 13, N, E_UNSUPPORTED, "node 'y' (Div): its input 'c' depends on the batch");
    Case c = run_case(squared_size(), 13, 1);
    expect_shape(&c, "[1,3]");
    assert_true(fabsf(((float *)c.result[0])[0] - 1 / 9.0f) < 1e-6f);
    end_case(&c);
}

// ---- old forms ----

static void test_old_broadcast(void **state) {
    (void)state;
    Pb g = {0}, add = onnx_node("Add", "a", "x,b", "y");
    pb_message(&add, 5, onnx_attr_int("broadcast", 1)), pb_message(&add, 5, onnx_attr_int("axis", 1));
    add_input(&g, "x", F32, DIMS(2, 3, 2)), add_input(&g, "b", F32, DIMS(3));
    add_floats(&g, "b", 3, (float[]){10, 20, 30});       // listed as an input too, as old files do
    pb_message(&g, 1, add), add_output(&g, "y");
    Case c = run_case(g, 6, 1);
    expect_shape(&c, "[2,3,2]");
    assert_int_equal(c.g->ninput, 1);
    for (int i = 0; i < 12; i++) assert_true(((float *)c.result[0])[i] == c.x[i] + 10 * (float)(i / 2 % 3 + 1));
    end_case(&c);
}

// ---- refusals ----

static Pb one_node(const char *op) {
    Pb g = {0};
    add_input(&g, "x", F32, DIMS(2, 3)), add_node(&g, op, "x", "y"), add_output(&g, "y");
    return g;
}

static void test_refusals(void **state) {
    (void)state;
    expect_refused(one_node("Mystery"), 13, 1, E_UNSUPPORTED,
                   "test.onnx: node 'y' (Mystery): operator Mystery of opset 13");
    expect_refused(one_node("Gelu"), 13, 1, E_UNSUPPORTED, "Gelu of opset 13");
    expect_refused(one_node("Equal"), 13, 1, E_MALFORMED, "node 'y' (Equal): its input 1 is missing");
    Pb g = {0}, f = onnx_node("If", "choose", "x", "y"), a = {0};
    pb_text(&a, 1, "then_branch"), pb_int(&a, 20, 5), pb_text(&a, 6, "");
    pb_message(&f, 5, a), add_input(&g, "x", 9, 0, NULL), pb_message(&g, 1, f), add_output(&g, "y");
    expect_refused(g, 13, 1, E_UNSUPPORTED, "node 'choose' (If): operators with subgraphs");
    g = (Pb){0}, add_input(&g, "x", F32, DIMS(-1, -1, 3)), add_node(&g, "Relu", "x", "y"), add_output(&g, "y");
    expect_refused(g, 13, 1, E_UNSUPPORTED, "--shape x=");
    g = (Pb){0}, add_input(&g, "x", F32, DIMS(2, 3)), add_input(&g, "s", I64, DIMS(2));
    add_node(&g, "Reshape", "x,s", "y"), add_output(&g, "y");
    expect_refused(g, 13, 1, E_UNSUPPORTED, "its input 1, 's', must be known before the run");
}

// Nothing of a size named in a file is made at import.
static void test_large_constants_stay_unmade(void **state) {
    (void)state;
    Pb g = {0};
    add_numbers(&g, "s", DIMS(1 << 20, 1 << 10));
    add_node(&g, "ConstantOfShape", "s", "z"), add_node(&g, "ReduceMax", "z", "m");
    add_input(&g, "x", F32, DIMS(2)), add_node(&g, "Shape", "z", "sz"), add_node(&g, "Identity", "sz", "y"),
        add_output(&g, "y");
    Case c = run_case(g, 13, 1);
    expect_shape(&c, "[2]");
    assert_true(((int64_t *)c.result[0])[0] == 1 << 20);
    assert_true(c.cx->used < 1 << 20);
    end_case(&c);
}

// ---- real models ----

static void import_file(void *arg) {
    Reading *r = arg;
    ImportOptions o = {.max_batch = N};
    Graph *g = model_import(r->model = model_read(r->cx, r->path), &o);
    expand_ops(g);
    for (int i = 0; i < g->nroot; i++)
        if (g->root[i].value->shape.batch != 1)
            fail_msg("%s: output %s", r->path, shape_str(r->cx, g->root[i].value->shape));
    if (r->cx->used > (64u << 20) + 4 * (size_t)r->model->file_bytes)
        fail_msg("%s: %zu bytes to import", r->path, r->cx->used);
}

static void import_all(const char *pattern) {
    glob_t found;
    if (glob(pattern, 0, NULL, &found)) fail_msg("%s: nothing there", pattern);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        Reading r = {.path = found.gl_pathv[i]};
        if (reading_run(&r, import_file)) fail_msg("%s", r.cx->error);
        cx_free(r.cx);
    }
    globfree(&found);
}

// All of them declare a batch of 1 or leave it open; in all of them it is free, and memory stays bounded.
static void test_real_models(void **state) {
    (void)state;
    const char *data = test_data();
    char pattern[600];
    if (!data) skip();
    snprintf(pattern, sizeof pattern, "%s/onnx_backend/light/*.onnx", data), import_all(pattern);
    snprintf(pattern, sizeof pattern, "%s/models/*/model*.onnx", data), import_all(pattern);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_of_one_is_free),
        cmocka_unit_test(test_open_batch_wins_over_ones),
        cmocka_unit_test(test_fixed_without_max_batch),
        cmocka_unit_test(test_size_of_the_batch_as_data),
        cmocka_unit_test(test_shape_with_batch),
        cmocka_unit_test(test_square_of_the_batch),
        cmocka_unit_test(test_old_broadcast),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_large_constants_stay_unmade),
        cmocka_unit_test(test_real_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
