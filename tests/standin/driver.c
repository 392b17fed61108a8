// driver.c -- a stand-in for NVIDIA's driver, strict where a real one is lenient. TVC_CUDA names the library
// that this becomes. What a program may get wrong without noticing on a lucky day fails here:
//   - work in streams is done when it is waited for, not when it is given (STANDIN_ORDER says which streams);
//   - memory of the device cannot be touched by the host: it has no access but while kernels and copies run;
//     fresh memory holds NaN, pages around each allocation have no access;
//   - what comes down asynchronously is NaN until it is waited for; only pinned memory may be copied so;
//   - a kernel's pointers must lie in live memory, its threads be those it was compiled for;
//   - what is not given back when the last user of the context leaves ends the process.
// Memory is in driver_memory.c, streams and graphs in driver_work.c, binaries and launches in driver_code.c.
//   STANDIN_ORDER    late: all streams wait (default); early: none does; ahead: only the first one waits
//   STANDIN_FAIL     SYMBOL:N:ERROR, the N-th call of SYMBOL fails; errors from 700 on stay
//   STANDIN_DEVICES, STANDIN_ARCH, STANDIN_MEMORY (bytes), STANDIN_VERSION: 1, 90, 1 GiB, 13000
//   STANDIN_TRACE    a file that gets the name of every call
#define _GNU_SOURCE
#include "driver.h"
#include <stdio.h>
#include <string.h>

pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
Memory *memories;
Stream *streams;
Function *functions;
int live, users, stuck;
_Thread_local void *current;
char context;

long long number(const char *name, long long otherwise) {
    const char *s = getenv(name);
    return s && *s ? atoll(s) : otherwise;
}

// ---- objects ----

void __lsan_ignore_object(const void *p) __attribute__((weak));

// The driver counts its objects itself, in `live`; those of a stuck device are forgotten, which is no leak.
void *counted(void *p) {
    if (p && __lsan_ignore_object) __lsan_ignore_object(p);
    return p;
}

void *object(size_t bytes) { return counted(calloc(1, bytes)); }

void wrong(const char *what) {
    fprintf(stderr, "stand-in driver: %s\n", what);
    fflush(stderr), abort();
}

// ---- calls ----

void trace(const char *symbol) {
    const char *path = getenv("STANDIN_TRACE");
    FILE *f = path && *path ? fopen(path, "a") : NULL;
    if (f) fprintf(f, "%s\n", symbol), fclose(f);
}

// Another wish begins to count anew, and heals a device that was stuck: what it had is forgotten.
int injected(const char *symbol) {
    static int calls;
    static char before[128];
    const char *s = getenv("STANDIN_FAIL");
    size_t n = strlen(symbol);
    int at = 0, error = 0;
    if (strcmp(s ? s : "", before)) {
        if (stuck) users = live = 0, memories = NULL, streams = NULL;
        calls = stuck = 0, snprintf(before, sizeof before, "%s", s ? s : "");
    }
    if (!s || strncmp(s, symbol, n) || sscanf(s + n, ":%d:%d", &at, &error) != 2 || ++calls != at) return 0;
    if (error >= STICKY) stuck = error;
    return error;
}

void unlock(int *unused) { (void)unused, pthread_mutex_unlock(&lock); }

int cuInit(unsigned flags) {
    ENTER
    return flags ? INVALID_VALUE : number("STANDIN_DEVICES", 1) ? 0 : NO_DEVICE;
}

int cuDriverGetVersion(int *v) { ENTER return *v = (int)number("STANDIN_VERSION", 13000), 0; }

int cuGetErrorName(int e, const char **name) {
    *name = e == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY"
            : e == STICKY      ? "CUDA_ERROR_ILLEGAL_ADDRESS"
                               : "CUDA_ERROR_OTHER";
    return 0;
}

int cuGetErrorString(int e, const char **text) {
    *text = e == OUT_OF_MEMORY ? "out of memory"
            : e == STICKY      ? "an illegal memory access was encountered"
                               : "something else";
    return 0;
}

int cuDeviceGetCount(int *n) { ENTER return *n = (int)number("STANDIN_DEVICES", 1), 0; }

int cuDeviceGet(int *d, int ordinal) {
    ENTER
    return ordinal < 0 || ordinal >= number("STANDIN_DEVICES", 1) ? INVALID_DEVICE : (*d = ordinal, 0);
}

int cuDeviceGetName(char *name, int n, int d) { ENTER return snprintf(name, (size_t)n, "Stand-in GPU %d", d), 0; }

int cuDeviceGetAttribute(int *v, int attribute, int d) {
    ENTER
    (void)d;
    int arch = (int)number("STANDIN_ARCH", 90);
    *v = attribute == 75 ? arch / 10 : attribute == 76 ? arch % 10 : attribute == 16 ? 4 : 0;
    return 0;
}

int cuDeviceTotalMem_v2(size_t *n, int d) { ENTER return (void)d, *n = (size_t)number("STANDIN_MEMORY", 1 << 30), 0; }

int cuDevicePrimaryCtxRetain(void **c, int d) { ENTER return (void)d, users++, *c = &context, 0; }

int cuDevicePrimaryCtxRelease_v2(int d) {
    ENTER
    (void)d;
    if (--users < 0) wrong("a context is released more often than retained");
    if (!users && live) fprintf(stderr, "stand-in driver: %d objects were not given back\n", live), abort();
    return 0;
}

int cuCtxSetCurrent(void *c) {
    ENTER
    if (c && c != &context) return INVALID_CONTEXT;
    return current = c, 0;
}

// ---- for a stand-in of a library that works on the device ----

int standin_enter(const char *symbol) {
    __attribute__((cleanup(unlock))) int held = pthread_mutex_lock(&lock);
    (void)held, trace(symbol);
    int failure = injected(symbol);
    return failure ? failure : stuck ? stuck : current != &context ? INVALID_CONTEXT : 0;
}

void standin_count(int n) {
    __attribute__((cleanup(unlock))) int held = pthread_mutex_lock(&lock);
    (void)held, live += n;
}

int standin_has(const void *p, size_t n) {
    __attribute__((cleanup(unlock))) int held = pthread_mutex_lock(&lock);
    return (void)held, memory_of(p, n, false) != NULL;
}

int standin_give(void *stream, Works *fn, const void *arg, size_t n) {
    __attribute__((cleanup(unlock))) int held = pthread_mutex_lock(&lock);
    (void)held;
    Op o = {.kind = WORK, .work = fn};
    if (n > sizeof o.arg) wrong("too much to work on");
    memcpy(o.arg, arg, n);
    return give(stream, o);
}
