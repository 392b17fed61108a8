// interp_ops.h -- columns of values, and what is done to them. Private to the interpreter.
#ifndef TVC_INTERP_OPS_H
#define TVC_INTERP_OPS_H
#include "arith.h"
#include "program.h"

// Registers change their type as they are used again, and buffers lie anywhere.
typedef float ColF32 __attribute__((may_alias));
typedef double ColF64 __attribute__((may_alias));
typedef int64_t ColInt __attribute__((may_alias));
typedef float MemF32 __attribute__((may_alias, aligned(1)));

typedef struct Lanes { int lo, hi; } Lanes;             // the elements of the block to work on

// Element i of a column lies at its type's i-th place; all columns have room for 8 bytes each.
void column_fill(DType t, void *dst, Lanes l, int64_t bits);
void column_copy(DType t, void *dst, const void *src, Lanes l);
void column_arith(DType t, Arith op, void *dst, const void *a, const void *b, Lanes l, bool *bad);
void column_select(DType t, void *dst, const ColInt *cond, const void *a, const void *b, Lanes l);
void column_cast(DType to, DType from, void *dst, const void *a, Lanes l);

// Element types. `at` is the place of element l.lo; step in elements.
void column_load(DType s, void *dst, const char *at, int64_t step, Lanes l);
void column_store(DType s, DType t, char *at, int64_t step, const void *src, Lanes l);
void element_load(DType s, void *dst, int i, const void *at);          // dst[i] = *at

// Folding over a loop: floats in double precision. start, then step for each value, then end.
void fold_start(DType t, Arith op, void *acc, Lanes l);
void fold_step(DType t, Arith op, void *acc, const void *src, Lanes l);
void fold_end(DType t, void *acc, Lanes l);

// Sums of products (interp_dot.c). All add to what is there.
typedef struct DotKernels {
    void (*rows)(float *acc, int n, const char *a, const char *b, int64_t ka, int64_t kb, int64_t count);
                                      // acc[i] += sum over k < count of a[k*ka + i] * b[k*kb]
    float (*dot)(const char *a, const char *b, int64_t count);         // sum of a[k] * b[k]
} DotKernels;
const DotKernels *dot_kernels(void);  // the fastest this machine has

#endif
