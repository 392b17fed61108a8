// learner.c -- see learner.h: what is done with a learner once there is one (setup.c makes it).
#include "learner.h"

void learner_close(Learner *l) {
    session_free(l->session);
    l->session = NULL;
}

const char *slot_name(const Learner *l, int slot) { return program_text(l->program, l->program->slots[slot].name); }

int64_t slot_bytes(const Learner *l, int slot) { return desc_bytes(&l->program->slots[slot].desc); }

void slot_read(Learner *l, int slot, void *to) {
    Fault f;
    if (session_read(l->session, slot, to, &f)) fail(l->cx, f.code, "%s", f.text);
}

const void *slot_peek(Learner *l, int slot) {
    const void *there = session_data(l->session, slot);
    if (there) return there;
    TensorDesc d = session_desc(l->session, slot);
    void *copy = cx_alloc(l->cx, (size_t)desc_bytes(&d));
    slot_read(l, slot, copy);
    return copy;
}

static void start(Learner *l, int fn) {
    Fault f;
    if (session_start(l->session, fn, &f)) fail(l->cx, f.code, "%s", f.text);
}

void learner_wait(Learner *l) {
    Fault f;
    if (session_wait(l->session, &f)) fail(l->cx, f.code, "%s", f.text);
}

bool learner_ahead(const Learner *l) { return session_ahead(l->session); }

void learner_batch(Learner *l, int n) {
    Fault f;
    if (session_set_batch(l->session, n, &f)) fail(l->cx, f.code, "%s", f.text);
    l->n = n;
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

void learner_pixels(Learner *l, const void *pixels, Place (*place)[2]) {
    if (l->o.pixels) session_write(l->session, l->input, pixels);
    else write_floats(l, l->input, pixels);
    if (l->place >= 0) session_write(l->session, l->place, place);
}

void learner_features(Learner *l) {
    if (l->nfeature) start(l, FN_FEATURES);
}

void learner_labels(Learner *l, const int64_t *label, const float *target) {
    if (target) write_floats(l, l->target, target);
    else session_write(l->session, l->target, label);
}

static double read_number(Learner *l, int slot) {
    char v[8] = {0};
    slot_read(l, slot, v);
    return dtype_get_f(session_desc(l->session, slot).type, v);
}

static const double *read_scores(Learner *l, int slot) {
    CxMark mark = cx_mark(l->cx);
    TensorDesc d = session_desc(l->session, slot);
    const char *from = slot_peek(l, slot);
    int64_t n = desc_elements(&d);
    for (int64_t i = 0; i < n; i++) l->scored[i] = dtype_get_f(d.type, from + i * dtypes[d.type].bytes);
    cx_release(l->cx, mark);
    return l->scored;
}

static void write_number(Learner *l, int slot, double v) { session_write(l->session, slot, &v); }

static void write_pace(Learner *l, const Pace *p) {
    write_number(l, l->step, (double)p->update);
    for (int k = 0; k < l->ngroup; k++) {
        write_number(l, l->lr[k], l->group[k].lr * p->lr_factor);
        write_number(l, l->momentum[k], p->momentum < 0 ? l->group[k].momentum : p->momentum);
        write_number(l, l->decay[k], l->group[k].decay);
    }
}

static void start_step(Learner *l, int64_t number) {
    session_set_step(l->session, (uint64_t)number);
    l->number = number;
    if (l->o.scale.on) write_number(l, l->scale, l->loss_scale);
    start(l, FN_TRAIN_STEP);
}

StepResult learner_result(Learner *l) {
    learner_wait(l);
    StepResult r = {.loss = read_number(l, l->loss), .finite = read_number(l, l->finite) != 0};
    r.scores = read_scores(l, l->scores);
    return r;
}

void learner_step(Learner *l, int64_t number, const Pace *pace) {
    write_pace(l, pace);
    start_step(l, number);
}

void learner_gather(Learner *l, int64_t number, double weight, bool first) {
    write_number(l, l->keep, first ? 0 : 1);
    write_number(l, l->weight, weight);
    start_step(l, number);
}

void learner_apply(Learner *l, double total, const Pace *pace) {
    write_pace(l, pace);
    write_number(l, l->total, total);
    start(l, FN_APPLY);
    learner_wait(l);
}

void learner_infer(Learner *l) { start(l, FN_FORWARD); }

const double *learner_scores(Learner *l) {
    learner_wait(l);
    return read_scores(l, l->eval);
}

static void swap_slots(Learner *l, int a, int b) {
    CxMark mark = cx_mark(l->cx);
    void *held = cx_alloc(l->cx, (size_t)slot_bytes(l, a));
    slot_read(l, a, held);
    session_write(l->session, a, slot_peek(l, b));
    session_write(l->session, b, held);
    cx_release(l->cx, mark);
}

void learner_swap_ema(Learner *l) {
    for (int i = 0; i < l->nkept; i++) {
        const char *name = slot_name(l, l->kept[i]);
        if (strncmp(name, "ema/", 4) != 0) continue;
        int of = session_slot(l->session, name + 4);
        if (of >= 0) swap_slots(l, of, l->kept[i]);
    }
}
