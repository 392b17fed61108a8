// run.c -- tvc run: pictures or arrays through a model.
#include "../data/pixels.h"
#include "../frontend/npy.h"
#include "asked.h"
#include "commands.h"
#include "feed.h"
#include "pictures.h"
#include "print.h"
#include "scores.h"
#include "stream.h"

#include <errno.h>
#include <fnmatch.h>
#include <sys/stat.h>

typedef struct Run {
    const Args *a;
    Cx *cx;
    Engine *e;
    Feeds feeds;
    RunMeta meta;
    Pictures pictures;
    Preparer prepare;
    json_t *answers;
    int64_t top, classes;
} Run;

// ---- set-up ----
static const char **kept_values(const Args *a, Model *m) {
    const char **keep = NULL, *glob;
    int n = 0;
    for (int at = 0; (glob = arg_next(a, OPT_VALUES, &at));)
        for (int i = 0; i < m->nnode; i++)
            for (int k = 0; k < m->node[i]->nout; k++)
                if (m->node[i]->out[k][0] && fnmatch(glob, m->node[i]->out[k], 0) == 0)
                    *VEC_PUSH(a->cx, keep, n) = m->node[i]->out[k];
    if (n == 0 && arg_given(a, OPT_VALUES)) fail(a->cx, E_USAGE, "--values: no value of the model matches");
    *VEC_PUSH(a->cx, keep, n) = NULL;
    return keep;
}

static void open_model(Run *r, const char *path, const EngineOptions *o) {
    const Args *a = r->a;
    Model *m = asked_model(a, path);
    ImportOptions import = asked_import(a);
    import.keep = kept_values(a, m);
    r->meta = meta_of_model(r->cx, m);
    feeds_shape(r->cx, &r->feeds, m, &import);
    const ValueInfo *v = picture_input(m);
    if (r->pictures.n && !v) fail(r->cx, E_USAGE, "%s has no input", cx_show(r->cx, path));
    if (r->pictures.n) r->prepare = pictures_choose(a, &r->meta.recipe, v, o->compile.target, &import).prepare;
    Graph *g = model_import(m, &import);
    if (r->prepare.bytes) pixels_input(g, &r->prepare, false);
    r->e = engine_of_graph(g, o);
}

static void open_package(Run *r, const Package *p, const char *path, const EngineOptions *o) {
    if (strcmp(arg_text(r->a, OPT_PIXELS, "auto"), "bytes") == 0)
        fail(r->cx, E_USAGE, "--pixels bytes: a package takes prepared values; run the ONNX file");
    if (arg_given(r->a, OPT_VALUES))
        fail(r->cx, E_USAGE, "--values: a package keeps no inner values; run the ONNX file");
    r->meta = meta_of_package(r->cx, p, path);
    r->e = engine_of_package(r->cx, p, path, o);
    if (!r->pictures.n) return;
    if (r->e->ninput == 0) fail(r->cx, E_USAGE, "%s has no input", cx_show(r->cx, path));
    TensorDesc d = engine_input(r->e, 0);
    ValueInfo v = {.name = engine_input_name(r->e, 0), .type = d.type, .rank = d.rank, .dim = NEW(r->cx, Dim, d.rank)};
    for (int k = 0; k < d.rank; k++) v.dim[k].value = d.dim[k];
    r->prepare = pictures_plan(r->a, &r->meta.recipe, &v).prepare;
}

// ---- answers ----
static void tell_text(const Run *r, const char *file, const Score *s, int64_t n) {
    printf("%s\n", cx_show(r->cx, file));
    for (int64_t i = 0; i < n; i++) {
        const char *label = label_name(&r->meta.labels, s[i].index);
        if (r->meta.target == TARGET_NUMBERS) printf("  %12.6g\n", s[i].value);
        else
            printf("  %6.2f %%  %lld%s%s\n", 100 * s[i].value, (long long)s[i].index, label ? "  " : "",
                   label ? cx_show(r->cx, label) : "");
    }
}

static void tell_json(Run *r, const char *file, const Score *s, int64_t n) {
    json_t *o = json_object(), *top = json_array();
    bool numbers = r->meta.target == TARGET_NUMBERS;
    for (int64_t i = 0; i < n; i++) {
        if (numbers) {
            json_array_append_new(top, json_real(s[i].value));
            continue;
        }
        json_t *one = json_object();
        json_put(one, "index", json_integer(s[i].index));
        json_put(one, "label", text_json(r->cx, label_name(&r->meta.labels, s[i].index)));
        json_put(one, "score", json_real(s[i].value));
        json_array_append_new(top, one);
    }
    json_put(o, "file", text_json(r->cx, file));
    json_put(o, numbers ? "values" : "top", top);
    json_array_append_new(r->answers, o);
}

