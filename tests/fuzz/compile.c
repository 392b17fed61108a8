// Any bytes as a model, the whole way to a program that any machine could run: passes, fusion, bytecode, memory plan.
#include "codegen/compile.h"
#include "frontend/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Try { Cx *cx; Bytes bytes; } Try;

static void compile(void *arg) {
    Try *t = arg;
    Graph *g = model_import(model_read_bytes(t->cx, "fuzz.onnx", t->bytes), &(ImportOptions){.max_batch = 3});
    Compiled *c = graph_compile(g, &(CompileOptions){.no_compiler = true});
    Fault f;
    if (program_check(c->program, &f)) fail(t->cx, E_INTERNAL, "%s", f.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Try t = {cx_new(), {data, size}};
    if (!t.cx) return 0;
    if (!cx_guard(t.cx, compile, &t) && t.cx->code == E_INTERNAL) abort();
    cx_free(t.cx);
    return 0;
}
