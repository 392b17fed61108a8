// interp_dot.c -- the inner loops of sums of products, once for each vector width.
#include "interp_ops.h"
#include "isa.h"

#define INLINE static inline __attribute__((always_inline))

INLINE void rows_body(float *acc, int n, const char *abytes, const char *bbytes, int64_t ka, int64_t kb,
                      int64_t count) {
    const MemF32 *a = (const MemF32 *)abytes, *b = (const MemF32 *)bbytes;
    int64_t k = 0;
    for (; k + 4 <= count; k += 4, a += 4 * ka, b += 4 * kb) {
        const float b0 = b[0], b1 = b[kb], b2 = b[2 * kb], b3 = b[3 * kb];
        for (int i = 0; i < n; i++)
            acc[i] += (a[i] * b0 + a[ka + i] * b1) + (a[2 * ka + i] * b2 + a[3 * ka + i] * b3);
    }
    for (; k < count; k++, a += ka, b += kb)
        for (int i = 0; i < n; i++) acc[i] += a[i] * b[0];
}

enum { PARTS = 32 };                  // partial sums: the order is fixed, the compiler may use vectors

INLINE float dot_body(const char *abytes, const char *bbytes, int64_t count) {
    const MemF32 *a = (const MemF32 *)abytes, *b = (const MemF32 *)bbytes;
    float part[PARTS] = {0}, rest = 0;
    int64_t k = 0;
    for (; k + PARTS <= count; k += PARTS)
        for (int j = 0; j < PARTS; j++) part[j] += a[k + j] * b[k + j];
    for (; k < count; k++) rest += a[k] * b[k];
    for (int half = PARTS / 2; half; half /= 2)
        for (int j = 0; j < half; j++) part[j] += part[j + half];
    return part[0] + rest;
}

#define KERNELS(isa, target)                                                                                          \
    target static void rows_##isa(float *acc, int n, const char *a, const char *b, int64_t ka, int64_t kb, int64_t count) { \
        rows_body(acc, n, a, b, ka, kb, count);                                                                       \
    }                                                                                                                 \
    target static float dot_##isa(const char *a, const char *b, int64_t count) { return dot_body(a, b, count); }      \
    static const DotKernels kernels_##isa = {rows_##isa, dot_##isa};

KERNELS(generic, )
#ifdef __x86_64__
KERNELS(avx2, __attribute__((target("avx2,fma"))))
KERNELS(avx512, __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))))
#endif

const DotKernels *dot_kernels(void) {
#ifdef __x86_64__
    int isa = isa_host();
    if (isa == ISA_AVX512) return &kernels_avx512;
    if (isa == ISA_AVX2) return &kernels_avx2;
#endif
    return &kernels_generic;
}
