// cuda_product.c -- products of matrices through cuBLASLt instead of our own kernels, which stay beside it: they do
// what the library refuses, what it is not better at, and everything where it is missing or fails.
//
// The library counts by columns: our row-major d = a b is its d' = b' a', with our n as its rows. Algorithms are
// what its heuristics name first, under limits that leave only those which give the same bytes every time: a long
// sum may be cut only if its parts are added in f32 by a kernel of their own. They are chosen at the maximum batch
// when a session opens, where the workspace for all of them is set aside; for other batches when one is first met,
// within that workspace. Its ReLU makes 0 of NaN, ours NaN.
#include "cuda.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WORKSPACE = 32 << 20 };

static const float zero = 0, one = 1;

// ---- which products ----

static int64_t times(const Product *x, int a, int b) { return x->size[a] * x->size[b]; }

static double bytes_of(const Program *p, const Step *s, const Product *x) {
    const TensorDesc *desc = p->descs + s->ref;
    int64_t in = dtypes[desc[x->a.ref].type].bytes, out = dtypes[desc[x->d.ref].type].bytes;
    int64_t one_product = (times(x, PRODUCT_M, PRODUCT_K) + times(x, PRODUCT_K, PRODUCT_N)) * in +
                          times(x, PRODUCT_M, PRODUCT_N) * out * (x->c.ref < 0 ? 1 : 2);
    return (double)one_product * (double)x->size[PRODUCT_COUNT];
}

// Is the library likely to be better than the kernel beside it? By shape alone, as a clock would choose otherwise
// from day to day and change bytes. What counts, by data sheets: our kernels use mma.sync, which from Hopper on is
// half of what tensor cores can do, and do not cut long sums; who waits for memory gains nothing. Of full f32 ours
// make three products of tf32, the library one on plain cores: that takes 2.5 times as long on GPUs of computing
// centres, whose tensor cores are that fast, and a third of the time on others.
static bool is_better(const Cuda *c, const Step *s, const Product *x) {
    enum { FLOPS = 1 << 27, FLOPS_PER_BYTE = 100 };
    const Program *p = c->program;
    const Grid *g = &p->grids[s->grid];
    double flops = 2.0 * (double)times(x, PRODUCT_M, PRODUCT_N) * (double)times(x, PRODUCT_K, PRODUCT_COUNT);
    int64_t blocks = 1;
    for (int d = 0; d < 3; d++) blocks *= grid_blocks(g, d, p->max_batch, p->max_batch);
    bool full = p->descs[s->ref + x->a.ref].type == DT_F32 && !x->tf32;
    bool centre = c->info.major == 9 || c->info.major == 10 || (c->info.major == 8 && c->info.minor == 0);
    if (flops < FLOPS || (full && centre)) return false;
    return flops / bytes_of(p, s, x) >= FLOPS_PER_BYTE || blocks < c->info.multiprocessors / 2;
}

// Every matrix of the operand begins at a multiple of so many bytes.
static uint32_t alignment(const Program *p, const Step *s, const Operand *o) {
    int64_t bytes = dtypes[p->descs[s->ref + o->ref].type].bytes;
    uint64_t at = (uint64_t)(o->at * bytes) | (uint64_t)(o->step[PRODUCT_COUNT] * bytes) | TVC_ALIGN;
    return (uint32_t)(at & -at);
}

static bool is_wanted(const Cuda *c, const Step *s) {
    const Program *p = c->program;
    int number = s->kind == STEP_CODE ? p->grids[s->grid].product : 0;
    const Product *x = number ? &p->products[number - 1] : NULL;
    if (!x || (x->bias.ref >= 0 && alignment(p, s, &x->bias) < 16)) return false;
    return c->library.wish == CUBLAS_ALWAYS || is_better(c, s, x);
}

// ---- describing them ----

static int type_of(const Program *p, const Step *s, const Operand *o) {
    DType t = p->descs[s->ref + o->ref].type;
    return t == DT_F16 ? LT_F16 : t == DT_BF16 ? LT_BF16 : LT_F32;
}

