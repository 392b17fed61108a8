// written.h -- a folder of a test's own, a small model to edit there, and writing what was edited.
#ifndef TVC_TESTS_WRITTEN_H
#define TVC_TESTS_WRITTEN_H
#include "onnx_build.h"
#include "reading.h"
#include <dirent.h>

static char folder[256];

static inline int make_folder(void **state) { return (void)state, scratch_make(folder, sizeof folder), 0; }
static inline int remove_folder(void **state) { return (void)state, scratch_remove(folder), 0; }

static inline const char *in_folder(const char *name) {
    static char path[16][512];
    static int k;
    k = (k + 1) % 16;
    snprintf(path[k], sizeof path[k], "%s/%s", folder, name);
    return path[k];
}

static inline void empty_folder(void) {
    scratch_remove(folder);
    mkdir(folder, 0777);
}

static inline int files_in(const char *path) {
    DIR *d = opendir(path);
    int n = 0;
    while (readdir(d)) n++;
    closedir(d);
    return n - 2;
}

// x -> Conv(w) -> c -> Relu -> r -> Gemm(gw, gb) -> y, with documentation, unknown fields and metadata.
static inline Pb small_model(int ir) {
    static const int64_t x[] = {-1, 3, 4, 4}, w[] = {2, 3, 1, 1}, gw[] = {2, 5}, gb[] = {5}, y[] = {-1, 5},
                         pads[] = {0, 0, 0, 0};
    static const float zeros[64];
    Pb g = {0}, conv = onnx_node("Conv", "conv", "x,w", "c"), opset = {0};
    pb_message(&conv, 5, onnx_attr_ints("pads", 4, pads));
    pb_message(&conv, 5, onnx_attr_int("group", 1));
    pb_text(&conv, 6, "about the convolution");
    pb_text(&conv, 1000, "a field of the future");
    pb_message(&g, 1, conv);
    pb_text(&g, 2, "graph");
    pb_message(&g, 1, onnx_node("Relu", "relu", "c", "r"));
    pb_message(&g, 5, onnx_tensor("w", 1, 4, w, zeros, sizeof(float) * 6));
    pb_message(&g, 1, onnx_node("Gemm", "gemm", "r,gw,gb", "y"));
    Pb tensor = onnx_tensor("gw", 1, 2, gw, zeros, sizeof(float) * 10);
    pb_text(&tensor, 12, "about the weight");
    pb_message(&g, 5, tensor);
    pb_message(&g, 5, onnx_tensor("gb", 1, 1, gb, zeros, sizeof(float) * 5));
    pb_message(&g, 11, onnx_value("x", 1, 4, x));
    if (ir < 4) {
        pb_message(&g, 11, onnx_value("w", 1, 4, w));
        pb_message(&g, 11, onnx_value("gw", 1, 2, gw));
        pb_message(&g, 11, onnx_value("gb", 1, 1, gb));
    }
    Pb out = onnx_value("y", 1, 2, y);
    pb_text(&out, 3, "about the output");
    pb_message(&g, 12, out);
    pb_message(&g, 13, onnx_value("r", 1, 4, (int64_t[]){-1, 2, 4, 4}));
    pb_text(&g, 999, "unknown in the graph");
    Pb m = onnx_model(g, ir, 13);
    pb_message(&m, 14, onnx_entry("author", "a test"));
    pb_message(&m, 14, onnx_entry("version", "1"));
    pb_text(&m, 777, "unknown in the model");
    pb_text(&opset, 1, "com.example");
    pb_int(&opset, 2, 3);
    pb_message(&m, 8, opset);
    return m;
}

static inline void same_contents(const char *a, const char *b) {
    size_t n = 0, k = 0;
    uint8_t *p = slurp(a, &n), *q = slurp(b, &k);
    assert_non_null(p);
    assert_non_null(q);
    if (n != k || memcmp(p, q, n)) fail_msg("%s and %s differ", a, b);
    free(p);
    free(q);
}

static inline void written(const char *from, const char *to, void (*edit)(Model *)) {
    Reading r = {.path = from, .edit = edit, .write_to = to};
    if (reading_run(&r, reading_go)) fail_msg("%s", r.cx->error);
    cx_free(r.cx);
}

static inline void keep_weights_outside(Model *m) {
    static float weight[2 * 300];
    for (int i = 0; i < 600; i++) weight[i] = (float)i;
    model_set_init(m, "gw",
                   &(Tensor){.type = DT_F32, .rank = 2, .dim = (int64_t[]){2, 300}, .count = 600, .data = weight});
    m->inline_limit = 1000;
}

#endif
