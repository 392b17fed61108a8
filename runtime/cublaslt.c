// cublaslt.c -- see cublaslt.h.
#include "cublaslt.h"
#include "library.h"
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;     // guards the table
static Cublaslt table;
static bool opened;

static const LibraryEntry functions[] = {
#define X(ours, symbol, parameters) {symbol, offsetof(Cublaslt, ours)},
    CUBLASLT_FUNCTIONS(X)
#undef X
};

static int version_of(void *lib) {                   // 130001 is 13.0.1
    size_t (*version)(void);
    *(void **)&version = dlsym(lib, "cublasLtGetVersion");
    return version ? (int)version() : 0;
}

// The newest one whose major version is at most `most`; *version: the last that was seen.
static void *library(int most, int *version) {
    const char *own = getenv("TVC_CUBLASLT");
    const char *names[] = {own ? own : "libcublasLt.so.13", "libcublasLt.so.12",
                           "/usr/local/cuda/lib64/libcublasLt.so"};
    *version = 0;
    for (size_t i = 0; i < (own ? 1 : sizeof names / sizeof *names); i++) {
        void *lib = *names[i] ? dlopen(names[i], RTLD_NOW | RTLD_LOCAL) : NULL;
        if (lib) *version = version_of(lib);
        if (lib && *version / 10000 >= CUBLASLT_OLDEST && *version / 10000 <= most) return lib;
        if (lib) dlclose(lib);
    }
    return NULL;
}

static Err no_library(int version, int driver, Fault *f) {
    int major = version / 10000;
    if (!version)
        return fault(f, E_DEVICE, "no cuBLASLt was found (libcublasLt.so.%d or newer, or TVC_CUBLASLT)",
                     CUBLASLT_OLDEST);
    if (major < CUBLASLT_OLDEST)
        return fault(f, E_DEVICE, "cuBLASLt %d is too old: %d or newer is needed", major, CUBLASLT_OLDEST);
    return fault(f, E_DEVICE, "cuBLASLt %d is newer than the driver, which is for CUDA %d.%d", major, driver / 1000,
                 driver % 1000 / 10);
}

static Err find_functions(void *lib, Fault *f) {
    const char *lacks = library_fill(lib, functions, sizeof functions / sizeof *functions, &table);
    return lacks ? fault(f, E_DEVICE, "cuBLASLt is too old (it has no %s)", lacks) : E_OK;
}

const Cublaslt *cublaslt(int driver, Fault *f) {
    int version;
    pthread_mutex_lock(&lock);
    if (!opened) {
        void *lib = library(driver / 1000, &version);
        if (!lib) no_library(version, driver, f);
        opened = lib && !find_functions(lib, f);
    }
    pthread_mutex_unlock(&lock);
    return opened ? &table : NULL;
}

Err cublaslt_version(int *major, int *minor, Fault *f) {
    int version;
    if (!library(INT_MAX, &version)) return no_library(version, 0, f);
    *major = version / 10000, *minor = version / 100 % 100;
    return E_OK;
}