// The axis along which neighbours touch counts rows.
static void axes_of(const Operand *o, int x, int y, int axis[2]) {
    axis[0] = o->step[x] == 1 ? x : y, axis[1] = axis[0] == x ? y : x;
}

static int make_layout(Cuda *c, const Step *s, const Product *p, const Operand *o, int x, int y, LtLayout *l) {
    const Cublaslt *a = c->library.api;
    int axis[2];
    axes_of(o, x, y, axis);
    int e = a->LayoutCreate(l, type_of(c->program, s, o), (uint64_t)p->size[axis[0]], (uint64_t)p->size[axis[1]],
                            o->step[axis[1]]);
    if (e) *l = NULL;
    return e ? e : a->LayoutSet(*l, LT_STRIDE, &o->step[PRODUCT_COUNT], sizeof o->step[PRODUCT_COUNT]);
}

static int make_product(Cuda *c, const Step *s, const Product *p, LtProduct *made) {
    const Cublaslt *a = c->library.api;
    int32_t transpose[] = {p->b.step[PRODUCT_N] != 1, p->a.step[PRODUCT_K] != 1};
    int32_t epilogue = (p->relu ? LT_EPILOGUE_RELU : 0) | (p->bias.ref >= 0 ? LT_EPILOGUE_BIAS : 0);
    int e = a->ProductCreate(made, p->tf32 ? LT_COMPUTE_TF32 : LT_COMPUTE_F32, LT_F32);
    if (e) return *made = NULL, e;
    if (!epilogue) epilogue = LT_EPILOGUE_NONE;
    if (!e) e = a->ProductSet(*made, LT_TRANSPOSE_A, &transpose[0], sizeof *transpose);
    if (!e) e = a->ProductSet(*made, LT_TRANSPOSE_B, &transpose[1], sizeof *transpose);
    if (!e) e = a->ProductSet(*made, LT_EPILOGUE, &epilogue, sizeof epilogue);
    if (e || p->bias.ref < 0) return e;
    int32_t type = type_of(c->program, s, &p->bias);
    CuPointer anywhere = c->own;                     // aligned as the bias will be
    e = a->ProductSet(*made, LT_BIAS_TYPE, &type, sizeof type);
    return e ? e : a->ProductSet(*made, LT_BIAS_POINTER, &anywhere, sizeof anywhere);
}

static int describe(Cuda *c, const Step *s, const Product *p, CudaProduct *x) {
    int e = make_layout(c, s, p, &p->b, PRODUCT_N, PRODUCT_K, &x->b);
    if (!e) e = make_layout(c, s, p, &p->a, PRODUCT_K, PRODUCT_M, &x->a);
    if (!e) e = make_layout(c, s, p, &p->d, PRODUCT_N, PRODUCT_M, &x->d);
    x->c = x->d;
    if (!e && p->c.ref >= 0) x->c = NULL, e = make_layout(c, s, p, &p->c, PRODUCT_N, PRODUCT_M, &x->c);
    return e ? e : make_product(c, s, p, &x->product);
}

static int set_layout(const Cublaslt *a, LtLayout l, const Operand *o, int x, int y, const int64_t *size) {
    int axis[2];
    axes_of(o, x, y, axis);
    uint64_t rows = (uint64_t)size[axis[0]], columns = (uint64_t)size[axis[1]];
    int32_t count = (int32_t)size[PRODUCT_COUNT];
    int e = a->LayoutSet(l, LT_ROWS, &rows, sizeof rows);
    if (!e) e = a->LayoutSet(l, LT_COLUMNS, &columns, sizeof columns);
    return e ? e : a->LayoutSet(l, LT_COUNT, &count, sizeof count);
}

