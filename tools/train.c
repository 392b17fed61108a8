// train.c -- tvc train: a model, its photos, a run; and going on with one.
#include "commands.h"
#include "print.h"
#include "training.h"

#include <errno.h>
#include <limits.h>
#include <unistd.h>

typedef struct Train {
    Training of;
    Cx *cx;
    const char *out;
    const char *again;                // the command that goes on
    bool unwritten;                   // trained, but its files are not complete
} Train;

// ---- the run folder ----

static json_t *words_json(const Args *a) {
    json_t *list = json_array();
    for (int i = 0; i < a->npos; i++) json_array_append_new(list, text_json(a->cx, a->pos[i]));
    for (int i = 0; i < a->ngiven; i++) {
        if (a->given[i].id != OPT_STOP_AT) json_array_append_new(list, text_json(a->cx, arg_word(a, i)));
    }
    return list;
}

static void write_args(Train *t) {
    char folder[PATH_MAX];
    json_t *o = json_start(t->cx);
    if (!getcwd(folder, sizeof folder)) fail(t->cx, E_IO, "the current folder: %s", strerror(errno));
    json_put(o, "folder", text_json(t->cx, folder));
    json_put(o, "args", words_json(t->of.a));
    char *text = json_dumps(o, JSON_INDENT(2));
    if (!text) fail(t->cx, E_LIMIT, "out of memory");
    cx_defer(t->cx, free, text);
    rundir_write(t->cx, &t->of.job.dir, "args.json", cx_fmt(t->cx, "%s\n", text));
}

