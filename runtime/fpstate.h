// fpstate.h -- the floating point control word of this thread: rounding, flush-to-zero, traps.
// A host program may have changed it (linking anything with -ffast-math does); results must not
// depend on that, nor may we leave ours behind.
#ifndef TVC_FPSTATE_H
#define TVC_FPSTATE_H

#if defined __x86_64__
typedef unsigned FpState;
static inline FpState fp_enter(void) {
    FpState old = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(0x1f80);             // all exceptions masked, nearest, no FTZ, no DAZ
    return old;
}
static inline void fp_leave(FpState old) { __builtin_ia32_ldmxcsr(old); }
#elif defined __aarch64__
typedef unsigned long FpState;
static inline FpState fp_enter(void) {
    FpState old;
    __asm__ volatile("mrs %0, fpcr" : "=r"(old));
    __asm__ volatile("msr fpcr, %0" : : "r"(0ul));
    return old;
}
static inline void fp_leave(FpState old) { __asm__ volatile("msr fpcr, %0" : : "r"(old)); }
#else
#include <fenv.h>
typedef fenv_t FpState;
static inline FpState fp_enter(void) {
    FpState old;
    fegetenv(&old);
    fesetenv(FE_DFL_ENV);
    return old;
}
static inline void fp_leave(FpState old) { fesetenv(&old); }
#endif
#endif
