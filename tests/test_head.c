// The head finder over small documents made by hand: what is a head, behind what, and what is none.
//
// A document is a line of nodes "Op inputs > outputs; ...". Names of inputs say what they are: x is the
// graph's input, w4x5 an initializer of that shape, i4x5 a vector of the integers 4 and 5; y, and z
// where a node makes it, are outputs. Attributes follow the operator: "Gemm:transB=1".
#include "onnx_build.h"
#include "reading.h"
#include "passes/surgery.h"

typedef struct Row {
    const char *nodes;
    const char *kind;                // of the head; NULL: there is none
    int64_t features, classes;
    const char *why;                 // part of the reason
    int heads;
} Row;

static const Row rows[] = {
    // matrix products
    {"Gemm x,w4x5,w5 > y", "Gemm", 4, 5, "the last layer before output 'y': a Gemm from 4 features to 5 classes", 1},
    {"Gemm:transB=1 x,w5x4 > y", "Gemm", 4, 5, "a Gemm", 1},
    {"Gemm x,w4x5,w5 > a; Softmax a > y", "Gemm", 4, 5, "behind it Softmax", 1},
    {"Gemm x,w4x5 > a; Flatten a > b; Identity b > c; Dropout c > d; LogSoftmax d > y", "Gemm", 4, 5,
     "behind it Flatten, Identity, Dropout, LogSoftmax", 1},
    {"MatMul x,w4x5 > y", "MatMul", 4, 5, "a MatMul from", 1},
    {"MatMul x,w4x5 > a; Add a,w5 > y", "MatMul", 4, 5, "a MatMul and Add", 1},
    {"MatMul x,w4x5 > a; Add w5,a > b; Softmax b > y", "MatMul", 4, 5, "a MatMul and Add", 1},
    {"Gemm x,w4x3 > a; Relu a > b; Gemm b,w3x5 > y", "Gemm", 3, 5, "", 1},
    // weights behind other operators
    {"Identity w4x5 > v; Identity v > u; Gemm x,u > y", "Gemm", 4, 5, "", 1},
    {"Reshape w2x2x5,i4x5 > v; MatMul x,v > y", "MatMul", 4, 5, "", 1},
    {"Transpose w5x4 > v; MatMul x,v > y", "MatMul", 4, 5, "", 1},
    {"Cast:to=1 w4x5 > v; MatMul x,v > y", "MatMul", 4, 5, "", 1},
    {"ConstantOfShape i4x5 > v; Gemm x,v > y", "Gemm", 4, 5, "", 1},
    // 1x1 convolutions
    {"Conv x,w5x4x1x1,w5 > a; Relu a > b; GlobalAveragePool b > y", "Conv", 4, 5, "a 1x1 Conv", 1},
    {"Conv x,w5x4x1x1,w5 > a; Relu a > b; GlobalAveragePool b > c; Softmax c > y", "Conv", 4, 5,
     "Relu, GlobalAveragePool, Softmax", 1},
    {"GlobalAveragePool x > a; Conv a,w5x4x1x1,w5 > y", "Conv", 4, 5, "", 1},
    {"Conv x,w5x4x1x1 > a; Clip a > b; AveragePool b > y", "Conv", 4, 5, "", 1},
    // several heads
    {"Relu x > a; Gemm a,w4x5 > y; Gemm a,w4x7 > z", "Gemm", 4, 5, "", 2},
    {"Gemm x,w4x5 > y; Softmax y > z", "Gemm", 4, 5, "", 1},
    {"Relu x > y; Gemm y,w4x5 > z", "Gemm", 4, 5, "output 'z'", 1},
    // features
    {"Gemm x,w4x5 > a; Relu a > y", NULL, 0, 0, "a hidden layer", 0},
    {"Conv x,w5x4x1x1 > a; Relu a > y", NULL, 0, 0, "a hidden layer", 0},
    {"Conv x,w5x4x1x1 > a; Clip:max=6 a > b; GlobalAveragePool b > y", NULL, 0, 0, "bounded above", 0},
    {"Conv x,w5x4x1x1 > a; HardSwish a > b; GlobalAveragePool b > y", NULL, 0, 0, "is an activation", 0},
    {"Conv x,w5x4x3x3 > a; Relu a > b; GlobalAveragePool b > y", NULL, 0, 0, "more than one pixel", 0},
    {"Conv:group=4 x,w8x1x1x1 > a; GlobalAveragePool a > y", NULL, 0, 0, "grouped", 0},
    {"Conv x,w4x4x1x1 > a; Add a,x > b; Relu b > c; GlobalAveragePool c > y", NULL, 0, 0, "(Add) is no Gemm", 0},
    {"Concat x,x > a; GlobalAveragePool a > y", NULL, 0, 0, "(Concat) is no Gemm", 0},
    {"MatMul x,x > y", NULL, 0, 0, "no constant", 0},
    {"Gemm x,i4x5 > y", NULL, 0, 0, "no floating-point", 0},
    {"Softmax x > y", NULL, 0, 0, "nothing but Softmax", 0},
};
enum { NROWS = sizeof rows / sizeof *rows };

