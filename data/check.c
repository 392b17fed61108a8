// check.c -- every picture decoded once, by all threads; what they say is gathered in order, so
// that the report does not depend on how many there are.
#include "check.h"
#include "../runtime/pool.h"
#include <xxhash.h>

typedef struct Look {                  // at one picture
    Spot at;
    char *why;                         // it cannot be read; NULL: it can
    XXH128_hash_t pixels;
    int shorter, orientation, channels;
} Look;

typedef struct Looks { const DataCheck *check; ImageOptions o; Pool *pool; int n; Look *at; } Looks;

const Example *check_example(const DataCheck *c, Spot s) {
    return &(s.val ? &c->data.val : &c->data.train)->at[s.index];
}

static void free_looks(void *arg) {
    Looks *l = arg;
    pool_free(l->pool);
    for (int i = 0; i < l->n; i++) free(l->at[i].why);
}

static void look_at(const Looks *l, Look *look, Image *im) {
    Fault f;
    if (picture_load(&check_example(l->check, look->at)->picture, &l->o, im, &f)) {
        look->why = strdup(f.text);
        return;
    }
    uint64_t shape = (uint64_t)im->width << 32 | (uint64_t)im->height << 2 | (uint64_t)im->channels;
    size_t bytes = (size_t)im->width * (size_t)im->height * (size_t)im->channels;
    look->pixels = XXH3_128bits_withSeed(im->pixel, bytes, shape);
    look->shorter = im->width < im->height ? im->width : im->height;
    look->orientation = im->orientation;
    look->channels = im->channels;
}

static void look_at_some(int64_t lo, int64_t hi, void *arg) {
    const Looks *l = arg;
    Image im = {0};
    for (int64_t i = lo; i < hi; i++) look_at(l, &l->at[i], &im);
    image_free(&im);
}

static Looks *look_at_all(Cx *cx, const DataCheck *c, const CheckOptions *o) {
    Looks *l = NEW(cx, Looks, 1);
    int n = c->data.train.n + c->data.val.n;
    *l = (Looks){.check = c, .o = {0, o->ignore_exif}, .at = NEW(cx, Look, n + 1)};
    for (int i = 0; i < n; i++) {
        bool val = i >= c->data.train.n;
        l->at[i].at = (Spot){val, val ? i - c->data.train.n : i};
    }
    l->n = n;
    cx_defer(cx, free_looks, l);
    if (!(l->pool = pool_new(o->threads))) fail(cx, E_LIMIT, "out of memory");
    pool_run(l->pool, look_at_some, n, l);
    return l;
}

static void count_classes(Cx *cx, DataCheck *c) {
    if (c->data.kind == TARGET_NUMBERS) return;
    for (int s = 0; s < 2; s++) {
        const Examples *e = s ? &c->data.val : &c->data.train;
        c->count[s] = NEW(cx, int, c->data.classes.n + 1);
        for (int i = 0; i < e->n; i++) {
            if (e->at[i].label >= 0) c->count[s][e->at[i].label]++;
            for (int k = 0; e->at[i].target && k < c->data.ntarget; k++) c->count[s][k] += e->at[i].target[k] > 0;
        }
    }
}

static void gather_looks(Cx *cx, DataCheck *c, const Looks *l, int tiny) {
    for (int i = 0; i < l->n; i++) {
        const Look *look = &l->at[i];
        if (!look->channels) {
            *VEC_PUSH(cx, c->bad, c->nbad) = (Unreadable){look->at, look->why ? look->why : "it cannot be read"};
            continue;
        }
        if (look->shorter < tiny) *VEC_PUSH(cx, c->tiny, c->ntiny) = look->at;
        c->rotated += look->orientation != 1;
        c->grey += look->channels == 1;
        c->colour += look->channels == 3;
    }
}

// ---- twins ----

static int by_pixels(const void *a, const void *b) {             // training examples first among equals
    const Look *x = *(const Look *const *)a, *y = *(const Look *const *)b;
    int c = XXH128_cmp(&x->pixels, &y->pixels);
    return c ? c : x->at.val != y->at.val ? x->at.val - y->at.val : x->at.index - y->at.index;
}

static bool same_target(const DataCheck *c, Spot a, Spot b) {
    const Example *x = check_example(c, a), *y = check_example(c, b);
    if (x->target && y->target) return !memcmp(x->target, y->target, (size_t)c->data.ntarget * sizeof *x->target);
    return x->label == y->label;
}

static int twins_leak(const Twins *t) { return t->first.val != t->second.val; }

static int leaks_first(const void *a, const void *b) {
    const Twins *x = a, *y = b;
    if (twins_leak(x) != twins_leak(y)) return twins_leak(y) - twins_leak(x);
    if (x->first.val != y->first.val) return x->first.val - y->first.val;
    return x->first.index != y->first.index ? x->first.index - y->first.index : x->second.index - y->second.index;
}

static void find_twins(Cx *cx, DataCheck *c, const Looks *l) {
    const Look **sorted = NEW(cx, const Look *, l->n + 1);
    int n = 0;
    for (int i = 0; i < l->n; i++)
        if (l->at[i].channels) sorted[n++] = &l->at[i];
    qsort(sorted, (size_t)n, sizeof *sorted, by_pixels);
    for (int i = 1, first = 0; i < n; i++) {
        if (!XXH128_isEqual(sorted[i]->pixels, sorted[first]->pixels)) {
            first = i;
            continue;
        }
        Twins t = {sorted[first]->at, sorted[i]->at};
        c->nleak += twins_leak(&t);
        c->nconflict += !same_target(c, t.first, t.second);
        *VEC_PUSH(cx, c->twins, c->ntwins) = t;
    }
    if (c->ntwins) qsort(c->twins, (size_t)c->ntwins, sizeof *c->twins, leaks_first);
}

DataCheck data_check(Cx *cx, const char *path, const CheckOptions *o) {
    DatasetOptions lenient = o->dataset;
    lenient.lenient = true;
    DataCheck c = {.data = dataset_open(cx, path, &lenient)};
    const Looks *l = look_at_all(cx, &c, o);
    count_classes(cx, &c);
    gather_looks(cx, &c, l, o->tiny);
    find_twins(cx, &c, l);
    return c;
}
