// import_train.c -- one step of an optimizer, as ai.onnx.preview.training states it. Inputs: rate R,
// count T, then n tensors, their n gradients, and n of each state; outputs in the same order.
#include "build.h"

// How many tensors, when the operator has `parts` inputs and outputs for each.
static int tensors(Import *im, int parts) {
    int n = (im->n->nin - 2) / parts;
    if (im->n->nin < 2 + parts || n * parts != im->n->nin - 2) import_fail(im, E_MALFORMED, "%d inputs", im->n->nin);
    return n;
}

// Input `part` of tensor i.
static Node *part(Import *im, int n, int part_, int i) { return in(im, 2 + part_ * n + i); }

// The gradient with the norm's penalty.
static Node *penalised(Import *im, Node *x, Node *gradient) {
    double c = attr_float(im, "norm_coefficient", 0);
    return c == 0 ? gradient : op2(im->g, Add, scaled(im->g, x, c), gradient);
}

// a * x + b * y
static Node *blend(Graph *g, double a, Node *x, double b, Node *y) {
    return op2(g, Add, scaled(g, x, a), scaled(g, y, b));
}

void import_adagrad(Import *im, const DocNode *node) {
    (void)node;
    Graph *g = im->g;
    int n = tensors(im, 3);
    Node *rate = in(im, 0), *t = node_cast(g, in(im, 1), rate->type);
    rate = op2(g, Div, rate, shifted(g, scaled(g, t, attr_float(im, "decay_factor", 0)), 1));
    for (int i = 0; i < n; i++) {
        Node *x = part(im, n, 0, i), *d = penalised(im, x, part(im, n, 1, i));
        Node *h = op2(g, Add, part(im, n, 2, i), square(g, d));
        Node *root = shifted(g, op1(g, Sqrt, h), attr_float(im, "epsilon", (double)1e-6f));
        out(im, i, op2(g, Sub, x, op2(g, Div, op2(g, Mul, node_cast(g, rate, x->type), d), root)));
        out(im, n + i, h);
    }
}

// R sqrt(1 - beta^T) / (1 - alpha^T), or R in step 0
static Node *adam_rate(Graph *g, Node *rate, Node *t, double alpha, double beta) {
    Node *one = node_like(g, rate, 1), *zero = node_like(g, rate, 0);
    Node *second = op1(g, Sqrt, op2(g, Sub, one, op2(g, Pow, node_like(g, rate, beta), t)));
    Node *first = op2(g, Sub, one, op2(g, Pow, node_like(g, rate, alpha), t)), *later = op2(g, Less, zero, t);
    first = op3(g, Where, later, first, one);                  // not 0, whose quotient would spoil gradients
    return op3(g, Where, later, op2(g, Div, op2(g, Mul, rate, second), first), rate);
}

void import_adam(Import *im, const DocNode *node) {
    (void)node;
    Graph *g = im->g;
    int n = tensors(im, 4);
    double alpha = attr_float(im, "alpha", (double)0.9f), beta = attr_float(im, "beta", (double)0.999f);
    Node *rate = in(im, 0);
    rate = adam_rate(g, rate, node_cast(g, in(im, 1), rate->type), alpha, beta);
    for (int i = 0; i < n; i++) {
        Node *x = part(im, n, 0, i), *d = penalised(im, x, part(im, n, 1, i));
        Node *v = blend(g, alpha, part(im, n, 2, i), 1 - alpha, d),
             *h = blend(g, beta, part(im, n, 3, i), 1 - beta, square(g, d));
        Node *root = shifted(g, op1(g, Sqrt, h), attr_float(im, "epsilon", (double)1e-6f));
        Node *next = op2(g, Sub, x, op2(g, Div, op2(g, Mul, node_cast(g, rate, x->type), v), root));
        out(im, i, scaled(g, next, 1 - attr_float(im, "norm_coefficient_post", 0)));
        out(im, n + i, v);
        out(im, 2 * n + i, h);
    }
}

void import_momentum(Import *im, const DocNode *node) {
    (void)node;
    Graph *g = im->g;
    int n = tensors(im, 3);
    double alpha = attr_float(im, "alpha", 0);
    bool nesterov = !strcmp(attr_string(im, "mode", ""), "nesterov");
    Node *rate = in(im, 0), *t = in(im, 1);
    Node *beta = op3(g, Where, op2(g, Less, node_like(g, t, 0), t), node_like(g, rate, attr_float(im, "beta", 0)),
                     node_like(g, rate, 1));
    for (int i = 0; i < n; i++) {
        Node *x = part(im, n, 0, i), *d = penalised(im, x, part(im, n, 1, i));
        Node *v = op2(g, Add, scaled(g, part(im, n, 2, i), alpha), op2(g, Mul, node_cast(g, beta, x->type), d));
        Node *move = nesterov ? op2(g, Add, d, scaled(g, v, alpha)) : v;
        out(im, i, op2(g, Sub, x, op2(g, Mul, node_cast(g, rate, x->type), move)));
        out(im, n + i, v);
    }
}
