// idx.c -- a big-endian header (0, 0, type, rank, sizes) and bytes, through zlib's gzip reader,
// which passes plain files through.
//
// The sizes are believed only as far as the file can hold them: deflate shrinks by 1032 at most.
#include "idx.h"
#include "../ir/file.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { UBYTE = 8, MAX_RATIO = 1032, MAX_IDX_SIDE = 1 << 16 };
static const size_t MAX_BYTES = (size_t)4 << 30;

typedef struct Idx {
    Cx *cx;
    const char *path;
    gzFile gz;
    uint64_t room;                     // bytes the file can unpack to at most
} Idx;

static void close_gz(void *p) {
    gzFile *slot = p;
    if (*slot) gzclose(*slot);
}

static Idx idx_open(Cx *cx, const char *path) {
    gzFile *slot = NEW(cx, gzFile, 1);
    cx_defer(cx, close_gz, slot);
    struct stat st;
    int fd = file_open(cx, path), own = dup(fd);
    if (own < 0 || fstat(own, &st) || !(*slot = gzdopen(own, "rb"))) {
        if (own >= 0) close(own);
        fail(cx, E_IO, "'%s': cannot be read", cx_show(cx, path));
    }
    return (Idx){cx, path, *slot, ((uint64_t)st.st_size + 1) * MAX_RATIO};
}

static void read_bytes(const Idx *x, uint8_t *to, size_t n) {
    while (n) {
        int r = gzread(x->gz, to, n > 1 << 20 ? 1 << 20 : (unsigned)n);
        if (r <= 0) fail(x->cx, E_MALFORMED, "'%s': the idx file is truncated or damaged", cx_show(x->cx, x->path));
        to += r;
        n -= (size_t)r;
    }
}

static void skip_bytes(const Idx *x, uint64_t n) {
    uint8_t *waste = cx_alloc(x->cx, 1 << 16);
    for (uint64_t part; n; n -= part) {
        part = n > 1 << 16 ? 1 << 16 : n;
        read_bytes(x, waste, part);
    }
}

static uint32_t read_word(const Idx *x) {
    uint8_t b[4];
    read_bytes(x, b, 4);
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void expect_kind(const Idx *x, uint32_t rank, const char *what) {
    uint32_t magic = read_word(x);
    if (magic >> 16 || (magic >> 8 & 0xff) != UBYTE || (magic & 0xff) != rank)
        fail(x->cx, E_MALFORMED, "'%s': not an idx file of %s (it begins with %08x)", cx_show(x->cx, x->path), what,
             magic);
}

static void expect_room(const Idx *x, uint64_t count, uint64_t size) {
    if (size && count > x->room / size)
        fail(x->cx, E_MALFORMED, "'%s': the idx file is truncated: it cannot hold %llu items", cx_show(x->cx, x->path),
             (unsigned long long)count);
}

IdxImages idx_images(Cx *cx, const char *path, int64_t first, int64_t last) {
    Idx x = idx_open(cx, path);
    expect_kind(&x, 3, "grey images");
    int64_t total = read_word(&x), h = read_word(&x), w = read_word(&x);
    if (h < 1 || w < 1 || h > MAX_IDX_SIDE || w > MAX_IDX_SIDE)
        fail(cx, E_MALFORMED, "'%s': images of %lld x %lld", cx_show(cx, path), (long long)h, (long long)w);
    expect_room(&x, (uint64_t)total, (uint64_t)(h * w));
    if (last < 0) last = total - 1;
    if (first < 0 || first > last || last >= total)
        fail(cx, E_USAGE, "'%s' has images 0-%lld, not %lld-%lld", cx_show(cx, path), (long long)total - 1,
             (long long)first, (long long)last);
    size_t bytes = ck_mul(cx, (size_t)(last - first + 1), (size_t)(h * w));
    if (bytes > MAX_BYTES) fail(cx, E_LIMIT, "'%s': %zu MB of images at once", cx_show(cx, path), bytes >> 20);
    skip_bytes(&x, (uint64_t)first * (uint64_t)(h * w));
    uint8_t *pixel = cx_alloc(cx, bytes);
    read_bytes(&x, pixel, bytes);
    return (IdxImages){total, first, last - first + 1, (int)h, (int)w, pixel};
}

IdxLabels idx_labels(Cx *cx, const char *path) {
    Idx x = idx_open(cx, path);
    expect_kind(&x, 1, "labels");
    uint64_t count = read_word(&x);
    expect_room(&x, count, 1);
    uint8_t *label = cx_alloc(cx, count);
    read_bytes(&x, label, count);
    return (IdxLabels){(int64_t)count, label};
}

const char *idx_labels_path(Cx *cx, const char *images) {
    static const char from[] = "images-idx3", to[] = "labels-idx1";
    const char *at = NULL;
    for (const char *s = images; (s = strstr(s, from)); s++) at = s;
    return at ? cx_fmt(cx, "%.*s%s%s", (int)(at - images), images, to, at + strlen(from)) : NULL;
}

bool idx_looks_like(const char *path) {
    uint8_t b[3] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    bool got = read(fd, b, sizeof b) == (ssize_t)sizeof b;
    close(fd);
    return got && ((b[0] == 0x1f && b[1] == 0x8b) || (!b[0] && !b[1] && b[2] == UBYTE));
}
