// exec.c -- running a Program: every number in it becomes a pointer once, when the session opens.
//
// Device memory of a session, each part at a multiple of TVC_ALIGN:
//     KEEP | ARENA | zeros, for weights that have no bytes | copies of weights, on devices that need them
#include "exec.h"
#include "cuda_driver.h"
#include "device.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct Session {
    const Program *p;
    Device *device;
    char *memory;
    int64_t memory_bytes, zeros_at;
    int64_t batch;
    uint64_t seed, step;
    int running;                      // the function that was started, or -1
    void **mirror;                    // per slot: its copy in the host's memory, once it was looked at
    void **buf;                       // per ref
    TensorDesc *desc;                 // per ref, at the batch in use
    int64_t *weight_at;               // per slot: offset in memory of the copied weight, or -1
    double *seconds;                  // per step, the least of all runs; NULL: not measured
};

static const int64_t most_memory = (int64_t)1 << 47;        // what a process can address

static int64_t align_up(int64_t n) { return (n + TVC_ALIGN - 1) / TVC_ALIGN * TVC_ALIGN; }

static const void *weight_bytes(const Program *p, int slot) { return p->weights ? p->weights[slot] : NULL; }

// What a device says of itself.
static Err explain(const Session *s, Err e, Fault *f) {
    const Device *d = s->device;
    if (e == E_MALFORMED)
        return fault(f, e, "%s: an index or a divisor in the data is out of range",
                     program_text(s->p, s->p->steps[d->culprit].label));
    return fault(f, e, "the device '%s' failed%s%s", d->name, *d->trouble ? ": " : "", d->trouble);
}

// ---- Memory.

static void *weight_data(const Session *s, int slot) {
    const void *given = weight_bytes(s->p, slot);
    if (!given) return s->memory + s->zeros_at;
    return s->device->host ? (void *)given : s->memory + s->weight_at[slot];
}

static void *buffer_data(const Session *s, int buffer) {
    const Buffer *b = &s->p->buffers[buffer];
    if (b->space == SPACE_WEIGHT) return weight_data(s, (int)b->offset);
    return s->memory + (b->space == SPACE_ARENA ? align_up(s->p->keep_bytes) : 0) + b->offset;
}

// Room for `bytes` more behind *end: where it is. Saturates, so that alloc refuses.
static int64_t place(int64_t *end, int64_t bytes) {
    int64_t at = *end;
    if (__builtin_add_overflow(at, bytes, end) || *end > most_memory) *end = most_memory;
    *end = align_up(*end);
    return at;
}

static Err lay_out(Session *s, Fault *f) {
    const Program *p = s->p;
    int64_t zeros = 0, end = align_up(p->keep_bytes) + align_up(p->arena_bytes);
    for (int i = 0; i < p->nslot; i++) {
        int64_t bytes = desc_bytes(&p->slots[i].desc);
        s->weight_at[i] = -1;
        if (p->slots[i].role == SLOT_WEIGHT && bytes > zeros && !weight_bytes(p, i)) zeros = bytes;
    }
    s->zeros_at = place(&end, zeros);
    for (int i = 0; i < p->nslot && !s->device->host; i++)
        if (p->slots[i].role == SLOT_WEIGHT) s->weight_at[i] = place(&end, desc_bytes(&p->slots[i].desc));
    s->memory = end < most_memory ? s->device->alloc(s->device, end) : NULL;
    s->memory_bytes = end;
    const char *why = s->device->trouble;
    if (!s->memory && s->device->sync(s->device)) return explain(s, E_DEVICE, f);
    return s->memory ? E_OK : fault(f, E_LIMIT, "no memory: the model needs %lld MB%s%s", (long long)(end >> 20) + 1,
                                    *why ? "; " : "", why);
}

// Pointers of all steps, and on other devices the weights themselves.
static void bind_weights(Session *s) {
    const Program *p = s->p;
    for (int i = 0; i < p->nslot; i++)
        if (s->weight_at[i] >= 0 && weight_bytes(p, i))
            s->device->copy(s->device, COPY_UP, s->memory + s->weight_at[i], weight_bytes(p, i),
                            desc_bytes(&p->slots[i].desc));
    for (int r = 0; r < p->nref; r++) s->buf[r] = buffer_data(s, p->refs[r]);
}

static void fill_kept(Session *s) {
    const Program *p = s->p;
    for (int i = 0; i < p->nslot; i++) {
        const Slot *slot = &p->slots[i];
        const void *from = weight_bytes(p, i);
        if ((slot->role == SLOT_PARAM || slot->role == SLOT_STATE) && slot->buffer >= 0 && from)
            s->device->copy(s->device, COPY_UP, buffer_data(s, slot->buffer), from, desc_bytes(&slot->desc));
    }
}

// ---- Opening and closing.

