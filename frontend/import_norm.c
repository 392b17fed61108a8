// import_norm.c -- normalisations, and Dropout.
#include "build.h"

// ---- mean and variance ----

typedef struct Moments { Node *mean, *centred, *variance; } Moments;      // centred: x - mean

static Moments moments(Graph *g, Node *x, Attr axes) {
    Moments m = {.mean = reduced(g, OP_ReduceMean, x, axes)};
    m.centred = op2(g, Sub, x, m.mean);
    m.variance = reduced(g, OP_ReduceMean, square(g, m.centred), axes);
    return m;
}

static Node *inverse_root(Graph *g, Node *x, double epsilon) {
    return op2(g, Div, node_like(g, x, 1), op1(g, Sqrt, shifted(g, x, epsilon)));
}

static Node *unit_variance(Graph *g, Node *x, Attr axes, double epsilon) {
    Moments m = moments(g, x, axes);
    return op2(g, Mul, m.centred, inverse_root(g, m.variance, epsilon));
}

// The type to compute in: attribute stash_type, if x is narrower.
static DType stash(Import *im, const Node *x) {
    DType t = dtype_of_onnx(attr_int(im, "stash_type", 1));
    return dtype_is_float(t) && dtypes[t].bytes > dtypes[x->type].bytes ? t : x->type;
}

// Whether a node written for training is to be run so; if not, one line tells, once for the model.
static bool obeyed(Import *im) {
    if (im->o->obey_training_mode) return true;
    if (!im->told) cx_note(im->cx, "%s: written in training mode; run as inference", cx_show(im->cx, im->m->path));
    im->told = true;
    return false;
}

// ---- batch normalisation ----

enum { BN_X, BN_SCALE, BN_SHIFT, BN_MEAN, BN_VAR };

static Node *batch_norm(Import *im, Node *mean, Node *var) {
    Node *all[] = {in(im, BN_X), in(im, BN_SCALE), in(im, BN_SHIFT), mean, var};
    for (int k = 1; k < 5; k += 2) all[k + 1] = node_cast(im->g, all[k + 1], all[k]->type);
    all[3] = node_cast(im->g, all[3], all[1]->type), all[4] = node_cast(im->g, all[4], all[1]->type);
    return graph_op(
        im->g, OP_BatchNorm,
        (Attr){.f = attr_float(im, "epsilon", (double)1e-5f), .f2 = attr_float(im, "momentum", (double)0.9f)}, 5, all);
}

// By the statistics of this very batch, which also move the running ones.
static void batch_norm_training(Import *im) {
    Graph *g = im->g;
    Node *x = in(im, BN_X);
    double momentum = attr_float(im, "momentum", (double)0.9f);
    int64_t axes[MAXDIM], n = 0;
    for (int d = 0; d < x->shape.n; d++)
        if (d != 1) axes[n++] = d;
    Attr others = {.n = (int)n, .i = axes};
    Moments m = moments(g, x, others);
    Node *mean = squeezed(g, m.mean, others), *var = squeezed(g, m.variance, others);
    Node *was[] = {in(im, BN_MEAN), in(im, BN_VAR)}, *is[] = {mean, var};
    out(im, 0, batch_norm(im, mean, var));
    for (int k = 0; k < 2; k++) {
        is[k] = node_cast(g, is[k], was[k]->type);
        out(im, 1 + k, op2(g, Add, scaled(g, was[k], momentum), scaled(g, is[k], 1 - momentum)));
        out(im, 3 + k, is[k]);                           // before opset 14: saved statistics
    }
}

static bool written_for_training(Import *im) {
    if (im->opset < 7) return !attr_int(im, "is_test", 0);
    if (im->opset < 14) return out_wanted(im, 1);        // its other outputs exist in training only
    return attr_int(im, "training_mode", 0);
}

