// Damaged and hostile models: files cut or changed anywhere, nests, floods of small parts, names meant to harm,
// too little memory, weights that must stay in the file.
#define _GNU_SOURCE // nftw
#include "small_models.h"
#include <ftw.h>
#include <pthread.h>

// ---- damage ----

static void damaged_everywhere(const uint8_t *data, size_t n) {
    static const uint8_t value[] = {0x00, 0x7f, 0x80, 0xff};
    for (size_t cut = 0; cut < n; cut++) {
        Err e = model_outcome(data, cut, NULL, 0);
        assert_true(e == E_OK || e == E_MALFORMED || e == E_LIMIT);
    }
    uint8_t *copy = malloc(n);
    memcpy(copy, data, n);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < sizeof value; k++) {
            copy[i] = value[k];
            Err e = model_outcome(copy, n, NULL, 0);
            assert_true(e == E_OK || e == E_MALFORMED || e == E_LIMIT || e == E_IO);
        }
        copy[i] = data[i];
    }
    free(copy);
}

static int seen;

static int damage_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)at;
    size_t n = strlen(path);
    if (type != FTW_F || n < 5 || strcmp(path + n - 5, ".onnx") || st->st_size > 1500 || ++seen % 12) return 0;
    uint8_t *data = slurp(path, &n);
    damaged_everywhere(data, n);
    free(data);
    return 0;
}

static void cut_or_changed_at_any_byte(void **state) {
    (void)state;
    Pb extra = {0}, node = onnx_node("Conv", "c", "x,w", "z"), typed = onnx_tensor_head("t", 7, 1, TWO);
    pb_message(&node, 5, onnx_attr_ints("pads", 1, TWO));
    pb_message(&extra, 1, node);
    pb_message(&extra, 5, onnx_tensor("w", 1, 1, TWO, "abcdefgh", 8));
    pb_bytes(&typed, 7, "\x01\x02", 2);
    pb_message(&extra, 5, typed);
    Pb m = model_with(extra);
    pb_message(&m, 14, onnx_entry("key", "value"));
    damaged_everywhere(m.at, m.n);
    free(m.at);
    if (test_data()) assert_int_equal(nftw(test_data(), damage_one, 16, FTW_PHYS), 0);
}

static void *read_in_thread(void *model) {
    const Pb *m = model;
    char error[1024];
    return (void *)(intptr_t)model_outcome(m->at, m->n, error, sizeof error);
}

// Subgraphs as deep as one likes, on a stack of 256 KB.
static void nested_subgraphs(void **state) {
    (void)state;
    static const struct {
        int depth;
        Err outcome;
    } rows[] = {{31, E_OK}, {32, E_MALFORMED}, {33, E_MALFORMED}, {100000, E_MALFORMED}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Pb attr = {0}, node = onnx_node("If", "if", "x", "z");
        pb_text(&attr, 1, "then_branch");
        pb_message(&attr, 6, onnx_nested(rows[i].depth));
        pb_message(&node, 5, attr);
        Pb m = model_with(as_field(1, node));
        pthread_attr_t small;
        pthread_t thread;
        void *outcome_of_thread;
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, 256 << 10);
        assert_int_equal(pthread_create(&thread, &small, read_in_thread, &m), 0);
        pthread_join(thread, &outcome_of_thread);
        pthread_attr_destroy(&small);
        assert_int_equal((Err)(intptr_t)outcome_of_thread, rows[i].outcome);
        free(m.at);
    }
}

// Names from the file never reach the terminal as they are, nor a second line.
static void hostile_names_are_shown_escaped(void **state) {
    (void)state;
    static const char *const name[] = {"*/ } extern \"C\" void pwn(){",
                                       "a\nb\rc",
                                       "\x1b[31mred",
                                       "\xe2\x80\xae right to left",
                                       "\xff\xfe\x80",
                                       "'; rm -rf /",
                                       "%s%n%s",
                                       "?\?/"};
    char error[1024];
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        Pb g = {0};
        pb_message(&g, 1, onnx_node("Relu", name[i], name[i], "y"));
        pb_message(&g, 12, onnx_value("y", 1, 1, TWO));
        Pb m = onnx_model(g, 8, 13);
        assert_int_equal(model_outcome(m.at, m.n, error, sizeof error), E_MALFORMED);
        assert_null(strpbrk(error, "\n\r\x1b"));
        assert_null(strstr(error, "\xe2\x80\xae"));
        assert_null(strchr(error, '\xff'));
        free(m.at);
    }
    char *longest = calloc(1, 1 << 20);
    memset(longest, 'n', (1 << 20) - 1);
    Pb g = {0};
    pb_message(&g, 1, onnx_node("Relu", longest, longest, "y"));
    pb_message(&g, 12, onnx_value("y", 1, 1, TWO));
    assert_int_equal(outcome(onnx_model(g, 8, 13), "nnn..."), E_MALFORMED);
    free(longest);
}

// ---- memory ----

typedef struct Flood {
    uint32_t in_graph, in_node, in_attr;
    const char *what;
    size_t n;
} Flood;

