// learner.c -- see learner.h: what is done with a learner once there is one (setup.c makes it).
#include "learner.h"

void learner_close(Learner *l) {
    session_free(l->session);
    l->session = NULL;
}

const char *slot_name(const Learner *l, int slot) { return program_text(l->program, l->program->slots[slot].name); }

int64_t slot_bytes(const Learner *l, int slot) { return desc_bytes(&l->program->slots[slot].desc); }

static void call(Learner *l, int fn) {
    Fault f;
    if (session_call(l->session, fn, &f)) fail(l->cx, f.code, "%s", f.text);
}

void learner_batch(Learner *l, int n) {
    Fault f;
    if (session_set_batch(l->session, n, &f)) fail(l->cx, f.code, "%s", f.text);
}

// Floats into a slot of any type.
static void write_floats(Learner *l, int slot, const float *from) {
    TensorDesc d = session_desc(l->session, slot);
    int64_t n = desc_elements(&d);
    if (d.type == DT_F32) {
        session_write(l->session, slot, from);
        return;
    }
    for (int64_t i = 0; i < n; i++) dtype_set_f(d.type, (char *)l->typed + i * dtypes[d.type].bytes, (double)from[i]);
    session_write(l->session, slot, l->typed);
}

void learner_pixels(Learner *l, const float *pixels) {
    write_floats(l, l->input, pixels);
    if (l->nfeature) call(l, FN_FEATURES);
}

void learner_labels(Learner *l, const int64_t *label, const float *target) {
    if (target) write_floats(l, l->target, target);
    else session_write(l->session, l->target, label);
}

static double read_number(Learner *l, int slot) {
    char v[8] = {0};
    session_read(l->session, slot, v);
    return dtype_get_f(session_desc(l->session, slot).type, v);
}

static const double *read_scores(Learner *l, int slot) {
    TensorDesc d = session_desc(l->session, slot);
    const char *from = session_data(l->session, slot);
    int64_t n = desc_elements(&d);
    for (int64_t i = 0; i < n; i++) l->scored[i] = dtype_get_f(d.type, from + i * dtypes[d.type].bytes);
    return l->scored;
}

StepResult learner_step(Learner *l, int64_t number, double lr_factor, double momentum) {
    double step = (double)number;
    session_write(l->session, l->step, &step);
    for (int k = 0; k < l->ngroup; k++) {
        double lr = l->group[k].lr * lr_factor, mu = momentum < 0 ? l->group[k].momentum : momentum;
        session_write(l->session, l->lr[k], &lr);
        session_write(l->session, l->momentum[k], &mu);
        session_write(l->session, l->decay[k], &l->group[k].decay);
    }
    session_set_step(l->session, (uint64_t)number);
    call(l, FN_TRAIN_STEP);
    StepResult r = {.loss = read_number(l, l->loss), .finite = read_number(l, l->finite) != 0};
    r.scores = read_scores(l, l->scores);
    return r;
}

const double *learner_scores(Learner *l) {
    call(l, FN_FORWARD);
    return read_scores(l, l->eval);
}

static bool all_finite(Learner *l, int slot) {
    TensorDesc d = session_desc(l->session, slot);
    const char *from = session_data(l->session, slot);
    for (int64_t i = 0; from && i < desc_elements(&d); i++)
        if (!isfinite(dtype_get_f(d.type, from + i * dtypes[d.type].bytes))) return false;
    return true;
}

const char *learner_blame(Learner *l) {
    if (!l->nfeature && !all_finite(l, l->input)) return "the prepared images";
    for (int i = 0; i < l->nfeature; i++)
        if (!all_finite(l, l->feature[i])) return "the features of the frozen part";
    for (int i = 0; i < l->nkept; i++)
        if (!all_finite(l, l->kept[i])) return cx_fmt(l->cx, "'%s'", cx_show(l->cx, slot_name(l, l->kept[i])));
    if (!all_finite(l, l->scores)) return "the model's scores";
    return all_finite(l, l->loss) ? "a gradient" : "the loss";
}

static void swap_bytes(char *a, char *b, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        char x = a[i];
        a[i] = b[i], b[i] = x;
    }
}

void learner_swap_ema(Learner *l) {
    for (int i = 0; i < l->nkept; i++) {
        const char *name = slot_name(l, l->kept[i]);
        if (strncmp(name, "ema/", 4) != 0) continue;
        int of = session_slot(l->session, name + 4);
        if (of >= 0) swap_bytes(session_data(l->session, of), session_data(l->session, l->kept[i]), slot_bytes(l, of));
    }
}
