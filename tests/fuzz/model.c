// Fuzz target: any bytes as an ONNX model; what is read is edited, written and read again.
#include "frontend/model.h"

typedef struct Try {
    Cx *cx;
    Bytes bytes;
    bool edited;
} Try;

static void edit(Model *m) {
    static const float one = 1;
    model_set_meta(m, "k", "v");
    model_set_init(m, model_fresh_name(m, "w"), &(Tensor){.type = DT_F32, .count = 1, .data = &one});
    if (m->ninit > 1) model_set_init(m, m->init[0]->name, &(Tensor){.type = DT_F32, .count = 1, .data = &one});
    if (m->nnode) model_set_attr(m, m->node[0], (NewAttr){.name = "fuzz", .kind = ATTR_I, .i = 1});
    model_set_outputs(m, 1, (ValueInfo[]){*m->output[m->noutput - 1]});
}

static void go(void *arg) {
    Try *t = arg;
    Model *m = model_read_bytes(t->cx, "fuzz.onnx", t->bytes);
    Bytes same = model_bytes(m);
    if (same.n != t->bytes.n || same.at != t->bytes.at) abort();
    edit(m);
    Bytes b = model_bytes(m);
    t->edited = true;
    Model *again = model_read_bytes(t->cx, "again.onnx", b);
    if (again->nnode != m->nnode || again->ninit != m->ninit || again->noutput != 1) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Try t = {.cx = cx_new(), .bytes = {data, size}};
    if (!t.cx) return 0;
    if (!cx_guard(t.cx, go, &t) && (t.edited || !t.cx->error[0] || t.cx->used > (64u << 20) + 4 * size)) abort();
    cx_free(t.cx);
    return 0;
}
