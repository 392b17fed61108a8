// source.c -- see source.h.
#include "source.h"

enum { ATTEMPTS = 32 };                // as the loader's

struct Source {
    Learner *l;
    SourceOptions o;
    Loader *loader;                   // without features kept
    Features features;
    Order order;
    int64_t epoch, step;
    int64_t *sample, *label;          // of the batch, [batch]
    float *target;
};

static void close_source(void *source) {
    Source *s = source;
    loader_free(s->loader);
    features_free(&s->features);
    order_free(&s->order);
    s->loader = NULL;
    s->order = (Order){0};
}

void source_close(Source *s) {
    if (s) close_source(s);
}

static bool open_kept(Source *s) {
    Cx *cx = s->l->cx;
    const LoaderOptions *o = &s->o.loader;
    Fault f;
    if (order_init(&s->order, o->order, o->seed, o->examples, &f)) fail(cx, f.code, "%s", f.text);
    s->sample = NEW(cx, int64_t, o->batch), s->label = NEW(cx, int64_t, o->batch);
    if (o->data->kind != TARGET_CLASS) s->target = NEW(cx, float, (int64_t)o->batch * o->data->ntarget);
    return features_compute(&s->features, s->l, o, &s->o.features);
}

Source *source_open(Learner *l, const SourceOptions *o) {
    Source *s = NEW(l->cx, Source, 1);
    Fault f;
    *s = (Source){.l = l, .o = *o};
    cx_defer(l->cx, close_source, s);
    if (o->features.views) return open_kept(s) ? s : NULL;
    if (loader_new(&o->loader, &s->loader, &f)) fail(l->cx, f.code, "%s", f.text);
    return s;
}

bool source_keeps(const Source *s) { return s->o.features.views > 0; }

int64_t source_steps(const Source *s) {
    const LoaderOptions *o = &s->o.loader;
    int64_t n = o->examples->n;
    return o->drop_last ? n / o->batch : (n + o->batch - 1) / o->batch;
}

void source_start(Source *s, int64_t epoch, int64_t step) {
    s->epoch = epoch, s->step = step;
    if (s->loader) loader_start(s->loader, epoch, step);
}

// ---- from features ----

static bool have(const Source *s, int view, int64_t sample) { return s->features.have[view * s->features.n + sample]; }

// As the loader does: one that cannot be read is replaced, or left out of a sequential order (-1).
static int64_t sample_at(const Source *s, int view, int64_t position) {
    int64_t sample = order_sample(&s->order, s->epoch, position);
    for (int attempt = 1; !have(s, view, sample); attempt++) {
        if (s->order.kind == ORDER_SEQUENTIAL || attempt == ATTEMPTS) return -1;
        sample = order_replacement(&s->order, s->epoch, position, attempt);
    }
    return sample;
}

static void put_target(Source *s, int row, const Example *e) {
    size_t n = (size_t)s->o.loader.data->ntarget;
    s->label[row] = e->label;
    if (!s->target) return;
    float *to = s->target + (size_t)row * n;
    if (e->target) memcpy(to, e->target, n * sizeof *to);
    else memset(to, 0, n * sizeof *to);
    if (!e->target && e->label >= 0) to[e->label] = 1;
}

static bool next_kept(Source *s, Portion *p) {
    const LoaderOptions *o = &s->o.loader;
    int view = (int)(s->epoch % s->features.views);
    *p = (Portion){.epoch = s->epoch, .label = s->label, .sample = s->sample, .target = s->target};
    while (p->n == 0) {
        if (s->step >= source_steps(s) || (o->stop && atomic_load(o->stop))) return false;
        int64_t first = s->step * o->batch, end = first + o->batch < s->order.n ? first + o->batch : s->order.n;
        for (int64_t at = first; at < end; at++) {
            int64_t sample = sample_at(s, view, at);
            if (sample < 0) continue;
            put_target(s, p->n, &o->examples->at[sample]);
            s->sample[p->n++] = sample;
        }
        p->step = s->step++;
    }
    learner_batch(s->l, p->n);
    features_load(&s->features, s->l, view, p->n, s->sample);
    return true;
}

// ---- from pictures ----

static bool next_loaded(Source *s, Portion *p) {
    const Batch *b;
    Fault f;
    if (s->step >= source_steps(s)) return false;
    if (loader_next(s->loader, &b, &f)) fail(s->l->cx, f.code, "%s", f.text);
    if (!b || b->epoch != s->epoch) return false;
    s->step = b->step + 1;
    *p = (Portion){b->epoch, b->step, b->n, b->label, b->sample, b->target};
    learner_batch(s->l, p->n);
    learner_pixels(s->l, b->pixels);
    return true;
}

bool source_next(Source *s, Portion *p) { return s->loader ? next_loaded(s, p) : next_kept(s, p); }

int source_bad(const Source *s, const BadExample **out) {
    *out = s->features.bad;
    return s->loader ? loader_bad(s->loader, out) : s->features.nbad;
}
