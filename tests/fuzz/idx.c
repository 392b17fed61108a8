// idx.c -- fuzz target: idx files of images and of labels, plain and gzipped.
#define _GNU_SOURCE
#include "data/idx.h"
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

typedef struct Reading { Cx *cx; const char *path; } Reading;

static void read_images(void *arg) { idx_images(((Reading *)arg)->cx, ((Reading *)arg)->path, 1, 2); }
static void read_labels(void *arg) { idx_labels(((Reading *)arg)->cx, ((Reading *)arg)->path); }

// The readers want a file: one in memory does, by its name under /proc.
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    char path[64];
    int fd = memfd_create("idx", MFD_CLOEXEC);
    if (fd < 0) return 0;
    bool written = write(fd, bytes, size) == (ssize_t)size;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    for (int i = 0; i < 2 && written; i++) {
        Reading r = {cx_new(), path};
        if (!r.cx) break;
        r.cx->limit = (size_t)64 << 20;
        cx_guard(r.cx, i ? read_labels : read_images, &r);
        cx_free(r.cx);
    }
    close(fd);
    return 0;
}
