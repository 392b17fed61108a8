// training.c -- see training.h.
#include "training.h"
#include "../train/constants.h"
#include "../train/init.h"
#include "asked_train.h"

// ---- the data and the head ----

static bool same_labels(const Labels *a, const Labels *b) {
    bool same = a->n && a->n == b->n;
    for (int i = 0; same && i < a->n; i++) {
        same = false;
        for (int k = 0; k < b->n && !same; k++) same = strcmp(a->name[i], b->name[k]) == 0;
    }
    return same;
}

// The model's own head stays where the data has its classes; they are then numbered as there.
static void choose_head(Training *t, const char *photos) {
    const Args *a = t->a;
    DatasetOptions o = asked_dataset(a);
    t->data = dataset_open(t->cx, photos, &o);
    t->labels = labels_of_model(t->cx, t->m);
    bool keep = arg_given(a, OPT_KEEP_HEAD) || same_labels(&t->labels, &t->data.classes);
    Surgery s = asked_surgery(a);
    s.freeze = NULL, s.classes = keep ? 0 : t->data.ntarget, s.dropout = arg_float(a, OPT_DROPOUT, s.dropout);
    if (keep && (s.dropout > 0 || s.nhidden || s.whole_module))
        fail(t->cx, E_USAGE,
             "--dropout, --head-hidden, --head-dropout and --head-scope make a new head, and this model keeps the one "
             "it has");
    if (keep && t->labels.n && t->data.kind != TARGET_NUMBERS) {
        o.match = &t->labels;
        t->data = dataset_open(t->cx, photos, &o);
    }
    surgery_apply(t->m, &s);
    if (!t->labels.n || !keep) t->labels = t->data.classes;
}

// ---- all of it ----

// What was learned before, into a model of the same structure.
static void start_from(Training *t, const char *path) {
    if (!path) return;
    Model *m = asked_model(t->a, path);
    constants_to_initializers(m);
    weights_from(t->m, m);
}

static void on_looked(void *training, const Looked *k) {
    Training *t = training;
    line_images(&t->line, strcmp(k->set, "train") == 0 ? "features to learn from" : "features to validate with",
                k->done, k->all, k->seconds);
}

void training_open(Training *t) {
    const Args *a = t->a;
    TrainJob *job = &t->job;
    t->line = line_new(a);
    t->m = asked_model(a, a->pos[0]);
    constants_to_initializers(t->m);
    asked_job(a, t->m, job);
    Recipe said = recipe_of_model(t->cx, t->m);
    const ValueInfo *v = picture_input(t->m);
    if (!v || t->m->noutput == 0) fail(t->cx, E_USAGE, "%s has no input or no output", cx_show(t->cx, a->pos[0]));
    choose_head(t, a->pos[1]);
    start_from(t, arg_text(a, OPT_INIT, NULL));
    job->learner.import = asked_import(a);
    t->plan = pictures_choose(a, &said, v, job->learner.compile.target, &job->learner.import);
    const char *recipe = arg_text(a, OPT_RECIPE, "head");
    t->augment =
        augment_parse(t->cx, arg_text(a, OPT_AUGMENT, strcmp(recipe, "head") == 0 ? "none" : "basic"), &t->plan.in);
    t->origin = weights_of_model(t->m);
    job->model = t->m, job->origin = &t->origin, job->data = &t->data, job->prepare = &t->plan.prepare;
    job->looking = (Looking){t, on_looked};
    job->augment = t->augment.n ? &t->augment : NULL;
    job->learner.loss = asked_loss(a, &t->data);
    job->learner.batch = asked_batch(a, t->data.train.n);
    int64_t batches = (t->data.train.n + job->learner.batch - 1) / job->learner.batch;
    job->schedule.steps = (batches + job->accumulate - 1) / job->accumulate;
}

// ---- telling ----

static const char *named(const TrainJob *job) {
    static const char *const names[] = {
#define X(id, text) text,
        TVC_OPTIMIZERS(X)
#undef X
    };
    return names[job->learner.optimizer.kind];
}

void training_tell(const Training *t) {
    const TrainJob *j = &t->job;
    Cx *cx = t->cx;
    const char *what = t->data.kind == TARGET_CLASS    ? "classes"
                       : t->data.kind == TARGET_LABELS ? "labels"
                       : t->data.ntarget == 1          ? "number each"
                                                       : "numbers each";
    cx_note(cx, "%d images to learn from, %d to validate with, %d %s", t->data.train.n, t->data.val.n, t->data.ntarget,
            what);
    cx_note(cx,
            "--recipe %s: --epochs %lld --batch %d --optimizer %s --lr %g --momentum %g --weight-decay %g --schedule "
            "%s --freeze %s --augment '%s'",
            arg_text(t->a, OPT_RECIPE, "head"), (long long)j->schedule.epochs, j->learner.batch, named(j),
            j->learner.rates.lr, j->learner.rates.momentum, j->learner.rates.decay,
            arg_text(t->a, OPT_SCHEDULE, "cosine"), j->phase[0].freeze, augment_text(cx, &t->augment));
    for (int i = 1; i < j->nphase; i++) {
        const Phase *p = &j->phase[i];
        const char *but = strcmp(p->freeze, "none") == 0 ? "" : cx_fmt(cx, " but '%s'", cx_show(cx, p->freeze));
        cx_note(cx, "from epoch %lld on %s", (long long)p->from + 1,
                p->by_depth ? cx_fmt(cx, "everything%s learns, earlier layers slower", but)
                            : cx_fmt(cx, "'%s' learns, too", cx_show(cx, p->thaw)));
    }
}

void training_tell_bad(Training *t, const char *picture, const char *why) {
    enum { SHOWN = 20 };
    if (t->nbad < SHOWN) cx_note(t->cx, "left out: %s: %s", cx_show(t->cx, picture), why);
    *VEC_PUSH(t->cx, t->bad, t->nbad) = (LeftOut){picture, cx_str(t->cx, why, strlen(why))};
}
