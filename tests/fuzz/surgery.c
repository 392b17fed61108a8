// Any bytes as a model, through every edit: no crash, and what is written can be read again.
#include "passes/summary.h"
#include "passes/surgery.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_MEMORY = 64 << 20 };

typedef struct Try { Cx *cx; Bytes bytes; const Surgery *s; } Try;

static const int64_t hidden[] = {3, 2};
static const Surgery edits[] = {
    {.classes = 5},
    {.classes = 3, .nhidden = 2, .hidden = hidden, .dropout = 0.5, .whole_module = true, .freeze = "backbone"},
    {.channels = 2, .drop_aux = true, .eval = true, .freeze = "all"},
    {.cut = "y", .classes = 2},
    {.free_batch = true},
};

static void edit(void *arg) {
    Try *t = arg;
    Model *m = model_read_bytes(t->cx, "fuzz.onnx", t->bytes);
    summary_make(m, NULL);
    surgery_apply(m, t->s);
    model_read_bytes(t->cx, "edited.onnx", model_bytes(m));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        uint8_t *copy = malloc(size + !size);             // reads beyond the end are seen
        if (!copy) return 0;
        if (size) memcpy(copy, data, size);
        Try t = {cx_new(), {copy, size}, &edits[i]};
        if (t.cx) t.cx->limit = MOST_MEMORY, cx_guard(t.cx, edit, &t);
        cx_free(t.cx);
        free(copy);
    }
    return 0;
}
