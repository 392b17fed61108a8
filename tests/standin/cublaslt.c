// cublaslt.c -- a stand-in for cuBLASLt on that of the driver (driver.c): products in the plain way, strictly.
// TVC_CUBLASLT names the library that this becomes. Where a real one may give wrong numbers, this ends the process:
//   - an algorithm is good for the very product it was found for, within the workspace and alignment promised;
//   - only reductions of parts in f32 may be allowed, as the others' bytes differ from run to run, or are less exact;
//   - every matrix must lie in live memory of the device, the result apart from what is read.
// It refuses, as the real one does, a bias of another type than the result's, and mixed types.
//   STANDIN_CUBLASLT   its version (130000)
// Its calls count for STANDIN_FAIL and STANDIN_TRACE, too.
#define _GNU_SOURCE
#include "standin.h"
#include "runtime/cublaslt.h"
#include "runtime/dtype.h"
#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INVALID = 7, EXECUTION_FAILED = 13, SPLITS_FROM = 64, PARTS = 2, KNOWN_ATTRIBUTES = 40 };

static void wrong(const char *what) {
    fprintf(stderr, "stand-in cuBLASLt: %s\n", what);
    fflush(stderr), abort();
}

// ---- the driver's stand-in ----

static void *driver(const char *name) {
    void *lib = dlopen(getenv("TVC_CUDA"), RTLD_NOW | RTLD_NOLOAD), *fn = lib ? dlsym(lib, name) : NULL;
    if (!fn) wrong("there is no stand-in for the driver");
    dlclose(lib);
    return fn;
}

static int enter(const char *symbol) {
    int (*fn)(const char *);
    *(void **)&fn = driver("standin_enter");
    return fn(symbol);
}

static void count(int n) {
    void (*fn)(int);
    *(void **)&fn = driver("standin_count");
    fn(n);
}

static bool has(const void *p, size_t n) {
    int (*fn)(const void *, size_t);
    *(void **)&fn = driver("standin_has");
    return fn(p, n);
}

static int give(void *stream, Works *work, const void *arg, size_t n) {
    int (*fn)(void *, Works *, const void *, size_t);
    *(void **)&fn = driver("standin_give");
    return fn(stream, work, arg, n);
}

#define ENTER                         \
    int failure = enter(__func__);    \
    if (failure) return failure < 700 ? failure : EXECUTION_FAILED;

// ---- objects: attributes by number, each of its own size ----

typedef enum Type { HANDLE = 0x4c54, PRODUCT, LAYOUT, WISH } Type;

typedef struct Object {
    Type type;
    uint64_t value[KNOWN_ATTRIBUTES];
} Object;

enum { COMPUTE = 0, LAYOUT_TYPE = 0, LAYOUT_STEP = 4 };          // what is set when they are made

static int make(Object **o, Type type) {
    *o = calloc(1, sizeof **o);
    (*o)->type = type;
    return count(1), 0;
}

static int unmake(Object *o, Type type) {
    if (!o || o->type != type) wrong("something that is no such object is given back");
    o->type = 0, free(o);
    return count(-1), 0;
}

static int set(Object *o, Type type, int what, const void *to, size_t n, const unsigned char *sizes) {
    if (!o || o->type != type) wrong("something that is no such object is set");
    if (what < 0 || what >= KNOWN_ATTRIBUTES || !to || !sizes[what] || sizes[what] != n) return INVALID;
    o->value[what] = 0;
    return memcpy(&o->value[what], to, n), 0;
}

size_t cublasLtGetVersion(void) {
    const char *own = getenv("STANDIN_CUBLASLT");
    return own ? (size_t)atoi(own) : 130000;
}

int cublasLtCreate(Object **h) { ENTER return make(h, HANDLE); }
int cublasLtDestroy(Object *h) { return unmake(h, HANDLE); }

int cublasLtMatmulDescCreate(Object **p, int compute, int scale) {
    ENTER
    if ((compute != LT_COMPUTE_F32 && compute != LT_COMPUTE_TF32) || scale != LT_F32) return LT_NOT_SUPPORTED;
    make(p, PRODUCT);
    (*p)->value[COMPUTE] = (uint64_t)compute, (*p)->value[LT_EPILOGUE] = LT_EPILOGUE_NONE;
    (*p)->value[LT_BIAS_TYPE] = UINT32_MAX;
    return 0;
}

