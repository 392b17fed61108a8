// dev_cpu.c -- this machine's processors: compiled kernels, hand-written bodies and formulas, on a
// pool of threads.
#include "code.h"
#include "device.h"
#include "interp.h"
#include "pool.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef union Entry {
    KernelFn *kernel;
    BodyFn *body;
} Entry;

typedef struct Cpu {
    Device device;
    Pool *pool;
    Code *code;
    const Program *program;
    Entry *entry;                     // per step
    int64_t *room;                    // per ref: bytes of its buffer, for the interpreter
    int32_t error;                    // set by kernels
} Cpu;

typedef struct Job { const Step *step; Entry entry; const Launch *launch; const Program *program; } Job;

static void run_kernel(int64_t lo, int64_t hi, void *arg) {
    const Job *j = arg;
    j->entry.kernel(lo, hi, j->launch->buf, &j->launch->ctx);
}

static void run_body(int64_t lo, int64_t hi, void *arg) {
    (void)lo, (void)hi;
    const Job *j = arg;
    const Step *s = j->step;
    j->entry.body(&(BodyArgs){
        .buf = j->launch->buf, .desc = j->launch->desc, .nbuf = s->nref, .nattr = s->nparam,
        .attr = j->program->params + s->param, .f = s->f, .f2 = s->f2, .ctx = &j->launch->ctx,
    });
}

static void run_formula(int64_t lo, int64_t hi, void *arg) { formula_run(lo, hi, arg); }

static void launch_formula(Cpu *c, const Step *s, const Launch *l) {
    FormulaArgs a = {
        .code = c->program->params + s->formula, .ncode = s->nformula, .max_batch = c->program->max_batch,
        .buf = l->buf, .room = c->room + s->ref, .ctx = &l->ctx,
    };
    pool_run(c->pool, run_formula, l->units, &a);
}

static Err cpu_launch(Device *d, const Launch *given) {
    Cpu *c = (Cpu *)d;
    Launch launch = *given;
    launch.ctx.error = &c->error;
    c->error = 0;
    const Step *s = &c->program->steps[launch.step];
    Job job = {s, c->entry[launch.step], &launch, c->program};
    if (s->kind == STEP_FORMULA)
        launch_formula(c, s, &launch);
    else if (s->kind == STEP_BODY)
        pool_run(c->pool, run_body, launch.units > 0, &job);
    else
        pool_run(c->pool, run_kernel, launch.units, &job);
    d->culprit = launch.step;
    return c->error ? E_MALFORMED : E_OK;
}

static Err find_entry(Cpu *c, int i, Fault *f) {
    const Step *s = &c->program->steps[i];
    const char *name = program_text(c->program, s->entry);
    if (s->kind == STEP_FORMULA) return formula_check(c->program, s, f);
    if (s->kind == STEP_BODY) {
        c->entry[i].body = body_find(name);
        return c->entry[i].body ? E_OK : fault(f, E_UNSUPPORTED, "this version of tvc has no body '%s'", name);
    }
    if (!c->code && !(c->code = code_open(c->program, f))) return f->code;
    c->entry[i].kernel = code_entry(c->code, name);
    return c->entry[i].kernel ? E_OK : fault(f, E_MALFORMED, "the program's code has no '%s'", name);
}

static Err cpu_load(Device *d, const Program *p, Fault *f) {
    Cpu *c = (Cpu *)d;
    if (p->target) return fault(f, E_DEVICE, "compiled for %s, not for the CPU", program_text(p, p->target));
    c->program = p;
    c->entry = calloc((size_t)p->nstep + 1, sizeof *c->entry);
    c->room = calloc((size_t)p->nref + 1, sizeof *c->room);
    if (!c->entry || !c->room) return fault(f, E_LIMIT, "no memory for %d steps", p->nstep);
    for (int r = 0; r < p->nref; r++) c->room[r] = p->buffers[p->refs[r]].bytes;
    for (int i = 0; i < p->nstep; i++)
        if (find_entry(c, i, f)) return f->code;
    return E_OK;
}

static void *cpu_alloc(Device *d, int64_t bytes) {
    (void)d;
    size_t size = (size_t)bytes + TVC_ALIGN;
    void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mem == MAP_FAILED) return NULL;
    madvise(mem, size, MADV_HUGEPAGE);          // a hint
    return mem;
}

static void cpu_free(Device *d, void *mem, int64_t bytes) {
    (void)d;
    munmap(mem, (size_t)bytes + TVC_ALIGN);
}

static Err cpu_copy(Device *d, Copy way, void *to, const void *from, int64_t bytes) {
    (void)d, (void)way;
    memcpy(to, from, (size_t)bytes);
    return E_OK;
}

static Err cpu_sync(Device *d) { return (void)d, E_OK; }

static void cpu_close(Device *d) {
    Cpu *c = (Cpu *)d;
    pool_free(c->pool);
    code_close(c->code);
    free(c->entry);
    free(c->room);
    free(c);
}

Device *dev_cpu(int threads, Fault *f) {
    Cpu *c = calloc(1, sizeof *c);
    if (c) c->pool = pool_new(threads);
    if (!c || !c->pool) {
        free(c);
        fault(f, E_LIMIT, "no memory for threads");
        return NULL;
    }
    c->device = (Device){
        .name = "cpu", .host = true, .alloc = cpu_alloc, .free = cpu_free, .copy = cpu_copy,
        .load = cpu_load, .launch = cpu_launch, .sync = cpu_sync, .close = cpu_close,
    };
    return &c->device;
}
