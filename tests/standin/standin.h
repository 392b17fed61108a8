// standin.h -- what the stand-ins for NVRTC and for NVIDIA's driver agree on. With both, everything tvc does
// for a GPU runs on any x86-64 machine: kernels are compiled by the system's C compiler for
// tests/cuda_emulator.h, and the driver's streams, graphs and memory are imitated strictly (driver.c).
#ifndef STANDIN_H
#define STANDIN_H
#include <stdint.h>

// A "binary": this, then a shared object that has, for each kernel NAME,
//     void run_NAME(const int64_t *grid, int threads, int mode, void **buf, RunCtx ctx)
//     const int buffers_NAME, threads_NAME
#define STANDIN_MAGIC "\x7fSTANDI"
typedef struct Image {
    char magic[8];
    int32_t ptx, arch;                // PTX for compute_ARCH, or a cubin for sm_ARCH
    int64_t bytes;
} Image;

typedef struct RunCtx { int64_t batch; int32_t *error; const uint64_t *seed; } RunCtx;
typedef void Runs(const int64_t *grid, int threads, int mode, void **buf, RunCtx ctx);

#endif
