// train.c -- tvc train: a model, its photos, a run; and going on with one.
#include "../train/report.h"
#include "asked_train.h"
#include "asked.h"
#include "commands.h"
#include "pictures.h"
#include "print.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

typedef struct Train {
    const Args *a;
    Cx *cx;
    const char *out;
    Model *m;
    Dataset data;
    PicturePlan plan;
    Augment augment;
    Labels labels;
    Weights origin;
    TrainJob job;
    bool line;                        // a progress line stands on the terminal
    int nbad;
} Train;

// ---- the data and the head ----

static DatasetOptions asked_dataset(const Args *a, const Labels *match) {
    return (DatasetOptions){.target = asked_target(a), .val_split = arg_float(a, OPT_VAL_SPLIT, 0),
                            .seed = (uint64_t)arg_int(a, OPT_SEED, 0, 0, INT64_MAX), .classes = arg_text(a, OPT_CLASSES, NULL), .match = match};
}

static bool same_labels(const Labels *a, const Labels *b) {
    bool same = a->n && a->n == b->n;
    for (int i = 0; same && i < a->n; i++) {
        same = false;
        for (int k = 0; k < b->n && !same; k++) same = strcmp(a->name[i], b->name[k]) == 0;
    }
    return same;
}

// The model's own head stays where the data has its classes; they are then numbered as there.
static void choose_head(Train *t, const char *photos) {
    const Args *a = t->a;
    DatasetOptions o = asked_dataset(a, NULL);
    t->data = dataset_open(t->cx, photos, &o);
    t->labels = labels_of_model(t->cx, t->m);
    bool keep = arg_given(a, OPT_KEEP_HEAD) || same_labels(&t->labels, &t->data.classes);
    Surgery s = {.classes = keep ? 0 : t->data.ntarget, .head = arg_text(a, OPT_HEAD, NULL), .dropout = keep ? 0 : arg_float(a, OPT_DROPOUT, 0),
                 .seed = o.seed, .import = asked_import(a)};
    s.import.max_batch = 0;
    if (keep && arg_given(a, OPT_DROPOUT)) fail(t->cx, E_USAGE, "--dropout goes before a new head, and this model keeps the one it has");
    if (keep && t->labels.n && t->data.kind != TARGET_NUMBERS) {
        o.match = &t->labels;
        t->data = dataset_open(t->cx, photos, &o);
    }
    surgery_apply(t->m, &s);
    if (!t->labels.n || !keep) t->labels = t->data.classes;
}

// ---- the run folder ----

static char *option_word(const Args *a, int i) {
    const Option *o = &options[a->given[i].id];
    return cx_fmt(a->cx, "--%s%s%s", o->name, o->argument ? "=" : "", o->argument ? a->given[i].value : "");
}

static json_t *words_json(const Args *a) {
    json_t *list = json_array();
    for (int i = 0; i < a->npos; i++) json_array_append_new(list, text_json(a->cx, a->pos[i]));
    for (int i = 0; i < a->ngiven; i++) {
        if (a->given[i].id != OPT_STOP_AT) json_array_append_new(list, text_json(a->cx, option_word(a, i)));
    }
    return list;
}

static void write_args(Train *t) {
    char folder[PATH_MAX];
    json_t *o = json_start(t->cx);
    if (!getcwd(folder, sizeof folder)) fail(t->cx, E_IO, "the current folder: %s", strerror(errno));
    json_put(o, "folder", text_json(t->cx, folder));
    json_put(o, "args", words_json(t->a));
    char *text = json_dumps(o, JSON_INDENT(2));
    if (!text) fail(t->cx, E_LIMIT, "out of memory");
    cx_defer(t->cx, free, text);
    rundir_write(t->cx, &t->job.dir, "args.json", cx_fmt(t->cx, "%s\n", text));
}

