// import_activation.c -- activation functions, by their formulas.
#include "build.h"

#define ACTIVATION(f) void import_##f(Import *im, const DocNode *n)

static Node *negative_branch(Graph *g, Node *x, Node *below) { return op3(g, Where, less_than(g, x, 0), below, x); }
static Node *exp_minus_1(Graph *g, Node *x) { return shifted(g, op1(g, Exp, x), -1); }

Node *mul_sigmoid(Graph *g, Node *x, double alpha) {
    return op2(g, Mul, x, op1(g, Sigmoid, alpha == 1 ? x : scaled(g, x, alpha)));
}

// log(1 + exp(x)) without overflow
static Node *softplus(Graph *g, Node *x) {
    return op2(g, Add, at_least(g, x, 0), op1(g, Log1p, op1(g, Exp, op1(g, Neg, op1(g, Abs, x)))));
}

ACTIVATION(relu) { (void)n, out(im, 0, op1(im->g, Relu, in(im, 0))); }
ACTIVATION(sigmoid) { (void)n, out(im, 0, op1(im->g, Sigmoid, in(im, 0))); }
ACTIVATION(softplus) { (void)n, out(im, 0, softplus(im->g, in(im, 0))); }

ACTIVATION(leaky_relu) {
    (void)n;
    Node *x = in(im, 0);
    out(im, 0, negative_branch(im->g, x, scaled(im->g, x, attr_float(im, "alpha", (double)0.01f))));
}

// Before opset 7 a slope of several elements belonged to the channels.
ACTIVATION(prelu) {
    (void)n;
    Node *x = in(im, 0), *slope = in(im, 1);
    if (im->opset < 7 && slope->shape.n == 1 && x->shape.n > 1)
        slope = vector_at(im, slope, numel(slope->shape) == 1 ? x->shape.n - 1 : 1, x->shape.n);
    out(im, 0, negative_branch(im->g, x, op2(im->g, Mul, slope, x)));
}

ACTIVATION(elu) {
    (void)n;
    Node *x = in(im, 0);
    out(im, 0, negative_branch(im->g, x, scaled(im->g, exp_minus_1(im->g, x), attr_float(im, "alpha", 1))));
}

ACTIVATION(selu) {
    (void)n;
    Node *x = in(im, 0);
    double alpha = attr_float(im, "alpha", im->opset < 6 ? 1.6732 : 1.67326319217681884765625);
    double gamma = attr_float(im, "gamma", im->opset < 6 ? 1.0507 : 1.05070102214813232421875);
    out(im, 0, scaled(im->g, negative_branch(im->g, x, scaled(im->g, exp_minus_1(im->g, x), alpha)), gamma));
}

ACTIVATION(celu) {
    (void)n;
    Node *x = in(im, 0);
    double alpha = attr_float(im, "alpha", 1);
    out(im, 0, negative_branch(im->g, x, scaled(im->g, exp_minus_1(im->g, scaled(im->g, x, 1 / alpha)), alpha)));
}

ACTIVATION(thresholded_relu) {
    (void)n;
    Graph *g = im->g;
    Node *x = in(im, 0), *alpha = node_like(g, x, attr_float(im, "alpha", 1));
    out(im, 0, op3(g, Where, op2(g, Less, alpha, x), x, node_like(g, x, 0)));
}

static Node *hard_sigmoid(Graph *g, Node *x, double alpha, double beta) {
    return at_least(g, at_most(g, shifted(g, scaled(g, x, alpha), beta), 1), 0);
}

ACTIVATION(hard_sigmoid) {
    (void)n;
    out(im, 0, hard_sigmoid(im->g, in(im, 0), attr_float(im, "alpha", (double)0.2f), attr_float(im, "beta", 0.5)));
}

ACTIVATION(hard_swish) {
    (void)n;
    Node *x = in(im, 0);
    out(im, 0, op2(im->g, Mul, x, hard_sigmoid(im->g, x, 1.0 / 6, 0.5)));
}

ACTIVATION(mish) {
    (void)n;
    Node *x = in(im, 0);
    out(im, 0, op2(im->g, Mul, x, op1(im->g, Tanh, softplus(im->g, x))));
}

ACTIVATION(swish) { (void)n, out(im, 0, mul_sigmoid(im->g, in(im, 0), attr_float(im, "alpha", 1))); }

ACTIVATION(swi_glu) {
    (void)n, out(im, 0, op2(im->g, Mul, mul_sigmoid(im->g, in(im, 0), attr_float(im, "alpha", 1)), in(im, 1)));
}

// x/2 (1 + erf(x/sqrt 2)), or its approximation by tanh(sqrt(2/pi) (x + 0.044715 x^3))
ACTIVATION(gelu) {
    (void)n;
    Graph *g = im->g;
    Node *x = in(im, 0), *t;
    if (strcmp(attr_string(im, "approximate", "none"), "tanh")) t = op1(g, Erf, scaled(g, x, M_SQRT1_2));
    else
        t = op1(g, Tanh,
                scaled(g, op2(g, Mul, x, shifted(g, scaled(g, square(g, x), 0.044715), 1)), M_2_SQRTPI * M_SQRT1_2));
    out(im, 0, op2(g, Mul, scaled(g, x, 0.5), shifted(g, t, 1)));
}

ACTIVATION(softsign) {
    (void)n;
    Node *x = in(im, 0);
    out(im, 0, op2(im->g, Div, x, shifted(im->g, op1(im->g, Abs, x), 1)));
}

// Integers go through doubles: the bounds are real.
ACTIVATION(shrink) {
    (void)n;
    Graph *g = im->g;
    Node *given = in(im, 0), *x = dtype_is_float(given->type) ? given : node_cast(g, given, DT_F64);
    double lambd = attr_float(im, "lambd", 0.5), bias = attr_float(im, "bias", 0);
    Node *above = op3(g, Where, op2(g, Less, node_like(g, x, lambd), x), shifted(g, x, -bias), node_like(g, x, 0));
    out(im, 0, node_cast(g, op3(g, Where, less_than(g, x, -lambd), shifted(g, x, bias), above), given->type));
}
