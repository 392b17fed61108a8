// import_contract.c -- matrix products: Gemm, MatMul, and those of 8-bit integers.
#include "build.h"
#include "import_quantized.h"

static Shape with_axis(Shape s, int at) {
    for (int d = s.n++; d > at; d--) s.d[d] = s.d[d - 1];
    s.d[at] = 1;
    if (s.batch > at) s.batch++;
    return s;
}

static Shape without_axis(Shape s, int at) {
    for (int d = at + 1; d < s.n; d++) s.d[d - 1] = s.d[d];
    s.n--;
    if (s.batch > at + 1) s.batch--;
    return s;
}

// numpy's matmul: a vector on the left is a row, one on the right a column, and the axis of 1 goes again.
static Node *matmul(Import *im, Node *a, Node *b) {
    Graph *g = im->g;
    bool row = a->shape.n == 1, column = b->shape.n == 1;
    if (a->shape.n == 0 || b->shape.n == 0) import_fail(im, E_MALFORMED, "a product with a scalar");
    if (row) a = node_reshape(g, a, with_axis(a->shape, 0));
    if (column) b = node_reshape(g, b, with_axis(b->shape, 1));
    Node *y = op2(g, MatMul, a, b);
    if (column) y = node_reshape(g, y, without_axis(y->shape, y->shape.n - 1));
    if (row) y = node_reshape(g, y, without_axis(y->shape, y->shape.n - (column ? 1 : 2)));
    return y;
}

void import_matmul(Import *im, const DocNode *n) { (void)n, out(im, 0, matmul(im, in(im, 0), in(im, 1))); }

// ---- Gemm: alpha A B + beta C ----

static Node *matrix(Import *im, int k, const char *transposed, Shape *shape) {
    bool turn = attr_int(im, transposed, 0) != 0;
    Node *m = turn || k > 0 ? in(im, k) : in_rows(im, k, shape);
    if (turn || k > 0) *shape = m->shape;
    if (shape->n != 2)
        import_fail(im, E_MALFORMED, "input %d has shape %s, not a matrix's", k, shape_str(im->cx, *shape));
    if (!turn) return m;
    m = op1a(im->g, Transpose, m, AXES(1, 0));
    *shape = m->shape;
    return m;
}

static Node *scaled_by(Import *im, Node *x, const char *by) {
    double f = attr_float(im, by, 1);
    if (f == 1) return x;
    if (!dtype_is_float(x->type) && f != rint(f)) import_fail(im, E_UNSUPPORTED, "%s of %g on integers", by, f);
    return op2(im->g, Mul, x, node_like(im->g, x, f));
}

void import_gemm(Import *im, const DocNode *n) {
    (void)n;
    Shape rows, columns;
    Node *a = matrix(im, 0, "transA", &rows), *b = matrix(im, 1, "transB", &columns);
    Node *y = scaled_by(im, op2(im->g, MatMul, a, b), "alpha");
    if (in_given(im, 2) && attr_float(im, "beta", 1) != 0) {
        Node *sum = op2(im->g, Add, y, scaled_by(im, in(im, 2), "beta"));
        if (!same_dims(sum->shape, y->shape))
            import_fail(im, E_MALFORMED, "C of shape %s on a product of %s", shape_str(im->cx, in(im, 2)->shape),
                        shape_str(im->cx, y->shape));
        y = sum;
    }
    rows.d[1] = columns.d[1];
    out_rows(im, 0, y, rows);
}

// ---- 8-bit integers ----

Node *single(Import *im, int k) {
    if (!in_given(im, k)) return NULL;
    Node *x = in(im, k);
    if (numel(x->shape) != 1)
        import_fail(im, E_MALFORMED, "input %d has shape %s, but one number is wanted", k, shape_str(im->cx, x->shape));
    return node_reshape(im->g, x, (Shape){0});
}

Node *centred(Import *im, Node *x, Node *zero) {
    if (!dtype_is_int(x->type))
        import_fail(im, E_MALFORMED, "an input of %s, but integers are wanted", dtypes[x->type].name);
    Node *wide = node_cast(im->g, x, DT_I32);
    return zero ? op2(im->g, Sub, wide, node_cast(im->g, zero, DT_I32)) : wide;
}

Node *requantized(Import *im, Node *sum, Node *factor, Node *zero) {
    Graph *g = im->g;
    if (!zero) import_fail(im, E_MALFORMED, "the result's zero point is missing");
    bool u8 = zero->type == DT_U8;
    if (!u8 && zero->type != DT_I8) import_fail(im, E_UNSUPPORTED, "results of %s", dtypes[zero->type].name);
    Node *v = op1(g, Round, op2(g, Mul, node_cast(g, sum, factor->type), factor));
    v = op2(g, Add, v, node_cast(g, zero, factor->type));
    v = op2(g, Min, op2(g, Max, v, node_like(g, v, u8 ? 0 : -128)), node_like(g, v, u8 ? 255 : 127));
    return node_cast(g, v, zero->type);
}

// A vector of scales or zero points belongs to the rows of A, or the columns of B.
static Node *per_line(Import *im, int k, bool rows) {
    if (!in_given(im, k)) return NULL;
    Node *v = in(im, k);
    if (numel(v->shape) == 1) return single(im, k);
    return rows && v->shape.n == 1 ? node_reshape(im->g, v, with_axis(v->shape, 1)) : v;
}

void import_matmul_integer(Import *im, const DocNode *n) {
    (void)n;
    out(im, 0,
        matmul(im, centred(im, in(im, 0), per_line(im, 2, true)), centred(im, in(im, 1), per_line(im, 3, false))));
}

// inputs: a, its scale and zero point, the same of b, scale and zero point of y
void import_qlinear_matmul(Import *im, const DocNode *n) {
    (void)n;
    for (int k = 0; k < 8; k++) in(im, k);
    Node *y = matmul(im, centred(im, in(im, 0), per_line(im, 2, true)), centred(im, in(im, 3), per_line(im, 5, false)));
    Node *scale = op2(im->g, Mul, per_line(im, 1, true), per_line(im, 4, false));
    out(im, 0, requantized(im, y, op2(im->g, Div, scale, single(im, 6)), single(im, 7)));
}

// ---- determinants ----

void import_det(Import *im, const DocNode *n) {
    Node *x = in(im, 0);
    (void)n;
    out(im, 0, op2(im->g, Det, x, op1(im->g, Eliminate, x)));
}
