// Reading models: what the view shows, where elements lie, the order of nodes. Damaged and hostile files:
// test_model_hostile.c; side files: test_external.c; edits: test_edit.c.
#define _GNU_SOURCE // nftw
#include "frontend/sha1.h"
#include "small_models.h"
#include <ftw.h>

static Err outcome_with_init(Pb tensor, const char *says) { return outcome(model_with(as_field(5, tensor)), says); }

// ---- elements ----

typedef struct Stored {
    int type;
    size_t size;
    uint32_t field;
    uint8_t raw[16];
    uint64_t value[2];
} Stored;

// Two elements of each type: as raw bytes, and as the numbers of their typed field.
static const Stored STORED[] = {
    {1, 4, 4, {0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}, {0x3f800000, 0xc0000000}},
    {11, 8, 10, {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0}, {0x3ff0000000000000, 0xc000000000000000}},
    {10, 2, 5, {0, 0x3c, 0, 0xc0}, {0x3c00, 0xc000}},
    {16, 2, 5, {0x80, 0x3f, 0, 0xc0}, {0x3f80, 0xc000}},
    {3, 1, 5, {0x7f, 0x80}, {127, (uint64_t)-128}},
    {5, 2, 5, {0xff, 0x7f, 0xff, 0xff}, {32767, (uint64_t)-1}},
    {6, 4, 5, {1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff}, {1, (uint64_t)-2}},
    {7,
     8,
     7,
     {1, 0, 0, 0, 0, 1, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
     {(1ull << 40) + 1, (uint64_t)-2}},
    {2, 1, 5, {0xff, 0}, {255, 0}},
    {4, 2, 5, {0xff, 0xff, 1, 0}, {65535, 1}},
    {12, 4, 11, {0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0}, {0xffffffff, 1}},
    {13, 8, 11, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0, 0, 0, 0}, {UINT64_MAX, 1}},
    {9, 1, 5, {1, 0}, {1, 0}},
};

typedef enum How { RAW, PACKED, UNPACKED } How;

static void put_values(Pb *t, const Stored *s, How how) {
    Pb packed = {0};
    bool fixed = s->field == 4 || s->field == 10;
    if (how == RAW) pb_bytes(t, 9, s->raw, 2 * s->size);
    for (int i = 0; i < 2 && how != RAW; i++) {
        Pb *to = how == PACKED ? &packed : t;
        if (how == UNPACKED) pb_varint(t, s->field << 3 | (!fixed ? 0 : s->size == 4 ? 5 : 1));
        if (fixed) pb_raw(to, &s->value[i], s->size);
        else pb_varint(to, s->value[i]);
    }
    if (how == PACKED) pb_message(t, s->field, packed);
}

static void every_type_from_every_field(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof STORED / sizeof *STORED; i++)
        for (How how = RAW; how <= UNPACKED; how++) {
            Pb t = onnx_tensor_head("t", STORED[i].type, 1, TWO);
            put_values(&t, &STORED[i], how);
            Reading r = {.bytes = {t.at, t.n}};
            if (reading_run(&r, reading_go_pb)) fail_msg("type %d: %s", STORED[i].type, r.cx->error);
            assert_int_equal(r.tensor->onnx_type, STORED[i].type);
            assert_int_equal(tensor_bytes(r.tensor), 2 * STORED[i].size);
            assert_memory_equal(r.tensor->data, STORED[i].raw, 2 * STORED[i].size);
            bool in_place = (const uint8_t *)r.tensor->data >= t.at && (const uint8_t *)r.tensor->data < t.at + t.n;
            if (how == RAW || (how == PACKED && STORED[i].type == 1)) assert_true(in_place);
            cx_free(r.cx);
            free(t.at);
        }
}

static void types_tvc_does_not_compute_with_are_shown(void **state) {
    (void)state;
    Pb t = onnx_tensor_head("words", 8, 1, TWO);
    pb_text(&t, 6, "one");
    pb_text(&t, 6, "two");
    assert_int_equal(outcome_with_init(t, NULL), E_OK);
    assert_int_equal(outcome_with_init(onnx_tensor("f8", 17, 1, TWO, "ab", 2), NULL), E_OK);
}

