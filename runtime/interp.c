// interp.c -- running bytecode: one pass over the instructions for each block of elements.
//
// Nothing here trusts an index: a load, store or gather that would leave its buffer does nothing
// and raises the error flag. Conditions (INSIDE) split the block into runs of neighbours that are
// all inside or all outside, so nested code never needs a mask.
#include "interp.h"
#include "interp_ops.h"
#include "philox.h"
#include <string.h>

typedef struct Run {
    const FormulaArgs *a;
    const int64_t *vars;              // extent, grows
    const DotKernels *dot;
    char *cells;
    int64_t pitch;                    // bytes of a column
    bool bad;
    int64_t var[FORMULA_MAX_VARS];
} Run;

typedef struct Index { int64_t at, step; } Index;       // of lane i: at + i * step

static void *column(const Run *r, int64_t reg) { return r->cells + reg * r->pitch; }

static int64_t extent(const Run *r, int64_t v) {
    int64_t n = r->vars[2 * v];
    return r->vars[2 * v + 1] ? n / r->a->max_batch * r->a->ctx->batch : n;
}

// Wraps on hostile numbers; every use is checked.
static const int64_t *read_index(const Run *r, const int64_t *c, Index *x) {
    x->at = *c++, x->step = *c++;
    for (int64_t n = *c++; n; n--, c += 2) x->at = wrap_add(x->at, wrap_mul(r->var[c[0]], c[1]));
    return c;
}

// Element `at` and `count` - 1 more, `step` apart: all inside buffer b?
static bool in_buffer(Run *r, int64_t b, DType s, int64_t at, int64_t step, int64_t count) {
    int64_t n = r->a->room[b] / dtypes[s].bytes, last;
    if (count <= 0) return false;
    if (!__builtin_mul_overflow(step, count - 1, &last) && !__builtin_add_overflow(last, at, &last) &&
        at >= 0 && at < n && last >= 0 && last < n) return true;
    r->bad = true;
    return false;
}

static char *element(const Run *r, int64_t b, DType s, int64_t i) { return (char *)r->a->buf[b] + i * dtypes[s].bytes; }

// ---- single instructions: operands as interp.h lists them; each returns where the next begins ----

static const int64_t *run_load(Run *r, const int64_t *c, Lanes l) {
    void *dst = column(r, c[0]);
    int64_t b = c[1];
    DType s = (DType)c[2];
    Index x;
    c = read_index(r, c + 3, &x);
    int64_t first = wrap_add(x.at, x.step * l.lo);
    if (!in_buffer(r, b, s, first, x.step, l.hi - l.lo)) column_fill(dtypes[s].value, dst, l, 0);
    else if (x.step) column_load(s, dst, element(r, b, s, first), x.step, l);
    else {
        int64_t bits = 0;                              // one element for all
        double d;
        const char *at = element(r, b, s, first);
        if (dtype_is_float(s)) d = dtype_get_f(s, at), memcpy(&bits, &d, sizeof d);
        else bits = dtype_get_i(s, at);
        column_fill(dtypes[s].value, dst, l, bits);
    }
    return c;
}

static const int64_t *run_gather(Run *r, const int64_t *c, Lanes l) {
    void *dst = column(r, c[0]);
    DType s = (DType)c[2];
    const ColInt *at = column(r, c[3]);
    for (int i = l.lo; i < l.hi; i++) {
        if (in_buffer(r, c[1], s, at[i], 0, 1)) element_load(s, dst, i, element(r, c[1], s, at[i]));
        else column_fill(dtypes[s].value, dst, (Lanes){i, i + 1}, 0);
    }
    return c + 4;
}

static const int64_t *run_affine(Run *r, const int64_t *c, Lanes l) {
    ColInt *dst = column(r, c[0]);
    Index x;
    c = read_index(r, c + 1, &x);
    for (int i = l.lo; i < l.hi; i++) dst[i] = wrap_add(x.at, x.step * i);
    return c;
}

static const int64_t *run_data(Run *r, const int64_t *c, Lanes l) {
    ColInt *dst = column(r, c[0]);
    const ColInt *a = column(r, c[1]);
    for (int i = l.lo; i < l.hi; i++) {
        bool in = a[i] >= 0 && a[i] < c[2];
        if (!in) r->bad = true;
        dst[i] = in ? a[i] : 0;
    }
    return c + 3;
}

static const int64_t *run_uniform(Run *r, const int64_t *c, Lanes l) {
    r->var[c[0]] = ((const ColInt *)column(r, c[1]))[l.lo];
    return c + 2;
}

static const int64_t *run_random(Run *r, const int64_t *c, Lanes l) {
    ColF32 *dst = column(r, c[0]);
    const ColInt *at = column(r, c[2]);
    uint64_t key = philox_key(r->a->ctx->seed, r->a->ctx->step);
    for (int i = l.lo; i < l.hi; i++) dst[i] = philox_uniform(key, (uint64_t)c[1], (uint64_t)at[i]);
    return c + 3;
}

