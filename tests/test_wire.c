// The wire walker: fields, their bounds, packed runs, what damage is called, nesting, writing.
#include "frontend/wire.h"
#include "onnx_build.h"
#include "reading.h"
#include <pthread.h>

typedef struct Walk {
    Cx *cx;
    Bytes bytes;
    int fields;
    uint64_t last;
    MessageKind kind;
    bool scan;
} Walk;

static void walk(void *arg) {
    Walk *k = arg;
    Wire w = wire_open(k->cx, "file", k->bytes);
    if (k->scan) wire_scan(w, k->kind, MSG_LEAF, NULL, NULL);
    else
        for (Field f; wire_next(&w, &f); k->fields++) k->last = f.type == WIRE_VARINT ? f.value : f.data.n;
}

// Walks n bytes; the error is in `error`, "" if there is none.
static Err outcome(Walk *k, const void *data, size_t n, char error[1024]) {
    uint8_t *copy = malloc(n + !n);
    if (n) memcpy(copy, data, n);
    k->cx = cx_new();
    k->bytes = (Bytes){copy, n};
    Err e = cx_guard(k->cx, walk, k) ? E_OK : k->cx->code;
    strcpy(error, k->cx->error);
    cx_free(k->cx);
    free(copy);
    return e;
}

static void fields_of_every_type(void **state) {
    (void)state;
    Pb p = {0};
    pb_int(&p, 1, -1);
    pb_float(&p, 2, 1.5f);
    pb_text(&p, 3, "abc");
    pb_int(&p, (1u << 29) - 1, 300);
    Walk k = {0};
    char error[1024];
    assert_int_equal(outcome(&k, p.at, p.n, error), E_OK);
    assert_int_equal(k.fields, 4);
    assert_int_equal(k.last, 300);
    for (size_t n = 0; n < p.n; n++) { // cut anywhere: an error, or fewer fields
        Walk cut = {0};
        Err e = outcome(&cut, p.at, n, error);
        assert_true(e == E_MALFORMED || cut.fields < 4);
    }
    free(p.at);
}

static void damage_is_named(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *says;
    } rows[] = {
        {"\x00", 1, "no field has number 0"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x00", 11, "tag of a field is cut off"},
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, "a number in field 1 is cut off"},
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "claims 18446744073709551615 bytes, 0 are left"},
        {"\x0a\x05"
         "ab",
         4, "field 1 claims 5 bytes, 2 are left"},
        {"\x0d\x00\x00", 3, "field 1 is cut off"},
        {"\x0b", 1, "wire type 3, which ONNX does not use"},
        {"\x0f", 1, "wire type 7"},
        {"\x80\x80\x80\x80\x10\x00", 6, "no field has number"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Walk k = {0};
        char error[1024];
        assert_int_equal(outcome(&k, rows[i].bytes, rows[i].n, error), E_MALFORMED);
        assert_non_null(strstr(error, "file: damaged at byte 0: "));
        if (!strstr(error, rows[i].says)) fail_msg("row %zu: %s", i, error);
    }
}

static void paths_name_the_place(void **state) {
    (void)state;
    Pb graph = {0}, bad = {0};
    pb_message(&graph, 1, onnx_node("Relu", "a", "x", "y"));
    pb_message(&graph, 5, onnx_tensor("w", 1, 0, NULL, "abcd", 4));
    pb_raw(&bad, "\x0a\x7f", 2); // claims 127 bytes
    pb_message(&graph, 1, bad);
    Pb model = onnx_model(graph, 7, 13);
    Walk k = {.scan = true, .kind = MSG_MODEL};
    char error[1024];
    assert_int_equal(outcome(&k, model.at, model.n, error), E_MALFORMED);
    assert_non_null(strstr(error, "graph.node[1]: field 1 claims 127 bytes"));
    free(model.at);
}

// ---- packed runs ----

typedef struct Packed {
    Cx *cx;
    Bytes bytes;
    WireType unit;
    size_t n;
    uint64_t v[8];
} Packed;

static void unpack(void *arg) {
    Packed *p = arg;
    Wire w = wire_open(p->cx, "file", p->bytes);
    for (Field f; wire_next(&w, &f);) {
        size_t n = wire_count(&w, &f, p->unit, "values");
        assert_true(p->n + n <= 8);
        if (p->unit == WIRE_VARINT) wire_varints(&w, &f, p->v + p->n, "values");
        p->n += n;
    }
}

static Err unpacked(Packed *p, Pb b) {
    p->cx = cx_new();
    p->bytes = (Bytes){b.at, b.n};
    Err e = cx_guard(p->cx, unpack, p) ? E_OK : p->cx->code;
    cx_free(p->cx);
    free(b.at);
    return e;
}