int cublasLtMatmulDescDestroy(Object *p) { return unmake(p, PRODUCT); }

int cublasLtMatmulDescSetAttribute(Object *p, int what, const void *to, size_t n) {
    static const unsigned char sizes[KNOWN_ATTRIBUTES] = {
        [LT_TRANSPOSE_A] = 4, [LT_TRANSPOSE_B] = 4, [LT_EPILOGUE] = 4, [LT_BIAS_POINTER] = 8, [LT_BIAS_TYPE] = 4};
    ENTER
    return set(p, PRODUCT, what, to, n, sizes);
}

int cublasLtMatrixLayoutCreate(Object **l, int type, uint64_t rows, uint64_t columns, int64_t step) {
    ENTER
    if (step < (int64_t)rows) return INVALID;
    make(l, LAYOUT);
    uint64_t *v = (*l)->value;
    v[LAYOUT_TYPE] = (uint64_t)type, v[LT_ROWS] = rows, v[LT_COLUMNS] = columns, v[LAYOUT_STEP] = (uint64_t)step;
    return v[LT_COUNT] = 1, 0;
}

int cublasLtMatrixLayoutDestroy(Object *l) { return unmake(l, LAYOUT); }

int cublasLtMatrixLayoutSetAttribute(Object *l, int what, const void *to, size_t n) {
    static const unsigned char sizes[KNOWN_ATTRIBUTES] = {
        [LT_ROWS] = 8, [LT_COLUMNS] = 8, [LT_COUNT] = 4, [LT_STRIDE] = 8};
    ENTER
    return set(l, LAYOUT, what, to, n, sizes);
}

int cublasLtMatmulPreferenceCreate(Object **w) {
    ENTER
    make(w, WISH);
    (*w)->value[LT_REDUCTIONS] = 7;
    for (int i = LT_ALIGN_A; i <= LT_ALIGN_D; i++) (*w)->value[i] = 256;
    return 0;
}

int cublasLtMatmulPreferenceDestroy(Object *w) { return unmake(w, WISH); }

int cublasLtMatmulPreferenceSetAttribute(Object *w, int what, const void *to, size_t n) {
    static const unsigned char sizes[KNOWN_ATTRIBUTES] = {
        [LT_MOST_WORKSPACE] = 8, [LT_REDUCTIONS] = 4, [LT_ALIGN_A] = 4, [LT_ALIGN_B] = 4, [LT_ALIGN_C] = 4,
        [LT_ALIGN_D] = 4};
    ENTER
    return set(w, WISH, what, to, n, sizes);
}

// ---- products ----

typedef struct Matrix { int type; int64_t rows, columns, step, count, stride; char *at; } Matrix;

typedef struct Work {
    Matrix a, b, c, d;                // d = op(a) op(b) + c
    bool turned_a, turned_b, tf32;
    int epilogue, bias_type, parts;
    int64_t m, n, k;
    float alpha, beta;
    char *bias, *workspace;
} Work;

static Matrix matrix(const Object *l) {
    const uint64_t *v = l->value;
    if (l->type != LAYOUT) wrong("something that is no layout");
    return (Matrix){(int)v[LAYOUT_TYPE], (int64_t)v[LT_ROWS], (int64_t)v[LT_COLUMNS], (int64_t)v[LAYOUT_STEP],
                    (int64_t)v[LT_COUNT], (int64_t)v[LT_STRIDE], NULL};
}

static int bytes_of(int type) { return type == LT_F32 ? 4 : 2; }

// Everything but pointers and numbers. False: no such product.
static bool describe(Work *w, const Object *p, const Object *a, const Object *b, const Object *c, const Object *d) {
    *w = (Work){.a = matrix(a), .b = matrix(b), .c = matrix(c), .d = matrix(d)};
    w->turned_a = p->value[LT_TRANSPOSE_A], w->turned_b = p->value[LT_TRANSPOSE_B];
    w->tf32 = p->value[COMPUTE] == LT_COMPUTE_TF32;
    w->epilogue = (int)p->value[LT_EPILOGUE], w->bias_type = (int)p->value[LT_BIAS_TYPE];
    w->m = w->d.rows, w->n = w->d.columns, w->k = w->turned_a ? w->a.rows : w->a.columns;
    const Matrix *x[] = {&w->a, &w->b, &w->c, &w->d};
    for (int i = 0; i < 4; i++)
        if (x[i]->step < x[i]->rows || x[i]->count != w->d.count || x[i]->rows < 1 || x[i]->columns < 1) return false;
    return (w->turned_a ? w->a.columns : w->a.rows) == w->m && (w->turned_b ? w->b.rows : w->b.columns) == w->n &&
           (w->turned_b ? w->b.columns : w->b.rows) == w->k && w->c.rows == w->m && w->c.columns == w->n;
}

