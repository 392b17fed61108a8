// import_eltwise.c -- arithmetic, comparison, logic and casts.
#include "build.h"

// ---- operands ----

// Before opset 7 the second operand was spread only where attribute `broadcast` said so, its axes
// beginning at `axis` of the first operand.
static void operands(Import *im, Node **a, Node **b) {
    *a = in(im, 0), *b = in(im, 1);
    if (im->opset >= 7 || !attr_int(im, "broadcast", 0) || !node_attr(im->n, "axis")) return;
    int rank = (*a)->shape.n, axis = attr_axis(im, "axis", 0, rank);
    Shape s = (*b)->shape;
    if (axis + s.n > rank) import_fail(im, E_MALFORMED, "axis %d leaves no room for %s", axis, shape_str(im->cx, s));
    while (axis + s.n < rank) s.d[s.n++] = 1;
    *b = node_reshape(im->g, *b, s);
}

#define BINARY(f, O)                                                                                                   \
    void import_##f(Import *im, const DocNode *n) {                                                                    \
        Node *a, *b;                                                                                                   \
        (void)n, operands(im, &a, &b), out(im, 0, op2(im->g, O, a, b));                                                \
    }
#define SWAPPED(f, O)                                                                                                  \
    void import_##f(Import *im, const DocNode *n) {                                                                    \
        Node *a, *b;                                                                                                   \
        (void)n, operands(im, &a, &b), out(im, 0, op2(im->g, O, b, a));                                                \
    }
#define UNARY(f, O) void import_##f(Import *im, const DocNode *n) { (void)n, out(im, 0, op1(im->g, O, in(im, 0))); }

BINARY(add, Add)
BINARY(sub, Sub) BINARY(mul, Mul) BINARY(div, Div) BINARY(and, And) BINARY(or, Or) BINARY(xor, Xor) BINARY(equal, Equal)
    BINARY(less, Less) BINARY(less_equal, LessEqual) SWAPPED(greater, Less) SWAPPED(greater_equal, LessEqual)
        BINARY(bit_and, BitAnd) BINARY(bit_or, BitOr) BINARY(bit_xor, BitXor) UNARY(not, Not) UNARY(bit_not, BitNot)
            UNARY(isnan, IsNaN) UNARY(neg, Neg) UNARY(abs, Abs) UNARY(sign, Sign) UNARY(sqrt, Sqrt) UNARY(exp, Exp)
                UNARY(log, Log) UNARY(erf, Erf) UNARY(sin, Sin) UNARY(cos, Cos) UNARY(tan, Tan) UNARY(asin, Asin)
                    UNARY(acos, Acos) UNARY(atan, Atan) UNARY(sinh, Sinh) UNARY(cosh, Cosh) UNARY(tanh, Tanh)
                        UNARY(asinh, Asinh) UNARY(acosh, Acosh) UNARY(atanh, Atanh)

// Integers are whole already.
#define ROUNDING(f, O) \
    void import_##f(Import *im, const DocNode *n) { \
        Node *x = in(im, 0); \
        (void)n, out(im, 0, dtype_is_float(x->type) ? op1(im->g, O, x) : x); \
    }
                            ROUNDING(floor, Floor) ROUNDING(ceil, Ceil) ROUNDING(round, Round)

                                void import_reciprocal(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    out(im, 0, op2(im->g, Div, node_like(im->g, x, 1), x));
}

// ---- any number of operands ----

// The larger or smaller one; of floats NaN if either is.
static Node *extreme(Graph *g, Op op, Node *a, Node *b) {
    Node *m = graph_op(g, op, (Attr){0}, 2, (Node *[]){a, b});
    bool cannot = !dtype_is_float(a->type) || (op_is_splat(a) && !isnan(splat_value(a)));
    return cannot ? m : op3(g, Where, op1(g, IsNaN, a), a, m);
}

static Node *all_inputs(Import *im, Op op) {
    Node *r = in(im, 0);
    for (int k = 1; k < im->n->nin; k++) {
        Node *x = in(im, k);
        if (r->type != x->type) import_fail(im, E_MALFORMED, "its inputs are of different types");
        r = op == OP_Add ? op2(im->g, Add, r, x) : extreme(im->g, op, r, x);
    }
    return r;
}

void import_max(Import *im, const DocNode *n) { (void)n, out(im, 0, all_inputs(im, OP_Max)); }
void import_min(Import *im, const DocNode *n) { (void)n, out(im, 0, all_inputs(im, OP_Min)); }
void import_sum(Import *im, const DocNode *n) { (void)n, out(im, 0, all_inputs(im, OP_Add)); }
void import_mean(Import *im, const DocNode *n) { out(im, 0, scaled(im->g, all_inputs(im, OP_Add), 1.0 / n->nin)); }

