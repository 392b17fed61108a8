// driver_code.c -- of the driver's stand-in: binaries, their kernels, launches. See driver.c.
#define _GNU_SOURCE
#include "driver.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int cuModuleLoadData(Module **m, const void *bytes) {
    ENTER_IN_CONTEXT
    Image i;
    char path[64], from[64];
    static int loaded;
    int arch = (int)number("STANDIN_ARCH", 90);
    memcpy(&i, bytes, sizeof i);
    if (strcmp(i.magic, STANDIN_MAGIC)) return INVALID_IMAGE;
    if (i.ptx && i.arch > arch) return BAD_PTX;
    if (!i.ptx && (i.arch / 10 != arch / 10 || i.arch % 10 > arch % 10)) return NO_BINARY;
    int fd = memfd_create("code", MFD_CLOEXEC);
    if (fd < 0 || write(fd, (const char *)bytes + sizeof i, (size_t)i.bytes) != i.bytes) return OUT_OF_MEMORY;
    snprintf(path, sizeof path, "/tmp/standin-%d-%d.so", getpid(), loaded++);     // the loader goes by names
    snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
    if (symlink(from, path)) return OUT_OF_MEMORY;
    *m = object(sizeof **m);
    (*m)->lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    unlink(path), close(fd);
    if (!(*m)->lib) return fprintf(stderr, "%s\n", dlerror()), free(*m), INVALID_IMAGE;
    return live++, 0;
}

int cuModuleUnload(Module *m) {
    ENTER_IN_CONTEXT
    for (Function **f = &functions; *f;) {
        Function *x = *f;
        if (x->m == m) *f = x->next, free(x);
        else f = &x->next;
    }
    return dlclose(m->lib), free(m), live--, 0;
}

static void *symbol(const Module *m, const char *what, const char *name) {
    char s[160];
    snprintf(s, sizeof s, "%s_%s", what, name);
    return dlsym(m->lib, s);
}

int cuModuleGetFunction(Function **f, Module *m, const char *name) {
    ENTER_IN_CONTEXT
    void *run_ = symbol(m, "run", name);
    const int *buffers = symbol(m, "buffers", name), *threads = symbol(m, "threads", name),
              *numbers = symbol(m, "numbers", name);
    if (!run_ || !buffers || !threads || !numbers) return NOT_FOUND;
    *f = object(sizeof **f);
    **f = (Function){.next = functions, .m = m, .buffers = *buffers, .threads = *threads, .numbers = *numbers};
    *(void **)&(*f)->run = run_;
    return functions = *f, 0;
}

int cuLaunchKernel(Function *f, unsigned x, unsigned y, unsigned z, unsigned tx, unsigned ty, unsigned tz,
                   unsigned shared, Stream *s, void **arg, void **extra) {
    ENTER_IN_CONTEXT
    if (!x || !y || !z || y > 65535 || z > 65535 || shared || extra || ty != 1 || tz != 1) return INVALID_VALUE;
    if (tx != (unsigned)f->threads || f->numbers > (int)sizeof(int32_t[MOST_NUMBERS]) ||
        f->buffers * (int)sizeof *arg + CTX_BYTES + f->numbers > MOST_ARGUMENT_BYTES)
        return INVALID_VALUE;
    Op o = {.kind = KERNEL, .f = f, .grid = {x, y, z}};
    for (int i = 0; i < f->buffers; i++) o.arg[i] = *(void **)arg[i];
    memcpy(&o.ctx, arg[f->buffers], CTX_BYTES);
    if (f->numbers) memcpy(o.numbers, arg[f->buffers + 1], (size_t)f->numbers);
    return give(s, o);
}

int cuLaunchHostFunc(Stream *s, void (*fn)(void *), void *arg) {
    ENTER_IN_CONTEXT
    return give(s, (Op){.kind = HOST, .host = fn, .from = arg});
}