// Five million of the smallest: in at most 64 MB + 4 x the file.
static void small_parts_in_masses(void **state) {
    (void)state;
    static const Flood rows[] = {
        {1, 0, 0, "\x0a\x00", 2},
        {5, 0, 0, "\x2a\x00", 2},
        {11, 0, 0, "\x5a\x00", 2},
        {13, 0, 0, "\x6a\x00", 2},
        {15, 0, 0, "\x7a\x00", 2},
        {0, 1, 0, "\x0a\x00", 2},
        {0, 1, 0,
         "\x0a\x01"
         "a",
         3},
        {0, 5, 0, "\x2a\x00", 2},
        {0, 5, 0,
         "\x2a\x03\x0a\x01"
         "a",
         5},
        {0, 0, 8, "\x40\x01", 2},
        {0, 0, 9, "\x4a\x00", 2},
        {0, 0, 7, "\x3d\0\0\0\0", 5},
        {0, 0, 10, "\x52\x00", 2},
        {0, 0, 11, "\x5a\x00", 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Pb flood = {0}, extra = {0};
        for (int k = 0; k < 5000000; k++) pb_raw(&flood, rows[i].what, rows[i].n);
        if (rows[i].in_attr) {
            Pb attr = {0};
            pb_text(&attr, 1, "a");
            pb_raw(&attr, flood.at, flood.n);
            free(flood.at);
            flood = as_field(5, attr);
        }
        if (!rows[i].in_graph) {
            Pb node = onnx_node("Relu", "n", "x", "z");
            pb_raw(&node, flood.at, flood.n);
            free(flood.at);
            flood = as_field(1, node);
        }
        extra = flood;
        Pb m = model_with(extra);
        Reading r = {.bytes = {m.at, m.n}};
        Err e = reading_run(&r, reading_go);
        assert_true(e == E_OK || e == E_LIMIT || e == E_MALFORMED);
        if (r.cx->used > (64u << 20) + 4 * m.n) fail_msg("row %zu: %zu bytes for a file of %zu", i, r.cx->used, m.n);
        cx_free(r.cx);
        free(m.at);
    }
}

// Five million distinct names, all defined by one node.
static void many_distinct_names(void **state) {
    (void)state;
    Pb node = onnx_node("Split", "n", "x", "z");
    for (int k = 0; k < 5000000; k++) {
        char name[16];
        snprintf(name, sizeof name, "%x", k);
        pb_text(&node, 2, name);
    }
    Pb m = model_with(as_field(1, node));
    Reading r = {.bytes = {m.at, m.n}};
    assert_int_equal(reading_run(&r, reading_go), E_LIMIT);
    assert_true(r.cx->used <= (64u << 20) + 4 * m.n);
    cx_free(r.cx);
    free(m.at);
}

// However little memory there is, the answer is E_LIMIT, and nothing leaks.
static void memory_runs_out_anywhere(void **state) {
    (void)state;
    Pb extra = {0};
    pb_message(&extra, 5, onnx_tensor("w", 1, 1, TWO, "abcdefgh", 8));
    Pb m = model_with(extra);
    Reading r = {.path = "m.onnx", .bytes = {m.at, m.n}};
    size_t limit = 16, ok = 0;
    for (; !ok; limit += 16) {
        r.cx = cx_new();
        r.cx->limit = limit;
        ok = cx_guard(r.cx, reading_go, &r);
        if (!ok) assert_int_equal(r.cx->code, E_LIMIT);
        cx_free(r.cx);
    }
    assert_true(limit > 1000);
    free(m.at);
}

static long anonymous_kilobytes(void) {
    FILE *f = fopen("/proc/self/status", "r");
    char line[128];
    long kb = -1;
    while (kb < 0 && fgets(line, sizeof line, f)) sscanf(line, "RssAnon: %ld", &kb);
    fclose(f);
    return kb;
}

// 32 initializers in 553 MB, as holes of a sparse file: reading must not touch them.
static void weights_are_not_copied(void **state) {
    (void)state;
    char folder[256], path[300];
    snprintf(path, sizeof path, "%s/vgg.onnx", scratch_make(folder, sizeof folder));
    enum { N = 32, BYTES = 17 << 20 };
    const int64_t dim[] = {BYTES / 4};
    Pb rest = graph_with((Pb){0}), tensor[N], head = {0};
    size_t graph = rest.n;
    for (int i = 0; i < N; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        tensor[i] = onnx_tensor_head(name, 1, 1, dim);
        pb_varint(&tensor[i], 9 << 3 | 2);
        pb_varint(&tensor[i], BYTES);
        Pb start = {0};
        pb_varint(&start, 5 << 3 | 2);
        pb_varint(&start, tensor[i].n + BYTES);
        pb_raw(&start, tensor[i].at, tensor[i].n);
        free(tensor[i].at);
        tensor[i] = start;
        graph += start.n + BYTES;
    }
    pb_int(&head, 1, 8);
    pb_varint(&head, 7 << 3 | 2);
    pb_varint(&head, graph);
    FILE *f = fopen(path, "wb");
    fwrite(head.at, 1, head.n, f);
    fwrite(rest.at, 1, rest.n, f);
    for (int i = 0; i < N; i++) {
        fwrite(tensor[i].at, 1, tensor[i].n, f);
        fseek(f, BYTES, SEEK_CUR);
        free(tensor[i].at);
    }
    assert_int_equal(ftruncate(fileno(f), (off_t)(head.n + graph)) | fclose(f), 0);
    free(head.at);
    free(rest.at);
    long before = anonymous_kilobytes();
    Reading r = {.path = path};
    if (reading_run(&r, reading_go)) fail_msg("%s", r.cx->error);
    assert_true(anonymous_kilobytes() - before < 20 * 1024);
    assert_int_equal(r.model->ninit, N);
    cx_free(r.cx);
    scratch_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_not_copied),
        cmocka_unit_test(cut_or_changed_at_any_byte),
        cmocka_unit_test(nested_subgraphs),
        cmocka_unit_test(hostile_names_are_shown_escaped),
        cmocka_unit_test(small_parts_in_masses),
        cmocka_unit_test(many_distinct_names),
        cmocka_unit_test(memory_runs_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
