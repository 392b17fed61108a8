// Gradients of element-wise operators. The driver (passes/autodiff.c) sums over broadcast axes and
// over several uses; what no trainable parameter needs is never built.
#include "../grad.h"

#define X n->in[0]
#define Y n->in[1]
#define NUM(v) node_like(g, n, v)
#define U(op, a) op1(g, op, a)
#define B(op, a, b) op2(g, op, a, b)

static Node *truth(Graph *g, Node *like, Node *cond) { return node_cast(g, cond, like->type); }
static Node *one_minus_square(Graph *g, Node *n, Node *v) { return B(Sub, NUM(1), B(Mul, v, v)); }
static Node *one_plus_square(Graph *g, Node *n, Node *v) { return B(Add, NUM(1), B(Mul, v, v)); }

GRADIENT(none)  { (void)g, (void)n, (void)dy, (void)dx; }
GRADIENT(add)   { (void)g, (void)n, dx[0] = dx[1] = dy; }
GRADIENT(sub)   { (void)n, dx[0] = dy, dx[1] = U(Neg, dy); }
GRADIENT(mul)   { dx[0] = B(Mul, dy, Y), dx[1] = B(Mul, dy, X); }
GRADIENT(div)   { dx[0] = B(Div, dy, Y), dx[1] = U(Neg, B(Div, B(Mul, dy, n), Y)); }
GRADIENT(mod)   { dx[0] = dy, dx[1] = U(Neg, B(Mul, dy, U(Floor, B(Div, X, Y)))); }
GRADIENT(fmod)  { dx[0] = dy, dx[1] = U(Neg, B(Mul, dy, U(Trunc, B(Div, X, Y)))); }
GRADIENT(neg)   { (void)n, dx[0] = U(Neg, dy); }
GRADIENT(abs)   { dx[0] = B(Mul, dy, U(Sign, X)); }
GRADIENT(sqrt)  { dx[0] = B(Div, B(Mul, NUM(0.5), dy), n); }
GRADIENT(exp)   { dx[0] = B(Mul, dy, n); }
GRADIENT(log)   { dx[0] = B(Div, dy, X); }
GRADIENT(log1p) { dx[0] = B(Div, dy, B(Add, NUM(1), X)); }
GRADIENT(sin)   { dx[0] = B(Mul, dy, U(Cos, X)); }
GRADIENT(cos)   { dx[0] = U(Neg, B(Mul, dy, U(Sin, X))); }
GRADIENT(tan)   { dx[0] = B(Mul, dy, one_plus_square(g, n, n)); }
GRADIENT(asin)  { dx[0] = B(Div, dy, U(Sqrt, one_minus_square(g, n, X))); }
GRADIENT(acos)  { dx[0] = U(Neg, B(Div, dy, U(Sqrt, one_minus_square(g, n, X)))); }
GRADIENT(atan)  { dx[0] = B(Div, dy, one_plus_square(g, n, X)); }
GRADIENT(sinh)  { dx[0] = B(Mul, dy, U(Cosh, X)); }
GRADIENT(cosh)  { dx[0] = B(Mul, dy, U(Sinh, X)); }
GRADIENT(tanh)  { dx[0] = B(Mul, dy, one_minus_square(g, n, n)); }
GRADIENT(asinh) { dx[0] = B(Div, dy, U(Sqrt, one_plus_square(g, n, X))); }
GRADIENT(acosh) { dx[0] = B(Div, dy, U(Sqrt, B(Sub, B(Mul, X, X), NUM(1)))); }
GRADIENT(atanh) { dx[0] = B(Div, dy, one_minus_square(g, n, X)); }

// erf'(x) = 2/sqrt(pi) exp(-x^2)
GRADIENT(erf)   { dx[0] = B(Mul, dy, B(Mul, NUM(1.12837916709551257390), U(Exp, U(Neg, B(Mul, X, X))))); }

// 0 at 0, as PyTorch has it
GRADIENT(relu)  { dx[0] = B(Mul, dy, truth(g, n, B(Less, NUM(0), X))); }

// x^y; where x is 0 the logarithm of the second gradient is not used
GRADIENT(pow) {
    dx[0] = B(Mul, dy, B(Mul, Y, B(Pow, X, B(Sub, Y, node_like(g, Y, 1)))));
    Node *positive = B(Less, node_like(g, X, 0), X), *safe = op3(g, Where, positive, X, node_like(g, X, 1));
    dx[1] = B(Mul, dy, B(Mul, n, U(Log, safe)));
}

// To the greater (lesser) one; equal ones share.
static void extreme(Graph *g, Node *n, Node *dy, Node **dx, Node *first, Node *second) {
    Node *half = B(Mul, truth(g, n, B(Equal, X, Y)), NUM(0.5));
    dx[0] = B(Mul, dy, B(Add, truth(g, n, first), half));
    dx[1] = B(Mul, dy, B(Add, truth(g, n, second), half));
}
GRADIENT(max) { extreme(g, n, dy, dx, B(Less, Y, X), B(Less, X, Y)); }
GRADIENT(min) { extreme(g, n, dy, dx, B(Less, X, Y), B(Less, Y, X)); }

GRADIENT(where) { dx[1] = op3(g, Where, X, dy, NUM(0)), dx[2] = op3(g, Where, X, NUM(0), dy); }
GRADIENT(cast)  {
    if (dtype_is_float(X->type) && dtype_is_float(n->type)) dx[0] = node_cast(g, dy, X->type);
}
