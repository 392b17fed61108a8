// Passes: tests/passes/*.txt each hold a comment, "pass NAME", a graph, a line "---", and the graph
// the pass is to make of it. And the text form itself: what is printed is read back as the same.
#include "ir/eval.h"
#include "ir/op.h"
#include "passes/passes.h"
#include <dirent.h>
#include <setjmp.h>
#include <cmocka.h>

static const struct { const char *name; void (*run)(Graph *g); } passes[] = {
    {"none", NULL},
    {"expand", expand_ops},
    {"fold", fold},
    {"remake", remake},
};

typedef struct Case { Cx *cx; const char *name, *text; } Case;

static char *printed(Cx *cx, Graph *g) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    graph_print(g, f);
    fclose(f);
    char *copy = cx_str(cx, text, size);
    free(text);
    return copy;
}

// ---- cases in files ----

static void run_case(void *arg) {
    Case *c = arg;
    const char *line = strstr(c->text, "pass "), *cut = strstr(c->text, "\n---\n");
    if (!line || !cut) fail_msg("%s: needs a line 'pass NAME' and a line '---'", c->name);
    size_t len = strcspn(line + 5, "\r\n");
    const char *name = cx_str(c->cx, line + 5, len), *before = line + 5 + len;
    Graph *g = graph_parse(c->cx, cx_str(c->cx, before, (size_t)(cut - before))), *wanted = graph_parse(c->cx, cut + 5);
    size_t n = sizeof passes / sizeof *passes, i = 0;
    while (i < n && strcmp(passes[i].name, name)) i++;
    if (i == n) fail_msg("%s: there is no pass '%s'", c->name, name);
    if (passes[i].run) passes[i].run(g);
    const char *made = printed(c->cx, g), *want = printed(c->cx, wanted);
    if (strcmp(made, want)) fail_msg("%s: the pass made\n%swanted was\n%s", c->name, made, want);
}

static char *file_text(Cx *cx, const char *path) {
    FILE *f = fopen(path, "rb");
    char *text = NULL, buf[4096];
    size_t size = 0, n;
    if (!f) fail_msg("%s: cannot be read", path);
    while ((n = fread(buf, 1, sizeof buf, f)) > 0) {
        text = cx_grow(cx, text, size, size + n + 1);
        memcpy(text + size, buf, n), size += n;
    }
    fclose(f);
    return text ? text : "";
}

static int is_case(const struct dirent *e) {
    size_t n = strlen(e->d_name);
    return n > 4 && !strcmp(e->d_name + n - 4, ".txt");
}

static void cases(void **state) {
    (void)state;
    struct dirent **e;
    const char *folder = TVC_SOURCE_DIR "/tests/passes";
    int n = scandir(folder, &e, is_case, alphasort);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        Case c = {.cx = cx_new(), .name = e[i]->d_name};
        c.text = file_text(c.cx, cx_fmt(c.cx, "%s/%s", folder, c.name));
        if (!cx_guard(c.cx, run_case, &c)) fail_msg("%s: %s", c.name, c.cx->error);
        cx_free(c.cx);
        free(e[i]);
    }
    free(e);
}

// ---- the text form ----

// Something of everything the form has to carry.
static Graph *all_sorts(Cx *cx) {
    Graph *g = graph_new(cx, 4);
    Shape s = SHAPE(4, 3, 8, 8), two = SHAPE(8, 96);
    s.batch = two.batch = 1;
    Node *x = graph_input(g, "x \"quoted\" \\ \xc3\xa9\n", DT_F32, s);
    Node *w = graph_param(g, "w", DT_F32, SHAPE(96), NULL);
    static const int64_t index[] = {0, -1, INT64_MIN};
    static const uint64_t large[] = {UINT64_MAX};
    static const double exact[] = {0.1, 1e300, -0.0};
    static const char many[100];
    w->train = true;
    Node *y = op2(g, Mul, op1a(g, Reshape, x, shape_attr(&two)), w);
    y = op2(g, Add, y, graph_scalar(g, DT_F32, -INFINITY));
    y->name = "sum";
    Node *z = graph_again(g, op1(g, Relu, y), 7);
    Attr padding = {.n = 6, .i = (int64_t[]){0, 1, 1, 1, 8, 98}, .f = 0.1};
    graph_root(g, "y", op1a(g, Pad, z, padding), NULL, 1);
    graph_root(g, "w", w, w, 2);
    graph_root(g, "indices", graph_const(g, DT_I64, SHAPE(3), index), NULL, 1);
    graph_root(g, "large", op1a(g, Cast, graph_const(g, DT_U64, SHAPE(1), large), AXES(DT_F32)), NULL, 1);
    graph_root(g, "exact", graph_const(g, DT_F64, SHAPE(3), exact), NULL, 1);
    graph_root(g, "many", graph_const(g, DT_U8, SHAPE(100), many), NULL, 1);
    graph_root(g, "empty", graph_const(g, DT_U8, SHAPE(0), many), NULL, 1);
    graph_root(g, "least", graph_scalar_i(g, DT_I64, INT64_MIN), NULL, 1);
    graph_root(g, "count", graph_op(g, OP_BatchSize, AXES(2), 0, NULL), NULL, 1);
    return g;
}