static Device *open_device(const Program *p, const SessionOptions *o, Fault *f) {
    const char *name = o->device && strcmp(o->device, "auto") ? o->device : p->target ? "cuda" : "cpu";
    if (!strcmp(name, "cpu")) return dev_cpu(o->threads, f);
    if (!strcmp(name, "null")) return dev_null(o->threads, f);
    if (cuda_ordinal(name) >= 0) return dev_cuda(cuda_ordinal(name), o->cublas, f);
    fault(f, E_USAGE, "there is no device '%s': cpu, cuda, cuda:1 ...", name);
    return NULL;
}

// One block for the session and its arrays; the arrays hold at least one element.
static Session *session_block(const Program *p, const SessionOptions *o) {
    size_t nref = (size_t)p->nref + 1, nslot = (size_t)p->nslot + 1, nstep = o->profile ? (size_t)p->nstep + 1 : 0;
    Session *s = calloc(1, sizeof *s + nref * (sizeof *s->desc + sizeof *s->buf) +
                               nslot * (sizeof *s->weight_at + sizeof *s->mirror) + nstep * sizeof *s->seconds);
    if (!s) return NULL;
    s->p = p, s->seed = o->seed, s->running = -1;
    s->desc = (TensorDesc *)(s + 1);
    s->buf = (void **)(s->desc + nref);
    s->weight_at = (int64_t *)(s->buf + nref);
    s->mirror = (void **)(s->weight_at + nslot);
    s->seconds = nstep ? (double *)(s->mirror + nslot) : NULL;
    return s;
}

static Err start(Session *s, const SessionOptions *o, Fault *f) {
    s->device = open_device(s->p, o, f);
    if (!s->device || s->device->load(s->device, s->p, f) || lay_out(s, f)) return f->code;
    fill_kept(s);
    return session_init_again(s, f);
}

Session *session_new(const Program *p, const SessionOptions *o, Fault *f) {
    static const SessionOptions defaults;
    if (!o) o = &defaults;
    if (program_check(p, f)) return NULL;
    Session *s = session_block(p, o);
    if (!s) fault(f, E_LIMIT, "no memory for %d steps", p->nstep);
    if (s && start(s, o, f)) {
        session_free(s);
        return NULL;
    }
    return s;
}

void session_free(Session *s) {
    if (!s) return;
    for (int i = 0; i < s->p->nslot; i++) free(s->mirror[i]);
    if (s->running >= 0) s->device->sync(s->device);
    if (s->memory) s->device->free(s->device, s->memory, s->memory_bytes);
    if (s->device) s->device->close(s->device);
    free(s);
}

// `init` may need more scratch than any function after it: what only it used goes back.
static void release_scratch(Session *s) {
    const Program *p = s->p;
    int64_t most = 0, page = sysconf(_SC_PAGESIZE);
    for (int i = 1; i < p->nfunction; i++)
        if (p->functions[i].arena_bytes > most) most = p->functions[i].arena_bytes;
    uintptr_t arena = (uintptr_t)s->memory + (uintptr_t)align_up(p->keep_bytes);
    uintptr_t from = (arena + (uintptr_t)(most + page - 1)) / (uintptr_t)page * (uintptr_t)page;
    uintptr_t to = (arena + (uintptr_t)p->arena_bytes) / (uintptr_t)page * (uintptr_t)page;
    if (s->device->host && from < to) madvise((void *)from, to - from, MADV_DONTNEED);
}

Err session_init_again(Session *s, Fault *f) {
    int64_t batch = s->batch ? s->batch : s->p->max_batch;
    bind_weights(s);
    Err e = session_set_batch(s, s->p->max_batch, f);
    if (!e) e = session_call(s, 0, f);
    release_scratch(s);
    return e ? e : session_set_batch(s, batch, f);
}

// ---- Slots.

static TensorDesc desc_at(const Session *s, TensorDesc d) {
    if (d.batch) d.dim[d.batch - 1] = d.dim[d.batch - 1] / s->p->max_batch * s->batch;
    return d;
}

int session_slot(const Session *s, const char *name) {
    for (int i = 0; i < s->p->nslot; i++)
        if (!strcmp(program_text(s->p, s->p->slots[i].name), name)) return i;
    return -1;
}

TensorDesc session_desc(const Session *s, int slot) { return desc_at(s, s->p->slots[slot].desc); }

static void *slot_data(const Session *s, int slot) {
    const Slot *it = &s->p->slots[slot];
    return it->buffer < 0 ? NULL : buffer_data(s, it->buffer);
}

void *session_data(Session *s, int slot) { return s->device->host ? slot_data(s, slot) : NULL; }

static int64_t slot_bytes(const Session *s, int slot) {
    TensorDesc d = session_desc(s, slot);
    return desc_bytes(&d);
}

void session_write(Session *s, int slot, const void *from) {
    Device *d = s->device;
    void *to = slot_data(s, slot);
    bool ahead = to && d->ahead && s->p->slots[slot].role == SLOT_INPUT;
    if (ahead) d->ahead(d, slot, to, from, slot_bytes(s, slot));
    else if (to) d->copy(d, COPY_UP, to, from, slot_bytes(s, slot));
}

