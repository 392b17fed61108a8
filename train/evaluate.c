// evaluate.c -- see evaluate.h.
#include "evaluate.h"
#include "learner.h"
#include "portion.h"

typedef struct Evaluator {
    Cx *cx;
    const EvaluateOptions *o;
    Session *session;
    Loader *loader;
    int64_t nclass;
    double *z;
    void *typed;                      // room for a batch in the input's type
} Evaluator;

static void close_all(void *evaluator) {
    Evaluator *e = evaluator;
    session_free(e->session);
    loader_free(e->loader);
}

static void compile(Evaluator *e, Model *m) {
    ImportOptions import = e->o->import;
    import.max_batch = e->o->batch;
    Graph *g = model_import(m, &import);
    if (e->o->prepare->bytes) pixels_input(g, e->o->prepare, false);
    int n;
    Node *z = scores_find(m, g, NULL, e->o->loss.kind, &n)[0];
    int64_t rows = z->shape.n ? z->shape.d[0] : 1;
    if (e->o->batch > 1 && z->shape.batch != 1)
        fail(e->cx, E_UNSUPPORTED, "%s: the scores %s are not one row for each picture", cx_show(e->cx, m->path),
             shape_str(e->cx, z->shape));
    e->nclass = rows ? numel(z->shape) / rows : 0;
    if (e->nclass != e->o->data->ntarget)
        fail(e->cx, E_DATASET, "%s gives %lld scores, '%s' has %d %s", cx_show(e->cx, m->path), (long long)e->nclass,
             cx_show(e->cx, e->o->data->path), e->o->data->ntarget,
             e->o->data->kind == TARGET_NUMBERS ? "numbers" : "classes");
    g->nroot = 0;
    graph_root(g, "scores", z, NULL, 1);
    Fault f;
    e->session = session_new(graph_compile(g, &e->o->compile)->program, &e->o->session, &f);
    if (!e->session) fail(e->cx, f.code, "%s", f.text);
    e->z = NEW(e->cx, double, e->o->batch * e->nclass);
}

static const Batch *next(Evaluator *e) {
    Fault f;
    const Batch *b;
    if (loader_next(e->loader, &b, &f)) fail(e->cx, f.code, "%s", f.text);
    return b;
}

static void set_batch(Evaluator *e, int n) {
    Fault f;
    if (session_set_batch(e->session, n, &f)) fail(e->cx, f.code, "%s", f.text);
}

static void put_pictures(Evaluator *e, const Batch *b) {
    TensorDesc d = session_desc(e->session, 0);
    int64_t n = desc_elements(&d), size = dtypes[d.type].bytes;
    bool as_it_is = e->o->prepare->bytes || d.type == DT_F32;
    const float *value = b->pixels;
    size_t most = (size_t)(n / b->n * e->o->batch);
    if (!as_it_is && !e->typed) e->typed = cx_alloc(e->cx, ck_mul(e->cx, most, (size_t)size));
    for (int64_t i = 0; !as_it_is && i < n; i++) dtype_set_f(d.type, (char *)e->typed + i * size, (double)value[i]);
    session_write(e->session, 0, as_it_is ? b->pixels : e->typed);
}

static void judge_portion(Evaluator *e, const Portion *p, Judged *j) {
    int slot = session_slot(e->session, "scores");
    DType t = session_desc(e->session, slot).type;
    const char *from = session_view(e->session, slot);
    if (!from) fail(e->cx, E_DEVICE, "the scores cannot be read from the device");
    for (int64_t i = 0; i < p->n * e->nclass; i++) e->z[i] = dtype_get_f(t, from + i * dtypes[t].bytes);
    for (int i = 0; i < p->n; i++) {
        const float *target = p->target ? p->target + i * e->nclass : NULL;
        judged_add(j, p->sample[i], &e->o->loss, e->z + i * e->nclass, (int)e->nclass, p->label[i], target);
    }
}

// While a device computes one batch, the next is decoded, and sent to devices that work on their own.
static void judge_all(Evaluator *e, Judged *j) {
    Portion now = portion_new(e->cx, e->o->batch, e->o->data);
    Looked k = {.set = e->o->data->val.name, .all = e->o->data->val.n};
    double began = seconds_now();
    Fault f;
    bool sent = false;                // the batch lies in the device
    for (const Batch *b = next(e); b;) {
        if (!sent) set_batch(e, b->n), put_pictures(e, b);
        if (session_start(e->session, FN_FORWARD, &f)) fail(e->cx, f.code, "%s", f.text);
        portion_take(&now, b, e->o->data);
        b = next(e);
        sent = b && b->n == now.n && session_ahead(e->session);
        if (sent) put_pictures(e, b);
        if (session_wait(e->session, &f)) fail(e->cx, f.code, "%s", f.text);
        judge_portion(e, &now, j);
        looked(&e->o->looking, &k, began, now.n);
    }
}

Evaluation evaluate(Model *m, const EvaluateOptions *o) {
    Evaluator *e = NEW(m->cx, Evaluator, 1);
    Fault f;
    *e = (Evaluator){.cx = m->cx, .o = o};
    cx_defer(m->cx, close_all, e);
    compile(e, m);
    LoaderOptions l = {.data = o->data,
                       .examples = &o->data->val,
                       .prepare = o->prepare,
                       .batch = o->batch,
                       .epochs = 1,
                       .workers = o->workers};
    if (loader_new(&l, &e->loader, &f)) fail(m->cx, f.code, "%s", f.text);
    Evaluation r = {.nclass = (int)e->nclass, .judged = judged_new(m->cx, o->data)};
    judge_all(e, &r.judged);
    r.nbad = loader_bad(e->loader, &r.bad);
    return r;
}
