// blame.c -- after a step that was not finite: which tensor is not. Nothing of the learner has changed in that step.
#include "learner.h"

static bool all_finite(Learner *l, int slot) {
    CxMark mark = cx_mark(l->cx);
    TensorDesc d = session_desc(l->session, slot);
    const char *from = slot_peek(l, slot);
    bool all = true;
    for (int64_t i = 0; all && i < desc_elements(&d); i++)
        all = isfinite(dtype_get_f(d.type, from + i * dtypes[d.type].bytes));
    cx_release(l->cx, mark);
    return all;
}

// ---- gradients: the same step by a program that keeps them ----

typedef struct Again { Learner *of; const char *found; } Again;

// Whatever it is called by, it finds in the other learner: pictures or features, targets, parameters.
static void take_over(Learner *l, Learner *of) {
    for (int i = 0; i < l->program->nslot; i++) {
        int there = session_slot(of->session, slot_name(l, i));
        bool given = l->program->slots[i].role != SLOT_OUTPUT && l->program->slots[i].role != SLOT_WEIGHT;
        if (given && there >= 0 && slot_bytes(l, i) == slot_bytes(of, there))
            session_write(l->session, i, slot_peek(of, there));
    }
}

// Gradients come from the loss down to the input: the last parameter whose gradient is none is the first to be blamed.
static void step_again(void *again) {
    Again *a = again;
    LearnerOptions o = a->of->o;
    o.bare = true;
    Learner *l = learner_new(a->of->model, &o);
    learner_batch(l, a->of->n);
    take_over(l, a->of);
    Fault f;
    session_set_step(l->session, (uint64_t)a->of->number);
    if (session_call(l->session, FN_TRAIN_STEP, &f)) return;
    for (int i = l->graph->nparam - 1; i >= 0 && !a->found; i--) {
        const char *name = l->graph->param[i]->name;
        if (!all_finite(l, session_slot(l->session, cx_fmt(l->cx, "grad/%s", name)))) a->found = name;
    }
    learner_close(l);
}

static const char *gradient_blamed(Learner *l) {
    Again a = {l, NULL};
    void (*log)(void *, const char *) = l->cx->log;
    l->cx->log = NULL;                                    // its notes were told before
    bool ran = cx_guard(l->cx, step_again, &a);
    l->cx->log = log;
    return ran && a.found ? cx_fmt(l->cx, "the gradient of '%s'", cx_show(l->cx, a.found)) : "a gradient";
}

const char *learner_blame(Learner *l) {
    if (!l->nfeature && !all_finite(l, l->input))
        return cx_fmt(l->cx, "the input '%s'", cx_show(l->cx, slot_name(l, l->input)));
    for (int i = 0; i < l->nfeature; i++)
        if (!all_finite(l, l->feature[i])) return "a feature of the frozen part";
    for (int i = 0; i < l->nkept; i++)
        if (!all_finite(l, l->kept[i])) return cx_fmt(l->cx, "'%s'", cx_show(l->cx, slot_name(l, l->kept[i])));
    if (!all_finite(l, l->scores))
        return cx_fmt(l->cx, "the model's output '%s'", cx_show(l->cx, l->model->output[0]->name));
    return all_finite(l, l->loss) ? gradient_blamed(l) : "the loss";
}
