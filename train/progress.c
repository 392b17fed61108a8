// progress.c -- see progress.h.
#include "progress.h"

enum { LABEL_NUMBERS = sizeof(LabelTally) / sizeof(int64_t) };

static const TensorDesc i64_number = {.type = DT_I64}, f64_number = {.type = DT_F64};

static TensorDesc array(DType t, int rank, int64_t a, int64_t b) {
    return (TensorDesc){.type = t, .rank = rank, .dim = {a, b}};
}

// ---- writing ----

static void add(Cx *cx, Checkpoint *c, const char *name, TensorDesc d, const void *data) {
    d.batch = 0;
    *VEC_PUSH(cx, c->at, c->n) = (Entry){name, d, data};
}

static void add_best(Cx *cx, Checkpoint *c, const Progress *p) {
    for (int i = 0; i < p->best.n; i++)
        add(cx, c, cx_fmt(cx, "best/%s", p->best.at[i].name), p->best.at[i].desc, p->best.at[i].data);
    if (p->best.n == 0) return;
    add(cx, c, "judged/predicted", array(DT_I64, 1, p->judged.n, 0), p->judged.predicted);
    add(cx, c, "judged/loss", array(DT_F64, 1, p->judged.n, 0), p->judged.loss);
    add(cx, c, "judged/label", array(DT_I64, 2, p->judged.nlabel, LABEL_NUMBERS), p->judged.label);
}

bool progress_save(const Progress *p, Learner *l, const Identity *id, const char *path, Fault *f) {
    Cx *cx = l->cx;
    CxMark mark = cx_mark(cx);
    Checkpoint c = {0};
#define NUMBER(type, field) add(cx, &c, "run/" #field, DT_##type == DT_I64 ? i64_number : f64_number, &p->field);
    PROGRESS_NUMBERS(NUMBER)
#undef NUMBER
    add(cx, &c, "identity/model", i64_number, &id->model), add(cx, &c, "identity/data", i64_number, &id->data);
    add(cx, &c, "identity/seed", i64_number, &id->seed), add(cx, &c, "identity/batch", i64_number, &id->batch);
    add(cx, &c, "identity/settings", array(DT_U8, 1, (int64_t)strlen(id->settings), 0), id->settings);
    add(cx, &c, "rows", array(DT_F64, 2, p->nrow, EPOCH_NUMBERS), p->row);
    add_best(cx, &c, p);
    for (int i = 0; i < l->nkept; i++)
        add(cx, &c, cx_fmt(cx, "slot/%s", slot_name(l, l->kept[i])), l->program->slots[l->kept[i]].desc,
            slot_peek(l, l->kept[i]));
    bool ok = checkpoint_write(path, &c, f);
    cx_release(cx, mark);
    return ok;
}

// ---- reading ----

static bool same_desc(const TensorDesc *a, const TensorDesc *b) {
    bool same = a->type == b->type && a->rank == b->rank;
    for (int d = 0; same && d < a->rank; d++) same = a->dim[d] == b->dim[d];
    return same;
}

static const void *find(Cx *cx, const Checkpoint *c, const char *name, TensorDesc d, const char *path) {
    const Entry *e = checkpoint_find(c, name);
    if (!e)
        fail(cx, E_MALFORMED, "%s: has no '%s': it is of another model or of other settings", cx_show(cx, path),
             cx_show(cx, name));
    if (!same_desc(&e->desc, &d))
        fail(cx, E_MALFORMED, "%s: '%s' has another type or shape than the model's", cx_show(cx, path),
             cx_show(cx, name));
    return e->data;
}

// The first line of one text that the other does not have; NULL: there is none.
static const char *line_only_in(Cx *cx, const char *text, const char *other) {
    for (size_t n; *text; text += n + (text[n] == '\n')) {
        n = strcspn(text, "\n");
        bool there = false;
        for (const char *p = other; *p && !there; p += strcspn(p, "\n"), p += *p == '\n')
            there = strcspn(p, "\n") == n && strncmp(p, text, n) == 0;
        if (!there) return cx_str(cx, text, n);
    }
    return NULL;
}

// In what the settings of a run differ, or NULL.
static const char *other_settings(Cx *cx, const Checkpoint *c, const char *now, const char *path) {
    const Entry *e = checkpoint_find(c, "identity/settings");
    if (!e || e->desc.type != DT_U8 || e->desc.rank != 1)
        fail(cx, E_MALFORMED, "%s: is of another version of tvc", cx_show(cx, path));
    const char *then = cx_str(cx, e->data, (size_t)e->desc.dim[0]), *old = line_only_in(cx, then, now),
               *new = line_only_in(cx, now, then);
    if (strcmp(then, now) == 0) return NULL;
    if (old && new) return cx_fmt(cx, "%s, not %s", cx_show(cx, old), cx_show(cx, new));
    return old ? cx_show(cx, old) : new ? cx_fmt(cx, "no %s", cx_show(cx, new)) : "its settings in another order";
}

