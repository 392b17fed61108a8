// cuda_record.c -- functions as CUDA graphs: what a function launches at a batch size is recorded when it
// is met for the second time (the first makes the driver load the kernels), and from then on started whole.
// The table is bounded; what was used longest ago makes room. Where the driver would not record, functions
// are launched kernel by kernel as before.
#include "cuda.h"

static CudaRecording *find(Cuda *c, int function, int64_t batch) {
    for (int i = 0; i < CUDA_RECORDINGS; i++)
        if (c->recording[i].batch == batch && c->recording[i].function == function) return &c->recording[i];
    return NULL;
}

static void forget(Cuda *c, CudaRecording *r) {
    if (r->exec) c->api->GraphExecDestroy(r->exec);
    *r = (CudaRecording){0};
}

static void remember(Cuda *c, int function, int64_t batch) {
    CudaRecording *oldest = &c->recording[0];
    for (int i = 1; i < CUDA_RECORDINGS; i++)
        if (c->recording[i].used < oldest->used) oldest = &c->recording[i];
    forget(c, oldest);
    *oldest = (CudaRecording){.function = function, .batch = batch, .used = c->calls};
}

static bool start(Cuda *c, CudaRecording *r) {
    return cuda_ok(c, c->api->GraphLaunch(r->exec, c->compute), "cuGraphLaunch");
}

bool cuda_begin(Device *d, int function, const KernelCtx *ctx) {
    enum { THREAD_LOCAL = 1 };
    Cuda *c = (Cuda *)d;
    cuda_ready(c, ctx);
    if (!c->records || c->failed) return false;
    CudaRecording *r = find(c, function, ctx->batch);
    c->calls++;
    if (!r) {
        remember(c, function, ctx->batch);
        return false;
    }
    r->used = c->calls;
    if (r->exec) return start(c, r), true;
    c->capturing = c->records = !c->api->StreamBeginCapture(c->compute, THREAD_LOCAL);
    c->library.recorded = false;
    c->function = function;
    return false;
}

// What was launched since begin() becomes a graph, and is started as one. True: it could not.
bool cuda_end(Device *d) {
    Cuda *c = (Cuda *)d;
    const CudaDriver *a = c->api;
    CuGraph graph = NULL;
    CuExec exec = NULL;
    if (!c->capturing) return false;
    c->capturing = false;
    bool whole = !a->StreamEndCapture(c->compute, &graph) && graph && !c->failed;
    if (whole && a->GraphInstantiate(&exec, graph, 0)) exec = NULL;
    if (graph) a->GraphDestroy(graph);
    if (!exec) {
        c->failed = false, c->device.trouble[0] = 0;
        c->records = cuda_products_drop(c);
        return true;
    }
    CudaRecording *r = find(c, c->function, c->ctx.batch);
    r->exec = exec;
    start(c, r);
    return false;
}

void cuda_forget(Cuda *c) {
    for (int i = 0; i < CUDA_RECORDINGS; i++) forget(c, &c->recording[i]);
}
