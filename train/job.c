// job.c -- see job.h.
#include "job.h"

#include <unistd.h>

enum { MEMORY_SHARE = 4 };             // kept features take at most this part of the machine's memory

Learner *job_learner(const TrainJob *job, int phase) {
    LearnerOptions o = job->learner;
    const Phase *p = &job->phase[phase];
    o.freeze = p->freeze, o.thaw = p->thaw, o.by_depth = p->by_depth;
    o.session.seed = job->seed, o.accumulate = job->accumulate > 1;
    Learner *l = learner_new(job->model, &o);
    const Dataset *d = job->data;
    if (l->nclass != d->ntarget)
        fail(l->cx, E_DATASET, "the model gives %d scores, '%s' has %d %s", l->nclass, cx_show(l->cx, d->path), d->ntarget,
             d->kind == TARGET_NUMBERS ? "numbers" : "classes");
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

// How many views of these examples are kept; validation is never augmented and needs one.
static int views_of(const TrainJob *job, const Learner *l, const Examples *examples, bool random, size_t *room) {
    int want = job->features == FEATURES_AUTO ? !random : job->features && !random ? 1 : job->features;
    size_t bytes = want ? features_bytes(l, examples->n, want) : 0;
    if (want && bytes > *room)
        cx_note(l->cx, "features of %s are not kept: they would take %zu MB of the %zu MB allowed", examples->name, bytes >> 20, *room >> 20);
    if (bytes == 0 || bytes > *room) return 0;
    *room -= bytes;
    return want;
}

Source *job_source(const TrainJob *job, Learner *l, bool training, const atomic_int *stop, size_t *room) {
    const Examples *examples = training ? &job->data->train : &job->data->val;
    OrderKind kind = !training ? ORDER_SEQUENTIAL : job->balance ? ORDER_BALANCED : ORDER_SHUFFLED;
    LoaderOptions o = {.data = job->data, .examples = examples, .prepare = job->prepare, .augment = training ? job->augment : NULL,
                       .order = kind, .seed = job->seed, .batch = job->learner.batch,
                       .epochs = training ? job->schedule.epochs : 1, .workers = job->workers, .stop = stop};
    return source_open(l, &(SourceOptions){.loader = o, .views = views_of(job, l, examples, o.augment, room)});
}
