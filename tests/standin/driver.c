// driver.c -- a stand-in for NVIDIA's driver, strict where a real one is lenient. TVC_CUDA names the library
// that this becomes. What a program may get wrong without noticing on a lucky day fails here:
//   - work in streams is done when it is waited for, not when it is given (STANDIN_ORDER says which streams);
//   - memory of the device cannot be touched by the host: it has no access but while kernels and copies run;
//     fresh memory holds NaN, pages around each allocation have no access;
//   - what comes down asynchronously is NaN until it is waited for; only pinned memory may be copied so;
//   - a kernel's pointers must lie in live memory, its threads be those it was compiled for;
//   - what is not given back when the last user of the context leaves ends the process.
//   STANDIN_ORDER    late: all streams wait (default); early: none does; ahead: only the first one waits
//   STANDIN_FAIL     SYMBOL:N:ERROR, the N-th call of SYMBOL fails; errors from 700 on stay
//   STANDIN_DEVICES, STANDIN_ARCH, STANDIN_MEMORY (bytes), STANDIN_VERSION: 1, 90, 1 GiB, 13000
//   STANDIN_TRACE    a file that gets the name of every call
#define _GNU_SOURCE
#include "standin.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    NO_BINARY = 209,
    BAD_PTX = 222,
    NOT_FOUND = 500,
    NOT_READY = 600,
    STICKY = 700,
    CAPTURE = 900,
    ARG_MAX_ = 4096,
    MOST_ARGUMENT_BYTES = 32764,
    MOST_NUMBERS = 1024
};

static long long number(const char *name, long long otherwise) {
    const char *s = getenv(name);
    return s && *s ? atoll(s) : otherwise;
}

// ---- objects ----

typedef struct Memory { struct Memory *next; char *base, *at, *alias; size_t mapped, bytes; bool pinned; } Memory;
typedef struct Stream Stream;
typedef struct Event { Stream *s; uint64_t seq; double when; } Event;
typedef struct Module { void *lib; } Module;
typedef struct Function { struct Function *next; Module *m; Runs *run; int buffers, threads, numbers; } Function;
typedef enum Kind { COPY, SET, KERNEL, HOST, WORK, RECORD, WAIT, GRAPH } Kind;
typedef struct Exec Exec;
typedef struct Op {
    Kind kind;
    char *to, *from;
    size_t bytes;
    unsigned char fill;
    Function *f;
    int64_t grid[3];
    void *arg[ARG_MAX_];
    RunCtx ctx;
    int32_t numbers[MOST_NUMBERS];
    void (*host)(void *);
    Works *work;                      // WORK: on what arg holds
    Event *event;
    Stream *on;                       // WAIT: until this stream has done seq operations
    uint64_t seq;
    Exec *exec;
} Op;
typedef struct Ops { Op *at; uint64_t n, cap; } Ops;
struct Stream { Stream *next; Ops queue; uint64_t done; bool first, capturing; Ops captured; };
struct Exec { Ops ops; };

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static Memory *memories;
static Stream *streams;
static Function *functions;
static int live, users, nstream, stuck;              // objects; retained contexts; streams ever made; an error that stays
static _Thread_local void *current;
static char context;

void __lsan_ignore_object(const void *p) __attribute__((weak));

// The driver counts its objects itself, in `live`; those of a stuck device are forgotten, which is no leak.
static void *counted(void *p) {
    if (p && __lsan_ignore_object) __lsan_ignore_object(p);
    return p;
}

static void *object(size_t bytes) { return counted(calloc(1, bytes)); }

static void wrong(const char *what) {
    fprintf(stderr, "stand-in driver: %s\n", what);
    fflush(stderr), abort();
}

// ---- calls ----

static void trace(const char *symbol) {
    const char *path = getenv("STANDIN_TRACE");
    FILE *f = path && *path ? fopen(path, "a") : NULL;
    if (f) fprintf(f, "%s\n", symbol), fclose(f);
}

