// import_quant.c -- between real numbers and scaled integers: real = (integer - zero point) * scale.
#include "build.h"

// Scale or zero point, shaped to broadcast against x: one for all, one per element of an axis, or one
// per block of that axis.
static Node *fitted(Import *im, Node *v, Node *x) {
    Graph *g = im->g;
    if (numel(v->shape) == 1) return node_reshape(g, v, (Shape){0});
    int axis = attr_axis(im, "axis", 1, x->shape.n);
    int64_t block = attr_int(im, "block_size", 0);
    if (v->shape.n == 1 && block == 0) return vector_at(im, v, axis, x->shape.n);
    if (v->shape.n != x->shape.n || block <= 0 || v->shape.d[axis] != (x->shape.d[axis] + block - 1) / block)
        import_fail(im, E_UNSUPPORTED, "scales of %s for %s", shape_str(im->cx, v->shape), shape_str(im->cx, x->shape));
    Node *which = op2(g, Div, iota_along(g, SHAPE(x->shape.d[axis]), 0), graph_scalar_i(g, DT_I64, block));
    return graph_op(g, OP_Gather, AXES(axis), 2, (Node *[]){v, which});
}

// Rounded already: as an integer, the nearest there is.
static Node *saturated(Graph *g, Node *x, DType to) {
    double bits = 8.0 * dtypes[to].bytes, low = dtype_is_signed(to) ? -exp2(bits - 1) : 0;
    return node_cast(g, at_least(g, at_most(g, x, low + exp2(bits) - 1), low), to);
}

void import_quantize_linear(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *given = in(im, 0), *scale = in(im, 1);
    DType to = in_given(im, 2)                ? in(im, 2)->type
               : node_attr(n, "output_dtype") ? dtype_of_onnx(attr_int(im, "output_dtype", 0))
                                              : DT_U8;
    if (!dtype_is_int(to)) import_fail(im, E_UNSUPPORTED, "quantizes to a type tvc does not compute with");
    Node *x = node_cast(g, given, DT_F32);
    Node *y = op1(g, Round, op2(g, Div, x, fitted(im, node_cast(g, scale, DT_F32), x)));
    if (in_given(im, 2)) y = op2(g, Add, y, fitted(im, node_cast(g, in(im, 2), DT_F32), x));
    out(im, 0, saturated(g, y, to));
}

void import_dequantize_linear(Import *im, const DocNode *n) {
    Graph *g = im->g;
    Node *x = in(im, 0), *scale = in(im, 1), *whole = node_cast(g, x, DT_I32);
    DType to = node_attr(n, "output_dtype") ? dtype_of_onnx(attr_int(im, "output_dtype", 0)) : DT_NONE;
    if (in_given(im, 2)) whole = op2(g, Sub, whole, fitted(im, node_cast(g, in(im, 2), DT_I32), x));
    Node *y = op2(g, Mul, node_cast(g, whole, scale->type), fitted(im, scale, x));
    out(im, 0, node_cast(g, y, to == DT_NONE ? scale->type : to));
}

// To u8 by the range of x, 0 included: y, scale, zero point.
void import_dynamic_quantize_linear(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *x = in(im, 0);
    Attr all = axes_from(im->cx, 0, x->shape.n);
    Node *low = at_most(g, squeezed(g, reduced(g, OP_ReduceMin, x, all), all), 0);
    Node *high = at_least(g, squeezed(g, reduced(g, OP_ReduceMax, x, all), all), 0);
    Node *scale = op2(g, Div, op2(g, Sub, high, low), node_like(g, x, 255));
    Node *zero = op1(g, Round, op2(g, Div, op1(g, Neg, low), scale));
    out(im, 0, saturated(g, op2(g, Add, op1(g, Round, op2(g, Div, x, scale)), zero), DT_U8));
    out(im, 1, scale);
    out(im, 2, node_cast(g, zero, DT_U8));
}