static void packed_and_not(void **state) {
    (void)state;
    Pb b = {0};
    pb_bytes(&b, 7, "\x01\xac\x02\x00", 4);
    pb_int(&b, 7, -5);
    pb_bytes(&b, 7, "", 0);
    Packed p = {.unit = WIRE_VARINT};
    assert_int_equal(unpacked(&p, b), E_OK);
    assert_int_equal(p.n, 4);
    assert_true(p.v[0] == 1 && p.v[1] == 300 && p.v[2] == 0 && (int64_t)p.v[3] == -5);

    b = (Pb){0};
    pb_bytes(&b, 7, "\x01\x80", 2); // the last number is cut off
    p = (Packed){.unit = WIRE_VARINT};
    assert_int_equal(unpacked(&p, b), E_MALFORMED);

    b = (Pb){0};
    pb_bytes(&b, 7, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10);
    p = (Packed){.unit = WIRE_VARINT};
    assert_int_equal(unpacked(&p, b), E_MALFORMED); // more than 64 bits

    b = (Pb){0};
    pb_bytes(&b, 4, "abcdefg", 7);
    p = (Packed){.unit = WIRE_32};
    assert_int_equal(unpacked(&p, b), E_MALFORMED); // no whole number of floats
}

// ---- nesting ----

static void *scan_in_thread(void *arg) {
    Walk *k = arg;
    static char error[1024];
    Bytes b = k->bytes;
    k->fields = (int)outcome(k, b.at, b.n, error);
    if (k->fields) assert_non_null(strstr(error, "nested deeper than 32"));
    return NULL;
}

// How a scan ends that has no more than 256 KB of stack.
static Err scan_with_small_stack(Pb p, MessageKind kind) {
    Walk k = {.scan = true, .kind = kind, .bytes = {p.at, p.n}};
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 << 10);
    assert_int_equal(pthread_create(&thread, &attr, scan_in_thread, &k), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    free(p.at);
    return (Err)k.fields;
}

static void nesting_is_bounded(void **state) {
    (void)state;
    static const struct {
        int depth;
        Err outcome;
    } rows[] = {{1, E_OK},          {2, E_OK},           {32, E_OK},           {33, E_MALFORMED},
                {100, E_MALFORMED}, {3000, E_MALFORMED}, {100000, E_MALFORMED}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(scan_with_small_stack(onnx_nested(rows[i].depth), MSG_GRAPH), rows[i].outcome);
}

static void types_nest_16_deep(void **state) {
    (void)state;
    for (int depth = 15; depth <= 18; depth++) {
        Pb type = {0};
        for (int i = 1; i < depth; i++) {
            Pb element = {0}, outer = {0};
            pb_message(&element, 1, type);
            pb_message(&outer, i % 2 ? 4 : 9, element);
            type = outer;
        }
        Walk k = {.scan = true, .kind = MSG_TYPE};
        char error[1024];
        assert_int_equal(outcome(&k, type.at, type.n, error), depth <= WIRE_MAX_TYPES ? E_OK : E_MALFORMED);
        free(type.at);
    }
}

// ---- writing ----

static void emit_inner(WireOut *o, const void *arg) {
    wire_put_string(o, 1, arg);
    wire_put_float(o, 2, 0.5f);
}

static void emit_outer(WireOut *o, const void *arg) {
    wire_put_int(o, 3, -1);
    wire_put_message(o, 15, emit_inner, arg);
    wire_put_bytes(o, 16, (Bytes){(const uint8_t *)"\0\1", 2});
}

static void writing_is_protobuf(void **state) {
    (void)state;
    Cx *cx = cx_new();
    Bytes b = wire_build(cx, emit_outer, "hello");
    Pb inner = {0}, want = {0};
    pb_text(&inner, 1, "hello");
    pb_float(&inner, 2, 0.5f);
    pb_int(&want, 3, -1);
    pb_message(&want, 15, inner);
    pb_bytes(&want, 16, "\0\1", 2);
    assert_int_equal(b.n, want.n);
    assert_memory_equal(b.at, want.at, b.n);
    free(want.at);
    cx_free(cx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_of_every_type), cmocka_unit_test(damage_is_named),
        cmocka_unit_test(paths_name_the_place), cmocka_unit_test(packed_and_not),
        cmocka_unit_test(nesting_is_bounded),   cmocka_unit_test(types_nest_16_deep),
        cmocka_unit_test(writing_is_protobuf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
