// isa.c -- CPUID says what the processor has; XGETBV, which registers the system saves.
// An instruction counts only when both agree.
#include "isa.h"
#include <stdbool.h>
#include <stddef.h>

static const char *const isa_names[] = {"generic", "avx2", "avx512"};
static const char *const machine_names[] = {"an unnamed machine", "x86-64", "aarch64"};

const char *isa_name(int isa) { return isa >= ISA_GENERIC && isa <= ISA_AVX512 ? isa_names[isa] : NULL; }

const char *machine_name(int machine) {
    return machine >= MACHINE_OTHER && machine <= MACHINE_AARCH64 ? machine_names[machine] : NULL;
}

Machine machine_host(void) {
#if defined __x86_64__
    return MACHINE_X86_64;
#elif defined __aarch64__
    return MACHINE_AARCH64;
#else
    return MACHINE_OTHER;
#endif
}

#ifdef __x86_64__
#include <cpuid.h>

typedef struct Need { int isa; const char *name; int leaf, reg, bit; } Need;      // reg: a b c d = 0 1 2 3

static const Need needs[] = {
    {ISA_AVX2, "AVX", 1, 2, 28},        {ISA_AVX2, "FMA", 1, 2, 12},         {ISA_AVX2, "F16C", 1, 2, 29},
    {ISA_AVX2, "AVX2", 7, 1, 5},        {ISA_AVX512, "AVX512F", 7, 1, 16},   {ISA_AVX512, "AVX512DQ", 7, 1, 17},
    {ISA_AVX512, "AVX512BW", 7, 1, 30}, {ISA_AVX512, "AVX512VL", 7, 1, 31},
};

enum { XCR0_YMM = 0x06, XCR0_ZMM = 0xe6 };      // SSE and AVX state; opmask and both halves of ZMM too

static bool has(int leaf, int reg, int bit) {
    unsigned r[4];
    return __get_cpuid_count((unsigned)leaf, 0, &r[0], &r[1], &r[2], &r[3]) && (r[reg] >> bit & 1);
}

static unsigned saved_state(void) {
    if (!has(1, 2, 27)) return 0;               // OSXSAVE: XGETBV exists
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

const char *isa_lacking(int isa) {
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
        if (needs[i].isa <= isa && !has(needs[i].leaf, needs[i].reg, needs[i].bit)) return needs[i].name;
    unsigned state = saved_state();
    if (isa >= ISA_AVX2 && (state & XCR0_YMM) != XCR0_YMM) return "AVX registers saved by the system";
    if (isa >= ISA_AVX512 && (state & XCR0_ZMM) != XCR0_ZMM) return "AVX-512 registers saved by the system";
    return NULL;
}
#else
const char *isa_lacking(int isa) { return isa == ISA_GENERIC ? NULL : "an x86-64 processor"; }
#endif

int isa_host(void) {
    int isa = ISA_AVX512;
    while (isa > ISA_GENERIC && isa_lacking(isa)) isa--;
    return isa;
}
