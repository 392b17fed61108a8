// cuda_run.h -- generated CUDA against the evaluator: kernels of a case are printed, compiled for the
// emulator by the system's C compiler, all cases in one file, and run in buffers that end at pages without
// access and hold NaN (or -1) wherever no element lies.
#ifndef TVC_CUDA_RUN_H
#define TVC_CUDA_RUN_H
#include "cuda_cases.h"
#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAXBUF = 24 };

static const char *named(Cx *cx, const char *text, const char *name) {
    const char *out = "", *d;
    for (; (d = strchr(text, '$')); text = d + 1) out = cx_fmt(cx, "%s%.*s%s", out, (int)(d - text), text, name);
    return cx_fmt(cx, "%s%s", out, text);
}

// ---- compiling for the emulator ----

static void write_job(FILE *f, Cx *cx, const Job *j) {
    const char *name = kernel_name(cx, j), *args = "";
    for (int b = 0; b < j->k->nbuf; b++) args = cx_fmt(cx, "%sb[%d], ", args, b);
    args = cx_fmt(cx, "%sctx", args);
    if (j->text.nnumber) args = cx_fmt(cx, "%s, *(const %s_numbers *)ctx.numbers", args, name);
    fprintf(f, "%sstatic void call_%s(void **b, Ctx ctx) { %s(%s); }\n", named(cx, j->text.s, name), name, name, args);
    fprintf(f,
            "void run_%s(const int64_t *grid, int threads, int mode, void **b, Ctx ctx) { launch(grid, threads, mode, "
            "call_%s, b, ctx); }\n\n",
            name, name);
}

// The shared library of all jobs' kernels; NULL where the emulator cannot be built here.
static void *emulate(Cx *cx, const Job *j, int n, const char *folder) {
    const char *c = cx_fmt(cx, "%s/kernels.c", folder), *so = cx_fmt(cx, "%s/kernels.so", folder);
    FILE *f = fopen(c, "w");
    if (!f) fail(cx, E_IO, "cannot write %s", c);
    fprintf(f, "#include \"%s/tests/cuda_emulator.h\"\n", TVC_SOURCE_DIR);
    for (int i = 0; i < n; i++) write_job(f, cx, &j[i]);
    fclose(f);
    const char *flags =
        "-O1 -std=gnu11 -w -fno-strict-aliasing -fPIC -shared -fsanitize=alignment -fsanitize-undefined-trap-on-error";
    if (system(cx_fmt(cx, "${TVC_CC:-cc} %s -I%s/codegen -o %s %s -lm", flags, TVC_SOURCE_DIR, so, c)))
        fail(cx, E_INTERNAL, "the C compiler refuses %s", c);
    void *lib = dlopen(so, RTLD_NOW | RTLD_LOCAL);
    if (!lib) fail(cx, E_INTERNAL, "%s", dlerror());
    return lib;
}

// ---- buffers ----

static size_t node_bytes(const Node *n) { return (size_t)n->view.room * (size_t)dtypes[n->type].bytes; }