static void check_round_trip(void *arg) {
    Cx *cx = arg;
    Graph *g = all_sorts(cx);
    char *once = printed(cx, g), *twice = printed(cx, graph_parse(cx, once));
    assert_string_equal(once, twice);
    Graph *again = graph_parse(cx, twice);
    assert_int_equal(again->nroot, g->nroot);
    assert_string_equal(again->input[0]->name, g->input[0]->name);
    Node *exact = again->root[4].value, *large = again->root[3].value->in[0];
    assert_memory_equal(exact->data, g->root[4].value->data, 24);
    assert_true(*(const uint64_t *)large->data == UINT64_MAX);
    assert_ptr_equal(again->root[1].store, again->root[1].value);
    assert_true(again->root[1].store->train && !again->root[1].store->frozen == !g->root[1].store->frozen);
}

static void round_trip(void **state) {
    (void)state;
    Cx *cx = cx_new();
    if (!cx_guard(cx, check_round_trip, cx)) fail_msg("%s", cx->error);
    cx_free(cx);
}

static void parse(void *arg) { Case *c = arg; graph_parse(c->cx, c->text); }

static void refusals(void **state) {
    (void)state;
    static const struct { const char *text, *error; } refused[] = {
        {"", "line 1: nothing to read"},
        {"graph batch 0", "a batch below 1"},
        {"graph\n %0 = Nothing : f32[]", "line 2: unknown operator"},
        {"graph\n %0 = Input : f99[]", "unknown type"},
        {"graph\n %0 = Input : f32[1,1,1,1,1,1,1,1,1]", "too many axes"},
        {"graph\n %0 = Input : f32[-1]", "would have size -1"},
        {"graph\n %0 = Input : f32[4611686018427387904,8]", "too large"},
        {"graph\n %0 = Input : f32[2] \"x", "expected '\"'"},
        {"graph\n\n%0 = Relu %1 : f32[2]", "line 3: a node that is not defined"},
        {"graph\n%99999999 = Input : f32[2]", "out of range"},
        {"graph\n%0 = Input : f32[2]\n%0 = Input : f32[2]", "given twice"},
        {"graph\n%0 = Input : f32[2]\n%1 = Relu %0 : f32[3]", "Relu yields f32[2]"},
        {"graph\n%0 = Input : f32[2]\n%1 = Relu %0,%0 : f32[2]", "Relu takes 1 inputs"},
        {"graph\n%0 = Const [1,2] : f32[3]", "expected ','"},
        {"graph\n%0 = Const [1,2,3] : f32[2]", "expected ']'"},
        {"graph\n%0 = Const [1] : f32[1000000000]", "too few numbers"},
        {"graph\n%0 = Const [...] : f32[1000000000]", "so many elements"},
        {"graph\n%0 = Const 1 : f32[2]", "needs numbers in brackets"},
        {"graph\noutput \"y\" = %0", "not defined"},
        {"graph\nwhatever", "expected a node"},
        {"graph\n%0 = Input : f32[2] \"x\" %", "something left over"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        Case c = {.cx = cx_new(), .text = refused[i].text};
        assert_false(cx_guard(c.cx, parse, &c));
        if (!strstr(c.cx->error, refused[i].error)) fail_msg("'%s' was answered by: %s", c.text, c.cx->error);
        cx_free(c.cx);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(refusals),
        cmocka_unit_test(cases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
