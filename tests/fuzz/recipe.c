// Any bytes as the metadata that says how pictures are prepared, then fitted to inputs of one and three channels.
#include "data/recipe.h"
#include "../onnx_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Try { Cx *cx; const char *key, *text; int channels; } Try;

static void read_and_fit(void *arg) {
    Try *t = arg;
    const int64_t dim[] = {1, t->channels, 8, 8};
    Pb graph = {0};
    pb_message(&graph, 11, onnx_value("x", 1, 4, dim));
    pb_message(&graph, 1, onnx_node("Relu", "r", "x", "y"));
    pb_message(&graph, 12, onnx_value("y", 1, 4, dim));
    Pb bytes = onnx_model(graph, 8, 17);
    uint8_t *kept = memcpy(cx_alloc(t->cx, bytes.n), bytes.at, bytes.n);
    size_t n = bytes.n;
    free(bytes.at);
    Model *m = model_read_bytes(t->cx, "fuzz.onnx", (Bytes){kept, n});
    model_set_meta(m, t->key, t->text);
    Recipe r = recipe_of_model(t->cx, m);
    ImageInput in;
    const char *why;
    if (image_input(m->input[0], &in, &why)) recipe_complete(t->cx, &r, &(Recipe){0}, &in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const keys[] = {"tvc.preprocess", "pretrained_cfg"};
    for (int i = 0; i < 4; i++) {
        Try t = {.cx = cx_new(), .key = keys[i / 2], .channels = i % 2 ? 3 : 1};
        if (!t.cx) return 0;
        t.text = cx_str(t.cx, (const char *)data, size);
        cx_guard(t.cx, read_and_fit, &t);
        cx_free(t.cx);
    }
    return 0;
}
