// arith.h -- what the integer column of kops.h means: numbers wrap, dividing by zero gives 0 and
// sets *bad. Whoever includes kops.h names safe_div, safe_rem and safe_mod with its own *bad.
#ifndef TVC_ARITH_H
#define TVC_ARITH_H
#include "dtype.h"
#include <math.h>

typedef enum Arith {
#define KOP(name, ...) ARITH_##name,
#include "kops.h"
    NARITH
} Arith;

static inline int64_t wrap_add(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }
static inline int64_t wrap_sub(int64_t a, int64_t b) { return (int64_t)((uint64_t)a - (uint64_t)b); }
static inline int64_t wrap_mul(int64_t a, int64_t b) { return (int64_t)((uint64_t)a * (uint64_t)b); }

static inline int64_t int_div(int64_t a, int64_t b, bool *bad) {
    if (b == 0) return *bad = true, 0;
    return b == -1 ? wrap_sub(0, a) : a / b;
}

static inline int64_t int_rem(int64_t a, int64_t b, bool *bad) {
    if (b == 0) return *bad = true, 0;
    return b == -1 ? 0 : a % b;
}

static inline int64_t int_mod(int64_t a, int64_t b, bool *bad) {
    int64_t r = int_rem(a, b, bad);
    return r && (r < 0) != (b < 0) ? r + b : r;
}

static inline int64_t int_pow(int64_t a, int64_t b) {
    if (b < 0) return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
    int64_t r = 1;
    for (; b; b >>= 1, a = wrap_mul(a, a))
        if (b & 1) r = wrap_mul(r, a);
    return r;
}

static inline int64_t safe_shl(int64_t a, int64_t b) { return b < 0 || b > 63 ? 0 : (int64_t)((uint64_t)a << b); }
static inline int64_t safe_shr(int64_t a, int64_t b) { return b < 0 || b > 63 ? 0 : a >> b; }

static inline double floor_mod(double a, double b) {
    double r = fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

// What is left of i in type t.
static inline int64_t int_narrow(DType t, int64_t i) {
    switch (t) {
    case DT_I8: return (int8_t)i;
    case DT_I16: return (int16_t)i;
    case DT_I32: return (int32_t)i;
    case DT_U8: return (uint8_t)i;
    case DT_U16: return (uint16_t)i;
    case DT_U32: return (uint32_t)i;
    case DT_BOOL: return i != 0;
    default: return i;
    }
}

// The few operations on which 64-bit unsigned numbers differ from signed ones; false: not one of them.
static inline bool u64_op(Arith op, uint64_t a, uint64_t b, int64_t *r, bool *bad) {
    switch (op) {
    case ARITH_DIV: case ARITH_MOD: case ARITH_FMOD:
        if (b == 0) *bad = true;
        *r = (int64_t)(b == 0 ? 0 : op == ARITH_DIV ? a / b : a % b);
        return true;
    case ARITH_MAX: *r = (int64_t)(a > b ? a : b); return true;
    case ARITH_MIN: *r = (int64_t)(a < b ? a : b); return true;
    case ARITH_LT: *r = a < b; return true;
    case ARITH_LE: *r = a <= b; return true;
    case ARITH_ABS: *r = (int64_t)a; return true;
    case ARITH_SIGN: *r = a != 0; return true;
    case ARITH_SHR: *r = b > 63 ? 0 : (int64_t)(a >> b); return true;
    default: return false;
    }
}

#endif
