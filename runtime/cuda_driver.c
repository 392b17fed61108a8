// cuda_driver.c -- see cuda_driver.h.
#include "cuda_driver.h"
#include "library.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;     // guards the table
static CudaDriver table;
static int opened;

static const LibraryEntry functions[] = {
#define X(ours, symbol, parameters) {symbol, offsetof(CudaDriver, ours)},
    CUDA_FUNCTIONS(X)
#undef X
};

static void *library(Fault *f) {
    const char *own = getenv("TVC_CUDA"), *name = own ? own : "libcuda.so.1";
    void *lib = *name ? dlopen(name, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!lib) fault(f, E_DEVICE, "no NVIDIA driver was found (%s)", own && *own ? own : "libcuda.so.1");
    return lib;
}

static Err find_functions(void *lib, Fault *f) {
    const char *lacks = library_fill(lib, functions, sizeof functions / sizeof *functions, &table);
    if (!lacks) return E_OK;
    return fault(f, E_DEVICE, "the NVIDIA driver is too old (it has no %s): one for CUDA %d or newer is needed", lacks,
                 CUDA_OLDEST / 1000);
}

int cuda_version(const CudaDriver *d) {
    int version = 0;
    return d->DriverGetVersion(&version) ? 0 : version;
}

static Err start(Fault *f) {
    int version = cuda_version(&table), e;
    if (version < CUDA_OLDEST)
        return fault(f, E_DEVICE, "the NVIDIA driver is too old (CUDA %d.%d): one for CUDA %d or newer is needed",
                     version / 1000, version % 1000 / 10, CUDA_OLDEST / 1000);
    if ((e = table.Init(0)) == CUDA_NO_DEVICE) return fault(f, E_DEVICE, "there is no NVIDIA GPU that can be used");
    return e ? cuda_fault(&table, e, "the NVIDIA driver does not start", f) : E_OK;
}

const CudaDriver *cuda_driver(Fault *f) {
    pthread_mutex_lock(&lock);
    if (!opened) {
        void *lib = library(f);
        opened = lib && !find_functions(lib, f) && !start(f);
    }
    pthread_mutex_unlock(&lock);
    return opened ? &table : NULL;
}

int cuda_ordinal(const char *device) {
    char *end;
    if (!strcmp(device, "cuda")) return 0;
    if (strncmp(device, "cuda:", 5) || device[5] < '0' || device[5] > '9') return -1;
    long n = strtol(device + 5, &end, 10);
    return *end || n > 1023 ? -1 : (int)n;
}

int cuda_count(const CudaDriver *d) {
    int n = 0;
    return d->DeviceGetCount(&n) ? 0 : n;
}

Err cuda_info(const CudaDriver *d, int ordinal, CudaInfo *info, Fault *f) {
    enum { MULTIPROCESSORS = 16, MAJOR = 75, MINOR = 76 };
    CuDevice device;
    size_t bytes = 0;
    *info = (CudaInfo){0};
    int e = d->DeviceGet(&device, ordinal);
    if (!e) e = d->DeviceGetName(info->name, sizeof info->name, device);
    if (!e) e = d->DeviceGetAttribute(&info->major, MAJOR, device);
    if (!e) e = d->DeviceGetAttribute(&info->minor, MINOR, device);
    if (!e) e = d->DeviceGetAttribute(&info->multiprocessors, MULTIPROCESSORS, device);
    if (!e) e = d->DeviceTotalMem(&bytes, device);
    info->name[sizeof info->name - 1] = 0;
    info->memory = (int64_t)bytes;
    return e ? cuda_fault(d, e, "the GPU cannot be asked", f) : E_OK;
}

Err cuda_fault(const CudaDriver *d, int error, const char *what, Fault *f) {
    const char *name = NULL, *text = NULL;
    if (d->GetErrorName(error, &name) || !name) name = "unknown error";
    if (d->GetErrorString(error, &text) || !text) text = "no reason given";
    return fault(f, error == CUDA_OUT_OF_MEMORY ? E_LIMIT : E_DEVICE, "%s: %s (%s, %d)", what, text, name, error);
}
