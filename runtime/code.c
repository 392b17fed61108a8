// code.c -- dlopen, from a file or from bytes in memory.
//
// Bytes go through a memfd. Its descriptor stays open while the library is loaded, because the
// loader knows libraries by name: a second "/proc/self/fd/5" would be taken for the first.
#define _GNU_SOURCE            // memfd_create
#include "code.h"
#include "isa.h"
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010u
#endif

struct Code {
    Code *next;
    const void *bytes;                // of the Program; NULL: opened by path
    void *lib;
    int fd, users;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;      // guards the list and the counts
static Code *loaded;

static int write_all(int fd, const char *bytes, int64_t left) {
    while (left) {
        ssize_t n = write(fd, bytes, (size_t)left);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        bytes += n, left -= n;
    }
    return 0;
}

static int memory_file(const Program *p) {
    int fd = memfd_create("tvc", MFD_CLOEXEC | MFD_EXEC);
    if (fd < 0 && errno == EINVAL) fd = memfd_create("tvc", MFD_CLOEXEC);      // before Linux 6.3
    if (fd >= 0 && write_all(fd, p->code, p->code_bytes)) {
        close(fd);
        return -1;
    }
    return fd;
}

// Why the loader refused, without the place it was told to look at.
static const char *loader_error(void) {
    const char *text = dlerror(), *colon = text ? strstr(text, ": ") : NULL;
    return colon ? colon + 2 : text ? text : "no reason given";
}

static Err load(Code *c, const Program *p, Fault *f) {
    char name[64];
    const char *path = p->code_path;
    if (p->code) {
        c->fd = memory_file(p);
        if (c->fd < 0) return fault(f, E_DEVICE, "cannot put the program's code in memory: %s", strerror(errno));
        snprintf(name, sizeof name, "/proc/self/fd/%d", c->fd);
        path = name;
    }
    if (!path || !strchr(path, '/')) return fault(f, E_INTERNAL, "the program has no code");
    c->lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    return c->lib ? E_OK : fault(f, E_DEVICE, "cannot load the program's code: %s", loader_error());
}

static void destroy(Code *c) {
    if (c->lib) dlclose(c->lib);
    if (c->fd >= 0) close(c->fd);
    free(c);
}

static Code *open_new(const Program *p, Fault *f) {
    Code *c = calloc(1, sizeof *c);
    if (!c) {
        fault(f, E_LIMIT, "no memory");
        return NULL;
    }
    *c = (Code){.bytes = p->code, .fd = -1, .users = 1};
    if (load(c, p, f)) {
        destroy(c);
        return NULL;
    }
    c->next = loaded;
    return loaded = c;
}

Code *code_open(const Program *p, Fault *f) {
    const char *lack = isa_lacking(p->isa);
    if (lack) {
        fault(f, E_DEVICE, "made for %s; this machine has no %s", isa_name(p->isa), lack);
        return NULL;
    }
    pthread_mutex_lock(&lock);
    Code *c = loaded;
    while (c && !(c->bytes && c->bytes == p->code)) c = c->next;
    if (c)
        c->users++;
    else
        c = open_new(p, f);
    pthread_mutex_unlock(&lock);
    return c;
}

KernelFn *code_entry(Code *c, const char *symbol) {
    KernelFn *fn;
    *(void **)&fn = dlsym(c->lib, symbol);
    return fn;
}

void code_close(Code *c) {
    if (!c) return;
    pthread_mutex_lock(&lock);
    if (!--c->users) {
        Code **at = &loaded;
        while (*at != c) at = &(*at)->next;
        *at = c->next;
        destroy(c);
    }
    pthread_mutex_unlock(&lock);
}