// ---- the rest of arithmetic ----

// The result has the type of the base; integers to a real power are computed as doubles.
void import_pow(Import *im, const DocNode *n) {
    (void)n;
    Node *x, *y;
    double *v;
    operands(im, &x, &y);
    DType t = x->type, via = dtype_is_float(t) ? t : dtype_is_float(y->type) ? DT_F64 : DT_I64;
    bool squared = in_known(im, 1) && in_floats(im, 1, &v) == 1 && *v == 2 && y->shape.n <= x->shape.n;
    if (squared) out(im, 0, square(im->g, x));
    else out(im, 0, node_cast(im->g, op2(im->g, Pow, node_cast(im->g, x, via), node_cast(im->g, y, via)), t));
}

void import_mod(Import *im, const DocNode *n) {
    (void)n;
    Node *a = in(im, 0), *b = in(im, 1);
    out(im, 0, attr_int(im, "fmod", 0) ? op2(im->g, FMod, a, b) : op2(im->g, Mod, a, b));
}

// Shifting a signed number out to the right leaves its sign.
static Node *shift_right(Graph *g, Node *a, Node *b) {
    if (dtype_is_signed(a->type)) {
        Node *most = node_like(g, b, 8.0 * dtypes[a->type].bytes - 1);
        b = op3(g, Where, op2(g, Or, less_than(g, b, 0), op2(g, Less, most, b)), most, b);
    }
    return op2(g, ShiftRight, a, b);
}

void import_bit_shift(Import *im, const DocNode *n) {
    (void)n;
    bool left = !strcmp(attr_string(im, "direction", ""), "LEFT");
    out(im, 0, left ? op2(im->g, ShiftLeft, in(im, 0), in(im, 1)) : shift_right(im->g, in(im, 0), in(im, 1)));
}

void import_isinf(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *x = in(im, 0), *zero = node_like(g, x, 0), *y = op1(g, IsInf, x);
    bool negative = attr_int(im, "detect_negative", 1), positive = attr_int(im, "detect_positive", 1);
    if (!negative) y = op2(g, And, y, op2(g, Less, zero, x));
    if (!positive) y = op2(g, And, y, op2(g, Less, x, zero));
    out(im, 0, y);
}

void import_where(Import *im, const DocNode *n) {
    (void)n;
    out(im, 0, op3(im->g, Where, in(im, 0), in(im, 1), in(im, 2)));
}

// Bounds are attributes before opset 11, optional inputs since.
void import_clip(Import *im, const DocNode *n) {
    Graph *g = im->g;
    Node *x = in(im, 0);
    bool inputs = im->opset >= 11;
    Node *low = inputs ? in_or(im, 1, NULL) : node_attr(n, "min") ? node_like(g, x, attr_float(im, "min", 0)) : NULL;
    Node *high = inputs ? in_or(im, 2, NULL) : node_attr(n, "max") ? node_like(g, x, attr_float(im, "max", 0)) : NULL;
    Shape s = x->shape;
    if (low) x = op2(g, Max, low, x);
    if (high) x = op2(g, Min, high, x);
    if (x->shape.n > s.n && numel(x->shape) == numel(s)) x = node_reshape(g, x, s);    // bounds written as [1]
    out(im, 0, x);
}

// ---- casts ----

static DType type_by_name(const char *s) {
    static const struct { const char *name; DType type;
    } names[] = {{"FLOAT", DT_F32},  {"DOUBLE", DT_F64}, {"FLOAT16", DT_F16}, {"INT8", DT_I8},
                 {"INT16", DT_I16},  {"INT32", DT_I32},  {"INT64", DT_I64},   {"UINT8", DT_U8},
                 {"UINT16", DT_U16}, {"UINT32", DT_U32}, {"UINT64", DT_U64},  {"BOOL", DT_BOOL}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(s, names[i].name)) return names[i].type;
    return DT_NONE;
}

void import_cast(Import *im, const DocNode *n) {
    const AttrValue *to = node_attr(n, "to");
    bool named = to && to->kind == ATTR_S;               // before opset 6
    DType t = !to ? DT_NONE : named ? type_by_name(to->s) : dtype_of_onnx(to->i);
    if (t == DT_NONE) import_fail(im, E_UNSUPPORTED, "casts to a type tvc does not compute with");
    out(im, 0, node_cast(im->g, in(im, 0), t));
}

void import_cast_like(Import *im, const DocNode *n) {
    (void)n;
    out(im, 0, node_cast(im->g, in(im, 0), in(im, 1)->type));
}
