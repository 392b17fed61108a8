// target_cuda.h -- machine code for a GPU through NVRTC, on any machine: no GPU, driver or CUDA header
// is needed, only libnvrtc, which is looked for at run time.
#ifndef TVC_TARGET_CUDA_H
#define TVC_TARGET_CUDA_H
#include "compile.h"

typedef struct CudaUnit {
    const char *name, *text;          // "$" in the text stands for the name
    int part;                         // set by build_cuda: which of the binaries holds it,
    int registers, spilled, shared;   // per thread; bytes stored for want of registers, or on a stack; bytes per block
} CudaUnit;

typedef struct CudaPart { const void *cubin; size_t bytes; } CudaPart;

typedef struct CudaBuilt {
    CudaPart *part;                   // in cx
    int npart, ncached;               // parts, and how many of them were found in the cache
} CudaBuilt;

// Compile units for an architecture ("sm_90"; "compute_90": PTX, NUL included) by the newest NVRTC, or the newest of at most
// CUDA `most`. Fails with E_DEVICE where NVRTC is missing, too old, or does not know the architecture.
CudaBuilt build_cuda(Cx *cx, const char *arch, int most, CudaUnit *u, int n, bool no_cache);

bool nvrtc_found(void);
Err nvrtc_version(int *major, int *minor, Fault *f);   // E_DEVICE: there is none, or too old a one

// What to compile for a GPU of architecture `arch` (90) under a driver for CUDA `driver` (13000): "cuda:sm_90",
// or "cuda:compute_90" where NVRTC only knows older ones. `compiles`: NVRTC is needed. E_DEVICE, *f says why not.
Err cuda_target(int arch, int driver, bool compiles, char target[32], Fault *f);

#endif