static int set_batch(Cuda *c, const Product *p, CudaProduct *x, int64_t batch) {
    const Cublaslt *a = c->library.api;
    int64_t size[PRODUCT_AXES];
    if (x->batch == batch) return 0;
    memcpy(size, p->size, sizeof size);
    if (p->grows >= 0) size[p->grows] = size[p->grows] / c->program->max_batch * batch;
    int e = set_layout(a, x->b, &p->b, PRODUCT_N, PRODUCT_K, size);
    if (!e) e = set_layout(a, x->a, &p->a, PRODUCT_K, PRODUCT_M, size);
    if (!e) e = set_layout(a, x->d, &p->d, PRODUCT_N, PRODUCT_M, size);
    if (!e && x->c != x->d) e = set_layout(a, x->c, &p->c, PRODUCT_N, PRODUCT_M, size);
    x->batch = e ? 0 : batch;
    return e;
}

// ---- choosing algorithms ----

static int set_limits(Cuda *c, const Step *s, const Product *p, int64_t workspace) {
    const CudaLibrary *l = &c->library;
    const Operand *o[] = {&p->b, &p->a, p->c.ref < 0 ? &p->d : &p->c, &p->d};
    uint64_t most = (uint64_t)workspace;
    int e = l->api->WishSet(l->limits, LT_MOST_WORKSPACE, &most, sizeof most);
    for (int i = 0; i < 4 && !e; i++) {
        uint32_t align = alignment(c->program, s, o[i]);
        e = l->api->WishSet(l->limits, LT_ALIGN_A + i, &align, sizeof align);
    }
    return e;
}

// Returns an error; *choice is refused where the library has nothing for this product.
static int choose(Cuda *c, const Step *s, const Product *p, CudaProduct *x, int64_t batch, int64_t workspace,
                  CudaChoice *choice, int64_t *needs) {
    const CudaLibrary *l = &c->library;
    LtFound found = {0};
    int n = 0, e = set_batch(c, p, x, batch);
    if (!e) e = set_limits(c, s, p, workspace);
    if (!e) e = l->api->Find(l->handle, x->product, x->b, x->a, x->c, x->d, l->limits, 1, &found, &n);
    *choice = (CudaChoice){.batch = batch, .refused = n < 1 || found.state || found.workspace > (size_t)workspace,
                           .how = found.algorithm};
    *needs = choice->refused ? 0 : (int64_t)found.workspace;
    return e == LT_NOT_SUPPORTED ? 0 : e;
}

static void give_up(Cuda *c, const char *what, int status) {
    snprintf(c->device.note, sizeof c->device.note, "cuBLASLt: %s failed (status %d): our own kernels are used", what,
             status);
    c->library.off = true, c->device.in_library = 0;
}

static CudaChoice *choice_for(Cuda *c, const Step *s, const Product *p, CudaProduct *x, int64_t batch) {
    int64_t needs;
    for (int i = 0; i < CUDA_RECORDINGS; i++)
        if (x->choice[i].batch == batch) return &x->choice[i];
    CudaChoice *new = &x->choice[x->next];
    x->next = (x->next + 1) % CUDA_RECORDINGS;
    int e = choose(c, s, p, x, batch, c->library.workspace_bytes, new, &needs);
    if (e) give_up(c, "choosing an algorithm", e);
    return new;
}

// ---- opening ----

static void load_products(Cuda *c) {
    CudaLibrary *l = &c->library;
    const Program *p = c->program;
    int64_t needs, most = 0;
    for (int i = 0; i < p->nstep && !l->off; i++) {
        const Step *s = &p->steps[i];
        if (!is_wanted(c, s)) continue;
        int number = p->grids[s->grid].product - 1;
        CudaProduct *x = &l->product[number];
        int e = x->product ? 0 : describe(c, s, &p->products[number], x);
        x->next = 1;
        if (!e) e = choose(c, s, &p->products[number], x, p->max_batch, MOST_WORKSPACE, &x->choice[0], &needs);
        if (e) give_up(c, "describing a product", e);
        else c->device.in_library += !x->choice[0].refused, most = needs > most ? needs : most;
    }
    if (l->off || !most) return;
    int e = c->api->MemAlloc(&l->workspace, (size_t)most);
    if (e) l->workspace = 0, give_up(c, "a workspace", e);
    else l->workspace_bytes = most;
}

