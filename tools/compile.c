// compile.c -- tvc compile: a model, edited on the way, into the cache or a package.
#include "../codegen/save.h"
#include "asked.h"
#include "commands.h"
#include "meta.h"
#include "report.h"

// ---- the memory plan, so that anybody can recompute arena and bound ----
static json_t *buffers_json(const Program *p) {
    static const char *const spaces[] = {[SPACE_ARENA] = "arena", [SPACE_KEEP] = "keep", [SPACE_WEIGHT] = "weight"};
    json_t *list = json_array();
    for (int i = 0; i < p->nbuffer; i++) {
        json_t *o = json_object();
        json_put(o, "space", json_string(spaces[p->buffers[i].space]));
        json_put(o, "offset", json_integer(p->buffers[i].offset));
        json_put(o, "bytes", json_integer(p->buffers[i].bytes));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *steps_json(Cx *cx, const Program *p, const Function *f) {
    json_t *list = json_array();
    for (int i = f->from; i < f->to; i++) {
        const Step *s = &p->steps[i];
        json_t *o = json_object(), *writes = json_array(), *reads = json_array();
        for (int k = 0; k < s->nref; k++)
            json_array_append_new(k < s->nwritten ? writes : reads, json_integer(p->refs[s->ref + k]));
        json_put(o, "kernel", text_json(cx, program_text(p, s->label)));
        json_put(o, "writes", writes);
        json_put(o, "reads", reads);
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *slots_json(Cx *cx, const Program *p) {
    static const char *const roles[] = {"input", "output", "weight", "param", "state", "value"};
    json_t *list = json_array();
    for (int i = 0; i < p->nslot; i++) {
        const Slot *s = &p->slots[i];
        if (s->buffer < 0 || s->role == SLOT_WEIGHT) continue;
        json_t *o = json_object();
        json_put(o, "name", text_json(cx, program_text(p, s->name)));
        json_put(o, "role", json_string(roles[s->role]));
        json_put(o, "buffer", json_integer(s->buffer));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *plan_json(Cx *cx, const Program *p) {
    json_t *o = json_object();
    json_put(o, "buffers", buffers_json(p));
    json_put(o, "init", steps_json(cx, p, &p->functions[0]));
    json_put(o, "forward", steps_json(cx, p, &p->functions[1]));
    json_put(o, "slots", slots_json(cx, p));
    return o;
}

// ---- what was done ----
static void print_json(const Args *a, Model *m, const Heads *h, const Compiled *c, const char *out) {
    json_t *o = json_start(a->cx);
    report_heads(m, o, h);
    json_put(o, "target", text_json(a->cx, c->target));
    json_put(o, "kernels", json_integer(c->kernels));
    json_put(o, "kernels_init", json_integer(c->kernels_init));
    json_put(o, "kernels_unfused", json_integer(c->kernels_unfused));
    json_put(o, "kernels_interpreted", json_integer(c->formulas));
    json_put(o, "arena_bytes", json_integer(c->program->functions[1].arena_bytes));
    json_put(o, "live_bound_bytes", json_integer(c->program->functions[1].live_bound));
    json_put(o, "keep_bytes", json_integer(c->program->keep_bytes));
    json_put(o, "max_batch", json_integer(c->program->max_batch));
    json_put(o, "compile_seconds", json_real(c->seconds));
    json_put(o, "compiler", text_json(a->cx, c->compiler));
    json_put(o, "cached", json_boolean(c->cached));
    json_put(o, "output", text_json(a->cx, out));
    json_put(o, "plan", plan_json(a->cx, c->program));
    json_print(o);
}

static void print_text(const Args *a, const Heads *h, const Compiled *c, const char *out) {
    const Program *p = c->program;
    if (h->n) printf("head      %s: %s\n", node_label(a->cx, h->head[0].node), h->head[0].why);
    else printf("head      none: %s\n", h->why_none);
    printf("kernels   %d, of %d operators (%d more run once)\n", c->kernels, c->kernels_unfused, c->kernels_init);
    double arena = (double)p->functions[1].arena_bytes, bound = (double)p->functions[1].live_bound;
    printf("arena     %.2f MB, %.3f x the bound of %.2f MB\n", arena / 1e6, bound > 0 ? arena / bound : 1, bound / 1e6);
    printf("time      %.2f s%s for %s\n", c->seconds, c->cached ? " (code from the cache)" : "", c->target);
    if (out) printf("package   %s\n", cx_show(a->cx, out));
}

Err run_compile(const Args *a) {
    arg_count(a, 1, 1);
    Cx *cx = a->cx;
    const char *out = arg_text(a, OPT_OUT, NULL);
    Model *m = asked_model(a, a->pos[0]);
    SurgeryResult edited = asked_edits(a, m);
    Surgery wishes = asked_surgery(a);
    bool same = !surgery_asked(&wishes);
    Heads heads = same ? edited.heads : heads_find(m, NULL);
    RunMeta run = meta_of_model(cx, m);
    const char *meta = meta_json(cx, m, &run);
    ImportOptions import = asked_import(a);
    CompileOptions o = asked_compile(a, 0);
    o.threads = (int)arg_int(a, OPT_THREADS, 0, 1, 4096);
    Compiled *c = graph_compile(model_import(m, &import), &o);
    if (!c->compiler) cx_note(cx, "no C compiler was found (cc, gcc, clang): generic kernels will run instead, slower");
    if (out) program_save(cx, out, c->program, meta, strlen(meta));
    if (arg_given(a, OPT_JSON)) print_json(a, m, &heads, c, out);
    else print_text(a, &heads, c, out);
    if (out) print_next("tvc run %s cat.jpg", cx_show(cx, out));
    else print_next("tvc run %s cat.jpg", cx_show(cx, a->pos[0]));
    return E_OK;
}
