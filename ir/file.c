// file.c -- see file.h.
#include "file.h"
#include "leftover.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- reading ----

static void close_fd(void *fd) {
    if (*(int *)fd >= 0) close(*(int *)fd);
}

int *file_descriptor(Cx *cx) {
    int *fd = NEW(cx, int, 1);
    *fd = -1;
    cx_defer(cx, close_fd, fd);
    return fd;
}

int file_open(Cx *cx, const char *path) {
    int *fd = file_descriptor(cx);
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (*fd < 0 || fstat(*fd, &st)) fail(cx, E_IO, "%s: %s", cx_show(cx, path), strerror(errno));
    if (!S_ISREG(st.st_mode))
        fail(cx, E_IO, "%s: is %s, not a file", cx_show(cx, path),
             S_ISDIR(st.st_mode) ? "a folder" : "a device or pipe");
    return *fd;
}

static void unmap(void *bytes) {
    const Bytes *b = bytes;
    if (b->n) munmap((void *)(uintptr_t)b->at, b->n);
}

Bytes file_map_fd(Cx *cx, int fd, const char *shown) {
    struct stat st;
    if (fstat(fd, &st)) fail(cx, E_IO, "%s: %s", cx_show(cx, shown), strerror(errno));
    if (st.st_size == 0) return (Bytes){(const uint8_t *)"", 0};
    Bytes *b = NEW(cx, Bytes, 1);
    cx_defer(cx, unmap, b);
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) fail(cx, E_IO, "%s: cannot be mapped: %s", cx_show(cx, shown), strerror(errno));
    return *b = (Bytes){p, (size_t)st.st_size};
}

Bytes file_map(Cx *cx, const char *path) { return file_map_fd(cx, file_open(cx, path), path); }

void file_rest(Bytes mapped) {
    if (mapped.n) madvise((void *)(uintptr_t)mapped.at, mapped.n, MADV_DONTNEED);
}

int file_folder(Cx *cx, const char *path, const char **base) {
    const char *slash = strrchr(path, '/');
    *base = slash ? slash + 1 : path;
    const char *dir = !slash ? "." : slash == path ? "/" : cx_str(cx, path, (size_t)(slash - path));
    int *fd = file_descriptor(cx);
    *fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0) fail(cx, E_IO, "%s: its folder: %s", cx_show(cx, path), strerror(errno));
    return *fd;
}

// ---- writing ----

enum { BUFFER = 1 << 16, MAX_WRITE = 1 << 30 };

struct OutFile {
    Cx *cx;
    int fd, folder; // fd: -1 once committed or given up
    const char *base, *shown;
    char temporary[32];
    Leftover leftover;
    uint64_t written;
    size_t held; // bytes waiting in the buffer
    uint8_t buffer[BUFFER];
};

_Noreturn static void write_failed(OutFile *f, const char *what) {
    fail(f->cx, E_IO, "%s: %s: %s", cx_show(f->cx, f->shown), what, strerror(errno));
}

static void give_up(void *file) {
    OutFile *f = file;
    if (f->fd < 0) return;
    close(f->fd);
    unlinkat(f->folder, f->temporary, 0);
    leftover_drop(&f->leftover);
}

static void check_target(OutFile *f) {
    struct stat st;
    if (!*f->base || !strcmp(f->base, ".") || !strcmp(f->base, "..")) {
        fail(f->cx, E_IO, "%s: names a folder, not a file", cx_show(f->cx, f->shown));
    } else if (!fstatat(f->folder, f->base, &st, AT_SYMLINK_NOFOLLOW) && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode)) {
        fail(f->cx, E_IO, "%s: exists and is no file that could be replaced", cx_show(f->cx, f->shown));
    }
}

static bool create_temporary(OutFile *f, unsigned k) {
    snprintf(f->temporary, sizeof f->temporary, ".tvc-%d-%u.tmp", (int)getpid(), k);
    leftover_add(&f->leftover);
    f->fd = openat(f->folder, f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int why = errno;
    if (f->fd < 0) leftover_drop(&f->leftover);
    errno = why;
    return f->fd >= 0;
}

OutFile *file_create_at(Cx *cx, int folder, const char *base, const char *shown) {
    OutFile *f = NEW(cx, OutFile, 1);
    *f = (OutFile){.cx = cx, .fd = -1, .folder = folder, .base = base, .shown = shown};
    check_target(f);
    f->leftover = (Leftover){.folder = folder, .name = f->temporary};
    cx_defer(cx, give_up, f);
    for (unsigned k = 0; !create_temporary(f, k); k++)
        if (errno != EEXIST || k > 9999) write_failed(f, "cannot be created");
    return f;
}

OutFile *file_create(Cx *cx, const char *path) {
    const char *base;
    int folder = file_folder(cx, path, &base);
    return file_create_at(cx, folder, base, path);
}

static void put(OutFile *f, const uint8_t *p, size_t n) {
    while (n) {
        ssize_t k = write(f->fd, p, n < MAX_WRITE ? n : MAX_WRITE);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) write_failed(f, "cannot be written");
        p += k, n -= (size_t)k;
    }
}

static void flush(OutFile *f) {
    put(f, f->buffer, f->held);
    f->held = 0;
}

void file_write(OutFile *f, const void *data, size_t n) {
    f->written += n;
    if (n > BUFFER - f->held) flush(f);
    if (n > BUFFER) {
        put(f, data, n);
    } else if (n) {
        memcpy(f->buffer + f->held, data, n);
        f->held += n;
    }
}

uint64_t file_written(const OutFile *f) { return f->written; }

void file_sync(OutFile *f) {
    flush(f);
    if (fsync(f->fd)) write_failed(f, "cannot be made durable");
}

void file_commit(OutFile *f) {
    file_sync(f);
    if (renameat(f->folder, f->temporary, f->folder, f->base)) write_failed(f, "cannot be put in place");
    leftover_drop(&f->leftover);
    int fd = f->fd;
    f->fd = -1;
    if (close(fd)) write_failed(f, "cannot be closed");
    if (fsync(f->folder) && errno != EINVAL && errno != EROFS) write_failed(f, "its folder cannot be made durable");
}