static void open_library(Cuda *c) {
    CudaLibrary *l = &c->library;
    uint32_t reductions = LT_REDUCE_IN_F32;
    Fault f;
    l->api = cublaslt(cuda_version(c->api), &f);
    if (!l->api) {
        snprintf(c->device.note, sizeof c->device.note, "%.200s: our own kernels are used", f.text);
        return;
    }
    int e = l->api->Create(&l->handle);
    if (e) l->handle = NULL, give_up(c, "cublasLtCreate", e);
    if (!e && (e = l->api->WishCreate(&l->limits))) l->limits = NULL, give_up(c, "cublasLtMatmulPreferenceCreate", e);
    if (!e && (e = l->api->WishSet(l->limits, LT_REDUCTIONS, &reductions, sizeof reductions)))
        give_up(c, "cublasLtMatmulPreferenceSetAttribute", e);
}

void cuda_products_load(Cuda *c) {
    const Program *p = c->program;
    bool wanted = false;
    for (int i = 0; i < p->nstep && c->library.wish != CUBLAS_NEVER; i++) wanted |= is_wanted(c, &p->steps[i]);
    if (!wanted) return;
    c->library.product = calloc((size_t)p->nproduct, sizeof *c->library.product);
    if (c->library.product) open_library(c);
    if (c->library.api && !c->library.off) load_products(c);
}

// ---- launching ----

static CuPointer place(const Program *p, const Step *s, const Launch *l, const Operand *o) {
    return (CuPointer)(uintptr_t)l->buf[o->ref] + (CuPointer)(o->at * dtypes[p->descs[s->ref + o->ref].type].bytes);
}

static int multiply(Cuda *c, const Step *s, const Product *p, CudaProduct *x, const LtAlgorithm *how, const Launch *l) {
    const CudaLibrary *b = &c->library;
    const Program *g = c->program;
    float alpha = (float)p->alpha;
    CuPointer d = place(g, s, l, &p->d), added = p->c.ref < 0 ? d : place(g, s, l, &p->c);
    CuPointer bias = p->bias.ref < 0 ? 0 : place(g, s, l, &p->bias);
    int e = set_batch(c, p, x, l->ctx.batch);
    if (!e && bias) e = b->api->ProductSet(x->product, LT_BIAS_POINTER, &bias, sizeof bias);
    return e ? e : b->api->Multiply(b->handle, x->product, &alpha, place(g, s, l, &p->b), x->b, place(g, s, l, &p->a),
                                    x->a, p->c.ref < 0 ? &zero : &one, added, x->c, d, x->d, how, b->workspace,
                                    (size_t)b->workspace_bytes, c->compute);
}

bool cuda_product(Cuda *c, const Launch *l) {
    const Program *p = c->program;
    const Step *s = &p->steps[l->step];
    int number = p->grids[s->grid].product - 1;
    CudaProduct *x = c->library.api && !c->library.off && number >= 0 ? &c->library.product[number] : NULL;
    if (!x || !x->product) return false;
    const CudaChoice *choice = choice_for(c, s, &p->products[number], x, l->ctx.batch);
    if (c->library.off || choice->refused) return false;
    c->library.recorded = c->capturing;
    int e = multiply(c, s, &p->products[number], x, &choice->how, l);
    if (e) give_up(c, "cublasLtMatmul", e);
    return !e;
}

bool cuda_products_drop(Cuda *c) {
    if (c->library.recorded && !c->library.off) give_up(c, "recording it", 0);
    return c->library.recorded;
}

void cuda_products_unload(Cuda *c) {
    CudaLibrary *l = &c->library;
    const Cublaslt *a = l->handle ? l->api : NULL;
    for (int i = 0; a && i < c->program->nproduct; i++) {
        const CudaProduct *x = &l->product[i];
        LtLayout layouts[] = {x->a, x->b, x->d, x->c == x->d ? NULL : x->c};
        for (int k = 0; k < 4; k++)
            if (layouts[k]) a->LayoutDestroy(layouts[k]);
        if (x->product) a->ProductDestroy(x->product);
    }
    if (a && l->limits) a->WishDestroy(l->limits);
    if (a) a->Destroy(l->handle);
    if (l->workspace) c->api->MemFree(l->workspace);
    free(l->product);
}
