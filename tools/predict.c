// predict.c -- tvc predict: what pictures show, one line each.
#include "../data/gather.h"
#include "asked.h"
#include "commands.h"
#include "pictures.h"
#include "print.h"

typedef struct Predict {
    const Args *a;
    Cx *cx;
    Engine *e;
    RunMeta meta;
    PicturePlan plan;
    json_t *list;
    int64_t classes, left_out;
} Predict;

static void free_scratch(void *s) { scratch_free(s); }

// The best class, and its probability.
static int64_t best_of(const Predict *p, const double *z, double *score) {
    int64_t best = 0;
    double sum = 0;
    for (int64_t i = 1; i < p->classes; i++)
        if (z[i] > z[best]) best = i;
    for (int64_t i = 0; i < p->classes; i++) sum += exp(z[i] - z[best]);
    *score = p->meta.scores == SCORES_PROBABILITIES ? z[best] : p->meta.scores == SCORES_LOG ? exp(z[best]) : 1 / sum;
    return best;
}

static void print_csv(const char *s) {
    putchar('"');
    for (; *s; s++) {
        if (*s == '"') putchar('"');
        putchar(*s);
    }
    putchar('"');
}

static void tell(Predict *p, const char *file, const double *z) {
    double score;
    int64_t best = best_of(p, z, &score);
    const char *label = label_name(&p->meta.labels, best);
    CxMark mark = cx_mark(p->cx);
    if (arg_given(p->a, OPT_JSON)) {
        json_t *o = json_object();
        json_put(o, "file", text_json(p->cx, file));
        json_put(o, "index", json_integer(best));
        json_put(o, "label", text_json(p->cx, label));
        json_put(o, "score", json_real(score));
        json_array_append_new(p->list, o);
    } else if (arg_given(p->a, OPT_CSV)) {
        print_csv(file), printf(",%lld,", (long long)best), print_csv(label ? label : ""), printf(",%.6f\n", score);
    } else {
        printf("%6.2f %%  %s  %s\n", 100 * score, label ? cx_show(p->cx, label) : cx_fmt(p->cx, "%lld", (long long)best), cx_show(p->cx, file));
    }
    cx_release(p->cx, mark);
}

static void open_model(Predict *p) {
    enum { BATCH = 16 };
    const Args *a = p->a;
    Model *m = asked_model(a, a->pos[0]);
    ImportOptions import = asked_import(a);
    EngineOptions o = asked_engine(a, 0);
    const ValueInfo *v = picture_input(m);
    if (!v || m->noutput == 0) fail(p->cx, E_USAGE, "%s has no input or no output", cx_show(p->cx, a->pos[0]));
    p->meta = meta_of_model(p->cx, m);
    if (arg_given(a, OPT_LABELS)) p->meta.labels = asked_labels(a, m);
    p->plan = pictures_choose(a, &p->meta.recipe, v, &import);
    if (!import.max_batch) import.max_batch = BATCH;
    p->e = engine_of_graph(model_import(m, &import), &o);
    TensorDesc out = engine_output(p->e, 0);
    p->classes = desc_elements(&out) / p->e->max_batch;
    if (out.batch != 1 && p->e->max_batch > 1) fail(p->cx, E_UNSUPPORTED, "the first output is not one row of scores a picture");
}

// Pictures that cannot be read are left out, with a note.
static int fill(Predict *p, Scratch *s, const Picture *picture, int n, float *x, const char **file) {
    size_t each = preparer_floats(&p->plan.prepare);
    int good = 0;
    for (int i = 0; i < n; i++) {
        Fault f;
        if (prepare_picture(&p->plan.prepare, s, &picture[i], x + (size_t)good * each, &f)) {
            cx_note(p->cx, "left out: %s: %s", cx_show(p->cx, picture[i].name), f.text);
            p->left_out++;
        } else {
            file[good++] = picture[i].name;
        }
    }
    return good;
}

static void run_all(Predict *p, const Pictures *pictures) {
    Cx *cx = p->cx;
    int most = (int)p->e->max_batch;
    TensorDesc in = engine_input(p->e, 0), out = engine_output(p->e, 0);
    int64_t each = (int64_t)preparer_floats(&p->plan.prepare), size = dtypes[in.type].bytes;
    Scratch *scratch = NEW(cx, Scratch, 1);
    cx_defer(cx, free_scratch, scratch);
    float *x = NEW(cx, float, each * most);
    char *typed = NEW(cx, char, each * most * size);
    double *z = NEW(cx, double, p->classes * most);
    const char **file = NEW(cx, const char *, most);
    for (int at = 0; at < pictures->n; at += most) {
        int n = fill(p, scratch, &pictures->at[at], pictures->n - at < most ? pictures->n - at : most, x, file);
        if (n == 0) continue;
        for (int64_t i = 0; i < n * each; i++) dtype_set_f(in.type, typed + i * size, (double)x[i]);
        engine_set_batch(p->e, n);
        engine_write(p->e, 0, typed);
        engine_run(p->e);
        const char *scores = engine_read(p->e, 0);
        for (int64_t i = 0; i < n * p->classes; i++) z[i] = dtype_get_f(out.type, scores + i * dtypes[out.type].bytes);
        for (int i = 0; i < n; i++) tell(p, file[i], z + i * p->classes);
    }
}

Err run_predict(const Args *a) {
    arg_count(a, 2, -1);
    Predict p = {.a = a, .cx = a->cx, .list = json_array()};
    json_put(json_start(a->cx), "answers", p.list);
    Pictures pictures = gather_pictures(a->cx, a->npos - 1, a->pos + 1);
    open_model(&p);
    if (arg_given(a, OPT_CSV)) printf("file,index,label,score\n");
    run_all(&p, &pictures);
    if (arg_given(a, OPT_JSON)) json_print(p.list);
    if (p.left_out == pictures.n) fail(a->cx, E_DATASET, "none of the %d pictures can be read", pictures.n);
    return E_OK;
}
