// compile_cuda.c -- the kernels of a graph for a GPU: printed for a grid of threads, compiled by NVRTC.
#include "link.h"
#include "target_cuda.h"

static const char prefix[] = "cuda:";

const char *cuda_arch(const CompileOptions *o) {
    bool is = o->target && !strncmp(o->target, prefix, sizeof prefix - 1);
    return is ? o->target + sizeof prefix - 1 : NULL;
}

CudaOptions cuda_options(const Graph *g, int fn) {
    bool frozen = g->prefix && fn == g->prefix;
    return (CudaOptions){.tf32 = frozen ? g->prefix_tf32 : g->tf32};
}

static Text print_cuda(Graph *g, Unit *u) {
    CudaOptions o = cuda_options(g, u->fn);
    return render_cuda(g->cx, u->k, &o);
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const CudaUnit *const *)a)->name, (*(const CudaUnit *const *)b)->name);
}

// Which binary holds each unit: that of the unit which has its text.
static void set_parts(Cx *cx, Unit *u, int n, CudaUnit *built, int nbuilt) {
    CudaUnit **sorted = NEW(cx, CudaUnit *, nbuilt + 1), key, *want = &key;
    for (int i = 0; i < nbuilt; i++) sorted[i] = &built[i];
    qsort(sorted, (size_t)nbuilt, sizeof *sorted, by_name);
    for (int i = 0; i < n; i++) {
        if (u[i].k->hand) continue;
        key.name = u[i].name;
        const CudaUnit *x = *(CudaUnit **)bsearch(&want, sorted, (size_t)nbuilt, sizeof *sorted, by_name);
        Grid *grid = &u[i].text.grid;
        grid->part = x->part, grid->registers = x->registers, grid->spilled = x->spilled;
    }
}

void compile_cuda(Graph *g, Unit *u, int n, const CompileOptions *o, Compiled *c) {
    Cx *cx = g->cx;
    int m = 0;
    c->distinct = print_all(g, u, n, print_cuda);
    CudaUnit *units = NEW(cx, CudaUnit, c->distinct);
    for (int i = 0; i < n; i++)
        if (!u[i].k->hand && !u[i].again) units[m++] = (CudaUnit){.name = u[i].name, .text = u[i].text.s};
    CudaBuilt *b = NEW(cx, CudaBuilt, 1);
    double start = seconds_now();
    *b = build_cuda(cx, cuda_arch(o), o->cuda, units, m, o->no_cache);
    c->cc_seconds = seconds_now() - start;
    set_parts(cx, u, n, units, m);
    for (int i = 0; i < m; i++) c->spilled += units[i].spilled > 0;
    c->cuda = b, c->cached = b->ncached == b->npart;
}

void link_cuda(Cx *cx, Compiled *c) {
    Program *p = c->program;
    const CudaBuilt *b = c->cuda;
    int64_t size = 0;
    for (int i = 0; i < b->npart; i++) {
        *VEC_PUSH(cx, p->parts, p->npart) = (Part){.offset = size, .bytes = (int64_t)b->part[i].bytes};
        size += ((int64_t)b->part[i].bytes + TVC_ALIGN - 1) / TVC_ALIGN * TVC_ALIGN;
    }
    char *code = NEW(cx, char, size);
    for (int i = 0; i < b->npart; i++) memcpy(code + p->parts[i].offset, b->part[i].cubin, b->part[i].bytes);
    p->code = code, p->code_bytes = size;
}
