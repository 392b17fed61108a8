// engine.h -- a model ready to run on a device: compiled, from a package, or by the evaluator.
//
// All data is row-major at the batch in use. Errors fail the request.
#ifndef TVC_ENGINE_H
#define TVC_ENGINE_H
#include "../codegen/compile.h"
#include "../frontend/import.h"
#include "../runtime/exec.h"
#include "../runtime/package.h"

typedef struct EngineOptions {
    bool eval;                        // the reference evaluator instead of compiled kernels
    CompileOptions compile;
    SessionOptions session;
} EngineOptions;

typedef struct Engine {
    Cx *cx;
    const char *file;                 // for messages; or NULL
    int ninput, noutput;              // outputs: the model's, then the values kept
    int64_t max_batch, batch;
    Compiled *compiled;               // NULL: a package, or the evaluator
    const Program *program;           // NULL: the evaluator
    Session *session;
    int *slot;                        // of inputs, then of outputs
    Graph *graph;                     // of the evaluator
    void **result;
} Engine;

Engine *engine_of_graph(Graph *g, const EngineOptions *o);        // consumes g
Engine *engine_of_package(Cx *cx, const Package *p, const char *path, const EngineOptions *o);

const char *engine_input_name(const Engine *e, int i);
const char *engine_output_name(const Engine *e, int i);
TensorDesc engine_input(const Engine *e, int i);                  // at the batch in use
TensorDesc engine_output(const Engine *e, int i);

void engine_set_batch(Engine *e, int64_t n);
void engine_write(Engine *e, int i, const void *data);            // before every run
void engine_run(Engine *e);
// The same in two halves, between which a device may be computing; engine_ahead: inputs may be written there already
// for the next run, of the same batch.
void engine_start(Engine *e);
void engine_wait(Engine *e);
bool engine_ahead(const Engine *e);
const void *engine_read(const Engine *e, int i);                  // until the next run

bool is_package(const char *path);                                // does the file begin like one?
Package *package_of_file(Cx *cx, const char *path, const EngineOptions *o);       // for its device; NULL: it is no package

#endif
