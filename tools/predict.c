// predict.c -- tvc predict: what pictures show, one line each.
#include "../data/pixels.h"
#include "asked.h"
#include "commands.h"
#include "pictures.h"
#include "print.h"
#include "scores.h"
#include "stream.h"

typedef struct Predict {
    const Args *a;
    Cx *cx;
    Engine *e;
    RunMeta meta;
    PicturePlan plan;
    json_t *list;
    Pictures pictures;
    int64_t classes, left_out;
} Predict;

// ---- text ----

static const char *shown(const Predict *p, int64_t index) {
    const char *label = label_name(&p->meta.labels, index);
    return label ? cx_show(p->cx, label) : cx_fmt(p->cx, "%lld", (long long)index);
}

static void tell_text(const Predict *p, const char *file, const Score *s) {
    int64_t n = p->meta.target == TARGET_NUMBERS ? p->classes : scores_likely(s, p->classes);
    if (p->meta.target == TARGET_AUTO) printf("%6.2f %%  %s", 100 * s[0].value, shown(p, s[0].index));
    for (int64_t i = 0; i < n && p->meta.target == TARGET_NUMBERS; i++) printf("%s%.6g", i ? ", " : "", s[i].value);
    for (int64_t i = 0; i < n && p->meta.target == TARGET_LABELS; i++)
        printf("%s%s %.2f %%", i ? ", " : "", shown(p, s[i].index), 100 * s[i].value);
    printf("%s  %s\n", p->meta.target == TARGET_LABELS && n == 0 ? "nothing" : "", cx_show(p->cx, file));
}

// ---- comma-separated values: several labels as a list has them, with semicolons between ----

static void print_inner(const char *s) {
    for (; *s; s++) {
        if (*s == '"') putchar('"');
        putchar(*s);
    }
}

static void print_csv(const char *s) { putchar('"'), print_inner(s), putchar('"'); }

static void csv_head(const Predict *p) {
    printf(p->meta.target == TARGET_NUMBERS  ? "file"
           : p->meta.target == TARGET_LABELS ? "file,label,score"
                                             : "file,index,label,score");
    for (int64_t i = 0; i < p->classes && p->meta.target == TARGET_NUMBERS; i++) printf(",value%lld", (long long)i);
    putchar('\n');
}

static void tell_labels_csv(const Predict *p, const Score *s) {
    int64_t n = scores_likely(s, p->classes);
    printf(",\"");
    for (int64_t i = 0; i < n; i++) printf(i ? ";" : ""), print_inner(shown(p, s[i].index));
    printf("\",\"");
    for (int64_t i = 0; i < n; i++) printf("%s%.6f", i ? ";" : "", s[i].value);
    printf("\"\n");
}

static void tell_csv(const Predict *p, const char *file, const Score *s) {
    const char *label = label_name(&p->meta.labels, s[0].index);
    print_csv(file);
    if (p->meta.target == TARGET_LABELS) {
        tell_labels_csv(p, s);
        return;
    }
    if (p->meta.target == TARGET_AUTO)
        printf(",%lld,", (long long)s[0].index), print_csv(label ? label : ""), printf(",%.6f", s[0].value);
    for (int64_t i = 0; i < p->classes && p->meta.target == TARGET_NUMBERS; i++) printf(",%.9g", s[i].value);
    putchar('\n');
}

// ---- JSON ----

static json_t *score_json(const Predict *p, json_t *o, const Score *s) {
    json_put(o, "index", json_integer(s->index));
    json_put(o, "label", text_json(p->cx, label_name(&p->meta.labels, s->index)));
    json_put(o, "score", json_real(s->value));
    return o;
}

static json_t *answer_json(const Predict *p, const char *file, const Score *s) {
    json_t *o = json_object(), *list = json_array();
    json_put(o, "file", text_json(p->cx, file));
    if (p->meta.target == TARGET_AUTO) score_json(p, o, s);
    for (int64_t i = 0; i < p->classes && p->meta.target == TARGET_NUMBERS; i++)
        json_array_append_new(list, json_real(s[i].value));
    for (int64_t i = 0; i < scores_likely(s, p->classes) && p->meta.target == TARGET_LABELS; i++)
        json_array_append_new(list, score_json(p, json_object(), &s[i]));
    if (p->meta.target == TARGET_AUTO) json_decref(list);
    else json_put(o, p->meta.target == TARGET_NUMBERS ? "values" : "labels", list);
    return o;
}

// ---- all of it ----

static void tell(Predict *p, const char *file, DType t, const char *data) {
    CxMark mark = cx_mark(p->cx);
    Score *s = NEW(p->cx, Score, p->classes);
    scores_read(s, p->classes, t, data, &p->meta);
    if (arg_given(p->a, OPT_JSON)) json_array_append_new(p->list, answer_json(p, file, s));
    else if (arg_given(p->a, OPT_CSV)) tell_csv(p, file, s);
    else tell_text(p, file, s);
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
    p->plan = pictures_choose(a, &p->meta.recipe, v, o.compile.target, &import);
    if (!import.max_batch) import.max_batch = BATCH;
    Graph *g = model_import(m, &import);
    if (p->plan.prepare.bytes) pixels_input(g, &p->plan.prepare, false);
    p->e = engine_of_graph(g, &o);
    TensorDesc out = engine_output(p->e, 0);
    p->classes = desc_elements(&out) / p->e->max_batch;
    if (out.batch != 1 && p->e->max_batch > 1)
        fail(p->cx, E_UNSUPPORTED, "the first output is not one row of scores a picture");
}

static void take(void *predict, int n, const int *picture, const char *rows) {
    Predict *p = predict;
    DType t = engine_output(p->e, 0).type;
    for (int i = 0; i < n; i++, rows += p->classes * dtypes[t].bytes) tell(p, p->pictures.at[picture[i]].name, t, rows);
}

// Pictures that cannot be read are left out, with a note.
static void leave_out(void *predict, int picture, const char *why) {
    Predict *p = predict;
    cx_note(p->cx, "left out: %s: %s", cx_show(p->cx, p->pictures.at[picture].name), why);
    p->left_out++;
}

Err run_predict(const Args *a) {
    arg_count(a, 2, -1);
    Predict p = {.a = a, .cx = a->cx, .list = json_array()};
    json_put(json_start(a->cx), "answers", p.list);
    p.pictures = gather_pictures(a->cx, a->npos - 1, a->pos + 1);
    open_model(&p);
    if (arg_given(a, OPT_CSV)) csv_head(&p);
    Stream s = {.e = p.e, .prepare = &p.plan.prepare, .user = &p, .take = take, .bad = leave_out};
    stream_run(&s, &p.pictures);
    if (arg_given(a, OPT_JSON)) json_print(p.list);
    if (p.left_out == p.pictures.n) fail(a->cx, E_DATASET, "none of the %d pictures can be read", p.pictures.n);
    return E_OK;
}
