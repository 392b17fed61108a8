// external.c -- fuzz target: any bytes as the location of a side file. Whatever they say, what is opened is one of the
// files below the model's folder, through no link.
#include "frontend/external.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

// top/outside.bin must never be opened; the model's folder is top/m.
static char top[] = "/tmp/tvc-fuzz-XXXXXX";
static const char *const files[] = {"m/w.bin", "m/sub/w.bin", "m/sub/deep/w.bin"}, *const folders[] = {"m", "m/sub", "m/sub/deep"};
static struct stat allowed[3];
static int folder = -1;

static void remove_all(void) {
    static const char *const names[] = {"outside.bin", "m/link.bin", "m/up", "m/w.bin", "m/sub/w.bin", "m/sub/deep/w.bin"};
    int at = open(top, O_RDONLY | O_DIRECTORY);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlinkat(at, names[i], 0);
    for (int i = 3; i--;) unlinkat(at, folders[i], AT_REMOVEDIR);
    close(at), close(folder);
    rmdir(top);
}

static void make_all(void) {
    bool bad = !mkdtemp(top) || atexit(remove_all);
    int at = open(top, O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 3; i++) {
        bad |= mkdirat(at, folders[i], 0700);
        int fd = openat(at, files[i], O_CREAT | O_WRONLY, 0600);
        bad |= fd < 0 || fstat(fd, &allowed[i]) || close(fd);
    }
    int fd = openat(at, "outside.bin", O_CREAT | O_WRONLY, 0600);
    bad |= fd < 0 || close(fd) || symlinkat("../outside.bin", at, "m/link.bin") || symlinkat("..", at, "m/up");
    folder = openat(at, "m", O_RDONLY | O_DIRECTORY);
    assert(!bad && folder >= 0);
    close(at);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    char location[4096];
    const char *why = NULL;
    if (folder < 0) make_all();
    if (size >= sizeof location) return 0;
    memcpy(location, bytes, size);
    location[size] = 0;
    int fd = open_beneath(folder, location, &why);
    if (fd < 0) {
        assert(why);
        return 0;
    }
    struct stat st;
    bool ours = false;
    bool known = fstat(fd, &st) == 0;
    for (int i = 0; i < 3; i++) ours |= st.st_dev == allowed[i].st_dev && st.st_ino == allowed[i].st_ino;
    assert(known && ours && !location_fault(location));
    close(fd);
    return 0;
}
