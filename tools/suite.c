// suite.c -- see suite.h.
#include "suite.h"
#include "../ir/eval.h"
#include <dirent.h>
#include <sys/stat.h>

// ---- finding ----

static bool is_folder(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

static bool is_file(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

static void free_entries(void *arg) {
    struct dirent **e = arg;
    for (int i = 0; e[i]; i++) free(e[i]);
    free(e);
}

// Names in a folder, sorted, NULL behind them.
static struct dirent **entries(Cx *cx, const char *folder) {
    struct dirent **e;
    int n = scandir(folder, &e, NULL, alphasort);
    if (n < 0) fail(cx, E_IO, "%s: cannot be listed", cx_show(cx, folder));
    struct dirent **ended = realloc(e, sizeof *e * (size_t)(n + 1));
    if (!ended) fail(cx, E_LIMIT, "out of memory");
    ended[n] = NULL;
    cx_defer(cx, free_entries, ended);
    return ended;
}

static bool has_data_sets(Cx *cx, const char *folder) {
    struct dirent **e = entries(cx, folder);
    for (int i = 0; e[i]; i++)
        if (!strncmp(e[i]->d_name, "test_data_set_", 14)) return true;
    return false;
}

static const char *folder_of(Cx *cx, const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? cx_str(cx, path, (size_t)(slash - path)) : ".";
}

static const char *last_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

// Is the model at path a case, and by what data?
static bool case_of(Cx *cx, const char *path, bool any_name, Case *c) {
    size_t stem = strlen(path) - strlen(".onnx");
    if (!ends_with(path, ".onnx") || !is_file(path)) return false;
    const char *name = last_name(path), *folder = folder_of(cx, path);
    *c = (Case){cx_str(cx, name, strlen(name) - 5), path, NULL};
    if (is_file(cx_fmt(cx, "%.*s_output_0.pb", (int)stem, path))) return true;
    bool model = !strcmp(name, "model.onnx");
    if ((!any_name && !model) || !has_data_sets(cx, folder)) return false;
    c->folder = folder;
    if (model) c->name = last_name(folder);
    return true;
}

int suite_find(Cx *cx, const char *path, Case **cases) {
    const char **todo = NULL;
    int n = 0, ntodo = 0;
    Case c;
    *cases = NULL;
    if (case_of(cx, path, true, &c)) return *VEC_PUSH(cx, *cases, n) = c, n;
    if (!is_folder(path)) fail(cx, E_IO, "%s: no such folder or case", cx_show(cx, path));
    *VEC_PUSH(cx, todo, ntodo) = path;
    for (int next = 0; next < ntodo; next++) {
        struct dirent **e = entries(cx, todo[next]);
        for (int i = 0; e[i]; i++) {
            if (e[i]->d_name[0] == '.') continue;
            const char *child = cx_fmt(cx, "%s/%s", todo[next], e[i]->d_name);
            if (is_folder(child)) *VEC_PUSH(cx, todo, ntodo) = child;
            else if (case_of(cx, child, false, &c)) *VEC_PUSH(cx, *cases, n) = c;
        }
    }
    return n;
}

// ---- judging ----

static bool close_enough(const Judge *j, double got, double want) {
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got);
    if (isinf(want) || isinf(got)) return want == got;
    return fabs(got - want) <= j->atol + j->rtol * fabs(want);
}

static Shape tensor_shape(Cx *cx, const Tensor *t) {
    Shape s = {.n = t->rank};
    if (t->rank > MAXDIM) fail(cx, E_UNSUPPORTED, "a tensor of %d axes", t->rank);
    for (int d = 0; d < t->rank; d++) s.d[d] = t->dim[d];
    return s;
}

static void judge_output(Cx *cx, const Judge *j, const Root *root, Shape got, const void *data, const Tensor *want,
                         bool values) {
    Shape s = tensor_shape(cx, want);
    const char *name = cx_show(cx, root->name);
    if (root->value->type != want->type)
        fail(cx, E_CHECK, "output '%s' is %s instead of %s", name, dtypes[root->value->type].name,
             dtypes[want->type].name);
    got.batch = 0;
    if (!same_dims(got, s))
        fail(cx, E_CHECK, "output '%s' has shape %s instead of %s", name, shape_str(cx, got), shape_str(cx, s));
    int64_t wrong = 0, first = 0, size = dtypes[want->type].bytes;
    double worst_got = 0, worst_want = 0;
    for (int64_t i = 0; values && i < want->count; i++) {
        double a = dtype_get_f(want->type, (const char *)data + i * size),
               b = dtype_get_f(want->type, (const char *)want->data + i * size);
        if (close_enough(j, a, b)) continue;
        if (!wrong++) first = i, worst_got = a, worst_want = b;
    }
    if (wrong)
        fail(cx, E_CHECK, "output '%s': %lld of %lld elements differ, the first at %lld: %g instead of %g", name,
             (long long)wrong, (long long)want->count, (long long)first, worst_got, worst_want);
}

// ---- running ----

void case_run_eval(void *user, Graph *g, int64_t batch, void **result) {
    (void)user;
    expand_ops(g);
    graph_eval(g, batch, result, NULL, NULL);
}

static void session_let_go(void *s) { session_free(s); }

void case_run_compiled(void *user, Graph *g, int64_t batch, void **result) {
    const EngineOptions *o = user;
    Compiled *c = graph_compile(g, o ? &o->compile : NULL);
    Fault f;
    Session *s = session_new(c->program, o ? &o->session : NULL, &f);
    if (!s) fail(g->cx, f.code, "%s", f.text);
    cx_defer(g->cx, session_let_go, s);
    if (session_set_batch(s, batch, &f)) fail(g->cx, f.code, "%s", f.text);
    for (int i = 0; i < g->ninput; i++) session_write(s, i, g->input[i]->data);   // inputs are the first slots
    if (session_call(s, 1, &f)) fail(g->cx, f.code, "%s", f.text);
    int first = c->program->nslot - g->nroot;                                    // and outputs the last
    for (int i = 0; i < g->nroot; i++) {
        TensorDesc d = session_desc(s, first + i);
        result[i] = cx_alloc(g->cx, (size_t)desc_bytes(&d));
        if (session_read(s, first + i, result[i], &f)) fail(g->cx, f.code, "%s", f.text);
    }
    if (c->formulas) fail(g->cx, E_CHECK, "%d kernels were left to the interpreter", c->formulas);
}

typedef struct Run {
    Cx *cx;
    const Case *c;
    const Judge *j;
    Model *m;
    int compared;
} Run;

static bool is_random(const Model *m) {
    static const char *const ops[] = {"RandomNormal",      "RandomNormalLike", "RandomUniform",
                                      "RandomUniformLike", "Bernoulli",        "Multinomial"};
    for (int i = 0; i < m->nnode; i++)
        for (size_t k = 0; k < sizeof ops / sizeof *ops; k++)
            if (!strcmp(m->node[i]->op, ops[k])) return true;
    return false;
}

// Old cases keep bfloat16 as the 16-bit integers of the same bits.
static bool read_as(Tensor *t, DType declared) {
    if (declared == DT_BF16 && t->type == DT_U16) t->type = DT_BF16;
    return t->type == declared;
}

static Graph *import_for(Run *r, int n, const ValueInfo **info, Tensor **input) {
    Given *given = NEW(r->cx, Given, n);
    for (int i = 0; i < n; i++) given[i] = (Given){info[i]->name, input[i]};
    if (r->j->max_batch > 1)
        return model_import(r->m, &(ImportOptions){.max_batch = r->j->max_batch, .obey_training_mode = true});
    return model_import(r->m, &(ImportOptions){.obey_training_mode = true, .ngiven = n, .given = given});
}

// A shape with only `batch` in use.
static Shape in_use(const Graph *g, Shape s, int64_t batch) {
    if (s.batch) s.d[s.batch - 1] = s.d[s.batch - 1] / g->max_batch * batch;
    return s;
}

// How many of the batch the data holds; gives the inputs their data.
static int64_t feed(Run *r, Graph *g, int n, Tensor **input) {
    int64_t batch = g->max_batch;
    for (int i = 0; i < n; i++) {
        Node *x = g->input[i];
        if (x->shape.batch == 1 && g->max_batch > 1 && input[i]->rank > 0) batch = input[i]->dim[0];
    }
    if (batch < 1 || batch > g->max_batch) fail(r->cx, E_CHECK, "a batch of %lld", (long long)batch);
    for (int i = 0; i < n; i++) {
        Node *x = g->input[i];
        if (!same_dims(in_use(g, x->shape, batch), tensor_shape(r->cx, input[i])))
            fail(r->cx, E_CHECK, "input '%s' is %s in the graph, %s in the data", cx_show(r->cx, x->name),
                 shape_str(r->cx, x->shape), shape_str(r->cx, tensor_shape(r->cx, input[i])));
        x->data = input[i]->data;
    }
    return batch;
}

static void run_and_judge(Run *r, int n, const ValueInfo **info, Tensor **input, const char *outputs) {
    for (int i = 0; i < n; i++)
        if (!read_as(input[i], info[i]->type))
            fail(r->cx, E_CHECK, "input '%s' is of ONNX type %d in the model, %d in the data",
                 cx_show(r->cx, info[i]->name), info[i]->onnx_type, input[i]->onnx_type);
    Graph *g = import_for(r, n, info, input);
    void **result = NEW(r->cx, void *, g->nroot);
    int64_t batch = feed(r, g, n, input);
    r->j->run(r->j->user, g, batch, result);
    for (int i = 0; i < g->nroot; i++) {
        const char *file = cx_fmt(r->cx, "%soutput_%d.pb", outputs, i);
        if (!is_file(file)) continue;
        Tensor *want = tensor_read_pb(r->cx, file);
        if (want->type == DT_NONE) continue;
        read_as(want, g->root[i].value->type);
        Shape got = in_use(g, g->root[i].value->shape, batch);
        if (got.batch > 1 && g->max_batch > 1) continue;   // not one piece
        judge_output(r->cx, r->j, &g->root[i], got, result[i], want, !is_random(r->m));
        r->compared++;
    }
}

// The inputs a caller gives, in order.
static int true_inputs(Run *r, const ValueInfo ***info) {
    int n = 0;
    *info = NULL;
    for (int i = 0; i < r->m->ninput; i++) {
        const ValueInfo *v = r->m->input[i];
        if (model_init(r->m, v->name)) continue;
        if (v->type == DT_NONE)
            fail(r->cx, E_UNSUPPORTED, "input '%s' is no tensor of numbers (%s)", cx_show(r->cx, v->name), v->kind);
        *VEC_PUSH(r->cx, *info, n) = r->m->input[i];
    }
    return n;
}

static void run_data_set(Run *r, const char *folder) {
    const ValueInfo **info;
    int n = true_inputs(r, &info);
    Tensor **input = NEW(r->cx, Tensor *, n);
    for (int i = 0; i < n; i++) input[i] = tensor_read_pb(r->cx, cx_fmt(r->cx, "%s/input_%d.pb", folder, i));
    run_and_judge(r, n, info, input, cx_fmt(r->cx, "%s/", folder));
}

// float32 arange(n) / n, of the declared shape with open sizes 1.
static Tensor *ramp(Cx *cx, const ValueInfo *v) {
    Tensor *t = NEW(cx, Tensor, 1);
    int64_t *dim = NEW(cx, int64_t, v->rank < 0 ? 0 : v->rank);
    size_t count = 1;
    for (int d = 0; d < v->rank; d++)
        count = ck_mul(cx, count, (size_t)(dim[d] = v->dim[d].value > 0 ? v->dim[d].value : 1));
    float *x = NEW(cx, float, count);
    for (size_t i = 0; i < count; i++) x[i] = (float)i / (float)count;
    *t = (Tensor){.name = v->name, .onnx_type = dtypes[DT_F32].onnx, .type = DT_F32, .rank = v->rank < 0 ? 0 : v->rank,
                  .dim = dim, .count = (int64_t)count, .data = x};
    return t;
}

static void run_ramp(Run *r) {
    const ValueInfo **info;
    int n = true_inputs(r, &info);
    Tensor **input = NEW(r->cx, Tensor *, n);
    for (int i = 0; i < n; i++) input[i] = ramp(r->cx, info[i]);
    run_and_judge(r, n, info, input, cx_fmt(r->cx, "%.*s_", (int)(strlen(r->c->model) - 5), r->c->model));
}

static void check(void *arg) {
    Run *r = arg;
    r->m = model_read(r->cx, r->c->model);
    if (!r->c->folder) {
        run_ramp(r);
        return;
    }
    struct dirent **e = entries(r->cx, r->c->folder);
    for (int i = 0; e[i]; i++)
        if (!strncmp(e[i]->d_name, "test_data_set_", 14))
            run_data_set(r, cx_fmt(r->cx, "%s/%s", r->c->folder, e[i]->d_name));
}

CaseResult case_check(const Case *c, const Judge *j, char *why, size_t size) {
    Run r = {.cx = cx_new(), .c = c, .j = j};
    snprintf(why, size, "%s", r.cx ? "" : "out of memory");
    if (!r.cx) return CASE_FAILED;
    bool ok = cx_guard(r.cx, check, &r);
    if (!ok) snprintf(why, size, "%s", r.cx->error);
    else if (!r.compared) snprintf(why, size, "nothing to compare");
    cx_free(r.cx);
    return !ok ? CASE_FAILED : r.compared ? CASE_PASSED : CASE_SKIPPED;
}
