// eval.c -- tvc eval: how good a model is on photos.
#include "../train/evaluate.h"
#include "asked_train.h"
#include "asked.h"
#include "commands.h"
#include "line.h"
#include "pictures.h"
#include "print.h"

typedef struct PerClass { int64_t count, said, right; double loss; } PerClass;      // loss: of examples of one class

static PerClass *per_class(Cx *cx, const Dataset *d, const Judged *j) {
    PerClass *c = NEW(cx, PerClass, d->ntarget);
    for (int i = 0; i < j->nlabel; i++) c[i] = (PerClass){j->label[i].count, j->label[i].said, j->label[i].right, 0};
    for (int i = 0; i < j->n && d->kind == TARGET_CLASS; i++) {
        int64_t label = d->val.at[i].label, said = j->predicted[i];
        if (label < 0 || said < 0) continue;
        c[label].count++, c[label].right += said == label, c[label].loss += j->loss[i];
        if (said < d->ntarget) c[said].said++;
    }
    return c;
}

static json_t *share_json(int64_t part, int64_t all) {
    return all ? json_real((double)part / (double)all) : json_null();
}

static json_t *class_json(Cx *cx, const Dataset *d, int i, const PerClass *c) {
    json_t *o = json_object();
    json_put(o, "label", text_json(cx, label_name(&d->classes, i)));
    json_put(o, "index", json_integer(i));
    json_put(o, "count", json_integer(c->count));
    if (d->kind == TARGET_CLASS) {
        json_put(o, "top1", share_json(c->right, c->count));
        json_put(o, "loss", json_real(c->loss / (double)c->count));
    }
    json_put(o, "recall", share_json(c->right, c->count));
    json_put(o, "precision", share_json(c->right, c->said));
    return o;
}

// Of numbers there are no hits; several labels have no order of which five would be the first.
static void print_json(Cx *cx, const Dataset *d, const Evaluation *e, const PerClass *c, bool bytes) {
    const Tally *t = &e->judged.tally;
    json_t *o = json_start(cx), *list = json_array();
    json_put(o, "loss", json_real(tally_loss(t)));
    json_put(o, "top1", hit_name(d->kind) ? json_real(tally_top1(t)) : json_null());
    json_put(o, "top5", d->kind == TARGET_CLASS ? json_real(tally_top5(t)) : json_null());
    json_put(o, "count", json_integer(t->count));
    json_put(o, "unreadable", json_integer(e->nbad));
    json_put(o, "pixels", json_string(bytes ? "bytes" : "floats"));
    for (int i = 0; i < d->ntarget && d->kind != TARGET_NUMBERS; i++)
        if (c[i].count) json_array_append_new(list, class_json(cx, d, i, &c[i]));
    json_put(o, "per_class", list);
    json_print(o);
}

static const char *percent(Cx *cx, int64_t part, int64_t all) {
    return all ? cx_fmt(cx, "%6.2f %%", 100 * (double)part / (double)all) : "     -  ";
}

static void print_text(Cx *cx, const Dataset *d, const Evaluation *e, const PerClass *c) {
    const Tally *t = &e->judged.tally;
    printf("%lld images: loss %.4f", (long long)t->count, tally_loss(t));
    if (hit_name(d->kind)) printf(", %s %.2f %%", hit_name(d->kind), 100 * tally_top1(t));
    if (d->kind == TARGET_CLASS) printf(", top5 %.2f %%", 100 * tally_top5(t));
    printf("\n");
    if (d->kind != TARGET_NUMBERS) printf("  %-24s %6s  %8s  %9s\n", "", "images", "recall", "precision");
    for (int i = 0; i < d->ntarget && d->kind != TARGET_NUMBERS; i++)
        if (c[i].count)
            printf("  %-24s %6lld  %s  %s\n", cx_show(cx, label_name(&d->classes, i)), (long long)c[i].count,
                   percent(cx, c[i].right, c[i].count), percent(cx, c[i].right, c[i].said));
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
    if (o.target == TARGET_AUTO) o.target = target_of_model(m);
    o.match = o.target == TARGET_NUMBERS ? NULL : &labels;
    Dataset d = dataset_open_split(cx, a->pos[1], &o);
    if (d.undivided && !o.split)
        cx_note(
            cx,
            "'%s' has no splits: all of its %d images count (--split val: those that `tvc train` keeps for validation)",
            cx_show(cx, d.path), d.val.n);
    EngineOptions engine = asked_engine(a, 0);
    Line line = line_new(a);
    EvaluateOptions e = {.data = &d,
                         .loss = asked_loss(a, &d),
                         .import = asked_import(a),
                         .compile = engine.compile,
                         .session = engine.session,
                         .batch = (int)arg_int(a, OPT_BATCH, BATCH, 1, 65536),
                         .workers = asked_workers(a),
                         .looking = {&line, on_looked}};
    PicturePlan plan = pictures_choose(a, &said, v, e.compile.target, &e.import);
    e.prepare = &plan.prepare;
    Evaluation r = evaluate(m, &e);
    line_clear(&line);
    for (int i = 0; i < r.nbad; i++)
        cx_note(cx, "left out: %s: %s", cx_show(cx, d.val.at[r.bad[i].sample].picture.name), r.bad[i].why);
    const PerClass *c = per_class(cx, &d, &r.judged);
    if (arg_given(a, OPT_JSON)) print_json(cx, &d, &r, c, plan.prepare.bytes);
    else print_text(cx, &d, &r, c);
    return E_OK;
}
