// feed.c -- arrays for inputs.
#include "feed.h"
#include "../frontend/npy.h"

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static Feed feed_read(Cx *cx, const char *s) {
    const char *eq = strchr(s, '=');
    if (!eq || eq == s) fail(cx, E_USAGE, "--input '%s' is not of the form NAME=FILE.npy", cx_show(cx, s));
    Feed f = {.name = cx_str(cx, s, (size_t)(eq - s)), .file = eq + 1};
    f.value = ends_with(f.file, ".pb") ? tensor_read_pb(cx, f.file) : npy_read(cx, f.file);
    return f;
}

Feeds feeds_read(const Args *a) {
    Feeds f = {0};
    int at = 0;
    for (const char *s; (s = arg_next(a, OPT_INPUT, &at));) *VEC_PUSH(a->cx, f.at, f.n) = feed_read(a->cx, s);
    return f;
}

void feeds_shape(Cx *cx, const Feeds *f, const Model *m, ImportOptions *o) {
    ShapeChoice *shape = NULL;
    int n = 0;
    for (int i = 0; i < o->nshape; i++) *VEC_PUSH(cx, shape, n) = o->shape[i];
    for (int i = 0; i < f->n; i++) {
        const ValueInfo *v = model_value(m, f->at[i].name);
        const Tensor *t = f->at[i].value;
        if (!v || t->rank > MAXDIM || (v->rank >= 0 && v->rank != t->rank)) continue;
        ShapeChoice c = {.input = v->name, .rank = t->rank};
        for (int d = 0; d < t->rank; d++) c.dim[d] = v->rank >= 0 && v->dim[d].value > 0 ? v->dim[d].value : t->dim[d];
        if (t->rank > 0 && c.dim[0] == 1 && t->dim[0] > o->max_batch) o->max_batch = t->dim[0];
        *VEC_PUSH(cx, shape, n) = c;
    }
    o->shape = shape, o->nshape = n;
}

Tensor tensor_of(const char *name, const TensorDesc *d, const void *data) {
    return (Tensor){.name = name, .onnx_type = dtypes[d->type].onnx, .type = d->type, .rank = d->rank, .dim = d->dim,
                    .count = desc_elements(d), .data = data};
}

static const char *dims_text(Cx *cx, int rank, const int64_t *dim) {
    const char *s = "[";
    for (int d = 0; d < rank; d++) s = cx_fmt(cx, "%s%s%lld", s, d ? "," : "", (long long)dim[d]);
    return cx_fmt(cx, "%s]", s);
}

static void check_fit(Cx *cx, const Feed *f, const TensorDesc *d) {
    const Tensor *t = f->value;
    bool fits = t->rank == d->rank && t->type == d->type;
    for (int k = 0; fits && k < d->rank; k++) fits = t->dim[k] == d->dim[k];
    if (!fits)
        fail(cx, E_USAGE, "input '%s' is %s %s, but %s holds %s %s", cx_show(cx, f->name), dtypes[d->type].name,
             dims_text(cx, d->rank, d->dim), cx_show(cx, f->file), dtypes[t->type].name,
             dims_text(cx, t->rank, t->dim));
}

static Tensor *ramp(Cx *cx, const char *name, TensorDesc d) {
    Tensor *t = NEW(cx, Tensor, 1);
    TensorDesc *own = NEW(cx, TensorDesc, 1);
    *own = d;
    int64_t n = desc_elements(&d), size = dtypes[d.type].bytes;
    char *x = cx_alloc(cx, ck_mul(cx, (size_t)n, (size_t)size));
    for (int64_t k = 0; k < n && dtype_is_float(d.type); k++) dtype_set_f(d.type, x + k * size, (double)k / (double)n);
    *t = tensor_of(name, own, x);
    return t;
}

static const Feed *feed_for(const Feeds *f, const char *name) {
    for (int i = 0; i < f->n; i++)
        if (strcmp(f->at[i].name, name) == 0) return &f->at[i];
    return NULL;
}

Feeds feeds_with_ramps(const Feeds *f, const Engine *e) {
    Feeds r = {0};
    for (int i = 0; i < f->n; i++) *VEC_PUSH(e->cx, r.at, r.n) = f->at[i];
    for (int i = 0; i < e->ninput; i++) {
        const char *name = engine_input_name(e, i);
        if (!feed_for(f, name))
            *VEC_PUSH(e->cx, r.at, r.n) = (Feed){name, ramp(e->cx, name, engine_input(e, i)), "a ramp"};
    }
    return r;
}

static void refuse_unknown(const Feeds *f, const Engine *e) {
    for (int k = 0; k < f->n; k++) {
        bool known = false;
        for (int i = 0; i < e->ninput; i++) known |= strcmp(engine_input_name(e, i), f->at[k].name) == 0;
        if (!known) fail(e->cx, E_USAGE, "the model has no input '%s'", cx_show(e->cx, f->at[k].name));
    }
}

void feeds_write(const Feeds *f, Engine *e, int but) {
    if (f->n > e->ninput - (but >= 0)) refuse_unknown(f, e);
    for (int i = 0; i < e->ninput; i++) {
        const char *name = engine_input_name(e, i);
        const Feed *feed = feed_for(f, name);
        if (!feed && i == but) continue;
        if (!feed) {
            refuse_unknown(f, e);
            fail(e->cx, E_USAGE, "input '%s' has no value: give pictures, or --input %s=FILE.npy", cx_show(e->cx, name),
                 cx_show(e->cx, name));
        }
        TensorDesc d = engine_input(e, i);
        check_fit(e->cx, feed, &d);
        engine_write(e, i, feed->value->data);
    }
}