// ---- documents ----
static int parse_dims(const char *s, int64_t *dim) {
    int n = 0;
    for (char *end; *s; s = *end ? end + 1 : end) dim[n++] = strtol(s, &end, 10);
    return n;
}

static bool is_weight(const char *s) { return (s[0] == 'w' || s[0] == 'i') && s[1] >= '0' && s[1] <= '9'; }

static Pb initializer(const char *name) {
    static const float zeros[256];
    int64_t dim[8], count = 1, rank = parse_dims(name + 1, dim);
    if (name[0] == 'i') return onnx_tensor(name, 7, 1, &rank, dim, sizeof *dim * (size_t)rank);
    for (int d = 0; d < rank; d++) count *= dim[d];
    return onnx_tensor(name, 1, (int)rank, dim, zeros, sizeof *zeros * (size_t)count);
}

static Pb float_attr(const char *name, float v) {
    Pb a = {0};
    pb_text(&a, 1, name);
    pb_float(&a, 2, v);
    pb_int(&a, 20, 1);
    return a;
}

static void add_node(Pb *graph, char *text, char seen[][32], int *nseen, bool *has_z) {
    char op[64], in[128], out[64], attr[32];
    int value;
    if (sscanf(text, " %63s %127s > %63s", op, in, out) != 3) abort();
    char *colon = strchr(op, ':');
    if (colon) *colon = 0;
    Pb n = onnx_node(op, "", in, out);
    if (colon && sscanf(colon + 1, "%31[^=]=%d", attr, &value) == 2)
        pb_message(&n, 5, strcmp(attr, "max") ? onnx_attr_int(attr, value) : float_attr(attr, (float)value));
    pb_message(graph, 1, n);
    *has_z |= strcmp(out, "z") == 0;
    for (char *save, *w = strtok_r(in, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
        bool known = !is_weight(w);
        for (int i = 0; i < *nseen && !known; i++) known = strcmp(seen[i], w) == 0;
        if (known) continue;
        snprintf(seen[(*nseen)++], 32, "%s", w);
        pb_message(graph, 5, initializer(w));
    }
}

static Pb document(const char *nodes) {
    char text[512], seen[16][32];
    int nseen = 0;
    bool has_z = false;
    static const int64_t open[] = {-1, -1};
    Pb g = {0};
    snprintf(text, sizeof text, "%s", nodes);
    for (char *save, *n = strtok_r(text, ";", &save); n; n = strtok_r(NULL, ";", &save))
        add_node(&g, n, seen, &nseen, &has_z);
    pb_text(&g, 2, "g");
    pb_message(&g, 11, onnx_value("x", 1, 2, open));
    pb_message(&g, 12, onnx_value("y", 1, 2, open));
    if (has_z) pb_message(&g, 12, onnx_value("z", 1, 2, open));
    return onnx_model(g, 8, 10);
}

// ---- judging ----
static const Row *current;

static void judge(Model *m) {
    Heads h = heads_find(m, NULL);
    const char *why = h.n ? h.head[0].why : h.why_none;
    if (h.n != current->heads) fail_msg("%s: %d heads (%s)", current->nodes, h.n, why);
    if (!strstr(why, current->why)) fail_msg("%s: said \"%s\"", current->nodes, why);
    if (!current->kind) return;
    assert_string_equal(h.head[0].kind, current->kind);
    assert_int_equal(h.head[0].in_features, current->features);
    assert_int_equal(h.head[0].classes, current->classes);
}

static void test_rows(void **state) {
    (void)state;
    for (int i = 0; i < NROWS; i++) {
        Pb p = document(rows[i].nodes);
        Reading r = {.bytes = {p.at, p.n}, .edit = judge};
        current = &rows[i];
        if (reading_run(&r, reading_go)) fail_msg("%s: %s", rows[i].nodes, r.cx->error);
        cx_free(r.cx);
        free(p.at);
    }
}

static void name_nothing(Model *m) { heads_find(m, "w4x6"); }
static void name_an_activation(Model *m) { heads_find(m, "a"); }
static void cut_nothing(Model *m) { surgery_apply(m, &(Surgery){.cut = "aa"}); }
static void freeze_nothing(Model *m) { surgery_apply(m, &(Surgery){.freeze = "v*"}); }
static void hide_nothing(Model *m) { surgery_apply(m, &(Surgery){.whole_module = true}); }

static void test_refusals(void **state) {
    (void)state;
    static const struct { void (*edit)(Model *m); Err code; const char *says; } wishes[] = {
        {name_nothing, E_USAGE, "did you mean 'w4x5'"},        {name_an_activation, E_UNSUPPORTED, "cannot be a head"},
        {cut_nothing, E_USAGE, "no node computes 'aa'"},       {freeze_nothing, E_USAGE, "'v*' matches no"},
        {hide_nothing, E_USAGE, "--replace-head N is missing"},
    };
    Pb p = document("Relu x > a; Gemm a,w4x5 > y");
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        Reading r = {.bytes = {p.at, p.n}, .edit = wishes[i].edit};
        assert_int_equal(reading_run(&r, reading_go), wishes[i].code);
        if (!strstr(r.cx->error, wishes[i].says)) fail_msg("said \"%s\"", r.cx->error);
        cx_free(r.cx);
    }
    free(p.at);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
