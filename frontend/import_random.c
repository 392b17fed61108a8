// import_random.c -- random numbers. Every node draws from streams of its own, numbered by its
// place in the document; attribute `seed` is not obeyed, the run's seed is.
#include "build.h"

enum { STREAMS = 2 };                 // a node draws from at most so many

static Node *uniform(Import *im, Shape s, int stream) {
    Attr at = shape_attr(&s);
    at.f = im->n->index * STREAMS + stream;
    return graph_op(im->g, OP_Random, at, 0, NULL);
}

// Box and Muller: sqrt(-2 log(1 - u)) cos(2 pi v)
static Node *normal(Import *im, Shape s) {
    Graph *g = im->g;
    Node *u = uniform(im, s, 0), *v = uniform(im, s, 1);
    Node *radius = op1(g, Sqrt, scaled(g, op1(g, Log, op2(g, Sub, node_like(g, u, 1), u)), -2));
    return op2(g, Mul, radius, op1(g, Cos, scaled(g, v, 2 * M_PI)));
}

// As attribute dtype says, or like x.
static DType type_of(Import *im, DType otherwise) {
    if (!node_attr(im->n, "dtype")) return otherwise;
    DType t = dtype_of_onnx(attr_int(im, "dtype", 0));
    if (t == DT_NONE) import_fail(im, E_UNSUPPORTED, "a type tvc does not compute with");
    return t;
}

static Shape shape_named(Import *im) {
    const int64_t *v;
    int n = attr_ints(im, "shape", &v);
    if (n < 0 || n > MAXDIM) import_fail(im, E_MALFORMED, "its attribute 'shape' is missing or too long");
    Shape s = {.n = n};
    for (int d = 0; d < n; d++) s.d[d] = v[d];
    return s;
}

static void draw_normal(Import *im, Shape s, DType t) {
    Node *x = shifted(im->g, scaled(im->g, normal(im, s), attr_float(im, "scale", 1)), attr_float(im, "mean", 0));
    out(im, 0, node_cast(im->g, x, t));
}

static void draw_uniform(Import *im, Shape s, DType t) {
    double low = attr_float(im, "low", 0), high = attr_float(im, "high", 1);
    out(im, 0, node_cast(im->g, shifted(im->g, scaled(im->g, uniform(im, s, 0), high - low), low), t));
}

void import_random_normal(Import *im, const DocNode *n) {
    (void)n;
    draw_normal(im, shape_named(im), type_of(im, DT_F32));
}

void import_random_uniform(Import *im, const DocNode *n) {
    (void)n;
    draw_uniform(im, shape_named(im), type_of(im, DT_F32));
}

void import_random_normal_like(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    draw_normal(im, x->shape, type_of(im, x->type));
}

void import_random_uniform_like(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    draw_uniform(im, x->shape, type_of(im, x->type));
}

// 1 with probability x
void import_bernoulli(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    Node *hit = op2(im->g, Less, uniform(im, x->shape, 0), node_cast(im->g, x, DT_F32));
    out(im, 0, node_cast(im->g, hit, type_of(im, x->type)));
}

// Classes drawn by their log-probabilities [batch, classes]: the largest of logp - log(-log u).
void import_multinomial(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *logp = node_cast(g, in(im, 0), DT_F32);
    int64_t samples = attr_int(im, "sample_size", 1);
    if (logp->shape.n != 2 || samples < 1)
        import_fail(im, E_MALFORMED, "%lld samples of %s", (long long)samples, shape_str(im->cx, logp->shape));
    Node *each = unsqueezed(g, logp, 1);
    Shape s = each->shape;
    s.d[1] = samples;
    Node *gumbel =
        op1(g, Neg, op1(g, Log, op1(g, Neg, op1(g, Log, op2(g, Sub, graph_scalar(g, DT_F32, 1), uniform(im, s, 0))))));
    Node *best = squeezed(g, arg_extreme(g, op2(g, Add, each, gumbel), 2, true, false), AXES(2));
    out(im, 0, node_cast(g, best, type_of(im, DT_I32)));
}

void import_eye_like(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *x = in(im, 0);
    if (x->shape.n != 2) import_fail(im, E_MALFORMED, "%s is no matrix", shape_str(im->cx, x->shape));
    Node *row = iota_along(g, x->shape, 0), *column = iota_along(g, x->shape, 1);
    Node *diagonal = op2(g, Add, row, graph_scalar_i(g, DT_I64, attr_int(im, "k", 0)));
    out(im, 0, node_cast(g, op2(g, Equal, column, diagonal), type_of(im, x->type)));
}
