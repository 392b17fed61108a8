// new.c -- a document with nothing in it, to which edits add the rest.
#include "document.h"

enum { IR_VERSION = 7 };

typedef struct NewModel { const char *graph, *input; int64_t opset; } NewModel;

static void emit_value(WireOut *o, const void *name) { wire_put_string(o, 1, name); }

static void emit_graph(WireOut *o, const void *model) {
    const NewModel *m = model;
    wire_put_string(o, G_NAME, m->graph);
    wire_put_message(o, G_INPUT, emit_value, m->input);
    wire_put_message(o, G_OUTPUT, emit_value, m->input);
}

static void emit_opset(WireOut *o, const void *version) {
    enum { OPSET_VERSION = 2 };                                  // of OperatorSetIdProto; no domain: ai.onnx
    wire_put_int(o, OPSET_VERSION, *(const int64_t *)version);
}

static void emit_model(WireOut *o, const void *model) {
    const NewModel *m = model;
    wire_put_int(o, M_IR, IR_VERSION);
    wire_put_string(o, M_PRODUCER, "tvc");
    wire_put_message(o, M_GRAPH, emit_graph, m);
    wire_put_message(o, M_OPSET, emit_opset, &m->opset);
}

Model *model_new(Cx *cx, const char *name, int64_t opset, const ValueInfo *input) {
    Model *m = model_read_bytes(cx, name, wire_build(cx, emit_model, &(NewModel){name, input->name, opset}));
    model_set_value(m, input);
    return m;
}
