// compile.c -- tvc compile: a model, edited on the way, into the cache or a package.
#include "../codegen/save.h"
#include "asked.h"
#include "asked_train.h"
#include "commands.h"
#include "meta.h"
#include "report.h"

// ---- what was done ----
typedef struct Result { const Compiled *const *c; int n; const char *out; } Result;      // one per target

static void put_compiled(Cx *cx, json_t *o, const Compiled *c) {
    json_put(o, "target", text_json(cx, c->target));
    json_put(o, "kernels", json_integer(c->kernels));
    json_put(o, "kernels_init", json_integer(c->kernels_init));
    json_put(o, "kernels_unfused", json_integer(c->kernels_unfused));
    json_put(o, "kernels_interpreted", json_integer(c->formulas));
    json_put(o, "arena_bytes", json_integer(c->program->functions[1].arena_bytes));
    json_put(o, "live_bound_bytes", json_integer(c->program->functions[1].live_bound));
    json_put(o, "keep_bytes", json_integer(c->program->keep_bytes));
    json_put(o, "max_batch", json_integer(c->program->max_batch));
    json_put(o, "compile_seconds", json_real(c->seconds));
    json_put(o, "compiler", text_json(cx, c->compiler));
    json_put(o, "cached", json_boolean(c->cached));
    json_put(o, "plan", report_plan(cx, c->program));
}

// The first target's numbers, and those of the others in more_targets.
static void print_json(const Args *a, Model *m, const Heads *h, const Result *r) {
    json_t *o = json_start(a->cx), *more = json_array();
    report_heads(m, o, h);
    json_put(o, "output", text_json(a->cx, r->out));
    put_compiled(a->cx, o, r->c[0]);
    for (int i = 1; i < r->n; i++) {
        json_t *one = json_object();
        put_compiled(a->cx, one, r->c[i]);
        json_array_append_new(more, one);
    }
    json_put(o, "more_targets", more);
    json_print(o);
}

static void print_text(const Args *a, const Heads *h, const Result *r) {
    if (h->n) printf("head      %s: %s\n", node_label(a->cx, h->head[0].node), h->head[0].why);
    else printf("head      none: %s\n", h->why_none);
    for (int i = 0; i < r->n; i++) {
        const Compiled *c = r->c[i];
        const Program *p = c->program;
        double arena = (double)p->functions[1].arena_bytes, bound = (double)p->functions[1].live_bound;
        printf("kernels   %d, of %d operators (%d more run once)\n", c->kernels, c->kernels_unfused, c->kernels_init);
        printf("arena     %.2f MB, %.3f x the bound of %.2f MB\n", arena / 1e6, bound > 0 ? arena / bound : 1,
               bound / 1e6);
        printf("time      %.2f s%s for %s\n", c->seconds, c->cached ? " (code from the cache)" : "", c->target);
    }
    if (r->out) printf("package   %s\n", cx_show(a->cx, r->out));
}

// ---- compiling ----
static const Compiled *compile_for(const Args *a, Model *m, int which) {
    ImportOptions import = asked_import(a);
    CompileOptions o = asked_compile(a, which);
    o.threads = (int)arg_int(a, OPT_THREADS, 0, 1, 4096);
    const Compiled *c = graph_compile(model_import(m, &import), &o);
    if (c->formulas && !c->compiler)
        cx_note(a->cx, "no C compiler was found (cc, gcc, clang): generic kernels will run instead, slower");
    return c;
}

Err run_compile(const Args *a) {
    arg_count(a, 1, 1);
    if (arg_given(a, OPT_TRAIN)) return compile_train(a);
    asked_no_training(a);
    Cx *cx = a->cx;
    const char *out = arg_text(a, OPT_OUT, NULL);
    asked_package_out(a, out);
    Model *m = asked_model(a, a->pos[0]);
    SurgeryResult edited = asked_edits(a, m);
    Surgery wishes = asked_surgery(a);
    bool same = !surgery_asked(&wishes);
    Heads heads = same ? edited.heads : heads_find(m, NULL);
    RunMeta run = meta_of_model(cx, m);
    const char *meta = meta_json(cx, m, &run);
    int n = asked_targets(a, out);
    const Compiled **c = NEW(cx, const Compiled *, n);
    const Program **p = NEW(cx, const Program *, n);
    for (int i = 0; i < n; i++) c[i] = compile_for(a, m, i), p[i] = c[i]->program;
    if (out) program_save(cx, out, p, n, meta, strlen(meta));
    Result r = {c, n, out};
    if (arg_given(a, OPT_JSON)) print_json(a, m, &heads, &r);
    else print_text(a, &heads, &r);
    print_next("tvc run %s cat.jpg", cx_show(cx, out ? out : a->pos[0]));
    return E_OK;
}