// The command line of the run in this folder, followed by what is given now.
static Args *args_of_run(const Args *a, const char *folder) {
    Cx *cx = a->cx;
    const char *path = cx_fmt(cx, "%s/args.json", folder);
    if (access(path, F_OK))
        fail(cx, E_IO, "%s: holds no run to go on with; the folder of one is called as its -o, with .run for .onnx",
             cx_show(cx, folder));
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
        if (a->given[i].id != OPT_RESUME) *VEC_PUSH(cx, argv, argc) = arg_word(a, i);
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

typedef struct HitText { char s[32]; } HitText;

static HitText hits(const Train *t, double share, int digits) {
    HitText h = {""};
    const char *name = hit_name(t->of.data.kind);
    if (name) snprintf(h.s, sizeof h.s, "  %s %.*f", name, digits, share);
    return h;
}

static void on_tick(void *user, const Tick *k) {
    Train *t = user;
    char scale[32] = "";
    bool val = k->validating;
    if (!line_due(&t->of.line, false)) return;
    if (k->loss_scale > 0) snprintf(scale, sizeof scale, "  scale %g", k->loss_scale);
    line_show(&t->of.line, "epoch %lld/%lld %s%lld/%lld  loss %.4f%s  lr %.1e%s  %.0f images/s  %s left",
              (long long)k->epoch + 1, (long long)k->epochs, val ? "val " : "",
              (long long)(val ? k->done - t->of.data.train.n : k->step), (long long)(val ? t->of.data.val.n : k->steps),
              k->loss, hits(t, k->top1, 3).s, k->lr, scale, k->rate, time_text(k->left).s);
}

static void on_epoch(void *user, const EpochRow *r, bool best) {
    Train *t = user;
    line_clear(&t->of.line);
    if (arg_given(t->of.a, OPT_QUIET) || arg_given(t->of.a, OPT_JSON)) return;
    printf("epoch %3.0f  loss %.4f%s | val loss %.4f%s%s\n", r->epoch, r->train_loss, hits(t, r->train_top1, 4).s,
           r->val_loss, hits(t, r->val_top1, 4).s, best ? "  best" : "");
    fflush(stdout);
}

static void on_bad(void *user, const char *picture, const char *why) {
    Train *t = user;
    line_clear(&t->of.line);
    training_tell_bad(&t->of, picture, why);
}

typedef struct RowsTold { Cx *cx; const Train *t; const Progress *p; } RowsTold;

static RunReport report_of(const Train *t, const Progress *p, bool finished) {
    return (RunReport){t->of.a->pos[0], &t->of.data, p, finished, t->of.nbad, t->of.bad};
}

static void write_rows(void *rows) {
    const RowsTold *r = rows;
    RunReport report = report_of(r->t, r->p, false);
    report_rows(r->cx, &r->t->of.job.dir, &report);
}

// For those who look on: where it cannot be written now, it is at the end.
static void on_saved(void *user, const Progress *p) {
    Cx *cx = cx_new();
    if (!cx) return;
    (void)cx_guard(cx, write_rows, &(RowsTold){cx, user, p});
    cx_free(cx);
}

static void print_result(Train *t, const TrainResult *r) {
    const Progress *p = r->progress;
    const EpochRow *best = p->best_epoch >= 0 ? &p->row[p->best_epoch] : NULL;
    if (arg_given(t->of.a, OPT_JSON)) {
        json_t *o = json_start(t->cx);
        json_put(o, "best_top1", best && hit_name(t->of.data.kind) ? json_real(best->val_top1) : json_null());
        json_put(o, "best_loss", best ? json_real(best->val_loss) : json_null());
        json_put(o, "best_epoch", best ? json_integer(p->best_epoch + 1) : json_null());
        json_put(o, "epochs", json_integer(r->epochs));
        json_put(o, "seconds", json_real(p->seconds));
        json_put(o, "output", r->stopped ? json_null() : text_json(t->cx, t->out));
        json_put(o, "run_dir", text_json(t->cx, t->of.job.dir.path));
        json_put(o, "unreadable", json_integer(r->nbad));
        json_put(o, "loss_scale", json_real(p->scaler.scale));
        json_put(o, "skipped_steps", json_integer(p->scaler.skipped));
        json_put(o, "pixels", json_string(t->of.plan.prepare.bytes ? "bytes" : "floats"));
        json_print(o);
    } else if (best && !r->stopped) {
        if (p->scaler.skipped)
            printf("%lld steps were skipped until the loss had its scale, %g\n", (long long)p->scaler.skipped,
                   p->scaler.scale);
        printf("best: epoch %.0f  loss %.4f%s  %.1f s\n", best->epoch, best->val_loss, hits(t, best->val_top1, 4).s,
               p->seconds);
        if (r->nbad) printf("%lld pictures cannot be read and were left out\n", (long long)r->nbad);
        printf("%s\n", cx_show(t->cx, t->out));
    }
}

// ---- all of it ----

static void set_up(Train *t, const char *resume) {
    const Args *a = t->of.a;
    arg_count(a, 2, 2);
    if (!t->out) fail(t->cx, E_USAGE, "where does the result go? -o OUT.onnx");
    asked_onnx_out(a, t->out);
    t->of.job.dir = rundir_open(t->cx, resume ? resume : run_folder(a, t->out));
    training_open(&t->of);
    t->of.job.resume = resume;
    if (!resume) rundir_forget(t->cx, &t->of.job.dir), write_args(t);
}

static void finish(Train *t, const TrainResult *r) {
    const Progress *p = r->progress;
    const char *best = rundir_file(t->cx, &t->of.job.dir, "best.onnx");
    RunReport report = report_of(t, p, !r->stopped);
    report_write(t->cx, &t->of.job.dir, &report);
    if (p->best.n == 0) return;
    TargetKind kind = t->of.data.kind;
    Export e = {&p->best, &t->of.origin,      kind == TARGET_NUMBERS ? &(Labels){0} : &t->of.labels,
                kind,     &t->of.plan.recipe, &t->of.plan.in};
    export_model(t->of.m, &e, best);
    if (!r->stopped) export_model(t->of.m, &e, t->out);
}

_Noreturn static void fail_diverged(const Train *t, const TrainResult *r) {
    const RunDir *dir = &t->of.job.dir;
    const char *best = r->progress->best.n ? cx_fmt(t->cx, ", the best epoch's in %s",
                                                    cx_show(t->cx, rundir_file(t->cx, dir, "best.onnx")))
                                           : "";
    fail(t->cx, E_DIVERGED, "%s; the weights before this step are in %s%s", r->diverged,
         cx_show(t->cx, rundir_file(t->cx, dir, "last.ckpt")), best);
}

// With the options that say which pictures validate.
static void suggest_eval(const Train *t) {
    const Args *a = t->of.a;
    const char *rest = "";
    for (int i = 0; i < a->ngiven; i++) {
        OptionId id = a->given[i].id;
        if (id == OPT_CLASSES || id == OPT_VAL_SPLIT || id == OPT_SEED || id == OPT_LOSS)
            rest = cx_fmt(t->cx, "%s %s", rest, shell_word(t->cx, arg_word(a, i)));
    }
    if (t->of.data.undivided) rest = cx_fmt(t->cx, " --split val%s", rest);
    print_next("tvc eval %s %s%s", shell_word(t->cx, t->out), shell_word(t->cx, a->pos[1]), rest);
}

// When a request fails in the last moment, say of a full disk.
static void tell_unwritten(void *train) {
    const Train *t = train;
    if (t->unwritten) fprintf(stderr, "what was learned is kept; once that is mended: %s\n", t->again);
}

Err run_train(const Args *a) {
    Train *t = NEW(a->cx, Train, 1);
    *t = (Train){.of = {.a = a, .cx = a->cx}, .cx = a->cx};
    const char *resume = arg_text(a, OPT_RESUME, NULL);
    if (resume) {
        arg_count(a, 0, 0);
        resume = absolute(t->cx, resume);
        t->of.a = args_of_run(a, resume);
    }
    t->out = arg_text(t->of.a, OPT_OUT, NULL);
    set_up(t, resume);
    training_tell(&t->of);
    Watch w = {.user = t, .tick = on_tick, .epoch = on_epoch, .bad = on_bad, .saved = on_saved};
    TrainResult r = train_run(t->cx, &t->of.job, &w);
    line_clear(&t->of.line);
    t->again = cx_fmt(t->cx, "tvc train --resume %s", shell_word(t->cx, t->of.job.dir.path));
    cx_defer(t->cx, tell_unwritten, t);
    t->unwritten = true;
    finish(t, &r);
    t->unwritten = false;
    if (r.diverged) fail_diverged(t, &r);
    print_result(t, &r);
    if (r.stopped) fprintf(stderr, "stopped after batch %lld; to go on: %s\n", (long long)r.progress->number, t->again);
    else suggest_eval(t);
    return r.stopped > 0 ? (Err)(128 + r.stopped) : E_OK;
}
