// source.c -- see source.h.
#include "source.h"

enum { ATTEMPTS = 32 };                // as the loader's

struct Source {
    Learner *l;
    SourceOptions o;
    Loader *loader;                   // without features kept
    Features features;
    Order order;
    int64_t epoch, step;              // of the next one to be fetched
    Portion portion[2];               // that which lies in the learner, and the one after it
    int turn;                         // which is the learner's
    const Batch *pictures;            // of the one fetched last, where there is a loader
    bool fetched, sent;               // the one after it has been fetched; lies in the device already
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
    return features_compute(&s->features, s->l, o, &s->o.features);
}

Source *source_open(Learner *l, const SourceOptions *o) {
    Source *s = NEW(l->cx, Source, 1);
    Fault f;
    *s = (Source){.l = l, .o = *o};
    cx_defer(l->cx, close_source, s);
    for (int i = 0; i < 2; i++) s->portion[i] = portion_new(l->cx, o->loader.batch, o->loader.data);
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
    s->fetched = s->sent = false;
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

static void put_target(const Source *s, Portion *p, const Example *e) {
    size_t n = (size_t)s->o.loader.data->ntarget;
    p->label[p->n] = e->label;
    if (!p->target) return;
    float *to = p->target + (size_t)p->n * n;
    if (e->target) memcpy(to, e->target, n * sizeof *to);
    else memset(to, 0, n * sizeof *to);
    if (!e->target && e->label >= 0) to[e->label] = 1;
}

static int view_of(const Source *s) { return (int)(s->epoch % s->features.views); }

static bool fetch_kept(Source *s, Portion *p) {
    const LoaderOptions *o = &s->o.loader;
    for (p->epoch = s->epoch, p->n = 0; p->n == 0;) {
        if (s->step >= source_steps(s) || (o->stop && atomic_load(o->stop))) return false;
        int64_t first = s->step * o->batch, end = first + o->batch < s->order.n ? first + o->batch : s->order.n;
        for (int64_t at = first; at < end; at++) {
            int64_t sample = sample_at(s, view_of(s), at);
            if (sample < 0) continue;
            put_target(s, p, &o->examples->at[sample]);
            p->sample[p->n++] = sample;
        }
        p->step = s->step++;
    }
    return true;
}

// ---- from pictures ----

static bool fetch_loaded(Source *s, Portion *p) {
    Fault f;
    if (s->step >= source_steps(s)) return false;
    if (loader_next(s->loader, &s->pictures, &f)) fail(s->l->cx, f.code, "%s", f.text);
    if (!s->pictures || s->pictures->epoch != s->epoch) return false;
    s->step = s->pictures->step + 1;
    portion_take(p, s->pictures, s->o.loader.data);
    return true;
}

// ---- both ----

static bool fetch(Source *s, Portion *p) { return s->loader ? fetch_loaded(s, p) : fetch_kept(s, p); }

static void put(Source *s, const Portion *p) {
    if (s->loader) learner_pixels(s->l, s->pictures->pixels, s->pictures->place);
    else features_load(&s->features, s->l, view_of(s), p->n, p->sample);
    learner_labels(s->l, p->label, p->target);
}

bool source_next(Source *s, const Portion **out) {
    Portion *p = &s->portion[s->turn ^= 1];
    if (!s->fetched && !fetch(s, p)) return false;
    if (!s->sent) learner_batch(s->l, p->n), put(s, p);
    if (s->loader) learner_features(s->l), learner_wait(s->l);
    s->fetched = s->sent = false;
    *out = p;
    return true;
}

void source_ahead(Source *s) {
    Portion *p = &s->portion[s->turn ^ 1];
    if (!learner_ahead(s->l)) return;
    s->fetched = fetch(s, p);
    s->sent = s->fetched && p->n == s->portion[s->turn].n;
    if (s->sent) put(s, p);
}

int source_bad(const Source *s, const BadExample **out) {
    *out = s->features.bad;
    return s->loader ? loader_bad(s->loader, out) : s->features.nbad;
}