void import_batch_normalization(Import *im, const DocNode *n) {
    (void)n;
    if (!attr_int(im, "spatial", 1) && in(im, BN_X)->shape.n > 2)
        import_fail(im, E_UNSUPPORTED, "statistics per element (spatial 0) are not supported");
    if (written_for_training(im) && obeyed(im)) {
        batch_norm_training(im);
        return;
    }
    out(im, 0, batch_norm(im, in(im, BN_MEAN), in(im, BN_VAR)));
    for (int k = 1; k < 5; k++) out(im, k, in(im, k & 1 ? BN_MEAN : BN_VAR));
}

// ---- over parts of one sample ----

void import_instance_normalization(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *x = in(im, 0);
    int r = x->shape.n;
    Node *y = unit_variance(g, x, axes_from(im->cx, 2, r), attr_float(im, "epsilon", (double)1e-5f));
    y = op2(g, Mul, y, vector_at(im, in(im, 1), 1, r));
    out(im, 0, op2(g, Add, y, vector_at(im, in(im, 2), 1, r)));
}

void import_layer_normalization(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *given = in(im, 0), *x = node_cast(g, given, stash(im, given));
    int r = x->shape.n;
    Moments m = moments(g, x, axes_from(im->cx, attr_axis(im, "axis", -1, r), r));
    Node *inverse = inverse_root(g, m.variance, attr_float(im, "epsilon", (double)1e-5f));
    Node *y = op2(g, Mul, node_cast(g, op2(g, Mul, m.centred, inverse), given->type), in(im, 1));
    out(im, 0, in_given(im, 2) ? op2(g, Add, y, in(im, 2)) : y);
    out(im, 1, m.mean);
    out(im, 2, inverse);
}

void import_rms_normalization(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *given = in(im, 0), *x = node_cast(g, given, stash(im, given));
    int r = x->shape.n;
    Node *mean = reduced(g, OP_ReduceMean, square(g, x), axes_from(im->cx, attr_axis(im, "axis", -1, r), r));
    Node *y = op2(g, Mul, x, inverse_root(g, mean, attr_float(im, "epsilon", (double)1e-5f)));
    out(im, 0, op2(g, Mul, node_cast(g, y, given->type), in(im, 1)));
}

// [N, C, ..] as [N, groups, C / groups, ..]
static Shape grouped(Import *im, Shape s, int64_t groups) {
    Shape r = {.n = s.n + 1, .batch = s.batch > 1 ? s.batch + 1 : s.batch, .d = {s.d[0], groups}};
    if (s.n < 2 || s.n >= MAXDIM || groups < 1 || s.d[1] % groups)
        import_fail(im, E_MALFORMED, "%lld groups of %s", (long long)groups, shape_str(im->cx, s));
    r.d[2] = s.d[1] / groups;
    for (int d = 2; d < s.n; d++) r.d[d + 1] = s.d[d];
    return r;
}

// Scale and shift belong to the groups in opset 18, to the channels since.
void import_group_normalization(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *given = in(im, 0), *x = node_cast(g, given, stash(im, given)), *y;
    int64_t groups = attr_int(im, "num_groups", 0);
    int r = x->shape.n;
    y = node_reshape(g, x, grouped(im, x->shape, groups));
    y = unit_variance(g, y, axes_from(im->cx, 2, r + 1), attr_float(im, "epsilon", (double)1e-5f));
    y = node_cast(g, y, given->type);
    bool by_group = im->opset < 21;
    if (!by_group) y = node_reshape(g, y, x->shape);
    y = op2(g, Mul, y, vector_at(im, in(im, 1), 1, y->shape.n));
    y = op2(g, Add, y, vector_at(im, in(im, 2), 1, y->shape.n));
    out(im, 0, node_reshape(g, y, x->shape));
}

// ---- others ----

// x / |x|; zeros stay zeros
void import_lp_normalization(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *x = in(im, 0);
    int axis = attr_axis(im, "axis", -1, x->shape.n), p = (int)attr_int(im, "p", 2);
    if (p != 1 && p != 2) import_fail(im, E_MALFORMED, "a norm of order %d", p);
    Node *sum = reduced(g, OP_ReduceSum, p == 1 ? op1(g, Abs, x) : square(g, x), axes_from(im->cx, axis, axis + 1));
    Node *norm = p == 1 ? sum : op1(g, Sqrt, sum), *zero = node_like(g, x, 0);
    out(im, 0, op3(g, Where, op2(g, Equal, norm, zero), zero, op2(g, Div, x, norm)));
}

