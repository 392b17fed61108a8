// gather.c -- walking folders and unfolding idx files, always in the same order.
#include "gather.h"
#include "idx.h"
#include <dirent.h>
#include <errno.h>
#include <strings.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 64, MAX_PICTURES = 1 << 26 };

typedef struct Place { dev_t dev; ino_t ino; } Place;

typedef struct Walk {
    Cx *cx;
    Pictures list;
    Place above[MAX_DEPTH];            // the folders we are in, against circles
    DIR **open;                        // the one being listed; closed with the Cx
} Walk;

static void close_dir(void *p) {
    DIR **slot = p;
    if (*slot) closedir(*slot);
    *slot = NULL;
}

static void add(Walk *w, Picture p) {
    if (w->list.n == MAX_PICTURES) fail(w->cx, E_LIMIT, "more than %d images", MAX_PICTURES);
    *VEC_PUSH(w->cx, w->list.at, w->list.n) = p;
}

static bool named_as_image(const char *name) {
    static const char *const known[] = {"jpg", "jpeg", "png", "webp", "bmp", "ppm", "pgm", "pbm", "pnm", "tif", "tiff"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof known / sizeof *known; i++)
        if (!strcasecmp(dot + 1, known[i])) return true;
    return false;
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

// The names in a folder, hidden ones left out, sorted.
static const char **list_folder(Walk *w, const char *path, int *n) {
    const char **names = NULL;
    *n = 0;
    if (!(*w->open = opendir(path))) fail(w->cx, E_IO, "folder '%s': %s", cx_show(w->cx, path), strerror(errno));
    for (struct dirent *e; (e = readdir(*w->open));)
        if (e->d_name[0] != '.') *VEC_PUSH(w->cx, names, *n) = cx_str(w->cx, e->d_name, strlen(e->d_name));
    close_dir(w->open);
    if (*n) qsort(names, (size_t)*n, sizeof *names, by_name);
    return names;
}

static bool in_circle(const Walk *w, int depth, const struct stat *st) {
    for (int i = 0; i < depth; i++)
        if (w->above[i].dev == st->st_dev && w->above[i].ino == st->st_ino) return true;
    return false;
}

// Recursion is bounded by MAX_DEPTH.
static void add_folder(Walk *w, const char *path, const struct stat *st, int depth) {
    if (depth == MAX_DEPTH)
        fail(w->cx, E_LIMIT, "folder '%s': more than %d levels deep", cx_show(w->cx, path), MAX_DEPTH);
    w->above[depth] = (Place){st->st_dev, st->st_ino};
    int n;
    const char **names = list_folder(w, path, &n);
    const char *slash = path[strlen(path) - 1] == '/' ? "" : "/";
    for (int i = 0; i < n; i++) {
        struct stat is;
        const char *inner = cx_fmt(w->cx, "%s%s%s", path, slash, names[i]);
        if (stat(inner, &is)) continue;                          // a dangling link, or just gone
        if (S_ISREG(is.st_mode) && named_as_image(names[i])) add(w, (Picture){.name = inner, .path = inner});
        if (S_ISDIR(is.st_mode) && !in_circle(w, depth + 1, &is)) add_folder(w, inner, &is, depth + 1);
    }
}

static void add_idx(Walk *w, const char *path, int64_t first, int64_t last) {
    IdxImages x = idx_images(w->cx, path, first, last);
    size_t size = (size_t)x.height * (size_t)x.width;
    for (int64_t i = 0; i < x.count; i++)
        add(w, (Picture){cx_fmt(w->cx, "%s:%lld", path, (long long)(x.first + i)), NULL, x.pixel + (size_t)i * size,
                         x.height, x.width});
}

// "FILE:3-9" or "FILE:3": the file's name, and the range; NULL if the argument does not end so.
static const char *split_range(Cx *cx, const char *arg, int64_t *first, int64_t *last) {
    const char *colon = strrchr(arg, ':');
    if (!colon || colon == arg || strlen(colon) > 40 || colon[1 + strspn(colon + 1, "0123456789-")]) return NULL;
    int end = 0;
    long long a, b;
    if (sscanf(colon + 1, "%18lld-%18lld%n", &a, &b, &end) == 2 && !colon[1 + end]) *first = a, *last = b;
    else if (sscanf(colon + 1, "%18lld%n", &a, &end) == 1 && !colon[1 + end]) *first = *last = a;
    else return NULL;
    return *first < 0 || *last < *first ? NULL : cx_str(cx, arg, (size_t)(colon - arg));
}

static void add_argument(Walk *w, const char *arg) {
    struct stat st;
    int64_t first = 0, last = -1;
    if (!*arg) fail(w->cx, E_USAGE, "an empty name for an image");
    if (stat(arg, &st)) {
        int why = errno;
        const char *file = split_range(w->cx, arg, &first, &last);
        if (!file || stat(file, &st)) fail(w->cx, E_IO, "'%s': %s", cx_show(w->cx, arg), strerror(why));
        add_idx(w, file, first, last);
    } else if (S_ISDIR(st.st_mode)) {
        int before = w->list.n;
        add_folder(w, arg, &st, 0);
        if (w->list.n == before) fail(w->cx, E_DATASET, "folder '%s' has no images in it", cx_show(w->cx, arg));
    } else if (S_ISREG(st.st_mode) && idx_looks_like(arg)) add_idx(w, arg, 0, -1);
    else add(w, (Picture){.name = arg, .path = arg});
}

static Walk walk_new(Cx *cx) {
    Walk w = {.cx = cx, .open = NEW(cx, DIR *, 1)};
    cx_defer(cx, close_dir, w.open);
    return w;
}

Pictures gather_pictures(Cx *cx, int n, const char *const *args) {
    Walk w = walk_new(cx);
    for (int i = 0; i < n; i++) add_argument(&w, args[i]);
    return w.list;
}

Pictures gather_folder(Cx *cx, const char *folder) {
    Walk w = walk_new(cx);
    struct stat st;
    if (stat(folder, &st)) fail(cx, E_IO, "folder '%s': %s", cx_show(cx, folder), strerror(errno));
    add_folder(&w, folder, &st, 0);
    return w.list;
}

Names gather_folders(Cx *cx, const char *folder) {
    Walk w = walk_new(cx);
    Names all = {0}, folders = {0};
    all.at = list_folder(&w, folder, &all.n);
    for (int i = 0; i < all.n; i++) {
        struct stat st;
        if (!stat(cx_fmt(cx, "%s/%s", folder, all.at[i]), &st) && S_ISDIR(st.st_mode))
            *VEC_PUSH(cx, folders.at, folders.n) = all.at[i];
    }
    return folders;
}

Err picture_load(const Picture *p, const ImageOptions *o, Image *out, Fault *f) {
    if (p->path) return image_load(p->path, o, out, f);
    int channels = o->channels == 3 ? 3 : 1;
    if (image_reserve(out, p->width, p->height, channels, f)) return f->code;
    out->orientation = 1;
    size_t n = (size_t)p->width * (size_t)p->height, c = (size_t)channels;
    for (size_t i = 0; i < n; i++) memset(out->pixel + i * c, p->grey[i], c);
    return E_OK;
}