static void tensors_that_contradict_themselves(void **state) {
    (void)state;
    const int64_t huge[] = {INT64_MAX, 1024}, minus[] = {-1}, wraps[] = {4194305, 4194305, 211106198978564};
    const float v[2] = {1, 2};
    assert_int_equal(outcome_with_init(onnx_tensor("w", 1, 2, huge, v, 8), "does not fit in memory"), E_MALFORMED);
    assert_int_equal(outcome_with_init(onnx_tensor("w", 1, 1, minus, v, 8), "dimension 0 is -1"), E_MALFORMED);
    assert_int_equal(outcome_with_init(onnx_tensor("w", 1, 3, wraps, v, 8), "does not fit in memory"), E_MALFORMED);
    assert_int_equal(outcome_with_init(onnx_tensor("w", 1, 1, TWO, v, 7), "raw_data: 7 bytes"), E_MALFORMED);
    assert_int_equal(outcome_with_init(onnx_tensor("w", 1, 1, TWO, v, 4), "raw_data: 4 bytes"), E_MALFORMED);
    assert_int_equal(outcome_with_init(onnx_tensor("w", 999, 1, TWO, v, 8), "no ONNX type has number 999"),
                     E_MALFORMED);
    assert_int_equal(outcome_with_init(onnx_tensor("w", 0, 1, TWO, v, 8), "no ONNX type has number 0"), E_MALFORMED);
    assert_int_equal(outcome_with_init(onnx_tensor("", 1, 1, TWO, v, 8), "name: is missing"), E_MALFORMED);
    assert_int_equal(outcome_with_init(onnx_tensor_head("w", 1, 1, TWO), "0 values, its dimensions ask for 2"),
                     E_MALFORMED);

    Pb both = onnx_tensor("w", 1, 1, TWO, v, 8), wrong = onnx_tensor_head("w", 1, 1, TWO), deep = {0};
    pb_float(&both, 4, 1);
    assert_int_equal(outcome_with_init(both, "values also in float_data"), E_MALFORMED);
    pb_int(&wrong, 7, 1);
    assert_int_equal(outcome_with_init(wrong, "int64_data: is not where f32 values are kept"), E_MALFORMED);
    for (int i = 0; i < 1025; i++) pb_int(&deep, 1, 1);
    assert_int_equal(outcome_with_init(deep, "more than 1024 dimensions"), E_MALFORMED);

    const int64_t none[] = {0, INT64_MAX};
    assert_int_equal(outcome_with_init(onnx_tensor("w", 1, 2, none, v, 0), NULL), E_OK);
}

// ---- what is refused by name later ----

static void go_recorded(void *arg) {
    Reading *r = arg;
    reading_go(r);
    const Model *m = r->model;
    assert_true(m->nfunction == 1 && m->nsparse == 1 && m->nnode == 2);
    assert_string_equal(m->function[0].name, "MyOp");
    assert_string_equal(m->function[0].domain, "mine");
    assert_string_equal(m->sparse[0], "sparse");
    assert_int_equal(node_attr(m->node[1], "then_branch")->kind, ATTR_G);
    assert_int_equal(node_attr(m->node[1], "tensors")->kind, ATTR_TS);
    assert_int_equal(node_attr(m->node[1], "type")->kind, ATTR_OTHER);
    assert_string_equal(model_value(m, "s")->kind, "sequence");
    assert_string_equal(m->node[1]->domain, "");
}

