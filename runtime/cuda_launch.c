// cuda_launch.c -- a Program on a GPU: its binaries loaded, its kernels found and launched. Hand-written
// bodies run on the host: operands come down, a host function in the stream runs the body, results go up.
#include "cuda.h"
#include "bodies.h"
#include "fpstate.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct KernelRun {            // Ctx of codegen/cuda_prelude.h
    int64_t batch;
    CuPointer error, seed, work;
} KernelRun;

static int64_t align_up(int64_t n) { return (n + TVC_ALIGN - 1) / TVC_ALIGN * TVC_ALIGN; }

// ---- launching ----

static void launch_kernel(Cuda *c, const Step *s, const Launch *l) {
    const Program *p = c->program;
    const Grid *g = &p->grids[s->grid];
    KernelRun run = {l->ctx.batch, c->flags_on_gpu + sizeof *c->flags * (CuPointer)l->step, c->own, c->work};
    unsigned blocks[3];
    for (int d = 0; d < 3; d++) blocks[d] = (unsigned)grid_blocks(g, d, l->ctx.batch, p->max_batch);
    if (!blocks[0] || !blocks[1] || !blocks[2]) return;
    for (int i = 0; i < s->nref; i++) c->argument[i] = (void *)(uintptr_t)&l->buf[i];
    c->argument[s->nref] = &run;
    if (g->nnumber) c->argument[s->nref + 1] = p->numbers + g->number;
    cuda_ok(c, c->api->LaunchKernel(c->kernel[l->step], blocks[0], blocks[1], blocks[2], (unsigned)g->threads, 1, 1, 0,
                                    c->compute, c->argument, NULL), program_text(p, s->label));
}

static void run_body(void *arg) {
    const CudaBody *b = arg;
    const Program *p = b->c->program;
    const Step *s = &p->steps[b->step];
    KernelCtx ctx = b->c->ctx;
    ctx.error = &b->c->flags[b->step];
    FpState before = fp_enter();
    b->fn(&(BodyArgs){
        .buf = b->at, .desc = b->desc, .nbuf = s->nref, .nattr = s->nparam,
        .attr = p->params + s->param, .f = s->f, .f2 = s->f2, .ctx = &ctx,
    });
    fp_leave(before);
}

static void launch_body(Cuda *c, const Step *s, const Launch *l) {
    const CudaDriver *a = c->api;
    CudaBody *b = &c->body[l->step];
    b->desc = l->desc;
    for (int i = s->nwritten; i < s->nref; i++) {
        size_t n = (size_t)desc_bytes(&l->desc[i]);
        if (n) cuda_ok(c, a->CopyDown(b->at[i], (CuPointer)(uintptr_t)l->buf[i], n, c->compute), "cuMemcpyDtoHAsync");
    }
    cuda_ok(c, a->LaunchHostFunc(c->compute, run_body, b), "cuLaunchHostFunc");
    for (int i = 0; i < s->nwritten; i++) {
        size_t n = (size_t)desc_bytes(&l->desc[i]);
        if (n) cuda_ok(c, a->CopyUp((CuPointer)(uintptr_t)l->buf[i], b->at[i], n, c->compute), "cuMemcpyHtoDAsync");
    }
}

Err cuda_launch(Device *d, const Launch *l) {
    Cuda *c = (Cuda *)d;
    const Step *s = &c->program->steps[l->step];
    if (!c->running) cuda_ready(c, &l->ctx);
    if (s->kind == STEP_BODY) launch_body(c, s, l);
    else if (!cuda_product(c, l)) launch_kernel(c, s, l);
    return c->failed ? E_DEVICE : E_OK;
}

Err cuda_timed(Device *d, const Launch *l, double *seconds) {
    Cuda *c = (Cuda *)d;
    float ms = 0;
    if (!c->running) cuda_ready(c, &l->ctx);
    cuda_ok(c, c->api->EventRecord(c->from, c->compute), "cuEventRecord");
    cuda_launch(d, l);
    cuda_ok(c, c->api->EventRecord(c->to, c->compute), "cuEventRecord");
    Err e = d->sync(d);
    if (!e && !cuda_ok(c, c->api->EventElapsedTime(&ms, c->from, c->to), "cuEventElapsedTime")) e = E_DEVICE;
    *seconds = 1e-3 * (double)ms;
    return e;
}

