// compare.c -- tvc compare: the same input through two models or devices, value by value.
#include "asked.h"
#include "commands.h"
#include "feed.h"
#include "print.h"
#include "../passes/summary.h"

typedef struct Side {
    const char *path;
    Model *m;
    Engine *e;
} Side;

typedef struct Difference {
    const char *name;
    int64_t count, wrong;                // elements; those beyond tolerance
    double absolute, relative;           // the greatest; relative to the greatest value of A
    bool output;
} Difference;

static bool computes(const Model *m, const char *name) { return model_producer(m, name) != NULL; }

static const char **common_values(Model *a, const Model *b) {
    const char **keep = summary_values(a);
    int n = 0;
    for (int i = 0; keep[i]; i++)
        if (computes(b, keep[i])) keep[n++] = keep[i];
    keep[n] = NULL;
    return keep;
}

static void open_side(const Args *a, Side *s, int which, const Feeds *f, const char **keep) {
    EngineOptions o = asked_engine(a, which);
    if (which == 1 && a->npos == 1 && arg_times(a, OPT_DEVICE) < 2) o.eval = true;
    ImportOptions import = asked_import(a);
    import.keep = keep;
    feeds_shape(a->cx, f, s->m, &import);
    s->e = engine_of_graph(model_import(s->m, &import), &o);
    Feeds all = feeds_with_ramps(f, s->e);
    feeds_write(&all, s->e, -1);
    engine_run(s->e);
}

static int output_of(const Engine *e, const char *name) {
    for (int i = 0; i < e->noutput; i++)
        if (strcmp(engine_output_name(e, i), name) == 0) return i;
    return -1;
}

// False: the two cannot be compared, having different shapes or types.
static bool measure(const Engine *a, int i, const Engine *b, int j, double rtol, double atol, Difference *d) {
    TensorDesc x = engine_output(a, i), y = engine_output(b, j);
    if (x.type != y.type || x.rank != y.rank || desc_elements(&x) != desc_elements(&y)) return false;
    const char *p = engine_read(a, i), *q = engine_read(b, j);
    int size = dtypes[x.type].bytes;
    double most = 0;
    *d = (Difference){.name = engine_output_name(a, i), .count = desc_elements(&x)};
    for (int64_t k = 0; k < d->count; k++) {
        double u = dtype_get_f(x.type, p + k * size), v = dtype_get_f(y.type, q + k * size);
        bool same = u == v || (isnan(u) && isnan(v));
        double apart = same ? 0 : fabs(u - v);
        if (!same && !(apart <= atol + rtol * fabs(u))) d->wrong++;
        d->absolute = fmax(d->absolute, isnan(apart) ? INFINITY : apart);
        most = fmax(most, fabs(u));
    }
    d->relative = most > 0 ? d->absolute / most : d->absolute;
    return true;
}

static json_t *difference_json(Cx *cx, const Difference *d) {
    json_t *o = json_object();
    json_put(o, "name", text_json(cx, d->name));
    json_put(o, "elements", json_integer(d->count));
    json_put(o, "differing", json_integer(d->wrong));
    json_put(o, "max_absolute", json_real(isfinite(d->absolute) ? d->absolute : 1e308));
    json_put(o, "max_relative", json_real(isfinite(d->relative) ? d->relative : 1e308));
    json_put(o, "output", json_boolean(d->output));
    return o;
}

Err run_compare(const Args *a) {
    arg_count(a, 1, 2);
    Cx *cx = a->cx;
    Feeds feeds = feeds_read(a);
    Side side[2] = {{.path = a->pos[0]}, {.path = a->pos[a->npos - 1]}};
    for (int i = 0; i < 2; i++) side[i].m = asked_model(a, side[i].path);
    const char **keep = common_values(side[0].m, side[1].m);
    for (int i = 0; i < 2; i++) open_side(a, &side[i], i, &feeds, keep);
    double rtol = arg_float(a, OPT_RTOL, 1e-3), atol = arg_float(a, OPT_ATOL, 1e-4);
    bool json = arg_given(a, OPT_JSON);
    json_t *o = json_start(cx), *list = json_array();
    json_put(o, "values", list);
    int compared = 0, differing = 0, outputs = side[0].m->noutput;
    for (int i = outputs; i < side[0].e->noutput + outputs; i++) {               // inner values first, outputs last
        int at = i < side[0].e->noutput ? i : i - side[0].e->noutput;
        const char *name = engine_output_name(side[0].e, at);
        int j = at < outputs && at < side[1].m->noutput ? at : output_of(side[1].e, name);
        Difference d;
        if (j < 0 || !measure(side[0].e, at, side[1].e, j, rtol, atol, &d)) {
            if (!json) printf("%-9s %s: types or shapes are not the same\n", "unlike", cx_show(cx, name));
            continue;
        }
        d.output = at < outputs;
        compared++, differing += d.wrong > 0;
        if (json) json_array_append_new(list, difference_json(cx, &d));
        else if (d.wrong || d.output)
            printf("%-9s %s: %lld of %lld elements differ, by at most %.3g (%.3g of the greatest)\n",
                   d.wrong ? "differs" : "agrees", cx_show(cx, name), (long long)d.wrong, (long long)d.count,
                   d.absolute, d.relative);
    }
    json_put(o, "compared", json_integer(compared));
    json_put(o, "differing", json_integer(differing));
    if (json) json_print(o);
    else printf("%d values compared, %d differ\n", compared, differing);
    if (compared == 0) fail(cx, E_USAGE, "the two models share no value that could be compared");
    return differing ? E_CHECK : E_OK;
}