static void what_is_not_read_is_recorded(void **state) {
    (void)state;
    Pb extra = {0}, loop = onnx_node("If", "if", "x,sparse", "s"), attr[3] = {{0}}, function = {0}, values = {0},
       type = {0}, value = {0};
    pb_text(&loop, 7, "ai.onnx");
    pb_text(&attr[0], 1, "then_branch");
    pb_message(&attr[0], 6, graph_with((Pb){0})); // no type stated: old files
    pb_text(&attr[1], 1, "tensors");
    pb_message(&attr[1], 10, onnx_tensor("w", 1, 0, NULL, "abcd", 4));
    pb_text(&attr[2], 1, "type");
    pb_int(&attr[2], 20, 13);
    for (int i = 0; i < 3; i++) pb_message(&loop, 5, attr[i]);
    pb_message(&extra, 1, loop);
    pb_message(&values, 1, onnx_tensor("sparse", 1, 1, TWO, "abcdefgh", 8));
    pb_message(&extra, 15, values);
    pb_message(&type, 4, (Pb){0});
    pb_text(&value, 1, "s");
    pb_message(&value, 2, type);
    pb_message(&extra, 13, value);
    Pb m = model_with(extra);
    pb_text(&function, 1, "MyOp");
    pb_text(&function, 10, "mine");
    pb_message(&m, 25, function);
    Reading r = {.bytes = {m.at, m.n}};
    if (reading_run(&r, go_recorded)) fail_msg("%s", r.cx->error);
    cx_free(r.cx);
    free(m.at);
}

// ---- structure ----

typedef struct Row {
    const char *nodes;
    Err outcome;
    const char *says;
} Row; // "Op:name:in,in:out;..."

static Pb graph_of(const char *nodes) {
    Pb g = {0};
    char text[512], *save = NULL;
    snprintf(text, sizeof text, "%s", nodes);
    for (char *n = strtok_r(text, ";", &save); n; n = strtok_r(NULL, ";", &save)) {
        char op[32] = "", name[32] = "", in[64] = "", out[64] = "";
        sscanf(n, "%31[^:]:%31[^:]:%63[^:]:%63s", op, name, in, out);
        pb_message(&g, 1, onnx_node(op, strcmp(name, "-") ? name : "", in, out));
    }
    pb_message(&g, 11, onnx_value("x", 1, 1, TWO));
    pb_message(&g, 12, onnx_value("y", 1, 1, TWO));
    pb_message(&g, 5, onnx_tensor("w", 1, 0, NULL, "abcd", 4));
    return g;
}