// ---- loading ----

// Why the driver refuses a binary, and the way out.
static Err refuse(const Cuda *c, int error, Fault *f) {
    const char *made_for = program_text(c->program, c->program->target);
    int version = cuda_version(c->api), n = 0, made = 0;
    bool named = sscanf(made_for, "cuda:sm_%d%n", &made, &n) == 1 && !made_for[n];
    bool same = named && made == c->info.major * 10 + c->info.minor;
    if (error == CUDA_INVALID_IMAGE && same)
        return fault(f, E_DEVICE,
                     "%s does not take code made for %s: it is of a CUDA newer than the driver's, which is %d.%d (CUDA "
                     "13 needs driver 580 or newer), or damaged: compile it again here",
                     c->info.name, made_for, version / 1000, version % 1000 / 10);
    if (error == CUDA_NO_BINARY_FOR_GPU || error == CUDA_INVALID_IMAGE)
        return fault(f, E_DEVICE,
                     "compiled for %s; %s is sm_%d%d, with a driver for CUDA %d.%d (code made by CUDA 13 needs "
                     "driver 580 or newer): compile with --target cuda:sm_%d%d",
                     made_for, c->info.name, c->info.major, c->info.minor, version / 1000, version % 1000 / 10,
                     c->info.major, c->info.minor);
    if (error == CUDA_UNSUPPORTED_PTX)
        return fault(f, E_DEVICE,
                     "compiled by a CUDA newer than the driver's, which is %d.%d (CUDA 13 needs driver 580 or "
                     "newer)",
                     version / 1000, version % 1000 / 10);
    return cuda_fault(c->api, error, "the program's code cannot be loaded", f);
}

static Err load_parts(Cuda *c, Fault *f) {
    const Program *p = c->program;
    bool ptx = strstr(program_text(p, p->target), "compute_") != NULL;
    for (int i = 0; i < p->npart; i++) {
        const char *image = (const char *)p->code + p->parts[i].offset;
        if (ptx && image[p->parts[i].bytes - 1]) return fault(f, E_MALFORMED, "the program's PTX is not ended");
        int e = c->api->ModuleLoadData(&c->module[i], image);
        if (e) return c->module[i] = NULL, refuse(c, e, f);
    }
    return E_OK;
}

static Err find_kernel(Cuda *c, int i, Fault *f) {
    const Step *s = &c->program->steps[i];
    const char *name = program_text(c->program, s->entry);
    if (s->kind == STEP_FORMULA) return fault(f, E_MALFORMED, "step %d is for an interpreter, not for a GPU", i);
    if (s->kind == STEP_BODY) {
        c->body[i] = (CudaBody){.c = c, .fn = body_find(name), .step = i};
        return c->body[i].fn ? E_OK : fault(f, E_UNSUPPORTED, "this version of tvc has no body '%s'", name);
    }
    CuModule m = c->module[c->program->grids[s->grid].part];
    int e = c->api->ModuleGetFunction(&c->kernel[i], m, name);
    if (e == CUDA_NOT_FOUND) return fault(f, E_MALFORMED, "the program's code has no '%s'", name);
    return e ? cuda_fault(c->api, e, "the program's code cannot be loaded", f) : E_OK;
}

static int64_t operand_bytes(const Program *p, const Step *s) {
    int64_t n = 0;
    for (int k = 0; s->kind == STEP_BODY && k < s->nref; k++) n += align_up(desc_bytes(&p->descs[s->ref + k]));
    return n;
}

// All bodies use the same pinned room: they run one after the other.
static void place_operands(Cuda *c, char *room) {
    const Program *p = c->program;
    for (int i = 0; i < p->nstep; i++) {
        const Step *s = &p->steps[i];
        char *at = room;
        if (s->kind != STEP_BODY) continue;
        c->body[i].at = c->operand + s->ref;
        for (int k = 0; k < s->nref; k++) {
            c->body[i].at[k] = at;
            at += align_up(desc_bytes(&p->descs[s->ref + k]));
        }
    }
}

