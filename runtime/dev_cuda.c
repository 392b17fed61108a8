// dev_cuda.c -- an NVIDIA GPU as a device: its memory, and copies to and fro through pinned stages, one
// being filled or emptied while the other is on its way. See cuda.h.
#include "cuda.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cuda_ok(Cuda *c, int error, const char *what) {
    Fault f;
    if (!error) return true;
    if (!c->failed) {
        cuda_fault(c->api, error, what, &f);
        snprintf(c->device.trouble, sizeof c->device.trouble, "%.255s", f.text);
    }
    c->failed = true;
    return false;
}

static void use(Cuda *c) { cuda_ok(c, c->api->CtxSetCurrent(c->context), "cuCtxSetCurrent"); }

static Err state(const Cuda *c) { return c->failed ? E_DEVICE : E_OK; }

// ---- memory ----

static void *alloc_memory(Device *d, int64_t bytes) {
    Cuda *c = (Cuda *)d;
    const CudaDriver *a = c->api;
    CuPointer p = 0;
    size_t unused = 0, all = 0, size = (size_t)bytes + TVC_ALIGN;
    use(c);
    int e = a->MemAlloc(&p, size);
    if (e == CUDA_OUT_OF_MEMORY) {
        a->MemGetInfo(&unused, &all);
        snprintf(d->trouble, sizeof d->trouble, "%.100s has %zu of %zu MB free", d->name, unused >> 20, all >> 20);
        return NULL;
    }
    if (cuda_ok(c, e, "cuMemAlloc")) cuda_ok(c, a->MemsetAsync(p, 0, size, c->compute), "cuMemsetD8Async");
    if (!c->failed) return (void *)(uintptr_t)p;
    if (p) a->MemFree(p);
    return NULL;
}

static void free_memory(Device *d, void *mem, int64_t bytes) {
    Cuda *c = (Cuda *)d;
    (void)bytes;
    use(c);
    c->api->StreamSynchronize(c->ahead), c->api->StreamSynchronize(c->compute);
    c->api->MemFree((CuPointer)(uintptr_t)mem);
}

// ---- copies ----

// The next stage, when nothing uses it any more.
static int next_stage(Cuda *c) {
    c->turn ^= 1;
    cuda_ok(c, c->api->EventSynchronize(c->stage_free[c->turn]), "cuEventSynchronize");
    return c->turn;
}

static void stage_used(Cuda *c, int k, CuStream s) {
    cuda_ok(c, c->api->EventRecord(c->stage_free[k], s), "cuEventRecord");
}

static void copy_up(Cuda *c, CuPointer to, const char *from, int64_t bytes, CuStream s) {
    for (int64_t at = 0; at < bytes && !c->failed; at += CUDA_STAGE) {
        size_t n = (size_t)(bytes - at < CUDA_STAGE ? bytes - at : CUDA_STAGE);
        int k = next_stage(c);
        memcpy(c->stage[k], from + at, n);
        cuda_ok(c, c->api->CopyUp(to + (CuPointer)at, c->stage[k], n, s), "cuMemcpyHtoDAsync");
        stage_used(c, k, s);
    }
}

static void copy_down(Cuda *c, char *to, CuPointer from, int64_t bytes) {
    char *waits = NULL;               // where the part before goes, from the other stage
    size_t nwaits = 0;
    for (int64_t at = 0; (at < bytes || waits) && !c->failed; at += CUDA_STAGE) {
        size_t n = at >= bytes ? 0 : (size_t)(bytes - at < CUDA_STAGE ? bytes - at : CUDA_STAGE);
        int before = c->turn, k = next_stage(c);
        if (n) cuda_ok(c, c->api->CopyDown(c->stage[k], from + (CuPointer)at, n, c->compute), "cuMemcpyDtoHAsync");
        if (n) stage_used(c, k, c->compute);
        if (waits) {
            cuda_ok(c, c->api->EventSynchronize(c->stage_free[before]), "cuEventSynchronize");
            memcpy(waits, c->stage[before], nwaits);
        }
        waits = n ? to + at : NULL, nwaits = n;
    }
}

// Inputs that were written ahead take their places, in order with everything else. Until then their places, which may
// be shared with outputs, hold what the function before left there.
static void land(Cuda *c) {
    const CudaDriver *a = c->api;
    if (!c->waiting) return;
    c->waiting = false;
    cuda_ok(c, a->StreamWaitEvent(c->compute, c->arrived, 0), "cuStreamWaitEvent");
    for (int i = 0; i < c->program->nslot; i++) {
        CudaAhead *w = &c->input[i];
        if (w->to) cuda_ok(c, a->CopyWithin(w->to, w->at, (size_t)w->bytes, c->compute), "cuMemcpyDtoDAsync");
        w->to = 0;
    }
    cuda_ok(c, a->EventRecord(c->taken, c->compute), "cuEventRecord");
}

static Err copy(Device *d, Copy way, void *to, const void *from, int64_t bytes) {
    Cuda *c = (Cuda *)d;
    if (bytes <= 0) return state(c);
    use(c);
    if (way == COPY_UP) land(c);
    CuPointer to_gpu = (CuPointer)(uintptr_t)to, from_gpu = (CuPointer)(uintptr_t)from;
    if (way == COPY_UP) copy_up(c, to_gpu, from, bytes, c->compute);
    else if (way == COPY_DOWN) copy_down(c, to, from_gpu, bytes);
    else cuda_ok(c, c->api->CopyWithin(to_gpu, from_gpu, (size_t)bytes, c->compute), "cuMemcpyDtoDAsync");
    return state(c);
}