static bool supported(const Work *w) {
    bool biased = w->epilogue & LT_EPILOGUE_BIAS;
    return w->a.type == w->b.type && w->c.type == w->d.type && (w->d.type == w->a.type || w->d.type == LT_F32) &&
           (!w->tf32 || w->a.type == LT_F32) && (!biased || w->bias_type == -1 || w->bias_type == w->d.type);
}

// What an algorithm was found for; pointers and numbers are none of it.
static uint64_t number(const Work *w) {
    Work x = *w;
    uint64_t h = 14695981039346656037u;
    const int64_t v[] = {x.m, x.n, x.k, x.a.step, x.b.step, x.c.step, x.d.step, x.d.count, x.a.stride,
                         x.b.stride, x.d.stride, x.a.type, x.d.type, x.turned_a, x.turned_b, x.tf32, x.epilogue};
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) h = (h ^ (uint64_t)v[i]) * 1099511628211u;
    return h;
}

static size_t parts_bytes(const Work *w) { return (size_t)(PARTS * w->m * w->n) * sizeof(float); }

int cublasLtMatmulAlgoGetHeuristic(Object *h, Object *p, Object *a, Object *b, Object *c, Object *d, Object *wish,
                                   int most, LtFound *found, int *n) {
    ENTER
    Work w;
    if (h->type != HANDLE || p->type != PRODUCT || wish->type != WISH) wrong("something that is no such object");
    if (wish->value[LT_REDUCTIONS] & ~(uint64_t)LT_REDUCE_IN_F32) wrong("sums in no certain order were allowed");
    *n = 0;
    if (most < 1 || !describe(&w, p, a, b, c, d)) return INVALID;
    if (!supported(&w)) return LT_NOT_SUPPORTED;
    bool splits = w.k >= SPLITS_FROM && wish->value[LT_REDUCTIONS] & LT_REDUCE_IN_F32 &&
                  wish->value[LT_MOST_WORKSPACE] >= parts_bytes(&w);
    *found = (LtFound){.workspace = splits ? parts_bytes(&w) : 0, .waves = 1};
    uint64_t *v = found->algorithm.data;
    v[0] = number(&w), v[1] = splits ? PARTS : 1;
    for (int i = 0; i < 4; i++) v[2 + i] = wish->value[LT_ALIGN_A + i];
    return *n = 1, 0;
}

// ---- doing it ----

static DType dtype(int type) { return type == LT_F16 ? DT_F16 : type == LT_BF16 ? DT_BF16 : DT_F32; }

static float number_at(const char *at, int type, int64_t i) {
    return (float)dtype_get_f(dtype(type), at + i * dtypes[dtype(type)].bytes);
}

static void put(char *at, int type, int64_t i, float f) {
    dtype_set_f(dtype(type), at + i * dtypes[dtype(type)].bytes, f);
}

static float to_tf32(float f) {
    uint32_t bits;
    memcpy(&bits, &f, 4);
    bits = (bits + 0x1000) & 0xffffe000;
    return memcpy(&f, &bits, 4), f;
}

static float factor(const Work *w, const Matrix *x, bool turned, int64_t z, int64_t row, int64_t column) {
    int64_t i = z * x->stride + (turned ? column + row * x->step : row + column * x->step);
    float f = number_at(x->at, x->type, i);
    return w->tf32 ? to_tf32(f) : f;
}

static float part(const Work *w, int64_t z, int64_t i, int64_t j, int64_t from, int64_t to) {
    double sum = 0;
    for (int64_t k = from; k < to; k++)
        sum += (double)factor(w, &w->a, w->turned_a, z, i, k) * (double)factor(w, &w->b, w->turned_b, z, k, j);
    return (float)sum;
}

