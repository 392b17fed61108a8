// pairs.c -- a dataset in idx files: images and their labels side by side, as MNIST comes.
//
// Classes are the labels that occur, in the order of their numbers, named by these numbers.
#include "draft.h"
#include "idx.h"
#include <sys/stat.h>

enum { MAX_LABEL = 256 };

typedef struct Pair { const char *set, *images; IdxLabels labels; } Pair;

static bool exists(const char *path) {
    struct stat st;
    return !stat(path, &st) && S_ISREG(st.st_mode);
}

static const char *images_in(const Draft *d, const char *prefix) {
    static const char *const ends[] = {"-images-idx3-ubyte", "-images-idx3-ubyte.gz"};
    for (int i = 0; i < 2; i++) {
        const char *path = cx_fmt(d->cx, "%s/%s%s", d->path, prefix, ends[i]);
        if (exists(path)) return path;
    }
    return NULL;
}

// What MNIST calls t10k is the test split.
static int find_pairs(const Draft *d, Pair *out) {
    static const struct { const char *prefix, *set; } known[] = {
        {"train", "train"}, {"val", "val"},   {"valid", "val"}, {"validation", "val"},
        {"t10k", "test"},   {"test", "test"}};
    int n = 0;
    struct stat st;
    if (!stat(d->path, &st) && S_ISREG(st.st_mode)) {
        if (idx_looks_like(d->path)) out[n++] = (Pair){.set = "", .images = d->path};
        return n;
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const char *path = images_in(d, known[i].prefix);
        bool again = n && !strcmp(out[n - 1].set, known[i].set);
        if (path && !again) out[n++] = (Pair){.set = known[i].set, .images = path};
    }
    return n;
}

static void read_labels(const Draft *d, Pair *p) {
    const char *path = idx_labels_path(d->cx, p->images);
    if (!path || !exists(path))
        fail(d->cx, E_DATASET, "'%s': its labels, %s, are not there", cx_show(d->cx, p->images),
             path ? cx_show(d->cx, path) : "a file named labels-idx1");
    p->labels = idx_labels(d->cx, path);
}

static void name_classes(Draft *d, const Pair *p, int n, int *class_of) {
    bool seen[MAX_LABEL] = {false};
    for (int k = 0; k < n; k++)
        for (int64_t i = 0; i < p[k].labels.count; i++) seen[p[k].labels.label[i]] = true;
    d->classes.source = "idx labels";
    for (int v = 0; v < MAX_LABEL; v++)
        if (seen[v]) {
            class_of[v] = d->classes.n;
            *VEC_PUSH(d->cx, d->classes.name, d->classes.n) = cx_fmt(d->cx, "%d", v);
        }
    d->ntarget = d->classes.n;
}

static void read_pair(Draft *d, const Pair *p, const int *class_of) {
    Cx *cx = d->cx;
    Examples *set = draft_set(d, p->set);
    IdxImages x = idx_images(cx, p->images, 0, -1);
    if (x.count != p->labels.count)
        fail(cx, E_DATASET, "'%s' has %lld images, but its labels are %lld", cx_show(cx, p->images), (long long)x.count,
             (long long)p->labels.count);
    size_t size = (size_t)x.height * (size_t)x.width;
    for (int64_t i = 0; i < x.count; i++) {
        const char *name = cx_fmt(cx, "%s:%lld", p->images, (long long)i);
        Picture picture = {name, NULL, x.pixel + (size_t)i * size, x.height, x.width};
        draft_add(d, set, (Example){picture, class_of[p->labels.label[i]], NULL});
    }
}

bool pairs_read(Draft *d) {
    Pair pair[8];
    int n = find_pairs(d, pair), class_of[MAX_LABEL] = {0};
    if (!n) return false;
    d->numbered = true;
    for (int i = 0; i < n; i++) read_labels(d, &pair[i]);
    name_classes(d, pair, n, class_of);
    bool any = false;
    for (int i = 0; i < n; i++) any = any || draft_wants(d, pair[i].set);
    for (int i = 0; i < n; i++)
        if (!any || draft_wants(d, pair[i].set)) read_pair(d, &pair[i], class_of);
    return true;
}