// Another wish begins to count anew, and heals a device that was stuck: what it had is forgotten.
static int injected(const char *symbol) {
    static int calls;
    static char before[128];
    const char *s = getenv("STANDIN_FAIL");
    size_t n = strlen(symbol);
    int at = 0, error = 0;
    if (strcmp(s ? s : "", before)) {
        if (stuck) users = live = 0, memories = NULL, streams = NULL;
        calls = stuck = 0, snprintf(before, sizeof before, "%s", s ? s : "");
    }
    if (!s || strncmp(s, symbol, n) || sscanf(s + n, ":%d:%d", &at, &error) != 2 || ++calls != at) return 0;
    if (error >= STICKY) stuck = error;
    return error;
}

static void unlock(int *unused) { (void)unused, pthread_mutex_unlock(&lock); }

// Every function begins with this.
#define ENTER                                                              \
    __attribute__((cleanup(unlock))) int held = pthread_mutex_lock(&lock); \
    (void)held, trace(__func__);                                           \
    int failure = injected(__func__);                                      \
    if (failure || stuck) return failure ? failure : stuck;
#define ENTER_IN_CONTEXT ENTER if (current != &context) return INVALID_CONTEXT;

int cuInit(unsigned flags) {
    ENTER
    return flags ? INVALID_VALUE : number("STANDIN_DEVICES", 1) ? 0 : NO_DEVICE;
}

int cuDriverGetVersion(int *v) { ENTER return *v = (int)number("STANDIN_VERSION", 13000), 0; }

int cuGetErrorName(int e, const char **name) {
    *name = e == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY"
            : e == STICKY      ? "CUDA_ERROR_ILLEGAL_ADDRESS"
                               : "CUDA_ERROR_OTHER";
    return 0;
}

int cuGetErrorString(int e, const char **text) {
    *text = e == OUT_OF_MEMORY ? "out of memory"
            : e == STICKY      ? "an illegal memory access was encountered"
                               : "something else";
    return 0;
}

int cuDeviceGetCount(int *n) { ENTER return *n = (int)number("STANDIN_DEVICES", 1), 0; }

int cuDeviceGet(int *d, int ordinal) {
    ENTER
    return ordinal < 0 || ordinal >= number("STANDIN_DEVICES", 1) ? INVALID_DEVICE : (*d = ordinal, 0);
}

int cuDeviceGetName(char *name, int n, int d) { ENTER return snprintf(name, (size_t)n, "Stand-in GPU %d", d), 0; }

int cuDeviceGetAttribute(int *v, int attribute, int d) {
    ENTER
    (void)d;
    int arch = (int)number("STANDIN_ARCH", 90);
    *v = attribute == 75 ? arch / 10 : attribute == 76 ? arch % 10 : attribute == 16 ? 4 : 0;
    return 0;
}

int cuDeviceTotalMem_v2(size_t *n, int d) { ENTER return (void)d, *n = (size_t)number("STANDIN_MEMORY", 1 << 30), 0; }

int cuDevicePrimaryCtxRetain(void **c, int d) { ENTER return (void)d, users++, *c = &context, 0; }

int cuDevicePrimaryCtxRelease_v2(int d) {
    ENTER
    (void)d;
    if (--users < 0) wrong("a context is released more often than retained");
    if (!users && live) fprintf(stderr, "stand-in driver: %d objects were not given back\n", live), abort();
    return 0;
}

int cuCtxSetCurrent(void *c) {
    ENTER
    if (c && c != &context) return INVALID_CONTEXT;
    return current = c, 0;
}

// ---- memory ----

static size_t used(void) {
    size_t n = 0;
    for (Memory *m = memories; m; m = m->next) n += m->pinned ? 0 : m->bytes;
    return n;
}

static Memory *memory_of(const void *p, size_t n, bool pinned) {
    for (Memory *m = memories; m; m = m->next) {
        const char *at = p;
        if (m->pinned == pinned && at >= m->at && at + n <= m->at + m->bytes) return m;
        if (m->pinned && !pinned && at >= m->alias && at + n <= m->alias + m->bytes) return m;     // mapped
    }
    return NULL;
}

