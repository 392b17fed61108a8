// Any bytes as a model, imported for one sample and for a batch. What is small is run on zeros as well.
#include "frontend/import.h"
#include "ir/eval.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SMALL = 1 << 12, MOST_MEMORY = 64 << 20 };

typedef struct Try { Cx *cx; Bytes bytes; int64_t batch; } Try;

// Is evaluating the graph over in no time, whatever its operators?
static bool is_small(Graph *g) {
    int64_t work = 0;
    graph_sort(g);
    for (int i = 0; i < g->norder; i++) {
        const Node *n = g->order[i];
        int64_t most = 1;
        for (int k = 0; k < n->nin; k++)
            if (numel(n->in[k]->shape) > most) most = numel(n->in[k]->shape);
        if (most > SMALL || numel(n->shape) > SMALL || (work += most * numel(n->shape)) > SMALL * SMALL) return false;
    }
    return true;
}

static void import_and_run(void *arg) {
    Try *t = arg;
    Graph *g = model_import(model_read_bytes(t->cx, "fuzz.onnx", t->bytes), &(ImportOptions){.max_batch = t->batch});
    expand_ops(g);
    if (!is_small(g)) return;
    for (int i = 0; i < g->ninput; i++) g->input[i]->data = NEW(t->cx, double, numel(g->input[i]->shape));
    graph_eval(g, t->batch, NEW(t->cx, void *, g->nroot), NULL, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    for (int64_t batch = 1; batch < 4; batch += 2) {
        uint8_t *copy = malloc(size + !size);             // reads beyond the end are seen
        if (!copy) return 0;
        if (size) memcpy(copy, data, size);
        Try t = {cx_new(), {copy, size}, batch};
        if (t.cx) t.cx->limit = MOST_MEMORY, cx_guard(t.cx, import_and_run, &t);
        cx_free(t.cx);
        free(copy);
    }
    return 0;
}