// The best of n scores that lie at `data`.
static void answer(Run *r, const char *file, DType t, const char *data, int64_t n) {
    CxMark mark = cx_mark(r->cx);
    Score *s = NEW(r->cx, Score, n);
    scores_read(s, n, t, data, &r->meta);
    int64_t shown = n < r->top || r->meta.target == TARGET_NUMBERS ? n : r->top;
    if (arg_given(r->a, OPT_JSON)) tell_json(r, file, s, shown);
    else tell_text(r, file, s, shown);
    cx_release(r->cx, mark);
}

// ---- dumping ----
static const char *file_for(Cx *cx, const char *folder, const char *name) {
    char *s = cx_fmt(cx, "%s", name);
    for (char *p = s; *p; p++)
        if (*p == '/' || (unsigned char)*p < 0x20) *p = '_';
    return cx_fmt(cx, "%s/%s%s.npy", folder, s[0] == '.' ? "_" : "", s);
}

static void dump(const Run *r) {
    const char *folder = arg_text(r->a, OPT_DUMP, NULL);
    if (!folder) return;
    if (mkdir(folder, 0777) && errno != EEXIST) fail(r->cx, E_IO, "%s: %s", cx_show(r->cx, folder), strerror(errno));
    for (int i = 0; i < r->e->noutput; i++) {
        TensorDesc d = engine_output(r->e, i);
        Tensor t = tensor_of(engine_output_name(r->e, i), &d, engine_read(r->e, i));
        npy_write(r->cx, file_for(r->cx, folder, t.name), &t);
    }
}

// ---- running ----
static void feed(void *run) {
    Run *r = run;
    feeds_write(&r->feeds, r->e, 0);
}

static void take(void *run, int n, const int *picture, const char *rows) {
    Run *r = run;
    TensorDesc out = engine_output(r->e, 0);
    int64_t each = r->classes * dtypes[out.type].bytes;
    for (int i = 0; i < n; i++) answer(r, r->pictures.at[picture[i]].name, out.type, rows + i * each, r->classes);
    if (picture[0] == 0) dump(r);
}

static void run_pictures(Run *r) {
    TensorDesc out = engine_output(r->e, 0);
    Stream s = {.e = r->e, .prepare = &r->prepare, .user = r, .feed = feed, .take = take};
    r->classes = desc_elements(&out) / stream_batch(&s);
    stream_run(&s, &r->pictures);
}

static void run_arrays(Run *r) {
    feeds_write(&r->feeds, r->e, -1);
    engine_run(r->e);
    dump(r);
    TensorDesc d = engine_output(r->e, 0);
    int64_t rows = d.rank > 1 && d.dim[0] > 0 ? d.dim[0] : 1, each = desc_elements(&d) / rows;
    const char *scores = engine_read(r->e, 0), *file = r->feeds.n ? r->feeds.at[0].file : "";
    for (int64_t i = 0; i < rows; i++)
        answer(r, rows > 1 ? cx_fmt(r->cx, "%s:%lld", file, (long long)i) : file, d.type,
               scores + i * each * dtypes[d.type].bytes, each);
}

Err run_run(const Args *a) {
    arg_count(a, 1, -1);
    Run r = {.a = a, .cx = a->cx, .top = arg_int(a, OPT_TOP, 5, 1, 1 << 24), .answers = json_array()};
    json_put(json_start(a->cx), "answers", r.answers);
    r.feeds = feeds_read(a);
    if (a->npos > 1) r.pictures = gather_pictures(a->cx, a->npos - 1, a->pos + 1);
    EngineOptions o = asked_engine(a, 0);
    const Package *p = package_of_file(a->cx, a->pos[0], &o);
    if (p) open_package(&r, p, a->pos[0], &o);
    else open_model(&r, a->pos[0], &o);
    if (arg_given(a, OPT_LABELS)) r.meta.labels = labels_read(a->cx, arg_text(a, OPT_LABELS, NULL));
    if (r.e->noutput == 0) fail(a->cx, E_UNSUPPORTED, "the model has no output");
    if (r.pictures.n) run_pictures(&r);
    else run_arrays(&r);
    if (arg_given(a, OPT_JSON)) json_print(r.answers);
    return E_OK;
}