// The command line of the run in this folder, followed by what is given now.
static Args *args_of_run(const Args *a, const char *folder) {
    Cx *cx = a->cx;
    const char *path = cx_fmt(cx, "%s/args.json", folder);
    Bytes text = file_map(cx, path);
    json_t *o = json_start(cx), *said = json_loadb((const char *)text.at, text.n, 0, NULL);
    json_put(o, "said", said ? said : json_null());
    const char *where = json_string_value(json_object_get(said, "folder"));
    const json_t *words = json_object_get(said, "args");
    if (!where || !json_is_array(words)) fail(cx, E_MALFORMED, "%s: is not what tvc train writes", cx_show(cx, path));
    char **argv = NULL;
    int argc = 0;
    *VEC_PUSH(cx, argv, argc) = "tvc", *VEC_PUSH(cx, argv, argc) = "train";
    for (size_t i = 0; i < json_array_size(words); i++) {
        const char *s = json_string_value(json_array_get(words, i));
        if (!s) fail(cx, E_MALFORMED, "%s: is not what tvc train writes", cx_show(cx, path));
        *VEC_PUSH(cx, argv, argc) = cx_str(cx, s, strlen(s));
    }
    for (int i = 0; i < a->ngiven; i++) {
        if (a->given[i].id != OPT_RESUME) *VEC_PUSH(cx, argv, argc) = option_word(a, i);
    }
    if (chdir(where)) fail(cx, E_IO, "%s: %s", cx_show(cx, where), strerror(errno));
    return args_parse(cx, argc, argv);
}

static const char *absolute(Cx *cx, const char *path) {
    char whole[PATH_MAX];
    if (!realpath(path, whole)) fail(cx, E_IO, "%s: %s", cx_show(cx, path), strerror(errno));
    return cx_str(cx, whole, strlen(whole));
}

static const char *run_folder(const Args *a, const char *out) {
    size_t n = strlen(out), dot = n > 5 && strcmp(out + n - 5, ".onnx") == 0 ? n - 5 : n;
    return arg_text(a, OPT_RUN_DIR, cx_fmt(a->cx, "%.*s.run", (int)dot, out));
}

// ---- telling ----

static void clear_line(Train *t) {
    if (t->line) fprintf(stderr, "\r\033[K");
    t->line = false;
}

static void on_tick(void *user, const Tick *k) {
    Train *t = user;
    fprintf(stderr, "\r\033[Kepoch %lld/%lld %s %lld/%lld  loss %.4f  top1 %.3f  lr %.2e  %.0f images/s  %.0f s left", (long long)k->epoch + 1,
            (long long)k->epochs, k->validating ? "validation" : "step", (long long)(k->validating ? k->done : k->step),
            (long long)(k->validating ? k->done : k->steps), k->loss, k->top1, k->lr, k->rate, k->left);
    fflush(stderr);
    t->line = true;
}

static void on_epoch(void *user, const EpochRow *r, bool best) {
    Train *t = user;
    clear_line(t);
    if (arg_given(t->a, OPT_QUIET) || arg_given(t->a, OPT_JSON)) return;
    printf("epoch %3.0f  loss %.4f  top1 %.4f | val loss %.4f  top1 %.4f%s\n", r->epoch, r->train_loss, r->train_top1, r->val_loss, r->val_top1,
           best ? "  best" : "");
    fflush(stdout);
}

static void on_bad(void *user, const char *picture, const char *why) {
    enum { SHOWN = 20 };
    Train *t = user;
    clear_line(t);
    if (t->nbad++ < SHOWN) cx_note(t->cx, "left out: %s: %s", cx_show(t->cx, picture), why);
}

static const char *named(const TrainJob *job) {
    static const char *const names[] = {
#define X(id, text) text,
        TVC_OPTIMIZERS(X)
#undef X
    };
    return names[job->learner.optimizer.kind];
}

static void tell_settings(const Train *t) {
    const TrainJob *j = &t->job;
    Cx *cx = t->cx;
    cx_note(cx, "%d images to learn from, %d to validate with, %d %s", t->data.train.n, t->data.val.n, t->data.ntarget,
            t->data.kind == TARGET_NUMBERS ? "numbers each" : "classes");
    cx_note(cx, "--recipe %s: --epochs %lld --batch %d --optimizer %s --lr %g --momentum %g --weight-decay %g --schedule %s --freeze %s --augment '%s'",
            arg_text(t->a, OPT_RECIPE, "head"), (long long)j->schedule.epochs, j->learner.batch, named(j), j->learner.rates.lr,
            j->learner.rates.momentum, j->learner.rates.decay, arg_text(t->a, OPT_SCHEDULE, "cosine"), j->phase[0].freeze,
            augment_text(cx, &t->augment));
    for (int i = 1; i < j->nphase; i++)
        cx_note(cx, "from epoch %lld on %s", (long long)j->phase[i].from + 1, j->phase[i].by_depth ? "everything learns, earlier layers slower" : "more is unfrozen");
}