static const int64_t *run_store(Run *r, const int64_t *c, Lanes l) {
    int64_t b = c[0];
    DType s = (DType)c[1];
    Index x;
    c = read_index(r, c + 2, &x);
    int64_t first = wrap_add(x.at, x.step * l.lo);
    if (in_buffer(r, b, s, first, x.step, l.hi - l.lo))
        column_store(s, (DType)c[0], element(r, b, s, first), x.step, column(r, c[1]), l);
    return c + 2;
}

static void fill_elements(Run *r, const int64_t *f, int64_t at, int64_t n) {
    double d;
    memcpy(&d, &f[3], sizeof d);
    DType s = (DType)f[1];
    if (!in_buffer(r, f[0], s, at, 1, n)) return;
    for (char *p = element(r, f[0], s, at); n--; p += dtypes[s].bytes) {
        if (dtype_is_float((DType)f[2])) dtype_set_f(s, p, d);
        else dtype_set_i(s, p, f[3]);
    }
}

// The runs c[1..] of elements, starting from `at`.
static void fill_runs(Run *r, const int64_t *f, const int64_t *c, int64_t at) {
    for (int64_t n = *c++; n; n--, c += 4)
        for (int64_t k = 0; k < c[2] && !r->bad; k++) {
            if (k > r->a->room[f[0]]) r->bad = true;   // more than there can be: the code is damaged
            fill_elements(r, f, wrap_add(wrap_add(at, c[0]), wrap_mul(k, c[3])), c[1]);
        }
}

static const int64_t *run_fill(Run *r, const int64_t *c, Lanes l) {
    const int64_t *f = c;
    Index x;
    bool here = true;
    c = read_index(r, c + 4, &x);
    for (int64_t n = *c++; n; n--, c++) here = here && r->var[*c] == 0;
    for (int i = l.lo; here && i < (x.step ? l.hi : l.lo + 1); i++) fill_runs(r, f, c, wrap_add(x.at, x.step * i));
    return c + 1 + 4 * c[0];
}

// ---- sums of products ----

typedef struct Factor { int64_t buf, factor[FORMULA_MAX_SUMS]; Index x; } Factor;
typedef struct Guard { int64_t extent, factor[FORMULA_MAX_SUMS]; Index x; } Guard;

typedef struct Sum {
    Run *r;
    int nvar, nguard;
    int64_t var[FORMULA_MAX_SUMS], extent[FORMULA_MAX_SUMS];
    Factor f[2];
    Guard guard[FORMULA_MAX_SUMS];
    float acc[FORMULA_MAX_BLOCK];
} Sum;

// An index whose summation variables stand at 0, and how it moves with each of them.
static const int64_t *read_moving(Sum *s, const int64_t *c, Index *x, int64_t *factor) {
    const int64_t *terms = c + 2;
    c = read_index(s->r, c, x);
    for (int j = 0; j < s->nvar; j++) {
        factor[j] = 0;
        for (const int64_t *t = terms + 1; t < c; t += 2)
            if (t[0] == s->var[j]) factor[j] += t[1];
    }
    return c;
}

static const int64_t *read_sum(Sum *s, const int64_t *c) {
    s->nvar = (int)*c++;
    for (int j = 0; j < s->nvar; j++)
        s->var[j] = *c++, s->extent[j] = extent(s->r, s->var[j]), s->r->var[s->var[j]] = 0;
    for (int i = 0; i < 2; i++) s->f[i].buf = *c, c = read_moving(s, c + 1, &s->f[i].x, s->f[i].factor);
    s->nguard = (int)*c++;
    for (int i = 0; i < s->nguard; i++)
        s->guard[i].extent = *c, c = read_moving(s, c + 1, &s->guard[i].x, s->guard[i].factor);
    return c;
}

// The lanes for which a guard whose index is `at` in lane 0 is inside. Its step is not negative.
static Lanes inside_lanes(int64_t at, int64_t step, int64_t n, Lanes l) {
    if (step == 0) return at >= 0 && at < n ? l : (Lanes){l.lo, l.lo};
    while (l.lo < l.hi && wrap_add(at, step * l.lo) < 0) l.lo++;
    while (l.lo < l.hi && wrap_add(at, step * (l.hi - 1)) >= n) l.hi--;
    return l;
}