static Err ahead(Device *d, int slot, void *to, const void *from, int64_t bytes) {
    Cuda *c = (Cuda *)d;
    CudaAhead *w = &c->input[slot];
    if (!c->running) return copy(d, COPY_UP, to, from, bytes);
    if (bytes <= 0) return state(c);
    use(c);
    cuda_ok(c, c->api->StreamWaitEvent(c->ahead, c->taken, 0), "cuStreamWaitEvent");
    copy_up(c, w->at, from, bytes, c->ahead);
    cuda_ok(c, c->api->EventRecord(c->arrived, c->ahead), "cuEventRecord");
    w->to = (CuPointer)(uintptr_t)to, w->bytes = bytes;
    c->waiting = true;
    return state(c);
}

// ---- calls ----

void cuda_ready(Cuda *c, const KernelCtx *ctx) {
    use(c);
    land(c);
    c->ctx = *ctx, c->running = true;
    if (c->seed[0] == ctx->seed && c->seed[1] == ctx->step) return;
    c->seed[0] = ctx->seed, c->seed[1] = ctx->step;
    cuda_ok(c, c->api->CopyUp(c->own, c->seed, 2 * sizeof *c->seed, c->compute), "cuMemcpyHtoDAsync");
}

static Err sync(Device *d) {
    Cuda *c = (Cuda *)d;
    use(c);
    cuda_ok(c, c->api->StreamSynchronize(c->compute), "cuStreamSynchronize");
    c->running = false;
    if (c->failed) return E_DEVICE;
    for (int i = 0; i < c->program->nstep; i++)
        if (c->flags[i]) {
            d->culprit = i;
            memset(c->flags, 0, sizeof *c->flags * (size_t)c->program->nstep);
            return E_MALFORMED;
        }
    return E_OK;
}

// ---- opening and closing ----

static void close_device(Device *d) {
    Cuda *c = (Cuda *)d;
    const CudaDriver *a = c->api;
    CuEvent events[] = {c->stage_free[0], c->stage_free[1], c->arrived, c->taken, c->from, c->to};
    CuStream streams[] = {c->ahead, c->compute};
    if (c->context) use(c);
    for (int i = 0; i < 2; i++)
        if (streams[i]) a->StreamSynchronize(streams[i]);
    cuda_forget(c);
    cuda_products_unload(c);
    cuda_unload(c);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (events[i]) a->EventDestroy(events[i]);
    for (int i = 0; i < 2; i++)
        if (streams[i]) a->StreamDestroy(streams[i]);
    if (c->context) a->PrimaryCtxRelease(c->gpu);
    free(c);
}

static Err open_context(Cuda *c, Fault *f) {
    enum { NON_BLOCKING = 1, NO_TIMING = 2 };
    const CudaDriver *a = c->api;
    int e = a->PrimaryCtxRetain(&c->context, c->gpu);
    if (e) return cuda_fault(a, e, "the GPU cannot be used", f);
    if (!e) e = a->CtxSetCurrent(c->context);
    if (!e) e = a->StreamCreate(&c->compute, NON_BLOCKING);
    if (!e) e = a->StreamCreate(&c->ahead, NON_BLOCKING);
    CuEvent *events[] = {&c->stage_free[0], &c->stage_free[1], &c->arrived, &c->taken};
    for (int i = 0; i < 4 && !e; i++) e = a->EventCreate(events[i], NO_TIMING);
    if (!e) e = a->EventCreate(&c->from, 0);
    if (!e) e = a->EventCreate(&c->to, 0);
    return e ? cuda_fault(a, e, "the GPU cannot be used", f) : E_OK;
}

static Err open_gpu(Cuda *c, int ordinal, Fault *f) {
    int n = cuda_count(c->api), e;
    if (n < 1) return fault(f, E_DEVICE, "there is no NVIDIA GPU that can be used");
    if (ordinal >= n) return fault(f, E_DEVICE, "there is no GPU %d: this machine has %d (tvc devices)", ordinal, n);
    if ((e = c->api->DeviceGet(&c->gpu, ordinal))) return cuda_fault(c->api, e, "the GPU cannot be used", f);
    Err bad = cuda_info(c->api, ordinal, &c->info, f);
    return bad ? bad : open_context(c, f);
}

Device *dev_cuda(int ordinal, Cublas cublas, Fault *f) {
    const CudaDriver *a = cuda_driver(f);
    Cuda *c = a ? calloc(1, sizeof *c) : NULL;
    if (!a) return NULL;
    if (!c) {
        fault(f, E_LIMIT, "no memory");
        return NULL;
    }
    c->api = a, c->records = true, c->library.wish = cublas;
    c->device = (Device){
        .name = c->info.name, .alloc = alloc_memory, .free = free_memory, .copy = copy, .load = cuda_load,
        .launch = cuda_launch, .sync = sync, .close = close_device, .ahead = ahead, .begin = cuda_begin,
        .end = cuda_end, .timed = cuda_timed,
    };
    if (open_gpu(c, ordinal, f)) {
        close_device(&c->device);
        return NULL;
    }
    return &c->device;
}