static void print_result(Train *t, const TrainResult *r) {
    const Progress *p = r->progress;
    const EpochRow *best = p->best_epoch >= 0 ? &p->row[p->best_epoch] : NULL;
    if (arg_given(t->a, OPT_JSON)) {
        json_t *o = json_start(t->cx);
        json_put(o, "best_top1", best ? json_real(best->val_top1) : json_null());
        json_put(o, "best_loss", best ? json_real(best->val_loss) : json_null());
        json_put(o, "best_epoch", best ? json_integer(p->best_epoch + 1) : json_null());
        json_put(o, "epochs", json_integer(r->epochs));
        json_put(o, "seconds", json_real(p->seconds));
        json_put(o, "output", r->stopped ? json_null() : text_json(t->cx, t->out));
        json_put(o, "run_dir", text_json(t->cx, t->job.dir.path));
        json_put(o, "unreadable", json_integer(r->nbad));
        json_print(o);
    } else if (best && !r->stopped) {
        printf("best: epoch %.0f, top1 %.4f, loss %.4f; %.1f s\n%s\n", best->epoch, best->val_top1, best->val_loss, p->seconds, cx_show(t->cx, t->out));
    }
}

// ---- all of it ----

static void set_up(Train *t, const char *resume) {
    const Args *a = t->a;
    arg_count(a, 2, 2);
    if (!t->out) fail(t->cx, E_USAGE, "where does the result go? -o OUT.onnx");
    t->job.dir = rundir_open(t->cx, resume ? resume : run_folder(a, t->out));
    t->m = asked_model(a, a->pos[0]);
    asked_job(a, &t->job);
    Recipe said = recipe_of_model(t->cx, t->m);
    const ValueInfo *v = picture_input(t->m);
    if (!v || t->m->noutput == 0) fail(t->cx, E_USAGE, "%s has no input or no output", cx_show(t->cx, a->pos[0]));
    choose_head(t, a->pos[1]);
    t->job.learner.import = asked_import(a);
    t->plan = pictures_choose(a, &said, v, &t->job.learner.import);
    const char *recipe = arg_text(a, OPT_RECIPE, "head");
    t->augment = augment_parse(t->cx, arg_text(a, OPT_AUGMENT, strcmp(recipe, "head") == 0 ? "none" : "basic"), &t->plan.in);
    t->origin = weights_of_model(t->m);
    t->job.model = t->m, t->job.origin = &t->origin, t->job.data = &t->data, t->job.prepare = &t->plan.prepare;
    t->job.augment = t->augment.n ? &t->augment : NULL;
    t->job.learner.loss = asked_loss(a, &t->data);
    t->job.resume = resume;
    int64_t steps = (t->data.train.n + t->job.learner.batch - 1) / t->job.learner.batch;
    t->job.schedule.steps = steps;
    if (t->job.learner.batch > t->data.train.n) t->job.learner.batch = t->data.train.n;
    if (!resume) rundir_forget(t->cx, &t->job.dir), write_args(t);
}

static void finish(Train *t, const TrainResult *r) {
    const Progress *p = r->progress;
    const char *best = rundir_file(t->cx, &t->job.dir, "best.onnx");
    report_write(t->cx, &t->job.dir, &(RunReport){t->a->pos[0], &t->data, p, !r->stopped});
    if (p->best.n == 0) return;
    Export e = {&p->best, &t->origin, t->data.kind == TARGET_NUMBERS ? NULL : &t->labels, &t->plan.recipe, &t->plan.in};
    export_model(t->m, &e, best);
    if (!r->stopped) export_model(t->m, &e, t->out);
}

Err run_train(const Args *a) {
    Train t = {.a = a, .cx = a->cx};
    const char *resume = arg_text(a, OPT_RESUME, NULL);
    if (resume) {
        arg_count(a, 0, 0);
        resume = absolute(t.cx, resume);
        t.a = args_of_run(a, resume);
    }
    t.out = arg_text(t.a, OPT_OUT, NULL);
    set_up(&t, resume);
    tell_settings(&t);
    bool watched = isatty(STDERR_FILENO) && !arg_given(t.a, OPT_QUIET);
    Watch w = {.user = &t, .tick = watched ? on_tick : NULL, .epoch = on_epoch, .bad = on_bad};
    TrainResult r = train_run(t.cx, &t.job, &w);
    clear_line(&t);
    finish(&t, &r);
    print_result(&t, &r);
    if (r.stopped) fprintf(stderr, "stopped after step %lld; to go on: tvc train --resume %s\n", (long long)r.progress->number,
                           cx_show(t.cx, t.job.dir.path));
    else print_next("tvc eval %s %s", cx_show(t.cx, t.out), cx_show(t.cx, t.a->pos[1]));
    return r.stopped > 0 ? (Err)(128 + r.stopped) : E_OK;
}