// One run of the innermost variable, `count` steps; the indices' parts from the others are at[].
static void add_run(Sum *s, const int64_t *at, int64_t count, Lanes l) {
    Run *r = s->r;
    int j = s->nvar - 1, n = l.hi - l.lo;
    int64_t a = wrap_add(at[0], s->f[0].x.step * l.lo), b = wrap_add(at[1], s->f[1].x.step * l.lo);
    int64_t ka = s->f[0].factor[j], kb = s->f[1].factor[j], sa = s->f[0].x.step, sb = s->f[1].x.step;
    for (int i = 0; i < 2; i++) {                      // the corners of what is read
        int64_t first = i ? b : a, k = i ? kb : ka, step = i ? sb : sa, last;
        if (s->f[i].buf < 0) continue;
        if (__builtin_mul_overflow(k, count - 1, &last) || __builtin_add_overflow(last, first, &last)) last = -1;
        if (!in_buffer(r, s->f[i].buf, DT_F32, first, step, n) || !in_buffer(r, s->f[i].buf, DT_F32, last, step, n))
            return;
    }
    static const float one = 1;
    const MemF32 *pa = (const MemF32 *)element(r, s->f[0].buf, DT_F32, a);
    const MemF32 *pb = s->f[1].buf < 0 ? &one : (const MemF32 *)element(r, s->f[1].buf, DT_F32, b);
    float *acc = s->acc + l.lo;
    if (sa == 1 && sb == 0) r->dot->rows(acc, n, (const char *)pa, (const char *)pb, ka, kb, count);
    else if (sa == 0 && sb == 1) r->dot->rows(acc, n, (const char *)pb, (const char *)pa, kb, ka, count);
    else if (ka == 1 && kb == 1)
        for (int i = 0; i < n; i++)
            acc[i] += r->dot->dot((const char *)(pa + i * sa), (const char *)(pb + i * sb), count);
    else
        for (int64_t k = 0; k < count; k++)
            for (int i = 0; i < n; i++) acc[i] += pa[k * ka + i * sa] * pb[k * kb + i * sb];
}

// One place of the outer variables: what guards leave of the lanes, in bounded runs, so that the
// single precision sums stay short.
static void add_place(Sum *s, const int64_t *place, ColF64 *total, Lanes l) {
    enum { RUN = 128 };
    int inner = s->nvar - 1;
    int64_t at[2];
    for (int i = 0; i < 2; i++) {
        at[i] = s->f[i].x.at;
        for (int j = 0; j < inner; j++) at[i] = wrap_add(at[i], wrap_mul(place[j], s->f[i].factor[j]));
    }
    int64_t step = s->extent[inner] < RUN ? s->extent[inner] : RUN;
    for (int i = 0; i < s->nguard; i++)
        if (s->guard[i].factor[inner]) step = 1;       // the guard moves with every step
    for (int64_t k = 0; k < s->extent[inner]; k += step) {
        Lanes in = l;
        int64_t count = s->extent[inner] - k < step ? s->extent[inner] - k : step, from[2];
        for (int i = 0; i < s->nguard; i++) {
            int64_t g = wrap_add(s->guard[i].x.at, wrap_mul(k, s->guard[i].factor[inner]));
            for (int j = 0; j < inner; j++) g = wrap_add(g, wrap_mul(place[j], s->guard[i].factor[j]));
            in = inside_lanes(g, s->guard[i].x.step, s->guard[i].extent, in);
        }
        if (in.lo >= in.hi) continue;
        for (int i = 0; i < 2; i++) from[i] = wrap_add(at[i], wrap_mul(k, s->f[i].factor[inner]));
        for (int i = in.lo; i < in.hi; i++) s->acc[i] = 0;
        add_run(s, from, count, in);
        for (int i = in.lo; i < in.hi; i++) total[i] += (double)s->acc[i];
    }
}

static bool next_place(int64_t *place, const int64_t *extent_of, int n) {
    for (int j = n - 1; j >= 0; j--) {
        if (++place[j] < extent_of[j]) return true;
        place[j] = 0;
    }
    return false;
}

static const int64_t *run_sumprod(Run *r, const int64_t *c, Lanes l) {
    Sum s;
    s.r = r;
    ColF64 *total = column(r, c[0]);
    c = read_sum(&s, c + 1);
    for (int i = l.lo; i < l.hi; i++) total[i] = 0;
    int64_t place[FORMULA_MAX_SUMS] = {0};
    bool some = s.nvar > 0;
    for (int j = 0; j < s.nvar; j++) some = some && s.extent[j] > 0;
    if (some) do add_place(&s, place, total, l); while (next_place(place, s.extent, s.nvar - 1));
    fold_end(DT_F32, total, l);
    return c;
}

// ---- nested code ----

static void run_code(Run *r, const int64_t *c, const int64_t *end, Lanes l);

static const int64_t *run_reduce(Run *r, const int64_t *c, Lanes l) {
    void *acc = column(r, c[0]);
    const void *value = column(r, c[4]);
    DType t = (DType)c[1];
    Arith op = (Arith)c[2];
    const int64_t *code = c + 6, *end = code + c[5];
    int64_t *v = &r->var[c[3]], n = extent(r, c[3]);
    fold_start(t, op, acc, l);
    for (int64_t i = 0; i < n; i++) {
        *v = i;
        run_code(r, code, end, l);
        fold_step(t, op, acc, value, l);
    }
    fold_end(t, acc, l);
    return end;
}

