// dev_null.c -- a device that does everything but arithmetic. It stands in for one whose memory is
// not the host's, needs no instructions and no compiler: for tests of all that surrounds kernels.
#include "device.h"
#include <stdlib.h>
#include <string.h>

static void *null_alloc(Device *d, int64_t bytes) {
    (void)d;
    size_t size = ((size_t)bytes + 2 * TVC_ALIGN - 1) / TVC_ALIGN * TVC_ALIGN;
    void *mem = aligned_alloc(TVC_ALIGN, size);
    return mem ? memset(mem, 0, size) : NULL;
}

static void null_free(Device *d, void *mem, int64_t bytes) {
    (void)d, (void)bytes;
    free(mem);
}

static Err null_copy(Device *d, Copy way, void *to, const void *from, int64_t bytes) {
    (void)d, (void)way;
    memcpy(to, from, (size_t)bytes);
    return E_OK;
}

static Err null_load(Device *d, const Program *p, Fault *f) { return (void)d, (void)p, (void)f, E_OK; }
static Err null_launch(Device *d, const Launch *l) { return (void)d, (void)l, E_OK; }
static Err null_sync(Device *d) { return (void)d, E_OK; }
static void null_close(Device *d) { free(d); }

Device *dev_null(int threads, Fault *f) {
    (void)threads;
    Device *d = malloc(sizeof *d);
    if (!d) {
        fault(f, E_LIMIT, "no memory");
        return NULL;
    }
    *d = (Device){
        .name = "null", .alloc = null_alloc, .free = null_free, .copy = null_copy,
        .load = null_load, .launch = null_launch, .sync = null_sync, .close = null_close,
    };
    return d;
}
