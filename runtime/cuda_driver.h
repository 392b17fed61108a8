// cuda_driver.h -- NVIDIA's driver, opened at run time: the functions of libcuda that tvc uses, and which
// GPUs there are. Nothing here needs a CUDA header or library to build, nor a driver to start.
#ifndef TVC_CUDA_DRIVER_H
#define TVC_CUDA_DRIVER_H
#include "error.h"
#include <stddef.h>
#include <stdint.h>

typedef int CuDevice;
typedef uint64_t CuPointer;                          // an address on the device
typedef struct CuContext_ *CuContext;
typedef struct CuStream_ *CuStream;
typedef struct CuEvent_ *CuEvent;
typedef struct CuModule_ *CuModule;
typedef struct CuFunction_ *CuFunction;
typedef struct CuGraph_ *CuGraph;
typedef struct CuExec_ *CuExec;
typedef void CuHostFn(void *arg);

// As in cuda.h. All return 0 for success.
//    ours                  symbol                            parameters
#define CUDA_FUNCTIONS(X)                                                                                          \
    X(Init,                 "cuInit",                         (unsigned flags))                                    \
    X(DriverGetVersion,     "cuDriverGetVersion",             (int *version))                                      \
    X(GetErrorName,         "cuGetErrorName",                 (int error, const char **name))                      \
    X(GetErrorString,       "cuGetErrorString",               (int error, const char **text))                      \
    X(DeviceGetCount,       "cuDeviceGetCount",               (int *n))                                            \
    X(DeviceGet,            "cuDeviceGet",                    (CuDevice *d, int ordinal))                          \
    X(DeviceGetName,        "cuDeviceGetName",                (char *name, int n, CuDevice d))                     \
    X(DeviceGetAttribute,   "cuDeviceGetAttribute",           (int *value, int attribute, CuDevice d))             \
    X(DeviceTotalMem,       "cuDeviceTotalMem_v2",            (size_t *bytes, CuDevice d))                         \
    X(PrimaryCtxRetain,     "cuDevicePrimaryCtxRetain",       (CuContext *c, CuDevice d))                          \
    X(PrimaryCtxRelease,    "cuDevicePrimaryCtxRelease_v2",   (CuDevice d))                                        \
    X(CtxSetCurrent,        "cuCtxSetCurrent",                (CuContext c))                                       \
    X(MemGetInfo,           "cuMemGetInfo_v2",                (size_t *unused, size_t *all))                       \
    X(MemAlloc,             "cuMemAlloc_v2",                  (CuPointer *p, size_t bytes))                        \
    X(MemFree,              "cuMemFree_v2",                   (CuPointer p))                                       \
    X(MemHostAlloc,         "cuMemHostAlloc",                 (void **p, size_t bytes, unsigned flags))            \
    X(MemHostGetPointer,    "cuMemHostGetDevicePointer_v2",   (CuPointer *p, void *host, unsigned flags))          \
    X(MemFreeHost,          "cuMemFreeHost",                  (void *p))                                           \
    X(MemsetAsync,          "cuMemsetD8Async",                (CuPointer p, unsigned char x, size_t n, CuStream s)) \
    X(CopyUp,               "cuMemcpyHtoDAsync_v2",           (CuPointer to, const void *from, size_t n, CuStream s)) \
    X(CopyDown,             "cuMemcpyDtoHAsync_v2",           (void *to, CuPointer from, size_t n, CuStream s))    \
    X(CopyWithin,           "cuMemcpyDtoDAsync_v2",           (CuPointer to, CuPointer from, size_t n, CuStream s)) \
    X(StreamCreate,         "cuStreamCreate",                 (CuStream *s, unsigned flags))                       \
    X(StreamDestroy,        "cuStreamDestroy_v2",             (CuStream s))                                        \
    X(StreamSynchronize,    "cuStreamSynchronize",            (CuStream s))                                        \
    X(StreamWaitEvent,      "cuStreamWaitEvent",              (CuStream s, CuEvent e, unsigned flags))             \
    X(EventCreate,          "cuEventCreate",                  (CuEvent *e, unsigned flags))                        \
    X(EventDestroy,         "cuEventDestroy_v2",              (CuEvent e))                                         \
    X(EventRecord,          "cuEventRecord",                  (CuEvent e, CuStream s))                             \
    X(EventSynchronize,     "cuEventSynchronize",             (CuEvent e))                                         \
    X(EventElapsedTime,     "cuEventElapsedTime",             (float *ms, CuEvent from, CuEvent to))               \
    X(ModuleLoadData,       "cuModuleLoadData",               (CuModule *m, const void *image))                    \
    X(ModuleUnload,         "cuModuleUnload",                 (CuModule m))                                        \
    X(ModuleGetFunction,    "cuModuleGetFunction",            (CuFunction *f, CuModule m, const char *name))       \
    X(LaunchKernel,         "cuLaunchKernel",                                                                      \
      (CuFunction f, unsigned x, unsigned y, unsigned z, unsigned tx, unsigned ty, unsigned tz, unsigned shared,   \
       CuStream s, void **arg, void **extra))                                                                      \
    X(LaunchHostFunc,       "cuLaunchHostFunc",               (CuStream s, CuHostFn *fn, void *arg))               \
    X(StreamBeginCapture,   "cuStreamBeginCapture_v2",        (CuStream s, int mode))                              \
    X(StreamEndCapture,     "cuStreamEndCapture",             (CuStream s, CuGraph *g))                            \
    X(GraphInstantiate,     "cuGraphInstantiateWithFlags",    (CuExec *e, CuGraph g, unsigned long long flags))    \
    X(GraphLaunch,          "cuGraphLaunch",                  (CuExec e, CuStream s))                              \
    X(GraphExecDestroy,     "cuGraphExecDestroy",             (CuExec e))                                          \
    X(GraphDestroy,         "cuGraphDestroy",                 (CuGraph g))

typedef struct CudaDriver {
#define X(ours, symbol, parameters) int (*ours) parameters;
    CUDA_FUNCTIONS(X)
#undef X
} CudaDriver;

enum {                                               // of cuda.h, those with a meaning here
    CUDA_OUT_OF_MEMORY = 2, CUDA_NO_DEVICE = 100, CUDA_INVALID_IMAGE = 200, CUDA_NO_BINARY_FOR_GPU = 209,
    CUDA_UNSUPPORTED_PTX = 222, CUDA_NOT_FOUND = 500,
    CUDA_OLDEST = 12000,                             // version of the driver, 1000 major + 10 minor
};

// The driver, opened and started once: libcuda.so.1, or the file that TVC_CUDA names (empty: as if there
// were none). NULL, *f says what is missing (E_DEVICE).
const CudaDriver *cuda_driver(Fault *f);
int cuda_version(const CudaDriver *d);               // 13000 is CUDA 13.0; 0: it would not say

typedef struct CudaInfo {
    char name[128];
    int major, minor;                                // of the architecture: 9, 0 is sm_90
    int multiprocessors;
    int64_t memory;                                  // bytes
} CudaInfo;

int cuda_ordinal(const char *device);                // "cuda": 0, "cuda:1": 1; -1: no such name
int cuda_count(const CudaDriver *d);                 // of GPUs; 0 also where the driver would not say
Err cuda_info(const CudaDriver *d, int ordinal, CudaInfo *info, Fault *f);

// One line about a failed call: "WHAT: the driver's words (its name for them)".
Err cuda_fault(const CudaDriver *d, int error, const char *what, Fault *f);

#endif
