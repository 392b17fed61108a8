// features.c -- see features.h.
#include "features.h"

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

void features_free(Features *f) {
    free(f->at), free(f->have);
    *f = (Features){0};
}

static char *place(const Features *f, int view, int64_t sample) {
    return f->at + ((size_t)view * (size_t)f->n + (size_t)sample) * f->each;
}

static void keep(Features *f, Learner *l, int view, const Batch *b) {
    CxMark mark = cx_mark(l->cx);
    size_t from = 0;
    for (int i = 0; i < l->nfeature; i++) {
        size_t each = bytes_each(l, l->feature[i]);
        const char *data = slot_peek(l, l->feature[i]);
        for (int k = 0; k < b->n; k++) memcpy(place(f, view, b->sample[k]) + from, data + (size_t)k * each, each);
        from += each;
    }
    cx_release(l->cx, mark);
    for (int k = 0; k < b->n; k++) f->have[(size_t)view * (size_t)f->n + (size_t)b->sample[k]] = true;
}

void features_load(const Features *f, Learner *l, int view, int n, const int64_t *sample) {
    CxMark mark = cx_mark(l->cx);
    size_t from = 0;
    for (int i = 0; i < l->nfeature; i++) {
        size_t each = bytes_each(l, l->feature[i]);
        char *there = session_data(l->session, l->feature[i]), *data = there ? there : NEW(l->cx, char, each * (size_t)n);
        for (int k = 0; k < n; k++) memcpy(data + (size_t)k * each, place(f, view, sample[k]) + from, each);
        if (!there) session_write(l->session, l->feature[i], data);
        from += each;
    }
    cx_release(l->cx, mark);
}

// One pass over the examples: epoch `view`, in order.
static void sweep(Features *f, Learner *l, Loader *loader, int view) {
    Fault fault_;
    const Batch *b;
    loader_start(loader, view, 0);
    for (;;) {
        if (loader_next(loader, &b, &fault_)) fail(l->cx, fault_.code, "%s", fault_.text);
        if (!b || b->epoch != view) return;
        learner_batch(l, b->n);
        learner_pixels(l, b->pixels);
        keep(f, l, view, b);
    }
}

static void free_loader(void *l) { loader_free(*(Loader **)l); }

bool features_compute(Features *f, Learner *l, const LoaderOptions *o, int views, BadFn *bad, void *user) {
    LoaderOptions mine = *o;
    Loader **loader = NEW(l->cx, Loader *, 1);
    Fault e;
    mine.order = ORDER_SEQUENTIAL, mine.batch = l->o.batch, mine.epochs = views, mine.drop_last = false;
    size_t all = features_bytes(l, o->examples->n, views);
    *f = (Features){.n = o->examples->n, .views = views, .each = all / (size_t)o->examples->n / (size_t)views};
    f->at = malloc(all), f->have = calloc((size_t)f->n * (size_t)views, sizeof *f->have);
    if (!f->at || !f->have) fail(l->cx, E_LIMIT, "no memory for the features of %d images (%zu MB)", f->n, all >> 20);
    cx_defer(l->cx, free_loader, loader);
    if (loader_new(&mine, loader, &e)) fail(l->cx, e.code, "%s", e.text);
    for (int view = 0; view < views; view++) sweep(f, l, *loader, view);
    bad(user, *loader);
    loader_free(*loader);
    *loader = NULL;
    return !o->stop || !atomic_load(o->stop);
}