static void structure_is_checked(void **state) {
    (void)state;
    static const Row rows[] = {
        {"Relu:a:x:y", E_OK, NULL},
        {"Relu:-:x:y", E_OK, NULL},
        {"Relu:a:b:y;Relu:b:x:b", E_OK, NULL},
        {"Relu:a:x:y;Relu:a:x:z", E_OK, NULL},
        {"Relu:a:y:b;Relu:b:b:y", E_MALFORMED, "the graph has a cycle"},
        {"Relu:a:y:y", E_MALFORMED, "node 'a' (Relu): its input 'y' depends on its own output"},
        {"Relu:a:x:y;Relu:b:x:y", E_MALFORMED, "node 'b' (Relu): its output 'y' is already defined"},
        {"Relu:a:x:y;Relu:b:y:x", E_MALFORMED, "output 'x' is already defined"},
        {"Relu:a:x:y;Relu:b:y:w", E_MALFORMED, "output 'w' is already defined"},
        {"Add:a:x,q:y", E_MALFORMED, "node 'a' (Add): its input 1, 'q', is defined nowhere"},
        {"Relu:a:x:z", E_MALFORMED, "output 'y' is produced by no node"},
        {"Relu:-:q:y", E_MALFORMED, "node 0 (Relu): its input 0, 'q'"},
        {"", E_MALFORMED, "output 'y' is produced by no node"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(outcome(onnx_model(graph_of(rows[i].nodes), 8, 13), rows[i].says), rows[i].outcome);

    Pb twice = {0}, unnamed = {0}, none = {0}, op = {0}, nul = {0};
    pb_message(&twice, 11, onnx_value("x", 1, 1, TWO));
    assert_int_equal(outcome(model_with(twice), "input 'x' is defined twice"), E_MALFORMED);
    pb_message(&unnamed, 11, onnx_value("", 1, 1, TWO));
    assert_int_equal(outcome(model_with(unnamed), "an input without a name"), E_MALFORMED);
    pb_message(&none, 1, onnx_node("Relu", "r", "", ""));
    assert_int_equal(outcome(onnx_model(none, 8, 13), "has no outputs"), E_MALFORMED);
    pb_message(&op, 1, onnx_node("", "r", "x", "z"));
    assert_int_equal(outcome(model_with(op), "graph.node[1].op_type: is missing"), E_MALFORMED);
    pb_bytes(&nul, 2, "a\0b", 3);
    assert_int_equal(outcome(model_with(nul), "graph.name: holds a NUL byte"), E_MALFORMED);

    Pb nul_value = {0}, value = {0};
    pb_bytes(&value, 1, "y\0z", 3);
    pb_message(&nul_value, 13, value);
    assert_int_equal(outcome(model_with(nul_value), "graph.value_info[0].name: holds a NUL byte"), E_MALFORMED);

    Pb no_graph = {0}, two = model_with((Pb){0});
    pb_int(&no_graph, 1, 8);
    assert_int_equal(outcome(no_graph, "holds no graph"), E_MALFORMED);
    pb_message(&two, 7, graph_with((Pb){0}));
    assert_int_equal(outcome(two, "graph: a second one"), E_MALFORMED);
    assert_int_equal(outcome((Pb){0}, "is empty"), E_MALFORMED);
}

static void go_order(void *arg) {
    Reading *r = arg;
    reading_go(r);
    static const int want[] = {3, 1, 0, 2};
    assert_memory_equal(model_order(r->model), want, sizeof want);
}

static void nodes_out_of_order_are_put_in_order(void **state) {
    (void)state;
    Pb m = onnx_model(graph_of("Add:a:b,d:y;Relu:b:d:b;Relu:c:x:c;Relu:d:x:d"), 8, 13);
    Reading r = {.bytes = {m.at, m.n}};
    if (reading_run(&r, go_order)) fail_msg("%s", r.cx->error);
    cx_free(r.cx);
    free(m.at);
}

// A chain of 50000 nodes written backwards: needs no stack, and linear time.
static void a_long_chain_backwards(void **state) {
    (void)state;
    enum { N = 50000 };
    Pb g = {0};
    for (int i = N; i > 0; i--) {
        char in[16], out[16];
        snprintf(in, sizeof in, "%d", i - 1);
        snprintf(out, sizeof out, "%d", i);
        pb_message(&g, 1, onnx_node("Relu", "", in, out));
    }
    pb_message(&g, 11, onnx_value("0", 1, 1, TWO));
    pb_message(&g, 12, onnx_value("50000", 1, 1, TWO));
    assert_int_equal(outcome(onnx_model(g, 8, 13), NULL), E_OK);
}

// ---- files that are none ----

static void what_is_no_file(void **state) {
    (void)state;
    char folder[256], path[4][300];
    scratch_make(folder, sizeof folder);
    snprintf(path[0], sizeof path[0], "%s/fifo", folder);
    snprintf(path[1], sizeof path[1], "%s/absent", folder);
    snprintf(path[2], sizeof path[2], "%s", folder);
    snprintf(path[3], sizeof path[3], "/dev/zero");
    mkfifo(path[0], 0666);
    for (int i = 0; i < 4; i++) {
        Reading r = {.path = path[i]};
        assert_int_equal(reading_run(&r, reading_go), E_IO);
        assert_ptr_equal(strstr(r.cx->error, path[i]), r.cx->error);
        cx_free(r.cx);
    }
    scratch_remove(folder);
}

// ---- an independent judge: the onnx package shows the same of every model at hand ----

static FILE *text;

static void print_bytes(const char *what, const void *data, size_t n) {
    char sum[SHA1_TEXT];
    Sha1 h = sha1_start();
    sha1_add(&h, data, n);
    sha1_text(&h, sum);
    fprintf(text, "%s %s", what, sum);
}

static void print_tensor(const Tensor *t) {
    fprintf(text, "%d [", t->onnx_type);
    for (int i = 0; i < t->rank; i++) fprintf(text, "%lld ", (long long)t->dim[i]);
    fprintf(text, "]");
    if (t->type) print_bytes("", t->data, tensor_bytes(t));
}

static void print_node(const DocNode *n) {
    fprintf(text, "node %s %s %s (", n->op, n->domain, n->name);
    for (int k = 0; k < n->nin; k++) fprintf(text, "%s,", n->in[k]);
    fprintf(text, ") (");
    for (int k = 0; k < n->nout; k++) fprintf(text, "%s,", n->out[k]);
    fprintf(text, ")\n");
    for (int k = 0; k < n->nattr; k++) {
        const AttrValue *a = &n->attr[k];
        fprintf(text, " %s %d ", a->name, (int)a->kind);
        if (a->kind == ATTR_I) fprintf(text, "%lld", (long long)a->i);
        if (a->kind == ATTR_F) print_bytes("", &a->f, 4);
        if (a->kind == ATTR_S) print_bytes("", a->s, a->slen);
        if (a->kind == ATTR_T) print_tensor(a->t);
        if (a->kind == ATTR_FS) print_bytes("", a->fs, 4 * (size_t)a->n);
        if (a->kind == ATTR_IS) print_bytes("", a->is, 8 * (size_t)a->n);
        fprintf(text, "\n");
    }
}

static void print_value(const char *what, const ValueInfo *v) {
    fprintf(text, "%s %s %s", what, v->name, v->kind);
    if (!strcmp(v->kind, "tensor")) fprintf(text, " %d %d", v->onnx_type, v->rank);
    for (int i = 0; i < v->rank; i++) {
        if (v->dim[i].value >= 0) fprintf(text, " %lld", (long long)v->dim[i].value);
        else fprintf(text, " %s", v->dim[i].param ? v->dim[i].param : "?");
    }
    fprintf(text, "\n");
}

static int print_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)at;
    size_t n = strlen(path);
    if (type != FTW_F || n < 5 || strcmp(path + n - 5, ".onnx")) return 0;
    Reading r = {.path = path};
    if (reading_run(&r, reading_go)) fail_msg("%s", r.cx->error);
    const Model *m = r.model;
    fprintf(text, "model %s %lld %s %s\n", path, (long long)m->ir_version, m->producer, m->graph_name);
    for (int i = 0; i < m->nopset; i++)
        fprintf(text, "opset '%s' %lld\n", m->opset[i].domain, (long long)m->opset[i].version);
    for (int i = 0; i < m->nnode; i++) print_node(m->node[i]);
    for (int i = 0; i < m->ninit; i++)
        fprintf(text, "init %s ", m->init[i]->name), print_tensor(m->init[i]), fprintf(text, "\n");
    for (int i = 0; i < m->ninput; i++) print_value("input", m->input[i]);
    for (int i = 0; i < m->noutput; i++) print_value("output", m->output[i]);
    for (int i = 0; i < m->nvalue; i++) print_value("value", m->value[i]);
    cx_free(r.cx);
    return 0;
}

static void python_onnx_sees_the_same(void **state) {
    (void)state;
    const char *python = python_with("onnx"), *data = test_data();
    if (!python || !data) skip();
    char folder[256], path[300], command[1500];
    snprintf(path, sizeof path, "%s/models.txt", scratch_make(folder, sizeof folder));
    text = fopen(path, "w");
    assert_int_equal(nftw(data, print_one, 16, FTW_PHYS), 0);
    fclose(text);
    snprintf(command, sizeof command, "'%s' '%s/tests/model_text.py' '%s'", python, TVC_SOURCE_DIR, path);
    assert_int_equal(system(command), 0);
    scratch_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_from_every_field),
        cmocka_unit_test(types_tvc_does_not_compute_with_are_shown),
        cmocka_unit_test(tensors_that_contradict_themselves),
        cmocka_unit_test(what_is_not_read_is_recorded),
        cmocka_unit_test(structure_is_checked),
        cmocka_unit_test(nodes_out_of_order_are_put_in_order),
        cmocka_unit_test(a_long_chain_backwards),
        cmocka_unit_test(what_is_no_file),
        cmocka_unit_test(python_onnx_sees_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
