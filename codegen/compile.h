// compile.h -- Graph to Program: passes, kernels, memory plan, machine code.
#ifndef TVC_COMPILE_H
#define TVC_COMPILE_H
#include "../ir/graph.h"

// What a GPU computes products with: factors of f32; of f32, 11 bits of which count; of 16 bits, images too.
typedef enum Precision { PRECISION_FP32, PRECISION_TF32, PRECISION_BF16, PRECISION_FP16, NPRECISIONS } Precision;

typedef struct CompileOptions {
    const char *target;               // NULL or "cpu": this processor; "cuda:sm_90", "cuda:compute_90": as in program.h
    int cuda;                         // of NVRTCs the newest that is no newer than this, 13; 0: the newest
    int isa;                          // ISA_* to compile for; -1: the best this machine has
    bool direct;                      // no Winograd convolutions
    bool no_compiler;                 // as if there were no C compiler: kernels run by the interpreter
    bool no_cache;                    // compile even what was compiled before
    Precision precision;              // of a GPU
    const Precision *frozen;          // of the frozen prefix of a training program; NULL: the same
    int threads;                      // C compilers at once; 0: one per processor
} CompileOptions;

typedef struct Compiled {
    Program *program;                 // in the graph's arena; weights borrowed from where the graph has them
    int kernels, kernels_init;        // launches of `forward` (function 1), of `init`
    int kernels_unfused;              // what `forward` would launch if every operator had its own
    int distinct;                     // different kernels compiled
    int formulas;                     // kernels left to the interpreter
    bool cached;                      // the code was found in the cache
    double seconds, cc_seconds;       // all of it; the C compiler alone
    const char *compiler;             // its name, or NULL: none was found
    const char *target;               // "cpu:avx512", "cuda:sm_90"
    const struct CudaBuilt *cuda;     // for a GPU: its binaries (target_cuda.h); also in program->parts
    int spilled;                      // kernels for a GPU that want for registers
} Compiled;

// Consumes the graph: it is rewritten on the way. Function 0 is `init`, 1 `forward`.
Compiled *graph_compile(Graph *g, const CompileOptions *o);

#endif
