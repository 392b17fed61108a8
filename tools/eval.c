// eval.c -- tvc eval: how good a model is on photos.
#include "../train/evaluate.h"
#include "asked_train.h"
#include "asked.h"
#include "commands.h"
#include "line.h"
#include "pictures.h"
#include "print.h"

typedef struct PerClass { int64_t count, right; double loss; } PerClass;

static PerClass *per_class(Cx *cx, const Dataset *d, const Judged *j) {
    PerClass *c = NEW(cx, PerClass, d->ntarget);
    for (int i = 0; i < j->n; i++) {
        int64_t label = d->val.at[i].label;
        if (label < 0 || j->predicted[i] < 0) continue;
        c[label].count++, c[label].right += j->predicted[i] == label, c[label].loss += j->loss[i];
    }
    return c;
}

static void print_json(Cx *cx, const Dataset *d, const Evaluation *e, const PerClass *c) {
    const Tally *t = &e->judged.tally;
    json_t *o = json_start(cx), *list = json_array();
    json_put(o, "loss", json_real(tally_loss(t)));
    json_put(o, "top1", json_real(tally_top1(t)));
    json_put(o, "top5", json_real(tally_top5(t)));
    json_put(o, "count", json_integer(t->count));
    json_put(o, "unreadable", json_integer(e->nbad));
    for (int i = 0; i < d->ntarget && d->kind == TARGET_CLASS; i++) {
        json_t *one = json_object();
        if (c[i].count == 0) {
            json_decref(one);
            continue;
        }
        json_put(one, "label", text_json(cx, label_name(&d->classes, i)));
        json_put(one, "index", json_integer(i));
        json_put(one, "count", json_integer(c[i].count));
        json_put(one, "top1", json_real((double)c[i].right / (double)c[i].count));
        json_put(one, "loss", json_real(c[i].loss / (double)c[i].count));
        json_array_append_new(list, one);
    }
    json_put(o, "per_class", list);
    json_print(o);
}

static void print_text(Cx *cx, const Dataset *d, const Evaluation *e, const PerClass *c) {
    const Tally *t = &e->judged.tally;
    printf("%lld images: loss %.4f, top1 %.2f %%, top5 %.2f %%\n", (long long)t->count, tally_loss(t), 100 * tally_top1(t), 100 * tally_top5(t));
    for (int i = 0; i < d->ntarget && d->kind == TARGET_CLASS; i++)
        if (c[i].count)
            printf("  %-24s %6lld  %6.2f %%\n", cx_show(cx, label_name(&d->classes, i)), (long long)c[i].count, 100 * (double)c[i].right / (double)c[i].count);
}

static void on_looked(void *line, const Looked *k) { line_images(line, "pictures", k->done, k->all, k->seconds); }

Err run_eval(const Args *a) {
    enum { BATCH = 16 };
    arg_count(a, 2, 2);
    Cx *cx = a->cx;
    Model *m = asked_model(a, a->pos[0]);
    Labels labels = asked_labels(a, m);
    Recipe said = recipe_of_model(cx, m);
    const ValueInfo *v = picture_input(m);
    if (!v || m->noutput == 0) fail(cx, E_USAGE, "%s has no input or no output", cx_show(cx, a->pos[0]));
    DatasetOptions o = asked_dataset(a);
    o.match = &labels;
    if (o.target == TARGET_NUMBERS) o.match = NULL;
    Dataset d = dataset_open_split(cx, a->pos[1], &o);
    EngineOptions engine = asked_engine(a, 0);
    Line line = line_new(a);
    EvaluateOptions e = {.data = &d, .loss = asked_loss(a, &d), .import = asked_import(a), .compile = engine.compile, .session = engine.session,
                         .batch = (int)arg_int(a, OPT_BATCH, BATCH, 1, 65536), .workers = asked_workers(a), .looking = {&line, on_looked}};
    PicturePlan plan = pictures_choose(a, &said, v, &e.import);
    e.prepare = &plan.prepare;
    Evaluation r = evaluate(m, &e);
    line_clear(&line);
    for (int i = 0; i < r.nbad; i++) cx_note(cx, "left out: %s: %s", cx_show(cx, d.val.at[r.bad[i].sample].picture.name), r.bad[i].why);
    const PerClass *c = per_class(cx, &d, &r.judged);
    if (arg_given(a, OPT_JSON)) print_json(cx, &d, &r, c);
    else print_text(cx, &d, &r, c);
    return E_OK;
}