static void *guarded_buffer(size_t size) {
    size_t room = (size + 15) / 16 * 16, pages = (room + 4095) & ~(size_t)4095;
    char *p = mmap(0, pages + 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(p, 4096, PROT_NONE), mprotect(p + 4096 + pages, 4096, PROT_NONE);
    memset(p + 4096, 0xff, pages);
    return p + 4096 + pages - room;
}

static void free_buffer(void *p, size_t size) {
    size_t room = (size + 15) / 16 * 16, pages = (room + 4095) & ~(size_t)4095;
    munmap((char *)p - (pages - room) - 4096, pages + 8192);
}

static double number(uint32_t *seed) { return (double)((*seed = *seed * 1664525 + 1013904223) >> 8) / (1 << 23) - 1; }

// Every element in use, through the view; what lies between, and beyond the batch in use, stays poison.
static void fill(const Node *n, void *p, int64_t max, int64_t used, uint32_t seed) {
    int64_t at[MAXDIM] = {0};
    if (padded_from(n) < n->shape.n) memset(p, 0, node_bytes(n));         // padding is zero
    for (int d = 0; d >= 0;) {
        int64_t to = n->view.base;
        for (int i = 0; i < n->shape.n; i++) to += at[i] * n->view.stride[i];
        double x = number(&seed);
        char *e = (char *)p + to * dtypes[n->type].bytes;
        if (dtype_is_float(n->type)) dtype_set_f(n->type, e, x);
        else dtype_set_i(n->type, e, (int64_t)(x * 7) + (dtype_is_signed(n->type) ? 0 : 7));
        for (d = n->shape.n - 1; d >= 0; d--) {
            if (++at[d] < (n->shape.batch == d + 1 ? n->shape.d[d] / max * used : n->shape.d[d])) break;
            at[d] = 0;
        }
    }
}

// ---- judging ----

static double tolerance(const Case *c, DType t) {
    if (c->tolerance > 0) return c->tolerance;
    return t == DT_F16 ? 8e-4 : t == DT_BF16 ? 5e-3 : dtype_is_float(t) ? 2e-6 : 0;
}

// The largest error by the largest value; 1 if anything was written where no element lies, or not at all.
static double error_of(const Node *n, const char *got, const char *want) {
    int size = dtypes[n->type].bytes;
    double worst = 0, top = 1e-9;
    for (int64_t i = 0; i < n->view.room; i++) {
        static const unsigned char none[8] = {255, 255, 255, 255, 255, 255, 255, 255};
        const char *g = got + i * size, *w = want + i * size;
        if (!memcmp(g, w, (size_t)size)) {
            if (memcmp(w, none, (size_t)size)) top = fmax(top, fabs(dtype_get_f(n->type, w)));
            continue;
        }
        double a = dtype_get_f(n->type, g), b = dtype_get_f(n->type, w), e = fabs(a - b);
        if (a != a && b != b && memcmp(w, none, (size_t)size) && memcmp(g, none, (size_t)size)) continue;
        if (!(e <= worst)) worst = e == e ? e : INFINITY;
        top = fmax(top, fabs(b));
    }
    return worst / top;
}

typedef struct Memory { const Node *node[MAXBUF]; void *p[MAXBUF]; void *want[MAXBUF]; int n; } Memory;

static void *buffer(Memory *m, const Node *n) {
    for (int i = 0; i < m->n; i++)
        if (m->node[i] == n) return m->p[i];
    m->node[m->n] = n;
    return m->p[m->n++] = guarded_buffer(node_bytes(n));
}

typedef struct RunCtx { int64_t batch; int32_t *error; const uint64_t *seed; void *work; const void *numbers; } RunCtx;
typedef void Runs(const int64_t *grid, int threads, int mode, void **buf, RunCtx ctx);

enum { COUNTS = 1 << 14 };            // bytes with which a workspace begins; they must be zero again after each run

static void poison(const Job *j, char *work) {
    if (work) memset(work + COUNTS, 0xff, (size_t)j->text.grid.workspace - COUNTS);
}

static void run_job(Cx *cx, const Job *j, void *lib, Memory *m, int mode, void *work) {
    int32_t bad = 0;
    uint64_t seed[2] = {0, 0};
    void *arg[MAXBUF];
    int64_t grid[3];
    Runs *run = (Runs *)(uintptr_t)dlsym(lib, cx_fmt(cx, "run_%s", kernel_name(cx, j)));
    for (int b = 0; b < j->k->nbuf; b++) arg[b] = buffer(m, j->k->buf[b]);
    for (int d = 0; d < 3; d++) grid[d] = grid_blocks(&j->text.grid, d, batches(j->c->used), batches(j->c->max));
    run(grid, j->text.grid.threads, mode, arg, (RunCtx){batches(j->c->used), &bad, seed, work, j->text.number});
    if (bad) fail(cx, E_CHECK, "%s: an index or divisor is out of range", j->c->name);
}

// What kernel k makes of what lies in memory, into want[]: the place of each of the job's results.
static void evaluate(Cx *cx, const Job *j, Kernel *k, Memory *m, void **want) {
    void *arg[MAXBUF];
    for (int b = 0; b < k->nbuf; b++) {
        arg[b] = buffer(m, k->buf[b]);
        for (int i = 0; b < k->nout && i < j->k->nout; i++)
            if (j->k->buf[i] == k->buf[b]) arg[b] = want[i];
    }
    if (!kernel_eval(k, arg, batches(j->c->used))) fail(cx, E_CHECK, "%s: the evaluator met bad data", j->c->name);
}

static const double SUMS_TOLERANCE = 1e-6;

// The worst error of three thread schedules, in parts of what is allowed: above 1 is wrong. Sums over what a product
// stores are those of what it has stored.
static double judge(Cx *cx, const Job *j, void *lib) {
    Memory m = {.n = 0};
    Kernel *k = j->k;
    void *want[MAXBUF];
    double worst = 0;
    for (int b = 0; b < k->nbuf; b++) {
        void *p = buffer(&m, k->buf[b]);
        if (b >= k->nout) fill(k->buf[b], p, batches(j->c->max), batches(j->c->used), (uint32_t)(3 + b - k->nsum));
        else want[b] = guarded_buffer(node_bytes(k->buf[b]));
    }
    evaluate(cx, j, j->product, &m, want);
    char *work = j->text.grid.workspace ? calloc(1, (size_t)j->text.grid.workspace) : NULL;
    for (int mode = 0; mode < 3; mode++) {
        for (int b = 0; b < k->nout; b++) memset(buffer(&m, k->buf[b]), 0xff, node_bytes(k->buf[b]));
        poison(j, work);
        run_job(cx, j, lib, &m, mode, work);
        if (j->sums) evaluate(cx, j, j->sums, &m, want);
        for (int b = 0; b < k->nout; b++) {
            double e = error_of(k->buf[b], buffer(&m, k->buf[b]), want[b]);
            double t = b < j->product->nout ? tolerance(j->c, k->buf[b]->type) : SUMS_TOLERANCE;
            if (!(e <= t)) worst = fmax(worst, t > 0 ? e / t : INFINITY);
        }
    }
    free(work);
    for (int b = 0; b < k->nout; b++) free_buffer(want[b], node_bytes(k->buf[b]));
    for (int i = 0; i < m.n; i++) free_buffer(m.p[i], node_bytes(m.node[i]));
    return worst;
}

static const char *scratch_folder(Cx *cx) {
    char *path = cx_fmt(cx, "%s/tvc-cuda-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(path)) fail(cx, E_IO, "cannot make a folder in %s", path);
    return path;
}

static void remove_folder(Cx *cx, const char *folder) {
    unlink(cx_fmt(cx, "%s/kernels.c", folder)), unlink(cx_fmt(cx, "%s/kernels.so", folder)), rmdir(folder);
}

#endif