// Device memory is there only while the device works.
static void open_memory(bool open) {
    for (Memory *m = memories; m; m = m->next)
        if (!m->pinned) mprotect(m->base + 4096, m->mapped - 8192, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

static Memory *memory_new(size_t bytes) {
    Memory *m = object(sizeof *m);
    size_t room = (bytes + 255) / 256 * 256, pages = (room + 4095) & ~(size_t)4095;
    m->bytes = bytes, m->mapped = pages + 8192, m->next = memories, memories = m, live++;
    m->base = mmap(0, m->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    m->at = m->base + 4096 + pages - room;
    return m;
}

static void run_stream(Stream *s, uint64_t seq);

// Waits for all that was given, as a real driver does.
static int memory_free(void *p, bool pinned) {
    for (Stream *s = streams; s; s = s->next) run_stream(s, s->queue.n);
    for (Memory **m = &memories; *m; m = &(*m)->next) {
        Memory *x = *m;
        if (x->at != p || x->pinned != pinned) continue;
        *m = x->next;
        munmap(x->base, x->mapped);
        if (x->alias) munmap(x->alias, x->mapped - 8192);
        free(x), live--;
        return 0;
    }
    return INVALID_VALUE;
}

int cuMemGetInfo_v2(size_t *unused, size_t *all) {
    ENTER_IN_CONTEXT
    return *all = (size_t)number("STANDIN_MEMORY", 1 << 30), *unused = *all - used(), 0;
}

int cuMemAlloc_v2(uint64_t *p, size_t bytes) {
    ENTER_IN_CONTEXT
    if (!bytes) return INVALID_VALUE;
    if (used() + bytes > (size_t)number("STANDIN_MEMORY", 1 << 30)) return OUT_OF_MEMORY;
    Memory *m = memory_new(bytes);
    open_memory(true), memset(m->base + 4096, 0xff, m->mapped - 8192), open_memory(false);
    return *p = (uint64_t)(uintptr_t)m->at, 0;
}

int cuMemFree_v2(uint64_t p) { ENTER_IN_CONTEXT return memory_free((void *)(uintptr_t)p, false); }

// The device sees it at another address.
int cuMemHostAlloc(void **p, size_t bytes, unsigned flags) {
    ENTER_IN_CONTEXT
    Memory *m = memory_new(bytes);
    size_t pages = m->mapped - 8192;
    int fd = memfd_create("pinned", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)pages)) wrong("no memory");
    m->pinned = true, m->at = m->base + 4096;
    mmap(m->at, pages, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    if (flags & 2) m->alias = mmap(0, pages, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    memset(m->at, 0xff, pages);
    return *p = m->at, 0;
}

int cuMemHostGetDevicePointer_v2(uint64_t *p, void *host, unsigned flags) {
    ENTER_IN_CONTEXT
    Memory *m = memory_of(host, 1, true);
    if (!m || !m->alias || flags) return INVALID_VALUE;
    return *p = (uint64_t)(uintptr_t)(m->alias + ((char *)host - m->at)), 0;
}

int cuMemFreeHost(void *p) { ENTER_IN_CONTEXT return memory_free(p, true); }

// ---- doing what was given ----

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_until(Stream *s, uint64_t seq);

static void run_kernel(Op *o) {
    for (int i = 0; i < o->f->buffers; i++)
        if (!memory_of(o->arg[i], 0, false)) wrong("a kernel was given a pointer to no memory of the device");
    if (!memory_of(o->ctx.error, 4, false) || !memory_of(o->ctx.seed, 16, false))
        wrong("error flag or seed lie nowhere");
    o->ctx.numbers = o->numbers;
    o->f->run(o->grid, o->f->threads, 0, o->arg, o->ctx);
}

static void run_host(Op *o) {
    open_memory(false);
    o->host(o->from);
    open_memory(true);
}

static void run_ops(Ops *ops);

static void run(Op *o) {
    switch (o->kind) {
    case COPY: memmove(o->to, o->from, o->bytes); break;
    case SET: memset(o->to, o->fill, o->bytes); break;
    case KERNEL: run_kernel(o); break;
    case HOST: run_host(o); break;
    case WORK: o->work(o->arg); break;
    case RECORD: o->event->when = now(); break;
    case WAIT: run_until(o->on, o->seq); break;
    case GRAPH: run_ops(&o->exec->ops); break;
    }
}

static void run_ops(Ops *ops) {
    for (uint64_t i = 0; i < ops->n; i++) run(&ops->at[i]);
}

static void run_until(Stream *s, uint64_t seq) {
    while (s && s->done < seq) {
        Op o = s->queue.at[s->done];
        run(&o);
        s->done++;
    }
}

static void run_stream(Stream *s, uint64_t seq) {
    open_memory(true);
    run_until(s, seq);
    open_memory(false);
}

static bool is_early(const Stream *s) {
    const char *order = getenv("STANDIN_ORDER");
    return order && (!strcmp(order, "early") || (!strcmp(order, "ahead") && !s->first));
}

static void push(Ops *ops, Op o) {
    if (ops->n == ops->cap) ops->at = counted(realloc(ops->at, sizeof o * (ops->cap = ops->cap * 2 + 64)));
    ops->at[ops->n++] = o;
}

static int give(Stream *s, Op o) {
    if (!s) wrong("the legacy stream is used");
    if (s->capturing) return push(&s->captured, o), 0;
    push(&s->queue, o);
    if (is_early(s)) run_stream(s, s->queue.n);
    return 0;
}

// ---- streams and events ----

int cuStreamCreate(Stream **s, unsigned flags) {
    ENTER_IN_CONTEXT
    if (flags != 1) wrong("a stream that waits for the legacy stream");
    *s = object(sizeof **s);
    (*s)->first = nstream++ % 2 == 0, (*s)->next = streams, streams = *s;
    return live++, 0;
}

int cuStreamDestroy_v2(Stream *s) {
    ENTER_IN_CONTEXT
    run_stream(s, s->queue.n);
    Stream **at = &streams;
    while (*at != s) at = &(*at)->next;
    *at = s->next;
    free(s->queue.at), free(s->captured.at), free(s);
    return live--, 0;
}

int cuStreamSynchronize(Stream *s) {
    ENTER_IN_CONTEXT
    if (s->capturing) return CAPTURE;
    return run_stream(s, s->queue.n), 0;
}

int cuStreamWaitEvent(Stream *s, Event *e, unsigned flags) {
    ENTER_IN_CONTEXT
    return flags ? INVALID_VALUE : give(s, (Op){.kind = WAIT, .on = e->s, .seq = e->seq});
}

int cuEventCreate(Event **e, unsigned flags) {
    ENTER_IN_CONTEXT return (void)flags, *e = object(sizeof **e), live++, 0;
}

int cuEventDestroy_v2(Event *e) { ENTER_IN_CONTEXT return free(e), live--, 0; }

int cuEventRecord(Event *e, Stream *s) {
    ENTER_IN_CONTEXT
    if (s->capturing) return CAPTURE;
    e->s = s, e->seq = s->queue.n + 1;
    return give(s, (Op){.kind = RECORD, .event = e});
}

int cuEventSynchronize(Event *e) {
    ENTER_IN_CONTEXT
    return run_stream(e->s, e->seq), 0;
}

int cuEventElapsedTime(float *ms, Event *a, Event *b) {
    ENTER_IN_CONTEXT
    if (!a->s || !b->s || a->s->done < a->seq || b->s->done < b->seq) return NOT_READY;
    return *ms = (float)(1e3 * (b->when - a->when)), 0;
}

// ---- copies ----

int cuMemsetD8Async(uint64_t p, unsigned char x, size_t n, Stream *s) {
    ENTER_IN_CONTEXT
    char *to = (char *)(uintptr_t)p;
    return memory_of(to, n, false) ? give(s, (Op){.kind = SET, .to = to, .fill = x, .bytes = n}) : INVALID_VALUE;
}

int cuMemcpyHtoDAsync_v2(uint64_t p, const void *from, size_t n, Stream *s) {
    ENTER_IN_CONTEXT
    char *to = (char *)(uintptr_t)p;
    if (!memory_of(from, n, true)) wrong("an asynchronous copy from memory that is not pinned");
    return memory_of(to, n, false) ? give(s, (Op){.kind = COPY, .to = to, .from = (char *)(uintptr_t)from, .bytes = n})
                                   : INVALID_VALUE;
}

int cuMemcpyDtoHAsync_v2(void *to, uint64_t p, size_t n, Stream *s) {
    ENTER_IN_CONTEXT
    char *from = (char *)(uintptr_t)p;
    if (!memory_of(to, n, true)) wrong("an asynchronous copy to memory that is not pinned");
    if (!memory_of(from, n, false)) return INVALID_VALUE;
    if (!s->capturing) memset(to, 0xff, n);
    return give(s, (Op){.kind = COPY, .to = to, .from = from, .bytes = n});
}

int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t n, Stream *s) {
    ENTER_IN_CONTEXT
    char *a = (char *)(uintptr_t)to, *b = (char *)(uintptr_t)from;
    if (!memory_of(a, n, false) || !memory_of(b, n, false)) return INVALID_VALUE;
    return give(s, (Op){.kind = COPY, .to = a, .from = b, .bytes = n});
}

// ---- code ----

int cuModuleLoadData(Module **m, const void *bytes) {
    ENTER_IN_CONTEXT
    Image i;
    char path[64], from[64];
    static int loaded;
    int arch = (int)number("STANDIN_ARCH", 90);
    memcpy(&i, bytes, sizeof i);
    if (strcmp(i.magic, STANDIN_MAGIC)) return INVALID_IMAGE;
    if (i.ptx && i.arch > arch) return BAD_PTX;
    if (!i.ptx && (i.arch / 10 != arch / 10 || i.arch % 10 > arch % 10)) return NO_BINARY;
    int fd = memfd_create("code", MFD_CLOEXEC);
    if (fd < 0 || write(fd, (const char *)bytes + sizeof i, (size_t)i.bytes) != i.bytes) return OUT_OF_MEMORY;
    snprintf(path, sizeof path, "/tmp/standin-%d-%d.so", getpid(), loaded++);     // the loader goes by names
    snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
    if (symlink(from, path)) return OUT_OF_MEMORY;
    *m = object(sizeof **m);
    (*m)->lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    unlink(path), close(fd);
    if (!(*m)->lib) return fprintf(stderr, "%s\n", dlerror()), free(*m), INVALID_IMAGE;
    return live++, 0;
}

int cuModuleUnload(Module *m) {
    ENTER_IN_CONTEXT
    for (Function **f = &functions; *f;) {
        Function *x = *f;
        if (x->m == m) *f = x->next, free(x);
        else f = &x->next;
    }
    return dlclose(m->lib), free(m), live--, 0;
}

static void *symbol(const Module *m, const char *what, const char *name) {
    char s[160];
    snprintf(s, sizeof s, "%s_%s", what, name);
    return dlsym(m->lib, s);
}

int cuModuleGetFunction(Function **f, Module *m, const char *name) {
    ENTER_IN_CONTEXT
    void *run_ = symbol(m, "run", name);
    const int *buffers = symbol(m, "buffers", name), *threads = symbol(m, "threads", name),
              *numbers = symbol(m, "numbers", name);
    if (!run_ || !buffers || !threads || !numbers) return NOT_FOUND;
    *f = object(sizeof **f);
    **f = (Function){.next = functions, .m = m, .buffers = *buffers, .threads = *threads, .numbers = *numbers};
    *(void **)&(*f)->run = run_;
    return functions = *f, 0;
}

int cuLaunchKernel(Function *f, unsigned x, unsigned y, unsigned z, unsigned tx, unsigned ty, unsigned tz,
                   unsigned shared, Stream *s, void **arg, void **extra) {
    ENTER_IN_CONTEXT
    if (!x || !y || !z || y > 65535 || z > 65535 || shared || extra || ty != 1 || tz != 1) return INVALID_VALUE;
    if (tx != (unsigned)f->threads || f->numbers > (int)sizeof(int32_t[MOST_NUMBERS]) ||
        f->buffers * (int)sizeof *arg + CTX_BYTES + f->numbers > MOST_ARGUMENT_BYTES)
        return INVALID_VALUE;
    Op o = {.kind = KERNEL, .f = f, .grid = {x, y, z}};
    for (int i = 0; i < f->buffers; i++) o.arg[i] = *(void **)arg[i];
    memcpy(&o.ctx, arg[f->buffers], CTX_BYTES);
    if (f->numbers) memcpy(o.numbers, arg[f->buffers + 1], (size_t)f->numbers);
    return give(s, o);
}

int cuLaunchHostFunc(Stream *s, void (*fn)(void *), void *arg) {
    ENTER_IN_CONTEXT
    return give(s, (Op){.kind = HOST, .host = fn, .from = arg});
}

// ---- graphs ----

int cuStreamBeginCapture_v2(Stream *s, int mode) {
    ENTER_IN_CONTEXT
    if (s->capturing || mode != 1) return CAPTURE;
    return s->capturing = true, s->captured = (Ops){0}, 0;
}

// However it ends, it has ended.
int cuStreamEndCapture(Stream *s, Exec **g) {
    Ops ops = s->captured;
    bool was = s->capturing;
    s->captured = (Ops){0}, s->capturing = false;
    ENTER_IN_CONTEXT
    if (!was) return CAPTURE;
    *g = object(sizeof **g);
    (*g)->ops = ops;
    return live++, 0;
}

int cuGraphInstantiateWithFlags(Exec **e, Exec *g, unsigned long long flags) {
    ENTER_IN_CONTEXT
    if (flags) return INVALID_VALUE;
    *e = object(sizeof **e);
    for (uint64_t i = 0; i < g->ops.n; i++) push(&(*e)->ops, g->ops.at[i]);
    return live++, 0;
}

int cuGraphLaunch(Exec *e, Stream *s) { ENTER_IN_CONTEXT return give(s, (Op){.kind = GRAPH, .exec = e}); }

int cuGraphExecDestroy(Exec *e) { ENTER_IN_CONTEXT return free(e->ops.at), free(e), live--, 0; }

int cuGraphDestroy(Exec *g) { ENTER_IN_CONTEXT return free(g->ops.at), free(g), live--, 0; }

// ---- for a stand-in of a library that works on the device ----

int standin_enter(const char *symbol) {
    __attribute__((cleanup(unlock))) int held = pthread_mutex_lock(&lock);
    (void)held, trace(symbol);
    int failure = injected(symbol);
    return failure ? failure : stuck ? stuck : current != &context ? INVALID_CONTEXT : 0;
}

void standin_count(int n) {
    __attribute__((cleanup(unlock))) int held = pthread_mutex_lock(&lock);
    (void)held, live += n;
}

int standin_has(const void *p, size_t n) {
    __attribute__((cleanup(unlock))) int held = pthread_mutex_lock(&lock);
    return (void)held, memory_of(p, n, false) != NULL;
}

int standin_give(void *stream, Works *fn, const void *arg, size_t n) {
    __attribute__((cleanup(unlock))) int held = pthread_mutex_lock(&lock);
    (void)held;
    Op o = {.kind = WORK, .work = fn};
    if (n > sizeof o.arg) wrong("too much to work on");
    memcpy(o.arg, arg, n);
    return give(stream, o);
}
