// interp_ops.c -- columns of values. Each loop is over elements of one column; the compiler
// makes vectors of most of them.
#include "interp_ops.h"
#include <string.h>

#define EACH(l) for (int i = (l).lo; i < (l).hi; i++)

void column_fill(DType t, void *dst, Lanes l, int64_t bits) {
    double d;
    memcpy(&d, &bits, sizeof d);
    if (t == DT_F32) EACH(l) ((ColF32 *)dst)[i] = (float)d;
    else if (t == DT_F64) EACH(l) ((ColF64 *)dst)[i] = d;
    else EACH(l) ((ColInt *)dst)[i] = bits;
}

void column_copy(DType t, void *dst, const void *src, Lanes l) {
    size_t size = t == DT_F32 ? 4 : 8, from = size * (size_t)l.lo;
    memmove((char *)dst + from, (const char *)src + from, size * (size_t)(l.hi - l.lo));
}

// ---- arithmetic: one loop for each line of kops.h and each kind of column ----

#define RESULT_A(T) T
#define RESULT_F(T) T
#define RESULT_I(T) T
#define RESULT_C(T) ColInt
#define RESULT_L(T) ColInt
#define RESULT_P(T) ColInt

static void arith_f32(Arith op, void *dst, const ColF32 *x, const ColF32 *y, Lanes l) {
    switch (op) {
#define KOP(name, n, class, infix, flt, integer)                                                     \
    case ARITH_##name:                                                                               \
        EACH(l) {                                                                                    \
            double a = (double)x[i], b = (double)y[i];                                               \
            (void)a, (void)b;                                                                        \
            ((RESULT_##class(ColF32) *)dst)[i] = (RESULT_##class(ColF32))(flt);                      \
        }                                                                                            \
        break;
#include "kops.h"
    default: break;
    }
}

static void arith_f64(Arith op, void *dst, const ColF64 *x, const ColF64 *y, Lanes l) {
    switch (op) {
#define KOP(name, n, class, infix, flt, integer)                                                     \
    case ARITH_##name:                                                                               \
        EACH(l) {                                                                                    \
            double a = x[i], b = y[i];                                                               \
            (void)a, (void)b;                                                                        \
            ((RESULT_##class(ColF64) *)dst)[i] = (RESULT_##class(ColF64))(flt);                      \
        }                                                                                            \
        break;
#include "kops.h"
    default: break;
    }
}

#define safe_div(a, b) int_div(a, b, bad)
#define safe_rem(a, b) int_rem(a, b, bad)
#define safe_mod(a, b) int_mod(a, b, bad)

static void arith_int(Arith op, ColInt *dst, const ColInt *x, const ColInt *y, Lanes l, bool *bad) {
    switch (op) {
#define KOP(name, n, class, infix, flt, integer)                                                     \
    case ARITH_##name:                                                                               \
        EACH(l) {                                                                                    \
            int64_t a = x[i], b = y[i];                                                              \
            (void)a, (void)b;                                                                        \
            dst[i] = (integer);                                                                      \
        }                                                                                            \
        break;
#include "kops.h"
    default: break;
    }
}

// U64: the signed loop, then the few operations that differ.
static void arith_u64(Arith op, ColInt *dst, const ColInt *x, const ColInt *y, Lanes l, bool *bad) {
    int64_t r;
    bool ignored;
    if (!u64_op(op, 1, 1, &r, &ignored)) arith_int(op, dst, x, y, l, bad);
    else EACH(l) u64_op(op, (uint64_t)x[i], (uint64_t)y[i], &dst[i], bad);
}

static bool gives_truth(Arith op) {
    static const char class_of[] = {
#define KOP(name, n, class, infix, flt, integer) #class[0],
#include "kops.h"
    };
    return class_of[op] == 'C' || class_of[op] == 'L' || class_of[op] == 'P';
}

void column_arith(DType t, Arith op, void *dst, const void *a, const void *b, Lanes l, bool *bad) {
    if (t == DT_F32) arith_f32(op, dst, a, b, l);
    else if (t == DT_F64) arith_f64(op, dst, a, b, l);
    else if (t == DT_U64) arith_u64(op, dst, a, b, l, bad);
    else arith_int(op, dst, a, b, l, bad);
    if (t == DT_I64 || t == DT_U64 || dtype_is_float(t)) return;
    DType r = gives_truth(op) ? DT_BOOL : t;
    EACH(l) ((ColInt *)dst)[i] = int_narrow(r, ((ColInt *)dst)[i]);
}

#define SELECT(T) EACH(l) ((T *)dst)[i] = cond[i] ? ((const T *)a)[i] : ((const T *)b)[i]

void column_select(DType t, void *dst, const ColInt *cond, const void *a, const void *b, Lanes l) {
    if (t == DT_F32) SELECT(ColF32);
    else SELECT(ColInt);                              // 8 bytes, whatever they mean
}

// ---- casts: as a store to that type would, towards zero and saturating ----

static double float_at(DType t, const void *a, int i) {
    return t == DT_F32 ? (double)((const ColF32 *)a)[i] : ((const ColF64 *)a)[i];
}

static double double_of(DType t, int64_t i) { return t == DT_U64 ? (double)(uint64_t)i : (double)i; }

static int64_t int_of(DType to, double d) {
    char bytes[8];
    if (to == DT_BOOL) return d != 0;
    dtype_set_f(to, bytes, d);
    return dtype_get_i(to, bytes);
}

void column_cast(DType to, DType from, void *dst, const void *a, Lanes l) {
    const ColInt *n = a;
    bool f = dtype_is_float(from);
    if (to == DT_F32) EACH(l) ((ColF32 *)dst)[i] = (float)(f ? float_at(from, a, i) : double_of(from, n[i]));
    else if (to == DT_F64) EACH(l) ((ColF64 *)dst)[i] = f ? float_at(from, a, i) : double_of(from, n[i]);
    else if (f) EACH(l) ((ColInt *)dst)[i] = int_of(to, float_at(from, a, i));
    else EACH(l) ((ColInt *)dst)[i] = int_narrow(to, n[i]);
}

// ---- elements in memory ----

void element_load(DType s, void *dst, int i, const void *at) {
    if (s == DT_F64) ((ColF64 *)dst)[i] = dtype_get_f(s, at);
    else if (dtype_is_float(s)) ((ColF32 *)dst)[i] = (float)dtype_get_f(s, at);
    else ((ColInt *)dst)[i] = dtype_get_i(s, at);
}

void column_load(DType s, void *dst, const char *at, int64_t step, Lanes l) {
    const MemF32 *from = (const MemF32 *)at;
    if (s == DT_F32 && step == 1) memcpy((ColF32 *)dst + l.lo, at, 4 * (size_t)(l.hi - l.lo));
    else if (s == DT_F32) for (int i = l.lo, k = 0; i < l.hi; i++, k++) ((ColF32 *)dst)[i] = from[k * step];
    else EACH(l) element_load(s, dst, i, at + (i - l.lo) * step * dtypes[s].bytes);
}

void column_store(DType s, DType t, char *at, int64_t step, const void *src, Lanes l) {
    int64_t bytes = step * dtypes[s].bytes;
    if (s == DT_F32 && t == DT_F32 && step == 1) memcpy(at, (const ColF32 *)src + l.lo, 4 * (size_t)(l.hi - l.lo));
    else if (dtype_is_float(t)) EACH(l) dtype_set_f(s, at + (i - l.lo) * bytes, float_at(t, src, i));
    else EACH(l) dtype_set_i(s, at + (i - l.lo) * bytes, ((const ColInt *)src)[i]);
}

// ---- folding ----

static int64_t lowest(DType t) { return dtype_is_signed(t) ? INT64_MIN >> (64 - 8 * dtypes[t].bytes) : 0; }

static int64_t highest(DType t) {
    if (t == DT_BOOL) return 1;
    return t == DT_U64 ? -1 : dtype_is_signed(t) ? ~lowest(t) : (int64_t)(UINT64_MAX >> (64 - 8 * dtypes[t].bytes));
}

void fold_start(DType t, Arith op, void *acc, Lanes l) {
    double d = op == ARITH_ADD ? 0 : op == ARITH_MUL ? 1 : op == ARITH_MAX ? -INFINITY : INFINITY;
    int64_t n = op == ARITH_ADD ? 0 : op == ARITH_MUL ? 1 : op == ARITH_MAX ? lowest(t) : highest(t);
    if (dtype_is_float(t)) memcpy(&n, &d, sizeof n);
    column_fill(dtype_is_float(t) ? DT_F64 : t, acc, l, n);
}

static void fold_f32(Arith op, ColF64 *acc, const ColF32 *x, Lanes l) {
    switch (op) {
    case ARITH_ADD: EACH(l) acc[i] += (double)x[i]; break;
    case ARITH_MUL: EACH(l) acc[i] *= (double)x[i]; break;
    case ARITH_MAX: EACH(l) acc[i] = acc[i] > (double)x[i] ? acc[i] : (double)x[i]; break;
    default:        EACH(l) acc[i] = acc[i] < (double)x[i] ? acc[i] : (double)x[i]; break;
    }
}

void fold_step(DType t, Arith op, void *acc, const void *src, Lanes l) {
    bool ignored;
    if (t == DT_F32) fold_f32(op, acc, src, l);
    else column_arith(t, op, acc, acc, src, l, &ignored);
}

// A double is narrowed where it stands: place i of the floats is never behind place i of the doubles.
void fold_end(DType t, void *acc, Lanes l) {
    if (t == DT_F32) EACH(l) ((ColF32 *)acc)[i] = (float)((ColF64 *)acc)[i];
}