Err session_read(Session *s, int slot, void *to, Fault *f) {
    const void *from = slot_data(s, slot);
    Err e = from ? s->device->copy(s->device, COPY_DOWN, to, from, slot_bytes(s, slot)) : E_OK;
    return e ? explain(s, e, f) : E_OK;
}

const void *session_view(Session *s, int slot) {
    const void *from = slot_data(s, slot);
    if (!from || s->device->host) return from;
    void **mirror = &s->mirror[slot];
    if (!*mirror && !(*mirror = malloc((size_t)desc_bytes(&s->p->slots[slot].desc) + 1))) return NULL;
    return s->device->copy(s->device, COPY_DOWN, *mirror, from, slot_bytes(s, slot)) ? NULL : *mirror;
}

// ---- Calls.

Err session_set_batch(Session *s, int64_t n, Fault *f) {
    if (n < 1 || n > s->p->max_batch)
        return fault(f, E_USAGE, "a batch of %lld: this program was compiled for 1 to %lld", (long long)n,
                     (long long)s->p->max_batch);
    s->batch = n;
    for (int r = 0; r < s->p->nref; r++) s->desc[r] = desc_at(s, s->p->descs[r]);
    return E_OK;
}

void session_set_step(Session *s, uint64_t step) { s->step = step; }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static KernelCtx ctx_of(const Session *s) { return (KernelCtx){.batch = s->batch, .seed = s->seed, .step = s->step}; }

// Launch and wait; the least time of all runs counts.
static Err measure(Session *s, int i, const Launch *l) {
    Device *d = s->device;
    double began = now(), took;
    Err e = d->timed ? d->timed(d, l, &took) : d->launch(d, l);
    if (!d->timed) {
        if (!e) e = d->sync(d);
        took = now() - began;
    }
    if (!e && (s->seconds[i] == 0 || took < s->seconds[i])) s->seconds[i] = took;
    return e;
}

static Err run_step(Session *s, int i) {
    const Step *step = &s->p->steps[i];
    Launch l = {
        .step = i,
        .units = step->per_batch ? step->units / s->p->max_batch * s->batch : step->units,
        .buf = s->buf + step->ref,
        .desc = s->desc + step->ref,
        .ctx = ctx_of(s),
    };
    return s->seconds ? measure(s, i, &l) : s->device->launch(s->device, &l);
}

static Err run_steps(Session *s, const Function *fn) {
    Err e = E_OK;
    for (int i = fn->from; i < fn->to && !e; i++) e = run_step(s, i);
    return e;
}

// Devices that record functions are asked before and after; what is measured is not recorded.
static Err run_function(Session *s, int function) {
    Device *d = s->device;
    const Function *fn = &s->p->functions[function];
    KernelCtx ctx = ctx_of(s);
    if (!d->begin || s->seconds) return run_steps(s, fn);
    Err e = E_OK;
    bool again = !d->begin(d, function, &ctx);
    while (again && !e) {
        e = run_steps(s, fn);
        again = d->end(d);
    }
    return e;
}

static bool writes(const Program *p, const Function *fn, int buffer) {
    for (int i = fn->from; i < fn->to; i++)
        for (int r = p->steps[i].ref; r < p->steps[i].ref + p->steps[i].nwritten; r++)
            if (p->refs[r] == buffer) return true;
    return false;
}

static void move_updates(Session *s, const Function *fn) {
    for (int i = 0; i < s->p->nslot; i++) {
        const Slot *slot = &s->p->slots[i];
        if (slot->update >= 0 && writes(s->p, fn, slot->update))
            s->device->copy(s->device, COPY_WITHIN, buffer_data(s, slot->buffer), buffer_data(s, slot->update),
                            desc_bytes(&slot->desc));
    }
}

bool session_ahead(const Session *s) { return s->device->ahead != NULL; }

Err session_start(Session *s, int function, Fault *f) {
    if (function < 0 || function >= s->p->nfunction) return fault(f, E_USAGE, "there is no function %d", function);
    if (s->running >= 0) return fault(f, E_USAGE, "function %d is still running", s->running);
    Err e = run_function(s, function);
    if (e) return explain(s, e, f);
    s->running = function;
    return E_OK;
}

Err session_wait(Session *s, Fault *f) {
    if (s->running < 0) return E_OK;
    Err e = s->device->sync(s->device);
    int function = s->running;
    s->running = -1;
    if (e) return explain(s, e, f);
    move_updates(s, &s->p->functions[function]);
    return E_OK;
}

Err session_call(Session *s, int function, Fault *f) {
    Err e = session_start(s, function, f);
    return e ? e : session_wait(s, f);
}

const char *session_note(const Session *s) { return s->device->note; }

int session_in_library(const Session *s) { return s->device->in_library; }

const double *session_seconds(const Session *s) { return s->seconds; }
