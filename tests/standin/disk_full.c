// disk_full.c -- for LD_PRELOAD: while the file $DISK_FULL exists, a file below the folder $DISK_FULL_UNDER takes no
// more than its first 1000 bytes; write() then says ENOSPC.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 1000 };

static bool below(int fd, const char *folder) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path);
    return folder && n > (ssize_t)strlen(folder) && memcmp(path, folder, strlen(folder)) == 0;
}

ssize_t write(int fd, const void *data, size_t n) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "write");
    const char *flag = getenv("DISK_FULL");
    if (!flag || access(flag, F_OK) || !below(fd, getenv("DISK_FULL_UNDER"))) return real(fd, data, n);
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (at < ROOM) return real(fd, data, n < (size_t)(ROOM - at) ? n : (size_t)(ROOM - at));
    errno = ENOSPC;
    return -1;
}
