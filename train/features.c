// features.c -- see features.h.
#include "features.h"
#include "../ir/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t bytes_each(const Learner *l, int slot) {
    const TensorDesc *d = &l->program->slots[slot].desc;
    return d->batch == 1 ? (size_t)(desc_bytes(d) / l->program->max_batch) : 0;
}

size_t features_bytes(const Learner *l, int n, int views) {
    size_t each = 0;
    for (int i = 0; i < l->nfeature; i++) {
        if (!bytes_each(l, l->feature[i])) return 0;
        each += bytes_each(l, l->feature[i]);
    }
    size_t most = SIZE_MAX / 2, all = 0;
    if (__builtin_mul_overflow(each, (size_t)n, &all) || __builtin_mul_overflow(all, (size_t)views, &all)) return most;
    return all;
}

// ---- room ----

void features_free(Features *f) {
    if (f->mapped) munmap(f->at, f->mapped);
    else free(f->at);
    free(f->have);
    *f = (Features){0};
}

// A file without a name, all of whose blocks are there: a full disk is found now, not by SIGBUS.
static char *map_nameless(Cx *cx, const char *folder, size_t bytes) {
    char *path = cx_fmt(cx, "%s/.tvc-XXXXXX", folder);
    int fd = mkstemp(path), why = fd < 0 ? errno : 0;
    if (fd >= 0 && unlink(path)) why = errno;
    if (!why) why = posix_fallocate(fd, 0, (off_t)bytes);
    void *at = why ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (!why && at == MAP_FAILED) why = errno;
    if (fd >= 0) close(fd);
    if (why)
        fail(cx, E_IO, "no room for %zu MB of features in %s: %s; --cache-features off does without", bytes >> 20,
             cx_show(cx, folder), strerror(why));
    return at;
}

static void make_room(Features *f, Cx *cx, const FeatureOptions *o, size_t bytes) {
    f->have = calloc((size_t)f->n * (size_t)f->views, sizeof *f->have);
    f->at = o->spill ? map_nameless(cx, o->store.folder, bytes) : malloc(bytes);
    f->mapped = o->spill ? bytes : 0;
    if (!f->at || !f->have) fail(cx, E_LIMIT, "no memory for the features of %d images (%zu MB)", f->n, bytes >> 20);
}

// ---- keys ----

static Key text_key(const char *text, Key before) { return key_of(text, strlen(text), &before); }

static Key code_key(const Program *p, int fn, Key k) {
    for (int i = p->functions[fn].from; i < p->functions[fn].to; i++)
        k = text_key(program_text(p, p->steps[i].entry), k);
    return k;
}

Key features_key(const Learner *l, const LoaderOptions *o) {
    const Program *p = l->program;
    Cx *cx = l->cx;
    Key k =
        text_key(recipe_json(cx, &o->prepare->recipe, &o->prepare->in), text_key(l->compiled->target, (Key){{1, 0}}));
    k = code_key(p, FN_FEATURES, code_key(p, FN_INIT, k));
    for (int i = 0; i < p->nslot; i++)
        if (p->slots[i].role == SLOT_WEIGHT && p->weights[i]) k = key_of(p->weights[i], (size_t)slot_bytes(l, i), &k);
    if (o->augment) k = key_of(&o->seed, sizeof o->seed, &k), k = text_key(augment_text(cx, o->augment), k);
    return k;
}

typedef struct Hashing { Cx *cx; const char *path; Key *k; } Hashing;

static void hash_file(void *hashing) {
    const Hashing *h = hashing;
    Bytes b = file_map(h->cx, h->path);
    *h->k = key_of(b.at, b.n, NULL);
}

// A picture by its contents; none where it cannot be looked at.
static Key picture_key(const Picture *p) {
    Cx *cx = cx_new();
    Key k = {{0, 0}};
    if (!p->path) k = key_of(p->grey, (size_t)p->height * (size_t)p->width, &(Key){{(uint64_t)p->width, 1}});
    else if (cx && !cx_guard(cx, hash_file, &(Hashing){cx, p->path, &k})) k = (Key){{0, 0}};
    if (cx) cx_free(cx);
    return k;
}

// ---- rows ----

typedef struct Missing { int n; int *at; } Missing;       // numbers of examples

static char *place(const Features *f, int view, int64_t sample) {
    return f->at + ((size_t)view * (size_t)f->n + (size_t)sample) * f->each;
}

static void keep(Features *f, Learner *l, const Missing *m, int view, const Portion *b) {
    CxMark mark = cx_mark(l->cx);
    size_t from = 0;
    for (int i = 0; i < l->nfeature; i++) {
        size_t each = bytes_each(l, l->feature[i]);
        const char *data = slot_peek(l, l->feature[i]);
        for (int k = 0; k < b->n; k++)
            memcpy(place(f, view, m->at[b->sample[k]]) + from, data + (size_t)k * each, each);
        from += each;
    }
    cx_release(l->cx, mark);
    for (int k = 0; k < b->n; k++) f->have[(size_t)view * (size_t)f->n + (size_t)m->at[b->sample[k]]] = true;
}

