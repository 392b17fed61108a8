// compile_train.c -- tvc compile --train: the training program of a model, told about and packed.
#include "../codegen/save.h"
#include "../codegen/saved.h"
#include "../train/job.h"
#include "asked.h"
#include "asked_train.h"
#include "commands.h"
#include "meta.h"
#include "report.h"

// Of all that pretrained values stand for, how much training leaves alone: elements of floating-point initializers.
static double frozen_share(const Model *m, const TrainGraph *t) {
    double all = 0, trained = 0;
    for (int i = 0; i < m->ninit; i++)
        if (dtype_is_float(m->init[i]->type)) all += (double)m->init[i]->count;
    for (int i = 0; i < t->nparam; i++) trained += (double)numel(t->param[i]->shape);
    return all > trained ? (all - trained) / all : 0;
}

static const char *count_shown(Cx *cx, double bytes) {
    return bytes < 1e5 ? cx_fmt(cx, "%.0f bytes", bytes) : cx_fmt(cx, "%.2f MB", bytes / 1e6);
}

typedef struct Plans { const Learner *const *l; int n; const char *out; } Plans;      // one per target

static int64_t saved_bytes(Cx *cx, const Learner *l) {
    return program_saved_bytes(cx, l->program, FN_TRAIN_STEP, "tvc.loss");
}

static void put_plan(Cx *cx, json_t *o, const Learner *l) {
    const Compiled *c = l->compiled;
    const Program *p = l->program;
    json_t *functions = json_array();
    for (int i = 0; i < p->nfunction; i++) {
        const Function *f = &p->functions[i];
        json_t *row = json_object();
        json_put(row, "name", text_json(cx, program_text(p, f->name)));
        json_put(row, "kernels", json_integer(f->to - f->from));
        json_put(row, "arena_bytes", json_integer(f->arena_bytes));
        json_put(row, "live_bound_bytes", json_integer(f->live_bound));
        json_array_append_new(functions, row);
    }
    json_put(o, "target", text_json(cx, c->target));
    json_put(o, "functions", functions);
    json_put(o, "frozen_share", json_real(frozen_share(l->model, l->graph)));
    json_put(o, "saved_bytes", json_integer(saved_bytes(cx, l)));
    json_put(o, "keep_bytes", json_integer(p->keep_bytes));
    json_put(o, "max_batch", json_integer(p->max_batch));
    json_put(o, "classes", json_integer(l->nclass));
    json_put(o, "compile_seconds", json_real(c->seconds));
    json_put(o, "compiler", text_json(cx, c->compiler));
    json_put(o, "cached", json_boolean(c->cached));
    json_put(o, "plan", report_plan(cx, p));
}

// The first target's numbers, and those of the others in more_targets.
static void print_json(Cx *cx, const Plans *p) {
    json_t *o = json_start(cx), *more = json_array();
    put_plan(cx, o, p->l[0]);
    for (int i = 1; i < p->n; i++) {
        json_t *one = json_object();
        put_plan(cx, one, p->l[i]);
        json_array_append_new(more, one);
    }
    json_put(o, "more_targets", more);
    json_put(o, "output", text_json(cx, p->out));
    json_print(o);
}

static void print_plan(Cx *cx, const Learner *l) {
    const Program *p = l->program;
    for (int i = 0; i < p->nfunction; i++) {
        const Function *f = &p->functions[i];
        printf("%-12s %4d kernels, arena %s\n", program_text(p, f->name), f->to - f->from,
               count_shown(cx, (double)f->arena_bytes));
    }
    printf("frozen       %.1f %% of the parameters\n", 100 * frozen_share(l->model, l->graph));
    printf("saved        %s of a batch of %lld, from the way forward for the gradients\n",
           count_shown(cx, (double)saved_bytes(cx, l)), (long long)p->max_batch);
    printf("kept         %s of parameters, statistics and optimizer state\n", count_shown(cx, (double)p->keep_bytes));
    printf("time         %.2f s%s for %s\n", l->compiled->seconds, l->compiled->cached ? " (code from the cache)" : "",
           l->compiled->target);
}

static const Learner *compile_for(const Args *a, Model *m, int which) {
    LearnerOptions o = asked_learner(a, m, which);
    const Learner *l = learner_compile(m, &o);
    if (l->compiled->formulas && !l->compiled->compiler)
        cx_note(a->cx, "no C compiler was found (cc, gcc, clang): generic kernels will run instead, slower");
    return l;
}

Err compile_train(const Args *a) {
    Cx *cx = a->cx;
    const char *out = arg_text(a, OPT_OUT, NULL);
    asked_package_out(a, out);
    Model *m = asked_model(a, a->pos[0]);
    asked_train_edits(a, m);
    int n = asked_targets(a, out);
    const Learner **l = NEW(cx, const Learner *, n);
    const Program **p = NEW(cx, const Program *, n);
    for (int i = 0; i < n; i++) l[i] = compile_for(a, m, i), p[i] = l[i]->program;
    RunMeta run = meta_of_model(cx, m);
    const char *meta = meta_json(cx, m, &run);
    if (out) program_save(cx, out, p, n, meta, strlen(meta));
    Plans plans = {l, n, out};
    if (arg_given(a, OPT_JSON)) print_json(cx, &plans);
    for (int i = 0; i < n && !arg_given(a, OPT_JSON); i++) print_plan(cx, l[i]);
    if (out && !arg_given(a, OPT_JSON)) printf("package      %s\n", cx_show(cx, out));
    return E_OK;
}
