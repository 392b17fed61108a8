// Element-wise operators: one input element in, one output element out.
#include "../op.h"

#define X n->in[0]

void infer_same(Graph *g, Node *n) { (void)g, n->shape = X->shape; }

void infer_bcast(Graph *g, Node *n) {
    if (X->type != n->in[1]->type)
        fail(g->cx, E_MALFORMED, "%s: operands are %s and %s", optab[n->op].name, dtypes[X->type].name,
             dtypes[n->in[1]->type].name);
    n->shape = bcast_shape(g, optab[n->op].name, X->shape, n->in[1]->shape);
}

void infer_compare(Graph *g, Node *n) { infer_bcast(g, n), n->type = DT_BOOL; }
void infer_test(Graph *g, Node *n) { infer_same(g, n), n->type = DT_BOOL; }
void infer_cast(Graph *g, Node *n) { infer_same(g, n), n->type = (DType)n->attr.i[0]; }

void infer_where(Graph *g, Node *n) {
    if (X->type != DT_BOOL || n->in[1]->type != n->in[2]->type)
        fail(g->cx, E_MALFORMED, "Where: operands are %s, %s and %s", dtypes[X->type].name, dtypes[n->in[1]->type].name,
             dtypes[n->in[2]->type].name);
    n->type = n->in[1]->type;
    n->shape = bcast_shape(g, "Where", bcast_shape(g, "Where", X->shape, n->in[1]->shape), n->in[2]->shape);
}

#define UNARY(f, K)  Expr *emit_##f(Kernel *k, Node *n, Expr **at) { return k1(k, K, pull_bcast(k, n, 0, at)); }
#define BINARY(f, K) Expr *emit_##f(Kernel *k, Node *n, Expr **at) { return k2(k, K, pull_bcast(k, n, 0, at), pull_bcast(k, n, 1, at)); }
BINARY(add, K_ADD)
BINARY(sub, K_SUB) BINARY(mul, K_MUL) BINARY(div, K_DIV) BINARY(mod, K_MOD) BINARY(fmod, K_FMOD) BINARY(pow, K_POW)
    BINARY(max, K_MAX) BINARY(min, K_MIN) BINARY(bit_and, K_BAND) BINARY(bit_or, K_BOR) BINARY(bit_xor, K_BXOR)
        BINARY(shift_left, K_SHL) BINARY(shift_right, K_SHR) BINARY(equal, K_EQ) BINARY(less, K_LT)
            BINARY(less_equal, K_LE) BINARY(and, K_AND) BINARY(or, K_OR) BINARY(xor, K_XOR) UNARY(not, K_NOT)
                UNARY(isnan, K_ISNAN) UNARY(isinf, K_ISINF) UNARY(bit_not, K_BNOT) UNARY(neg, K_NEG) UNARY(abs, K_ABS)
                    UNARY(sign, K_SIGN) UNARY(floor, K_FLOOR) UNARY(ceil, K_CEIL) UNARY(round, K_ROUND)
                        UNARY(trunc, K_TRUNC) UNARY(sqrt, K_SQRT) UNARY(exp, K_EXP) UNARY(log, K_LOG)
                            UNARY(log1p, K_LOG1P) UNARY(sin, K_SIN) UNARY(cos, K_COS) UNARY(tan, K_TAN)
                                UNARY(asin, K_ASIN) UNARY(acos, K_ACOS) UNARY(atan, K_ATAN) UNARY(sinh, K_SINH)
                                    UNARY(cosh, K_COSH) UNARY(tanh, K_TANH) UNARY(asinh, K_ASINH) UNARY(acosh, K_ACOSH)
                                        UNARY(atanh, K_ATANH) UNARY(erf, K_ERF)

    // 0 comes first: MAX(0, NaN) is NaN.
    Expr *emit_relu(Kernel *k, Node *n, Expr **at) {
    return k2(k, K_MAX, k_imm(k, n->type, 0), pull_bcast(k, n, 0, at));
}

Expr *emit_where(Kernel *k, Node *n, Expr **at) {
    return k_select(k, pull_bcast(k, n, 0, at), pull_bcast(k, n, 1, at), pull_bcast(k, n, 2, at));
}

Expr *emit_cast(Kernel *k, Node *n, Expr **at) { return k_cast(k, n->type, pull_bcast(k, n, 0, at)); }

Expr *emit_const(Kernel *k, Node *n, Expr **at) {
    (void)at;
    return dtype_is_float(n->type) ? k_imm(k, n->type, n->attr.f) : k_imm_i(k, n->type, n->attr.i[0]);
}

// sigmoid(x) = 1 / (1 + exp(-x))
Node *expand_sigmoid(Graph *g, Node *n) {
    Node *one = node_like(g, X, 1);
    return op2(g, Div, one, op2(g, Add, one, op1(g, Exp, op1(g, Neg, X))));
}
