// job.c -- see job.h.
#include "job.h"
#include "../codegen/cache.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MEMORY_SHARE = 4 };             // kept features take at most this part of the machine's memory

LearnerOptions job_options(const TrainJob *job, int phase) {
    LearnerOptions o = job->learner;
    const Phase *p = &job->phase[phase];
    o.freeze = p->freeze, o.thaw = p->thaw, o.by_depth = p->by_depth;
    o.session.seed = job->seed, o.accumulate = job->accumulate > 1;
    o.pixels = job->prepare && job->prepare->bytes ? job->prepare : NULL;
    bool moves = job->augment && augment_moves(job->augment) < job->augment->n;
    o.place = o.pixels && moves && pixels_placeable(o.pixels);
    return o;
}

Learner *job_learner(const TrainJob *job, int phase) {
    LearnerOptions o = job_options(job, phase);
    Learner *l = learner_new(job->model, &o);
    const Dataset *d = job->data;
    if (l->nclass != d->ntarget)
        fail(l->cx, E_DATASET, "the model gives %d scores, '%s' has %d %s", l->nclass, cx_show(l->cx, d->path),
             d->ntarget, d->kind == TARGET_NUMBERS ? "numbers" : "classes");
    return l;
}

double job_weight(const TrainJob *job, const Portion *b) {
    const double *weights = job->learner.loss.class_weights;
    double sum = 0;
    for (int i = 0; i < b->n; i++) sum += weights ? weights[b->label[i]] : 1;
    return sum;
}

// ---- batches ----

size_t job_room(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (size_t)pages * (size_t)page / MEMORY_SHARE : (size_t)1 << 30;
}

// Where features of earlier runs are: one file for what makes them and for whose they are.
static Store store_of(const TrainJob *job, const Learner *l, const LoaderOptions *o) {
    Cx *cx = l->cx;
    Store s = {.limit = job->cache_bytes};
    char whole[PATH_MAX];
    const char *cache = job->cache_bytes ? cache_folder(cx) : NULL;
    if (!cache || !realpath(job->data->path, whole)) return s;
    s.folder = cx_fmt(cx, "%s/features", cache);
    if (mkdir(s.folder, 0700) && errno != EEXIST) return (Store){0};
    s.made_by = features_key(l, o);
    Key whose = key_of(whole, strlen(whole), &s.made_by),
        name = key_of(o->examples->name, strlen(o->examples->name), &whose);
    s.path = cx_fmt(cx, "%s/%016llx%016llx.features", s.folder, (unsigned long long)name.at[0],
                    (unsigned long long)name.at[1]);
    return s;
}

// How many views of these examples are kept, and where; validation is never augmented and needs one.
static FeatureOptions features_of(const TrainJob *job, const Learner *l, const LoaderOptions *o, size_t *room) {
    bool random = o->augment;
    int want = job->features == FEATURES_AUTO ? !random : job->features && !random ? 1 : job->features;
    size_t bytes = want ? features_bytes(l, o->examples->n, want) : 0;
    FeatureOptions f = {.views = bytes ? want : 0, .spill = bytes > *room, .looking = job->looking};
    if (bytes) f.store = store_of(job, l, o);
    if (f.spill && (!f.store.path || bytes > job->cache_bytes)) {
        cx_note(l->cx,
                "features of %s are not kept: they would take %zu MB, of %zu MB of memory and %llu MB of disk allowed "
                "(--cache-size)",
                o->examples->name, bytes >> 20, *room >> 20, (unsigned long long)(job->cache_bytes >> 20));
        return (FeatureOptions){0};
    }
    if (!f.spill) *room -= bytes;
    return f;
}

Source *job_source(const TrainJob *job, Learner *l, bool training, const atomic_int *stop, size_t *room) {
    const Examples *examples = training ? &job->data->train : &job->data->val;
    OrderKind kind = !training ? ORDER_SEQUENTIAL : job->balance ? ORDER_BALANCED : ORDER_SHUFFLED;
    LoaderOptions o = {.data = job->data,
                       .examples = examples,
                       .prepare = job->prepare,
                       .augment = training ? job->augment : NULL,
                       .place = l->o.place,
                       .order = kind,
                       .seed = job->seed,
                       .batch = job->learner.batch,
                       .epochs = training ? job->schedule.epochs : 1,
                       .workers = job->workers,
                       .stop = stop};
    return source_open(l, &(SourceOptions){o, features_of(job, l, &o, room)});
}