static const int64_t *run_inside(Run *r, const int64_t *c, Lanes l) {
    void *dst = column(r, c[0]);
    DType t = (DType)c[1];
    int64_t n = c[2];
    const ColInt *at = c[3] < 0 ? NULL : column(r, c[3]);
    Index x;
    c = read_index(r, c + 4, &x);
    const int64_t *code[] = {c + 4, c + 4 + c[2]}, *end = code[1] + c[3];
    for (int i = l.lo, from; i < l.hi; ) {
        bool in = false;
        for (from = i; i < l.hi; i++) {                // a run of equals
            int64_t here = at ? at[i] : wrap_add(x.at, x.step * i);
            bool inside = here >= 0 && here < n;
            if (i > from && inside != in) break;
            in = inside;
        }
        run_code(r, code[!in], in ? code[1] : end, (Lanes){from, i});
        column_copy(t, dst, column(r, c[!in]), (Lanes){from, i});
    }
    return end;
}

static const int64_t *run_one(Run *r, const int64_t *c, Lanes l) {
    switch ((FormulaOp)*c++) {
    case FORMULA_IMM: column_fill((DType)c[1], column(r, c[0]), l, c[2]); return c + 3;
    case FORMULA_AFFINE: return run_affine(r, c, l);
    case FORMULA_LOAD: return run_load(r, c, l);
    case FORMULA_GATHER: return run_gather(r, c, l);
    case FORMULA_DATA: return run_data(r, c, l);
    case FORMULA_ARITH:
        column_arith((DType)c[1], (Arith)c[2], column(r, c[0]), column(r, c[3]), column(r, c[4]), l, &r->bad);
        return c + 5;
    case FORMULA_SELECT:
        column_select((DType)c[1], column(r, c[0]), column(r, c[2]), column(r, c[3]), column(r, c[4]), l);
        return c + 5;
    case FORMULA_CAST: column_cast((DType)c[1], (DType)c[2], column(r, c[0]), column(r, c[3]), l); return c + 4;
    case FORMULA_BATCH: column_fill(DT_I64, column(r, c[0]), l, wrap_mul(c[1], r->a->ctx->batch)); return c + 2;
    case FORMULA_UNIFORM: return run_uniform(r, c, l);
    case FORMULA_RANDOM: return run_random(r, c, l);
    case FORMULA_REDUCE: return run_reduce(r, c, l);
    case FORMULA_INSIDE: return run_inside(r, c, l);
    case FORMULA_SUMPROD: return run_sumprod(r, c, l);
    case FORMULA_STORE: return run_store(r, c, l);
    default: return run_fill(r, c, l);
    }
}

static void run_code(Run *r, const int64_t *c, const int64_t *end, Lanes l) {
    while (c < end) c = run_one(r, c, l);
}

// ---- units ----

// The variables of unit u; returns the number of its block.
static int64_t unpack(Run *r, const FormulaHeader *h, const int64_t *outer, int64_t u) {
    int64_t block = 0;
    if (h->lane >= 0 && !r->vars[2 * h->lane + 1]) {
        int64_t blocks = (r->vars[2 * h->lane] + h->block - 1) / h->block;
        block = u % blocks, u /= blocks;
    }
    for (int64_t i = h->nouter - 1; i >= 0; i--) {
        int64_t n = r->vars[2 * outer[i]];
        r->var[outer[i]] = i ? u % n : u;
        u /= n;
    }
    return block;
}

void formula_run(int64_t lo, int64_t hi, const FormulaArgs *a) {
    _Alignas(64) char cells[FORMULA_CELLS * 8];
    const FormulaHeader *h = (const FormulaHeader *)a->code;
    const int64_t *vars = a->code + sizeof *h / sizeof(int64_t), *outer = vars + 2 * h->nvar, *code = outer + h->nouter;
    Run r = {.a = a, .vars = vars, .dot = dot_kernels(), .cells = cells, .pitch = h->block * 8};
    for (int64_t u = lo; u < hi; u++) {
        int64_t block = unpack(&r, h, outer, u), n = h->lane < 0 ? 1 : extent(&r, h->lane), from = block * h->block;
        int64_t to = h->lane >= 0 && vars[2 * h->lane + 1] ? n : from + h->block < n ? from + h->block : n;
        for (; from < to; from += h->block) {
            if (h->lane >= 0) r.var[h->lane] = from;
            run_code(&r, code, a->code + a->ncode, (Lanes){0, (int)(to - from < h->block ? to - from : h->block)});
        }
    }
    if (r.bad) *a->ctx->error = 1;
}