void import_mean_variance_normalization(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *x = in(im, 0);
    static const int64_t usual[] = {0, 2, 3};
    const int64_t *axes = usual;
    int count = attr_ints(im, "axes", &axes);
    int64_t at[MAXDIM];
    if (count < 0) count = 3;
    if (count > x->shape.n) import_fail(im, E_MALFORMED, "%d axes of %s", count, shape_str(im->cx, x->shape));
    for (int i = 0; i < count; i++) at[i] = axes[i] < 0 ? axes[i] + x->shape.n : axes[i];
    Moments m = moments(g, x, (Attr){.n = count, .i = at});
    out(im, 0, op2(g, Div, m.centred, shifted(g, op1(g, Sqrt, m.variance), 1e-9)));
}

// y = x / (bias + alpha / size * sum of the squares of `size` neighbouring channels) ^ beta
void import_lrn(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *x = in(im, 0);
    Shape s = x->shape;
    int64_t size = attr_int(im, "size", 1);
    if (s.n < 2 || size < 1 || size > INT32_MAX)
        import_fail(im, E_MALFORMED, "%lld neighbours in %s", (long long)size, shape_str(im->cx, s));
    Window w = {.rank = 1, .group = 1, .axis = {{size, 1, 1, (size - 1) / 2, size - 1 - (size - 1) / 2}}};
    Node *near = op1a(g, SumPool, unsqueezed(g, square(g, x), 1), window_attr(im->cx, &w));
    near = node_reshape(g, near, s);
    double alpha = attr_float(im, "alpha", (double)1e-4f), bias = attr_float(im, "bias", 1);
    Node *base = shifted(g, scaled(g, near, alpha / (double)size), bias);
    out(im, 0, op2(g, Div, x, op2(g, Pow, base, node_like(g, x, attr_float(im, "beta", 0.75)))));
}

// ---- Dropout ----

static bool dropout_trains(Import *im) {
    int64_t *v;
    if (im->opset < 12 || !in_given(im, 2) || (!im->o->obey_training_mode && !in_known(im, 2))) return false;
    return in_ints(im, 2, &v) == 1 && v[0] && obeyed(im);
}

static double dropout_ratio(Import *im) {
    double *v;
    if (im->opset < 12) return attr_float(im, "ratio", 0.5);
    return in_given(im, 1) && in_known(im, 1) && in_floats(im, 1, &v) == 1 ? v[0] : 0.5;
}

// Kept with probability 1 - ratio, and then scaled up as much.
static void dropout_training(Import *im, Node *x) {
    Graph *g = im->g;
    double *v, ratio = 0.5;
    if (in_given(im, 1) && in_floats(im, 1, &v) == 1) ratio = v[0];
    Attr at = shape_attr(&x->shape);
    at.f = im->n->index;
    Node *draw = graph_op(g, OP_Random, at, 0, NULL), *keep = op1(g, Not, less_than(g, draw, ratio));
    out(im, 0, op3(g, Where, keep, scaled(g, x, 1 / (1 - ratio)), node_like(g, x, 0)));
    out(im, 1, keep);
}

void import_dropout(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    if (dropout_trains(im)) {
        dropout_training(im, x);
        return;
    }
    out(im, 0, graph_op(im->g, OP_Dropout, (Attr){.f = dropout_ratio(im), .f2 = im->n->index}, 1, &x));
    // Before opset 12 nothing says what the mask of an inference holds; others fill it with zeros.
    Node *kept = im->opset < 10 ? node_like(im->g, x, 0) : graph_scalar_i(im->g, DT_BOOL, im->opset >= 12);
    out(im, 1, spread(im->g, kept, x->shape));
}