static const char *other_number(Cx *cx, const Checkpoint *c, const char *name, uint64_t now, const char *what,
                                const char *path) {
    uint64_t then;
    memcpy(&then, find(cx, c, name, i64_number, path), sizeof then);
    return then == now ? NULL : what;
}

// Everything that differs is named: a head of another shape, say, makes another model as well.
static void check_identity(Cx *cx, const Checkpoint *c, const Identity *id, const char *path) {
    const char *other[] = {
        other_number(cx, c, "identity/seed", id->seed, "another --seed", path),
        other_number(cx, c, "identity/batch", (uint64_t)id->batch, "another --batch", path),
        other_settings(cx, c, id->settings, path),
        other_number(cx, c, "identity/model", id->model, "another model", path),
        other_number(cx, c, "identity/data", id->data, "other pictures: files have come, gone or changed", path)};
    const char *all = "";
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        if (other[i]) all = cx_fmt(cx, "%s%s%s", all, *all ? "; " : "", other[i]);
    if (*all) fail(cx, E_MALFORMED, "%s: is of a run with %s", cx_show(cx, path), all);
}

void progress_numbers(Cx *cx, Progress *p, const Checkpoint *c, const Identity *id, const char *path) {
    check_identity(cx, c, id, path);
#define NUMBER(type, field)                                                                              \
    memcpy(&p->field, find(cx, c, "run/" #field, DT_##type == DT_I64 ? i64_number : f64_number, path), 8);
    PROGRESS_NUMBERS(NUMBER)
#undef NUMBER
    if (p->epoch < 0 || p->step < 0 || p->number < 0) fail(cx, E_MALFORMED, "%s: counts below zero", cx_show(cx, path));
}

static void restore_rows(Cx *cx, Progress *p, const Checkpoint *c, const char *path) {
    const Entry *e = checkpoint_find(c, "rows");
    bool ok = e && e->desc.type == DT_F64 && e->desc.rank == 2 && e->desc.dim[1] == EPOCH_NUMBERS &&
              e->desc.dim[0] <= p->epoch;
    if (!ok) fail(cx, E_MALFORMED, "%s: its rows of epochs do not fit", cx_show(cx, path));
    for (int64_t i = 0; i < e->desc.dim[0]; i++)
        *VEC_PUSH(cx, p->row, p->nrow) = ((const EpochRow *)e->data)[i];
}

static void restore_best(Progress *p, Learner *l, const Checkpoint *c, const char *path) {
    Cx *cx = l->cx;
    for (int i = 0; i < c->n; i++) {
        const Entry *e = &c->at[i];
        if (strncmp(e->name, "best/", 5) != 0) continue;
        const Tensor *t = model_init(l->model, e->name + 5);
        if (!t || t->count != desc_elements(&e->desc) || !dtype_is_float(e->desc.type))
            fail(cx, E_MALFORMED, "%s: '%s' is no weight of the model", cx_show(cx, path), cx_show(cx, e->name));
        *VEC_PUSH(cx, p->best.at, p->best.n) = (Weight){e->name + 5, e->desc, e->data};
    }
    if (p->best.n == 0) return;
    memcpy(p->judged.predicted, find(cx, c, "judged/predicted", array(DT_I64, 1, p->judged.n, 0), path),
           8 * (size_t)p->judged.n);
    memcpy(p->judged.loss, find(cx, c, "judged/loss", array(DT_F64, 1, p->judged.n, 0), path), 8 * (size_t)p->judged.n);
    const void *label = find(cx, c, "judged/label", array(DT_I64, 2, p->judged.nlabel, LABEL_NUMBERS), path);
    if (p->judged.nlabel) memcpy(p->judged.label, label, sizeof *p->judged.label * (size_t)p->judged.nlabel);
}

void progress_restore(Progress *p, Learner *l, const Checkpoint *c, const char *path) {
    for (int i = 0; i < l->nkept; i++) {
        TensorDesc d = l->program->slots[l->kept[i]].desc;
        session_write(l->session, l->kept[i],
                      find(l->cx, c, cx_fmt(l->cx, "slot/%s", slot_name(l, l->kept[i])), d, path));
    }
    restore_rows(l->cx, p, c, path);
    restore_best(p, l, c, path);
}