static void finish(const Work *w, int64_t z, int64_t i, int64_t j, float sum) {
    float x = w->alpha * sum;
    if (w->beta != 0) x += w->beta * number_at(w->c.at, w->c.type, z * w->c.stride + i + j * w->c.step);
    if (w->epilogue & LT_EPILOGUE_BIAS) x += number_at(w->bias, w->d.type, i);
    if (w->epilogue & LT_EPILOGUE_RELU) x = fmaxf(x, 0);
    put(w->d.at, w->d.type, z * w->d.stride + i + j * w->d.step, x);
}

static void work(const void *arg) {
    Work w;
    memcpy(&w, arg, sizeof w);
    float *parts = (float *)(void *)w.workspace;
    for (int64_t z = 0; z < w.d.count; z++) {
        for (int p = 0; p < w.parts && w.parts > 1; p++)
            for (int64_t at = 0; at < w.m * w.n; at++)
                parts[p * w.m * w.n + at] = part(&w, z, at % w.m, at / w.m, w.k * p / w.parts, w.k * (p + 1) / w.parts);
        for (int64_t at = 0; at < w.m * w.n; at++) {
            float sum = w.parts > 1 ? parts[at] : part(&w, z, at % w.m, at / w.m, 0, w.k);
            for (int p = 1; p < w.parts; p++) sum += parts[p * w.m * w.n + at];
            finish(&w, z, at % w.m, at / w.m, sum);
        }
    }
}

// ---- giving it to a stream ----

static size_t reach(const Matrix *x) {
    int64_t last = (x->count - 1) * x->stride + (x->columns - 1) * x->step + x->rows;
    return (size_t)(last * bytes_of(x->type));
}

static void place(Matrix *x, void *at, uint64_t aligned) {
    x->at = at;
    if ((uintptr_t)at % aligned || (uint64_t)(x->stride * bytes_of(x->type)) % aligned)
        wrong("less aligned than promised");
    if (!has(at, reach(x))) wrong("a matrix lies in no memory of the device");
}

static bool meet(const Matrix *x, const Matrix *y) { return x->at < y->at + reach(y) && y->at < x->at + reach(x); }

static void place_all(Work *w, void *a, void *b, void *c, void *d, const uint64_t *aligned) {
    place(&w->a, a, aligned[0]), place(&w->b, b, aligned[1]), place(&w->c, c, aligned[2]), place(&w->d, d, aligned[3]);
    if (meet(&w->a, &w->d) || meet(&w->b, &w->d)) wrong("the result lies over a factor");
    bool same = w->c.at == w->d.at && w->c.step == w->d.step && w->c.stride == w->d.stride;
    if (!same && meet(&w->c, &w->d)) wrong("the result lies over what is added");
    if (!(w->epilogue & LT_EPILOGUE_BIAS)) return;
    size_t n = (size_t)(w->m * bytes_of(w->d.type));
    if (!has(w->bias, n) || (uintptr_t)w->bias % 16) wrong("a bias that lies in no memory of the device, or oddly");
    if (w->bias < w->d.at + reach(&w->d) && w->d.at < w->bias + n) wrong("the result lies over the bias");
}

int cublasLtMatmul(Object *h, Object *p, const void *alpha, void *a, Object *la, void *b, Object *lb, const void *beta,
                   void *c, Object *lc, void *d, Object *ld, const LtAlgorithm *how, void *workspace, size_t bytes,
                   void *stream) {
    ENTER
    Work w;
    if (h->type != HANDLE || p->type != PRODUCT) wrong("something that is no such object");
    if (!describe(&w, p, la, lb, lc, ld) || !alpha || !beta) return INVALID;
    if (how->data[0] != number(&w)) wrong("an algorithm that was found for something else");
    memcpy(&w.alpha, alpha, sizeof w.alpha), memcpy(&w.beta, beta, sizeof w.beta);
    w.bias = (char *)(uintptr_t)p->value[LT_BIAS_POINTER], w.parts = (int)how->data[1];
    place_all(&w, a, b, c, d, how->data + 2);
    bool room = bytes >= parts_bytes(&w) && has(workspace, bytes) && (uintptr_t)workspace % 256 == 0;
    if (w.parts > 1 && !room) return INVALID;
    w.workspace = workspace;
    return give(stream, work, &w, sizeof w) ? EXECUTION_FAILED : 0;
}