static Err pin(Cuda *c, Fault *f) {
    enum { PORTABLE = 1, MAPPED = 2 };
    const Program *p = c->program;
    int64_t flags = align_up((int64_t)sizeof *c->flags * p->nstep), seed = align_up(2 * sizeof *c->seed);
    int64_t operands = 0;
    void *at = NULL;
    for (int i = 0; i < p->nstep; i++)
        if (operand_bytes(p, &p->steps[i]) > operands) operands = operand_bytes(p, &p->steps[i]);
    int e = c->api->MemHostAlloc(&at, (size_t)(flags + seed + 2 * CUDA_STAGE + operands), PORTABLE | MAPPED);
    if (e) return cuda_fault(c->api, e, "pinned memory", f);
    c->pinned = at;
    memset(at, 0, (size_t)(flags + seed));
    c->flags = at, c->seed = (uint64_t *)(void *)(c->pinned + flags);
    c->stage[0] = c->pinned + flags + seed, c->stage[1] = c->stage[0] + CUDA_STAGE;
    place_operands(c, c->stage[1] + CUDA_STAGE);
    e = c->api->MemHostGetPointer(&c->flags_on_gpu, at, 0);
    return e ? cuda_fault(c->api, e, "pinned memory", f) : E_OK;
}

// Kernels run one after the other, and leave the counts in it zero: one for all.
static int64_t workspace_bytes(const Program *p) {
    int64_t most = 0;
    for (int i = 0; i < p->ngrid; i++)
        if (p->grids[i].workspace > most) most = p->grids[i].workspace;
    return align_up(most);
}

static Err place_own(Cuda *c, Fault *f) {
    const Program *p = c->program;
    int64_t work = workspace_bytes(p), end = align_up(2 * sizeof *c->seed) + work;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < p->nslot; i++) {
            if (p->slots[i].role != SLOT_INPUT || p->slots[i].buffer < 0) continue;
            int64_t bytes = align_up(desc_bytes(&p->slots[i].desc));
            if (pass) c->input[i].at = c->own + (CuPointer)(end -= bytes);
            else end += bytes;
        }
        int e = pass ? 0 : c->api->MemAlloc(&c->own, (size_t)end);
        if (!e && !pass) e = c->api->MemsetAsync(c->own, 0, (size_t)end, c->compute);
        if (e) return cuda_fault(c->api, e, "device memory for inputs and workspace", f);
    }
    c->work = c->own + (CuPointer)(end - work);
    return E_OK;
}

static void *room(int64_t n, size_t size) { return calloc((size_t)n + 1, size); }

Err cuda_load(Device *d, const Program *p, Fault *f) {
    Cuda *c = (Cuda *)d;
    if (!p->target) return fault(f, E_DEVICE, "compiled for the CPU, not for a GPU");
    c->program = p;
    c->module = room(p->npart, sizeof *c->module), c->kernel = room(p->nstep, sizeof *c->kernel);
    c->body = room(p->nstep, sizeof *c->body), c->input = room(p->nslot, sizeof *c->input);
    c->operand = room(p->nref, sizeof *c->operand), c->argument = room((int64_t)p->nref + 1, sizeof *c->argument);
    if (!c->module || !c->kernel || !c->body || !c->input || !c->operand || !c->argument)
        return fault(f, E_LIMIT, "no memory for %d steps", p->nstep);
    Err e = load_parts(c, f);
    for (int i = 0; i < p->nstep && !e; i++) e = find_kernel(c, i, f);
    if (!e) e = pin(c, f);
    if (!e) e = place_own(c, f);
    if (!e) cuda_products_load(c);
    return e;
}

void cuda_unload(Cuda *c) {
    const CudaDriver *a = c->api;
    for (int i = 0; c->program && c->module && i < c->program->npart; i++)
        if (c->module[i]) a->ModuleUnload(c->module[i]);
    if (c->pinned) a->MemFreeHost(c->pinned);
    if (c->own) a->MemFree(c->own);
    free(c->module), free(c->kernel), free(c->body), free(c->input), free(c->operand), free(c->argument);
}
