// grad_forms_tool.c -- gradients of whole documents against central differences, in float64, by the evaluator:
//
//   grad_forms_tool FOLDER...
//
// A folder holds model.onnx and input_K.pb for each input. The loss is a weighted sum of all outputs of floats. Prints
// a line for each folder: "FOLDER ok COMPARED LARGEST" (elements compared, largest derivative), "FOLDER input K TEXT"
// for an input whose gradient is wrong, "FOLDER error TEXT" for one that does not import or differentiate. At most
// SAMPLES elements of an input are moved. One whose differences to the left and to the right disagree lies on a kink:
// left out.
#include "frontend/import.h"
#include "ir/eval.h"
#include "passes/autodiff.h"
#include <math.h>

enum { SAMPLES = 12 };

typedef struct Form {
    Cx *cx;
    const char *folder;
    Model *m;
    Given *given;
    int ngiven, compared;
    double largest;
} Form;

static void read_inputs(Form *f) {
    f->given = NEW(f->cx, Given, f->m->ninput);
    for (int i = 0; i < f->m->ninput; i++) {
        if (model_init(f->m, f->m->input[i]->name)) continue;
        Tensor *t = tensor_read_pb(f->cx, cx_fmt(f->cx, "%s/input_%d.pb", f->folder, f->ngiven));
        void *own = cx_alloc(f->cx, tensor_bytes(t) + 1);              // to be changed
        if (t->count) t->data = memcpy(own, t->data, tensor_bytes(t));
        f->given[f->ngiven++] = (Given){f->m->input[i]->name, t};
    }
}

// Every element counts differently.
static Node *weighted(Graph *g, Node *y) {
    double *w = NEW(g->cx, double, numel(y->shape));
    for (int64_t i = 0; i < numel(y->shape); i++) w[i] = 0.5 + fmod(0.618034 * (double)(i + 1), 1);
    Node *p = op2(g, Mul, node_cast(g, y, DT_F64), graph_const(g, DT_F64, y->shape, w));
    return node_reduce_all(g, OP_ReduceSum, p);
}

// The document with its loss as the only root.
static Graph *graph_of(Form *f) {
    Graph *g = model_import(f->m, &(ImportOptions){.obey_training_mode = true, .ngiven = f->ngiven, .given = f->given});
    Node *loss = graph_scalar(g, DT_F64, 0);
    for (int i = 0; i < g->nroot; i++)
        if (dtype_is_float(g->root[i].value->type)) loss = op2(g, Add, loss, weighted(g, g->root[i].value));
    g->nroot = 0;
    graph_root(g, "loss", loss, NULL, 1);
    expand_ops(g);
    for (int i = 0; i < g->ninput; i++) g->input[i]->data = f->given[i].value->data;
    return g;
}

static double loss_with(Graph *g, double *x, double value) {
    double was = *x, loss;
    void *result[1];
    *x = value;
    graph_eval(g, 1, result, NULL, NULL);
    loss = *(double *)result[0];
    *x = was;
    return loss;
}

// One element. False: its gradient is wrong.
static bool compare(Form *f, Graph *g, double *x, double got, double loss, double *want) {
    double h = 1e-5 * fmax(1, fabs(*x)), up = loss_with(g, x, *x + h), down = loss_with(g, x, *x - h);
    double right = (up - loss) / h, left = (loss - down) / h, noise = 1e-8 + 1e-9 * fabs(loss);
    *want = (up - down) / (2 * h);
    if (!isfinite(*want) || fabs(right - left) > 1e-2 * fmax(fabs(right), fabs(left)) + 100 * noise) return true;
    f->compared++, f->largest = fmax(f->largest, fabs(*want));
    return fabs(got - *want) <= 1e-5 * fabs(*want) + noise;
}

static void compare_input(Form *f, Graph *g, int i, const double *got, double loss) {
    int64_t n = numel(g->input[i]->shape);
    double *x = (double *)(uintptr_t)g->input[i]->data, want;
    for (int64_t j = 0; j < n && j < SAMPLES; j++) {
        int64_t k = n > SAMPLES ? (int64_t)(fmod(0.618034 * (double)(j + 1), 1) * (double)n) : j;
        if (compare(f, g, &x[k], got[k], loss, &want)) continue;
        printf("%s input %d element %lld: %.10g, central differences say %.10g\n", f->folder, i, (long long)k, got[k],
               want);
        return;
    }
}

static void judge(void *arg) {
    Form *f = arg;
    f->m = model_read(f->cx, cx_fmt(f->cx, "%s/model.onnx", f->folder));
    read_inputs(f);
    Graph *g = graph_of(f), *plain = graph_of(f);
    Node **x = NEW(f->cx, Node *, g->ninput), **d = NEW(f->cx, Node *, g->ninput);
    int *of = NEW(f->cx, int, g->ninput), n = 0;
    for (int i = 0; i < g->ninput; i++)
        if (g->input[i]->type == DT_F64) x[n] = g->input[i], of[n++] = i;
    gradients(g, g->root[0].value, n, x, d);
    for (int k = 0; k < n; k++) graph_root(g, "dx", d[k], NULL, 1);
    expand_ops(g);
    void **result = NEW(f->cx, void *, n + 1);
    graph_eval(g, 1, result, NULL, NULL);
    for (int k = 0; k < n; k++) compare_input(f, plain, of[k], result[k + 1], *(double *)result[0]);
    printf("%s ok %d %g\n", f->folder, f->compared, f->largest);
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        Form f = {.cx = cx_new(), .folder = argv[i]};
        if (!cx_guard(f.cx, judge, &f)) printf("%s error %s\n", argv[i], f.cx->error);
        cx_free(f.cx);
    }
    return 0;
}