void features_load(const Features *f, Learner *l, int view, int n, const int64_t *sample) {
    CxMark mark = cx_mark(l->cx);
    size_t from = 0;
    for (int i = 0; i < l->nfeature; i++) {
        size_t each = bytes_each(l, l->feature[i]);
        char *there = session_data(l->session, l->feature[i]),
             *data = there ? there : NEW(l->cx, char, each *(size_t)n);
        for (int k = 0; k < n; k++) memcpy(data + (size_t)k * each, place(f, view, sample[k]) + from, each);
        if (!there) session_write(l->session, l->feature[i], data);
        from += each;
    }
    cx_release(l->cx, mark);
}

// ---- computing ----

typedef struct Sweep {
    Features *f;
    Learner *l;
    Loader *loader;
    const Missing *m;
    Portion now;                      // whose features are being made
    Looking looking;
    Looked k;
    double began;
} Sweep;

static const Batch *next(Sweep *s, int view) {
    Fault f;
    const Batch *b;
    if (loader_next(s->loader, &b, &f)) fail(s->l->cx, f.code, "%s", f.text);
    return b && b->epoch == view ? b : NULL;
}

// One pass over the missing examples: epoch `view`, in order.
static void sweep(Sweep *s, const Dataset *d, int view) {
    Learner *l = s->l;
    loader_start(s->loader, view, 0);
    bool sent = false;                // the batch lies in the device
    for (const Batch *b = next(s, view); b;) {
        if (!sent) learner_batch(l, b->n), learner_pixels(l, b->pixels, b->place);
        learner_features(l);
        portion_take(&s->now, b, d);
        b = next(s, view);
        sent = b && b->n == s->now.n && learner_ahead(l);
        if (sent) learner_pixels(l, b->pixels, b->place);
        learner_wait(l);
        keep(s->f, l, s->m, view, &s->now);
        looked(&s->looking, &s->k, s->began, s->now.n);
    }
}

static void free_loader(void *l) { loader_free(*(Loader **)l); }

static void take_bad(Features *f, Cx *cx, const Loader *loader, const Missing *m) {
    const BadExample *bad;
    f->nbad = loader_bad(loader, &bad);
    f->bad = NEW(cx, BadExample, f->nbad);
    for (int i = 0; i < f->nbad; i++)
        f->bad[i] = (BadExample){m->at[bad[i].sample], cx_str(cx, bad[i].why, strlen(bad[i].why))};
}

static void compute(Features *f, Learner *l, const LoaderOptions *o, const Missing *m, Looking looking) {
    Loader **loader = NEW(l->cx, Loader *, 1);
    Examples part = {o->examples->name, m->n, NEW(l->cx, Example, m->n)};
    LoaderOptions mine = *o;
    Fault e;
    for (int i = 0; i < m->n; i++) part.at[i] = o->examples->at[m->at[i]];
    mine.order = ORDER_SEQUENTIAL, mine.batch = l->o.batch, mine.epochs = f->views, mine.drop_last = false;
    mine.examples = &part, mine.among = o->examples->n;
    cx_defer(l->cx, free_loader, loader);
    if (loader_new(&mine, loader, &e)) fail(l->cx, e.code, "%s", e.text);
    Portion now = portion_new(l->cx, l->o.batch, o->data);
    Sweep s = {f, l, *loader, m, now, looking, {.set = part.name, .all = (int64_t)m->n * f->views}, seconds_now()};
    looked(&looking, &s.k, s.began, 0);
    for (int view = 0; view < f->views; view++) sweep(&s, o->data, view);
    take_bad(f, l->cx, *loader, m);
    loader_free(*loader);
    *loader = NULL;
}

// Augmented views are drawn by an example's number: all are computed anew where any is missing.
static Missing find_missing(Cx *cx, Features *f, bool random) {
    Missing m = {0, NEW(cx, int, f->n)};
    bool all = true;
    for (int64_t i = 0; i < (int64_t)f->views * f->n; i++) all &= f->have[i];
    for (int i = 0; i < f->n; i++)
        if (random ? !all : !f->have[i]) m.at[m.n++] = i;
    return m;
}

static const Key *row_keys(Cx *cx, const Features *f, const LoaderOptions *o, const Store *s) {
    Key *k = NEW(cx, Key, (int64_t)f->views * f->n);
    for (int i = 0; i < f->n && s->path; i++) {
        Key picture = picture_key(&o->examples->at[i].picture);
        for (int64_t v = 0; v < f->views && (picture.at[0] || picture.at[1]); v++) {
            int64_t draw[] = {v, i};
            k[v * f->n + i] = o->augment ? key_of(draw, sizeof draw, &picture) : picture;
        }
    }
    return k;
}

bool features_compute(Features *f, Learner *l, const LoaderOptions *o, const FeatureOptions *fo) {
    size_t bytes = features_bytes(l, o->examples->n, fo->views);
    *f =
        (Features){.n = o->examples->n, .views = fo->views, .each = bytes / (size_t)o->examples->n / (size_t)fo->views};
    make_room(f, l->cx, fo, bytes);
    Rows rows = {(int64_t)f->n * f->views, f->each, row_keys(l->cx, f, o, &fo->store), f->at, f->have};
    store_read(l->cx, &fo->store, &rows);
    Missing m = find_missing(l->cx, f, o->augment);
    if (m.n == 0) return true;
    compute(f, l, o, &m, fo->looking);
    if (o->stop && atomic_load(o->stop)) return false;
    store_write(l->cx, &fo->store, &rows);
    return true;
}
