// standin.h -- what the stand-ins for NVRTC, NVIDIA's driver and cuBLASLt agree on. With both, everything tvc does
// for a GPU runs on any x86-64 machine: kernels are compiled by the system's C compiler for
// tests/cuda_emulator.h, and the driver's streams, graphs and memory are imitated strictly (driver.c).
#ifndef STANDIN_H
#define STANDIN_H
#include <stddef.h>
#include <stdint.h>

// A "binary": this, then a shared object that has, for each kernel NAME,
//     void run_NAME(const int64_t *grid, int threads, int mode, void **buf, RunCtx ctx)
//     const int buffers_NAME, threads_NAME, numbers_NAME (bytes)
#define STANDIN_MAGIC "\x7fSTANDI"
typedef struct Image {
    char magic[8];
    int32_t ptx, arch;                // PTX for compute_ARCH, or a cubin for sm_ARCH
    int64_t bytes;
} Image;

typedef struct RunCtx {                // but for the last what a kernel takes: its numbers are an argument of their own
    int64_t batch;
    int32_t *error;
    const uint64_t *seed;
    void *work;
    const void *numbers;
} RunCtx;
enum { CTX_BYTES = offsetof(RunCtx, numbers) };
typedef void Runs(const int64_t *grid, int threads, int mode, void **buf, RunCtx ctx);

// What the driver's stand-in does for that of a library (cublaslt.c), which finds it by name: a call is entered as
// one of the driver's own, 0 or an error; objects are counted; memory of the device is there; work is given to a
// stream, done in its turn on a copy of arg, and recorded as all else is.
typedef void Works(const void *arg);
int standin_enter(const char *symbol);
void standin_count(int n);
int standin_has(const void *p, size_t n);
int standin_give(void *stream, Works *fn, const void *arg, size_t n);

#endif
