// cache.c -- see cache.h. The folder holds programs, so it must be ours alone: made with mode 0700, refused if another user
// owns it or others may write there.
#include "cache.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { MAGIC = 8 };

static const char magic[MAGIC] = "tvccode\n", ending[] = ".code";

// ---- the folder ----

// mkdir -p
static void make_folders(Cx *cx, const char *path) {
    char *p = cx_fmt(cx, "%s", path);
    for (char *s = p + 1; *s; s++)
        if (*s == '/') *s = 0, mkdir(p, 0700), *s = '/';
    mkdir(p, 0700);
}

static const char *ours(Cx *cx, const char *path) {
    struct stat st;
    make_folders(cx, path);
    bool fits = lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022) &&
                access(path, W_OK | X_OK) == 0;
    return fits ? path : NULL;
}

const char *cache_folder(Cx *cx) {
    const char *own = getenv("TVC_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME"), *path = NULL;
    if (own && *own) path = cx_fmt(cx, "%s", own);
    else if (xdg && *xdg == '/') path = cx_fmt(cx, "%s/tvc", xdg);
    else if (home && *home == '/') path = cx_fmt(cx, "%s/.cache/tvc", home);
    const char *r = path ? ours(cx, path) : NULL;
    if (!r && path)
        cx_note(cx, "the cache folder %s cannot be used (it must be yours alone): compiling without one",
                cx_show(cx, path));
    return r;
}

const char *cache_path(Cx *cx, const char *folder, uint64_t high, uint64_t low) {
    return cx_fmt(cx, "%s/%016llx%016llx%s", folder, (unsigned long long)high, (unsigned long long)low, ending);
}

// ---- sealed files ----

void cache_seal(Cx *cx, const Bytes *piece, int n, uint8_t seal[CACHE_SEAL]) {
    XXH3_state_t *h = XXH3_createState();
    XXH128_canonical_t sum;
    if (!h) fail(cx, E_LIMIT, "out of memory");
    XXH3_128bits_reset(h);
    for (int i = 0; i < n; i++) XXH3_128bits_update(h, piece[i].at, piece[i].n);
    XXH128_canonicalFromHash(&sum, XXH3_128bits_digest(h));
    XXH3_freeState(h);
    memcpy(seal, magic, MAGIC), memcpy(seal + MAGIC, sum.digest, sizeof sum.digest);
}

static Bytes map_ours(Cx *cx, const char *path) {
    struct stat st;
    Bytes b = {NULL, 0};
    int *fd = file_descriptor(cx);
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (*fd < 0) return b;
    if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_size > CACHE_SEAL)
        b = file_map_fd(cx, *fd, path);
    close(*fd), *fd = -1;
    return b;
}

Bytes cache_take(Cx *cx, const char *path) {
    uint8_t seal[CACHE_SEAL];
    Bytes b = map_ours(cx, path);
    if (!b.n) return b;
    b.n -= CACHE_SEAL;
    cache_seal(cx, &b, 1, seal);
    if (memcmp(seal, b.at + b.n, CACHE_SEAL) != 0) return (Bytes){NULL, 0};
    utimensat(AT_FDCWD, path, NULL, 0);
    return b;
}

typedef struct Keeping { Cx *cx; const char *path; const Bytes *piece; int n; } Keeping;

static void keep(void *arg) {
    const Keeping *k = arg;
    uint8_t seal[CACHE_SEAL];
    OutFile *f = file_create(k->cx, k->path);
    for (int i = 0; i < k->n; i++) file_write(f, k->piece[i].at, k->piece[i].n);
    cache_seal(k->cx, k->piece, k->n, seal);
    file_write(f, seal, sizeof seal);
    file_commit(f);
}

bool cache_keep(Cx *cx, const char *path, const Bytes *piece, int n) {
    Keeping k = {cx_new(), path, piece, n};
    bool ok = k.cx && cx_guard(k.cx, keep, &k);
    if (!ok) cx_note(cx, "compiled code is not kept for the next time: %s", k.cx ? k.cx->error : "out of memory");
    cx_free(k.cx);
    return ok;
}

// ---- making room ----

typedef struct Kept { const char *path; uint64_t bytes; struct timespec used; } Kept;

static int oldest_first(const void *a, const void *b) {
    const struct timespec *x = &((const Kept *)a)->used, *y = &((const Kept *)b)->used;
    return x->tv_sec != y->tv_sec ? (x->tv_sec > y->tv_sec) - (x->tv_sec < y->tv_sec)
                                  : (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

static void close_folder(void *d) { closedir(d); }

void cache_trim(Cx *cx, const char *folder, const char *what, const char *except, uint64_t most) {
    DIR *d = opendir(folder);
    Kept *list = NULL;
    int n = 0;
    uint64_t all = 0;
    if (!d) return;
    cx_defer(cx, close_folder, d);
    for (const struct dirent *e; (e = readdir(d));) {
        const char *path = cx_fmt(cx, "%s/%s", folder, e->d_name), *end = strrchr(e->d_name, '.');
        struct stat st;
        if (!end || strcmp(end, what) != 0 || (except && strcmp(path, except) == 0) || stat(path, &st)) continue;
        *VEC_PUSH(cx, list, n) = (Kept){path, (uint64_t)st.st_size, st.st_mtim};
        all += (uint64_t)st.st_size;
    }
    if (n) qsort(list, (size_t)n, sizeof *list, oldest_first);
    for (int i = 0; i < n && all > most; i++) all -= unlink(list[i].path) ? 0 : list[i].bytes;
}

void cache_trim_code(Cx *cx, const char *folder) { cache_trim(cx, folder, ending, NULL, (uint64_t)CACHE_MB << 20); }
