// cuda.h -- a session's share of an NVIDIA GPU; private to the files dev_cuda.c, cuda_launch.c, cuda_product.c,
// cuda_record.c.
//
// Two streams: all work goes through `compute` in the order given; inputs for the next call go up through
// `ahead` while it runs. Host memory that the GPU reads or writes is pinned, in one block:
//     an error flag per step | seed and step | two stages for copies | operands of hand-written bodies
// Flags are written by kernels over the bus, which happens only when something is wrong.
#ifndef TVC_CUDA_H
#define TVC_CUDA_H
#include "cublaslt.h"
#include "device.h"
#include <stdbool.h>

enum { CUDA_STAGE = 4 << 20, CUDA_RECORDINGS = 16 };

typedef struct Cuda Cuda;

typedef struct CudaBody {             // of a step: a hand-written body, run on the host between copies
    Cuda *c;
    BodyFn *fn;
    int step;
    const TensorDesc *desc;           // the session's
    void **at;                        // pinned, per buffer
} CudaBody;

typedef struct CudaAhead {            // of an input slot: where it waits for its turn
    CuPointer at;                     // 0: no input
    CuPointer to;                     // where it goes; 0: nothing waits
    int64_t bytes;
} CudaAhead;

typedef struct CudaRecording {        // a function at a batch size
    int function;
    int64_t batch;                    // 0: a free place
    CuExec exec;                      // NULL: met once, not recorded
    uint64_t used;                    // when, in calls
} CudaRecording;

typedef struct CudaChoice {           // how a product is computed at a batch size
    int64_t batch;                    // 0: a free place
    bool refused;                     // the library would not: the kernel does it
    LtAlgorithm how;
} CudaChoice;

typedef struct CudaProduct {          // of a Product; as the library sees it, which counts by columns, with b first
    LtProduct product;                // NULL: not for the library
    LtLayout b, a, c, d;              // c is d where nothing is added
    int64_t batch;                    // for which the layouts are set
    CudaChoice choice[CUDA_RECORDINGS];
    int next;                         // which choice makes room
} CudaProduct;

typedef struct CudaLibrary {
    Cublas wish;
    const Cublaslt *api;              // NULL: all products are our own kernels'
    bool off;                         // so they are since something failed
    LtHandle handle;
    LtWish limits;
    CuPointer workspace;
    int64_t workspace_bytes;
    CudaProduct *product;             // per product of the program
    bool recorded;                    // it is in what is being recorded
} CudaLibrary;

struct Cuda {
    Device device;
    const CudaDriver *api;
    CudaInfo info;
    CuDevice gpu;
    CuContext context;
    CuStream compute, ahead;
    bool failed;                      // device.trouble has the first error; nothing works any more
    const Program *program;
    CuModule *module;                 // per part
    CuFunction *kernel;               // per step
    CudaBody *body;                   // per step
    void **operand;                   // pointers of all bodies
    void **argument;                  // of the launch under way
    CudaAhead *input;                 // per slot
    CudaLibrary library;

    CuPointer own;                    // device memory: seed and step, the workspace, then inputs that wait
    CuPointer work;                   // the workspace of all kernels
    char *pinned;
    CuPointer flags_on_gpu;
    int32_t *flags;                   // per step
    uint64_t *seed;                   // seed, step
    char *stage[2];
    CuEvent stage_free[2];
    int turn;                         // which stage is next
    CuEvent arrived, taken;           // inputs that wait: are there; have been moved away
    CuEvent from, to;                 // around what is measured
    KernelCtx ctx;                    // of the call under way

    bool running, waiting, capturing; // between begin and sync; an input waits; launches are being recorded
    bool records;                     // false: the driver would not record
    int function;                     // that is under way
    uint64_t calls;
    CudaRecording recording[CUDA_RECORDINGS];
};

// dev_cuda.c
bool cuda_ok(Cuda *c, int error, const char *what);           // false, and the device has failed, if error
void cuda_ready(Cuda *c, const KernelCtx *ctx);               // before anything of a call: inputs, seed, step

// cuda_launch.c
Err cuda_load(Device *d, const Program *p, Fault *f);
Err cuda_launch(Device *d, const Launch *l);
Err cuda_timed(Device *d, const Launch *l, double *seconds);
void cuda_unload(Cuda *c);

// cuda_product.c
void cuda_products_load(Cuda *c);                             // opens the library if it is wished for and of use
bool cuda_product(Cuda *c, const Launch *l);                  // true: the library has done this launch
bool cuda_products_drop(Cuda *c);                             // it spoilt a recording? Then goes on without it
void cuda_products_unload(Cuda *c);

// cuda_record.c
bool cuda_begin(Device *d, int function, const KernelCtx *ctx);
bool cuda_end(Device *d);
void cuda_forget(Cuda *c);

#endif
