// rundir.c -- see rundir.h.
#include "rundir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

const char *rundir_file(Cx *cx, const RunDir *r, const char *name) { return cx_fmt(cx, "%s/%s", r->path, name); }

static void close_folder(void *d) { closedir(d); }

// Files in the making of a process that was killed: under the lock they are nobody's.
static void sweep(Cx *cx, const RunDir *r) {
    DIR *d = opendir(r->path);
    if (!d) fail(cx, E_IO, "%s: %s", cx_show(cx, r->path), strerror(errno));
    cx_defer(cx, close_folder, d);
    for (const struct dirent *e; (e = readdir(d));) {
        size_t n = strlen(e->d_name);
        if (strncmp(e->d_name, ".tvc-", 5) == 0 && n > 4 && strcmp(e->d_name + n - 4, ".tmp") == 0)
            unlinkat(dirfd(d), e->d_name, 0);
    }
}

RunDir rundir_open(Cx *cx, const char *path) {
    RunDir r = {path};
    if (mkdir(path, 0777) && errno != EEXIST)
        fail(cx, E_IO, "%s: cannot be made: %s", cx_show(cx, path), strerror(errno));
    int *fd = file_descriptor(cx);
    *fd = open(rundir_file(cx, &r, "lock"), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (*fd < 0) fail(cx, E_IO, "%s: cannot be locked: %s", cx_show(cx, path), strerror(errno));
    if (flock(*fd, LOCK_EX | LOCK_NB))
        fail(cx, E_USAGE, "%s: another run is using this folder; --run-dir takes another one", cx_show(cx, path));
    sweep(cx, &r);
    return r;
}

void rundir_write(Cx *cx, const RunDir *r, const char *name, const char *text) {
    OutFile *f = file_create(cx, rundir_file(cx, r, name));
    file_write(f, text, strlen(text));
    file_commit(f);
}

void rundir_forget(Cx *cx, const RunDir *r) {
    static const char *const names[] = {"last.ckpt",   "last.ckpt.1", "best.onnx",  "metrics.jsonl",
                                        "results.csv", "report.txt",  "report.html"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (unlink(rundir_file(cx, r, names[i])) && errno != ENOENT)
            fail(cx, E_IO, "%s/%s: %s", cx_show(cx, r->path), names[i], strerror(errno));
}
