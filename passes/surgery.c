// surgery.c -- the edits that are wanted, in the order in which they make sense.
#include "surgery_graph.h"

bool surgery_asked(const Surgery *s) {
    return s->classes || s->channels || s->cut || s->eval || s->free_batch || s->freeze || s->drop_aux;
}

static void check_wishes(Model *m, const Surgery *s) {
    bool head_options = s->nhidden || s->dropout > 0 || s->whole_module;
    if (head_options && !s->classes)
        fail(m->cx, E_USAGE,
             "--head-hidden, --head-dropout and --head-scope say how the new head looks: --replace-head N is missing");
    if (s->dropout < 0 || s->dropout >= 1) fail(m->cx, E_USAGE, "--head-dropout %g is not within 0 to 1", s->dropout);
    if (m->noutput == 0) fail(m->cx, E_MALFORMED, "%s has no output", cx_show(m->cx, m->path));
}

// Cut first, since it decides what the outputs are; the batch after everything that adds Reshapes
// and outputs; freezing last, when all parameters have their names.
SurgeryResult surgery_apply(Model *m, const Surgery *s) {
    SurgeryResult r = {0};
    Maker k = {.m = m, .s = s};
    check_wishes(m, s);
    bool asked = surgery_asked(s);
    Reach *before = asked ? reach_mark(m) : NULL;
    if (s->eval) write_eval_form(m);
    if (s->cut) cut_at(m, s);
    r.heads = heads_find(m, s->head);
    if (s->drop_aux) drop_aux(m, &r.heads);
    if (s->channels) change_channels(&k);
    if (s->classes) {
        if (r.heads.n == 0) append_head(&k), r.appended = true;
        for (int i = 0; i < (s->drop_aux && r.heads.n ? 1 : r.heads.n); i++) replace_head(&k, &r.heads.head[i]);
    }
    if (s->free_batch) free_the_batch(&k);
    if (asked) reach_sweep(m, before);
    if (s->freeze) freeze_params(&k, &r.heads);
    return r;
}
