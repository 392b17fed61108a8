// cuda_cases.h -- what the CUDA tests are about: kernels of every schedule family, one line each.
#ifndef TVC_CUDA_CASES_H
#define TVC_CUDA_CASES_H
#include "codegen/cuda.h"
#include "passes/passes.h"

typedef struct Case Case;
typedef Node *BuildFn(Graph *g, const Case *c);
typedef Node *SumsFn(Graph *g, const Case *c, Node *y);
struct Case {
    const char *name, *schedule;      // schedule: the one that must take it
    BuildFn *build;
    DType type;                       // of the factors or inputs
    int64_t n, c, h, w, o, r, stride, pad;
    int64_t pixel;                    // elements from one pixel to the next; 0: as many as channels
    int64_t max, used;                // batches; 0: one, fixed
    int parts;                        // blocks that share each sum; 0: by its shape
    bool tf32;
    double tolerance;                 // 0: by the result's type
    const char *holds;                // what its text says, or NULL
    SumsFn *sums;                     // over what build makes: another kernel, which the product's carries (codegen/carry.c)
};

static Shape growing(Graph *g, const Case *c, Shape s) {
    (void)c;
    if (g->max_batch > 1) s.d[0] *= g->max_batch, s.batch = 1;
    return s;
}

// Channels last: only the view changes.
static Node *channels_last(Node *n, int64_t pixel) {
    Shape s = n->shape;
    int64_t px = pixel ? pixel : s.d[1];
    n->view = (View){.stride = {px * s.d[3] * s.d[2], 1, px * s.d[3], px}, .room = px * s.d[3] * s.d[2] * s.d[0]};
    return n;
}

static Node *leaf(Graph *g, const char *name, DType t, Shape s) {
    Node *n = graph_param(g, name, t, s, NULL);
    n->stored = true;
    view_set(n);
    return n;
}

static Node *image(Graph *g, const char *name, const Case *c, int64_t channels) {
    return channels_last(leaf(g, name, c->type, growing(g, c, SHAPE(c->n, channels, c->h, c->w))), c->pixel);
}

static Node *result(Node *n, DType t) {
    n->stored = true, n->type = t;
    view_set(n);
    return n->shape.n == 4 ? channels_last(n, 0) : n;
}

static Node *filled(Graph *g, double v) { return graph_scalar(g, DT_F32, v); }

// ---- element-wise, moves ----

static Node *add_relu(Graph *g, const Case *c) {
    Node *x = image(g, "x", c, c->c), *r = image(g, "r", c, c->c), *s = leaf(g, "s", c->type, SHAPE(c->c, 1, 1));
    return result(op1(g, Relu, op2(g, Add, op2(g, Mul, x, s), r)), c->type);
}

static Node *scale_pixels(Graph *g, const Case *c) {           // bytes to f32, the layout turned
    Node *x = image(g, "x", c, c->c), *f = node_cast(g, x, DT_F32);
    Node *y = result(op2(g, Mul, op2(g, Sub, f, filled(g, 0.45)), filled(g, 1 / 0.225)), DT_F32);
    view_set(y);
    return y;
}

static Node *functions(Graph *g, const Case *c) {
    Node *x = leaf(g, "x", DT_F32, growing(g, c, SHAPE(c->n, c->c))), *a = op1(g, Abs, x);
    Node *y = op2(g, Add, op1(g, Tanh, x), op2(g, Mul, op1(g, Erf, x), op1(g, Sqrt, a)));
    y = op2(g, Sub, y, op2(g, Pow, op2(g, Add, a, filled(g, 0.5)), x));
    return result(op3(g, Where, op2(g, Less, x, filled(g, 0.25)), y, op1(g, Exp, x)), c->type);
}

static Node *integers(Graph *g, const Case *c) {
    Node *x = leaf(g, "x", c->type, growing(g, c, SHAPE(c->n, c->c))), *three = graph_scalar_i(g, c->type, 3);
    Node *m = op2(g, Mod, op2(g, Sub, x, three), three);
    return result(
        op3(g, Where, op2(g, And, op2(g, Less, m, x), op1(g, Not, op2(g, Equal, x, three))), m, op2(g, Div, x, three)),
        c->type);
}

static Node *compare(Graph *g, const Case *c) {
    Node *x = leaf(g, "x", c->type, SHAPE(c->n, c->c));
    return result(op2(g, Less, x, leaf(g, "y", c->type, SHAPE(c->n, c->c))), DT_BOOL);
}

static Node *turn(Graph *g, const Case *c) {
    Node *x = leaf(g, "x", c->type, SHAPE(c->n, c->c, c->h));
    return result(op1a(g, Slice, op1a(g, Transpose, x, AXES(2, 0, 1)), AXES(1, 0, 0, 2, 1, 1, c->h / 2, c->n, c->c)),
                  c->type);
}

static Node *gather(Graph *g, const Case *c) {
    Node *table = leaf(g, "t", c->type, SHAPE(16, c->c)), *at = leaf(g, "i", DT_U8, growing(g, c, SHAPE(c->n)));
    return result(graph_op(g, OP_Gather, AXES(0), 2, (Node *[]){table, at}), c->type);
}

static Node *random_mask(Graph *g, const Case *c) {            // Dropout's
    Node *x = leaf(g, "x", c->type, growing(g, c, SHAPE(c->n, c->c)));
    Attr a = shape_attr(&x->shape);
    a.f = 3;
    Node *r = graph_op(g, OP_Random, a, 0, NULL), *zero = node_like(g, x, 0);
    return result(op3(g, Where, op2(g, Less, r, filled(g, 0.5)), zero, x), c->type);
}

static Node *running_product(Graph *g, const Case *c) {
    return result(op1a(g, CumProd, leaf(g, "x", c->type, SHAPE(c->n, c->c)), AXES(1, 0, 1)), c->type);
}

// ---- windows ----

static Window window(const Case *c) {
    return (Window){
        .rank = 2, .group = 1, .axis = {{c->r, c->stride, 1, c->pad, c->pad}, {c->r, c->stride, 1, c->pad, c->pad}}};
}

static Node *max_pool(Graph *g, const Case *c) {
    Window w = window(c);
    return result(graph_op(g, OP_MaxPool, window_attr(g->cx, &w), 1, (Node *[]){image(g, "x", c, c->c)}), c->type);
}

static Node *average_pool(Graph *g, const Case *c) {
    Window w = window(c);
    Node *s = graph_op(g, OP_SumPool, window_attr(g->cx, &w), 1, (Node *[]){image(g, "x", c, c->c)});
    return result(op2(g, Mul, s, node_like(g, s, 1.0 / (double)(c->r * c->r))), c->type);
}

static Node *weights(Graph *g, const Case *c);

// A kernel of its own for each channel: c->o channels, c->c is 1 to weights().
static Window depthwise_window(const Case *c) {
    Window w = window(c);
    w.group = c->o;
    return w;
}

static Node *depthwise(Graph *g, const Case *c) {              // with bias and activation
    Window w = depthwise_window(c);
    Node *y = graph_op(g, OP_Conv, window_attr(g->cx, &w), 2, (Node *[]){image(g, "x", c, c->o), weights(g, c)});
    return result(op1(g, Relu, op2(g, Add, y, leaf(g, "bias", c->type, SHAPE(c->o, 1, 1)))), c->type);
}

static Attr adjoint(Graph *g, const Case *c) {
    int64_t *i = NEW(g->cx, int64_t, 13);
    Window w = window(c);
    memcpy(i, window_attr(g->cx, &w).i, 11 * sizeof *i);
    i[11] = c->h, i[12] = c->w;
    return (Attr){.n = 13, .i = i};
}

static Shape windows_shape(Graph *g, const Case *c, int64_t channels) {
    int64_t h = (c->h + 2 * c->pad - c->r) / c->stride + 1, w = (c->w + 2 * c->pad - c->r) / c->stride + 1;
    return growing(g, c, SHAPE(c->n, channels, h, w));
}

static Node *sum_pool_dx(Graph *g, const Case *c) {
    Node *dy = channels_last(leaf(g, "dy", c->type, windows_shape(g, c, c->c)), 0);
    return result(graph_op(g, OP_SumPoolDx, adjoint(g, c), 1, &dy), c->type);
}

static Node *max_pool_dx(Graph *g, const Case *c) {
    Shape s = windows_shape(g, c, c->c);
    Node *place = leaf(g, "place", DT_U8, s), *dy = channels_last(leaf(g, "dy", c->type, s), 0);
    place = node_cast(g, channels_last(place, 0), DT_I64);
    return result(graph_op(g, OP_MaxPoolDx, adjoint(g, c), 2, (Node *[]){place, dy}), c->type);
}

// ---- reductions ----

static Node *global_average(Graph *g, const Case *c) {
    Node *m = op1a(g, ReduceSum, image(g, "x", c, c->c), AXES(2, 3));
    return result(op2(g, Mul, m, node_like(g, m, 1.0 / (double)(c->h * c->w))), c->type);
}

static Node *row_max(Graph *g, const Case *c) {
    return result(op1a(g, ReduceMax, leaf(g, "x", c->type, growing(g, c, SHAPE(c->n, c->c))), AXES(1)), c->type);
}

static Node *exp_sum(Graph *g, const Case *c) {                // softmax's divisor
    Node *x = leaf(g, "x", c->type, growing(g, c, SHAPE(c->n, c->c))),
         *m = leaf(g, "m", c->type, growing(g, c, SHAPE(c->n, 1)));
    return result(op1a(g, ReduceSum, op1(g, Exp, op2(g, Sub, x, m)), AXES(1)), DT_F32);
}

static Node *batch_sum(Graph *g, const Case *c) {              // of a bias's gradient
    return result(op1a(g, ReduceSum, leaf(g, "x", c->type, growing(g, c, SHAPE(c->n, c->c))), AXES(0)), DT_F32);
}

// Sum and sum of squares of every channel: two results of one kernel.
static Node *statistics(Graph *g, const Case *c) {
    Node *x = image(g, "x", c, c->c), *a = result(op1a(g, ReduceSum, x, AXES(0, 2, 3)), DT_F32);
    a->mate = result(op1a(g, ReduceSum, op2(g, Mul, x, x), AXES(0, 2, 3)), DT_F32);
    return a;
}

static Node *statistics_planes(Graph *g, const Case *c) {      // the same over planes of one channel each
    Node *a = statistics(g, c);
    view_set(a->in[0]);
    return a;
}

static Node *batch_norm_dx(Graph *g, const Case *c) {          // the two sums BatchNorm's gradient needs
    Node *x = image(g, "x", c, c->c), *dy = image(g, "dy", c, c->c), *mean = leaf(g, "mean", DT_F32, SHAPE(c->c, 1, 1));
    Node *a = result(op1a(g, ReduceSum, dy, AXES(0, 2, 3)), DT_F32);
    Node *xc = c->type == DT_F32 ? op2(g, Sub, x, mean) : x;
    a->mate = result(op1a(g, ReduceSum, op2(g, Mul, dy, xc), AXES(0, 2, 3)), DT_F32);
    return a;
}

// ---- rows ----

static Node *row_sum(Graph *g, Node *x) { return op1a(g, ReduceSum, x, AXES(x->shape.n - 1)); }

static Node *row_result(Node *head, Node *last, Node *n) {     // one number for each row of the head's
    last->mate = result(n, DT_F32);
    n->head = head, n->view.stride[n->shape.n - 1] = 0;
    return n;
}

// Formulas of rows are f32; what they read becomes the case's type when they are written (passes/precision.c).
static Node *scores(Graph *g, const Case *c) { return leaf(g, "z", DT_F32, growing(g, c, SHAPE(c->n, c->c))); }

// Softmax, the loss over it and the gradient: two results, of a row's elements and of the row.
static Node *softmax_loss(Graph *g, const Case *c) {
    Node *z = scores(g, c), *t = leaf(g, "t", DT_F32, z->shape);
    Node *centred = op2(g, Sub, z, op1a(g, ReduceMax, z, AXES(1))), *e = op1(g, Exp, centred), *sum = row_sum(g, e);
    Node *d = result(op2(g, Sub, op2(g, Div, e, sum), t), c->type);
    row_result(d, d, row_sum(g, op2(g, Mul, t, op2(g, Sub, centred, op1(g, Log, sum)))));
    z->type = c->type;
    return d;
}

// A normalisation over the last axis: each sum needs the one before.
static Node *layer_norm(Graph *g, const Case *c) {
    Node *x = leaf(g, "x", DT_F32, growing(g, c, SHAPE(c->n, c->h, c->c))), *many = filled(g, 1.0 / (double)c->c);
    Node *d = op2(g, Sub, x, op2(g, Mul, row_sum(g, x), many));
    Node *var = op2(g, Add, op2(g, Mul, row_sum(g, op2(g, Mul, d, d)), many), filled(g, 1e-5));
    Node *y = op2(g, Mul, op2(g, Div, d, op1(g, Sqrt, var)), leaf(g, "scale", DT_F32, SHAPE(c->c)));
    y = op2(g, Add, y, leaf(g, "bias", DT_F32, SHAPE(c->c)));
    x->type = c->type;
    return result(y, c->type);
}

// Its gradient: two sums that need only each other's row, and three results.
static Node *layer_norm_dx(Graph *g, const Case *c) {
    Node *x = scores(g, c), *dy = leaf(g, "dy", DT_F32, x->shape), *many = filled(g, 1.0 / (double)c->c);
    Node *a = op2(g, Mul, row_sum(g, dy), many), *b = op2(g, Mul, row_sum(g, op2(g, Mul, dy, x)), many);
    Node *d = result(op2(g, Sub, op2(g, Sub, dy, a), op2(g, Mul, x, b)), c->type);
    row_result(d, row_result(d, d, a), b);
    x->type = dy->type = c->type;
    return d;
}

static Node *log_sum_exp(Graph *g, const Case *c) {            // of rows alone
    Node *z = scores(g, c), *max = op1a(g, ReduceMax, z, AXES(1));
    Node *y = op2(g, Add, op1(g, Log, row_sum(g, op1(g, Exp, op2(g, Sub, z, max)))), max);
    z->type = c->type;
    return result(y, DT_F32);
}

// ---- sums of products ----

static Node *weights(Graph *g, const Case *c) {
    return channels_last(leaf(g, "w", c->type, SHAPE(c->o, c->c, c->r, c->r)), c->pixel);
}

static Node *conv_of(Graph *g, const Case *c, Node *x) {
    Window w = window(c);
    return graph_op(g, OP_Conv, window_attr(g->cx, &w), 2, (Node *[]){x, weights(g, c)});
}

static Node *conv(Graph *g, const Case *c) {                   // with bias, residual and activation
    Node *y = conv_of(g, c, image(g, "x", c, c->c));
    Node *res = channels_last(leaf(g, "res", c->type, y->shape), 0);
    y = op2(g, Add, y, leaf(g, "bias", c->type, SHAPE(c->o, 1, 1)));
    return result(op1(g, Relu, op2(g, Add, y, res)), c->type);
}

static Node *conv_halo(Graph *g, const Case *c) {              // the padding lies in the buffer: no tests
    Node *x = image(g, "x", c, c->c);
    int64_t p = c->pad, row = c->c * (c->w + 2 * p);
    x->halo[2] = x->halo[3] = p;
    x->view = (View){
        .stride = {row * (c->h + 2 * p), 1, row, c->c}, .base = p * (row + c->c), .room = row * (c->h + 2 * p) * c->n};
    return result(conv_of(g, c, x), c->type);
}

static Node *bn_relu_conv(Graph *g, const Case *c) {           // a prologue
    Node *x = image(g, "x", c, c->c);
    x = op2(g, Add, op2(g, Mul, x, leaf(g, "s", c->type, SHAPE(c->c, 1, 1))), leaf(g, "t", c->type, SHAPE(c->c, 1, 1)));
    return result(conv_of(g, c, op1(g, Relu, x)), c->type);
}

static Node *depthwise_dx(Graph *g, const Case *c) {
    Window w = depthwise_window(c);
    Attr a = adjoint(g, c);
    memcpy((int64_t *)(uintptr_t)a.i, window_attr(g->cx, &w).i, 11 * sizeof *a.i);
    Node *in[] = {weights(g, c), channels_last(leaf(g, "dy", c->type, windows_shape(g, c, c->o)), 0)};
    return result(graph_op(g, OP_ConvDx, a, 2, in), c->type);
}

static Node *depthwise_dw(Graph *g, const Case *c) {
    Window w = depthwise_window(c);
    Node *in[] = {image(g, "x", c, c->o), channels_last(leaf(g, "dy", c->type, windows_shape(g, c, c->o)), 0)};
    return result(graph_op(g, OP_ConvDw, window_attr(g->cx, &w), 2, in), DT_F32);
}

static Node *conv_dx(Graph *g, const Case *c) {
    Node *in[] = {weights(g, c), channels_last(leaf(g, "dy", c->type, windows_shape(g, c, c->o)), 0)};
    return result(graph_op(g, OP_ConvDx, adjoint(g, c), 2, in), c->type);
}

static Node *conv_dw(Graph *g, const Case *c) {
    Window w = window(c);
    Node *in[] = {image(g, "x", c, c->c), channels_last(leaf(g, "dy", c->type, windows_shape(g, c, c->o)), 0)};
    return result(graph_op(g, OP_ConvDw, window_attr(g->cx, &w), 2, in), DT_F32);
}

// A network's first convolution in the form that passes/stems.c gives it, its factors in the type of products.
static Node *in_stem_form(Graph *g, const Case *c, Op op, Node *second) {
    Window w = window(c);
    Node *in[] = {graph_input(g, "x", DT_F32, growing(g, c, SHAPE(c->n, c->c, c->h, c->w))), second};
    graph_root(g, "y", graph_op(g, op, window_attr(g->cx, &w), 2, in), NULL, 1);
    g->product = c->type;
    stems(g);
    Node *y = g->root[0].value;
    while (y->op != op) y = y->in[0];
    for (int k = 0; k < 2; k++) {
        y->in[k]->stored = true, y->in[k]->type = c->type;
        view_set(y->in[k]), channels_last(y->in[k], 0);
    }
    return y;
}

static Node *stem(Graph *g, const Case *c) {
    Node *y = in_stem_form(g, c, OP_Conv, graph_param(g, "w", DT_F32, SHAPE(c->o, c->c, c->r, c->r), NULL));
    y = op2(g, Add, y, leaf(g, "bias", DT_F32, SHAPE(c->o, 1, 1)));
    return result(op1(g, Relu, y), c->type);
}

static Node *stem_dw(Graph *g, const Case *c) {
    Node *dy = graph_input(g, "dy", DT_F32, windows_shape(g, c, c->o));
    return result(in_stem_form(g, c, OP_ConvDw, dy), DT_F32);
}

static Node *product(Graph *g, const Case *c, Node *a, Node *b) {      // relu(a b + bias)
    return result(op1(g, Relu, op2(g, Add, op2(g, MatMul, a, b), leaf(g, "bias", c->type, SHAPE(c->o)))), c->type);
}

static Node *turned(Graph *g, Node *n) { return op1a(g, Transpose, n, AXES(1, 0)); }

static Node *matmul(Graph *g, const Case *c) {
    return product(g, c, leaf(g, "a", c->type, growing(g, c, SHAPE(c->n, c->c))),
                   leaf(g, "b", c->type, SHAPE(c->c, c->o)));
}

static Node *matmul_inside(Graph *g, const Case *c) {          // as transformers multiply: the batch is an inner axis
    Shape s = SHAPE(c->n, g->max_batch, c->c);
    s.batch = 2;
    return product(g, c, leaf(g, "a", c->type, s), leaf(g, "b", c->type, SHAPE(c->c, c->o)));
}

// Rows with room behind them: c->pixel elements from one to the next.
static Node *spaced(Node *n, int64_t row) {
    n->view.stride[0] = row, n->view.room = row * n->shape.d[0];
    return n;
}

static Node *matmul_spaced(Graph *g, const Case *c) {
    return product(g, c, spaced(leaf(g, "a", c->type, growing(g, c, SHAPE(c->n, c->c))), c->pixel),
                   spaced(leaf(g, "b", c->type, SHAPE(c->c, c->o)), c->pixel));
}

static Node *matmul_bt(Graph *g, const Case *c) {
    return product(g, c, leaf(g, "a", c->type, growing(g, c, SHAPE(c->n, c->c))),
                   turned(g, leaf(g, "b", c->type, SHAPE(c->o, c->c))));
}

static Node *matmul_at_bt(Graph *g, const Case *c) {
    return product(g, c, turned(g, leaf(g, "a", c->type, SHAPE(c->c, c->n))),
                   turned(g, leaf(g, "b", c->type, SHAPE(c->o, c->c))));
}

static Node *matmul_dw(Graph *g, const Case *c) {              // sums over the batch
    Node *x = leaf(g, "x", c->type, growing(g, c, SHAPE(c->n, c->c))),
         *dy = leaf(g, "dy", c->type, growing(g, c, SHAPE(c->n, c->o)));
    return result(op2(g, MatMul, turned(g, x), dy), DT_F32);
}

static Node *batched(Graph *g, const Case *c) {                // one product for each sample
    Node *a = leaf(g, "a", c->type, growing(g, c, SHAPE(c->n, c->h, c->c))),
         *b = leaf(g, "b", c->type, growing(g, c, SHAPE(c->n, c->c, c->o)));
    return result(op2(g, MatMul, a, b), c->type);
}

// ---- sums over a product's result ----

static Node *per_channel(Graph *g, const char *name, const Node *y) {
    return leaf(g, name, DT_F32, SHAPE(y->shape.d[1], 1, 1));
}

static Node *over_images(Graph *g, Node *x) { return op1a(g, ReduceSum, node_cast(g, x, DT_F32), AXES(0, 2, 3)); }

static Node *mated(Node *first, Node *second) {
    result(first, DT_F32)->mate = result(second, DT_F32);
    second->head = first;
    return first;
}

// BatchNorm's statistics: mean and what is computed of the mean of squares.
static Node *statistics_of(Graph *g, const Case *c, Node *y) {
    Node *f = node_cast(g, y, DT_F32), *s = over_images(g, f), *q = over_images(g, op2(g, Mul, f, f));
    (void)c;
    Node *by = filled(g, 1.0 / 64), *mean = op2(g, Mul, s, by), *square = op2(g, Mul, q, by);
    Node *near = op2(g, Add, op1(g, Abs, mean), filled(g, 1));
    return mated(mean, op2(g, Div, op1(g, Sqrt, op2(g, Add, square, filled(g, 1e-5))), near));
}

static Node *mean_of(Graph *g, const Case *c, Node *y) {
    (void)c;
    return result(op2(g, Mul, over_images(g, y), filled(g, 1.0 / 64)), DT_F32);
}

// The two sums of its gradient: y is what came through a ReLU, whose mask z tells, and meets the normalised x.
static Node *gradient_of(Graph *g, const Case *c, Node *y) {
    Node *x = channels_last(leaf(g, "bx", c->type, y->shape), 0), *centred, *hat;
    Node *z = channels_last(leaf(g, "bz", c->type, y->shape), 0);
    centred = op2(g, Sub, node_cast(g, x, DT_F32), per_channel(g, "mean", y));
    hat = op2(g, Mul, centred, per_channel(g, "scale", y));
    Node *d = op3(g, Where, op2(g, Less, node_like(g, z, 0), z), node_cast(g, y, DT_F32), filled(g, 0));
    return mated(over_images(g, d), over_images(g, op2(g, Mul, d, hat)));
}

// How its factors get into shared memory: by so many elements at once.
#define COPIED(a, b) .holds = "a copied by " #a ", b copied by " #b

// What a row leaves out is zero.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
static const Case cases[] = {
    // name, schedule, build, type, n, c, h, w, o, r, stride, pad
    {"add_relu_f16", "each", add_relu, DT_F16, 2, 24, 7, 5},
    {"add_relu_bf16_odd", "each", add_relu, DT_BF16, 2, 13, 7, 5},
    {"add_relu_f32_batch", "each", add_relu, DT_F32, 1, 20, 5, 5, .max = 4, .used = 3},
    {"scale_pixels", "each", scale_pixels, DT_U8, 1, 3, 9, 8, .max = 3, .used = 2},
    {"functions", "each", functions, DT_F32, 3, 100, .tolerance = 4e-6},
    {"functions_f16", "each", functions, DT_F16, 3, 100},
    {"integers_i32", "each", integers, DT_I32, 3, 52},
    {"integers_i8", "each", integers, DT_I8, 3, 48, .max = 3, .used = 2},
    {"integers_u16", "each", integers, DT_U16, 3, 50},
    {"integers_i64", "each", integers, DT_I64, 3, 50},
    {"integers_i16", "each", integers, DT_I16, 3, 48},
    {"integers_u8", "each", integers, DT_U8, 3, 50},
    {"integers_u32", "each", integers, DT_U32, 3, 52},
    {"integers_u64", "each", integers, DT_U64, 3, 50},
    {"random", "each", random_mask, DT_F16, 3, 50, .max = 3, .used = 2},
    {"running_product", "each", running_product, DT_F64, 3, 20},
    {"compare_f64", "each", compare, DT_F64, 3, 50},
    {"compare_u8", "each", compare, DT_U8, 3, 64},
    {"turn", "each", turn, DT_F32, 6, 9, 10},
    {"gather", "each", gather, DT_F32, 9, 12, .max = 2, .used = 1},
    {"max_pool", "taps", max_pool, DT_F16, 1, 24, 15, 15, 0, 3, 2, 1},
    {"max_pool_batch", "each", max_pool, DT_F32, 1, 5, 8, 7, 0, 2, 2, .max = 3, .used = 2},
    {"average_pool", "taps", average_pool, DT_BF16, 1, 16, 9, 9, 0, 3, 1, 1},
    {"sum_pool_dx", "each", sum_pool_dx, DT_F32, 1, 8, 9, 9, 0, 3, 2, 1},
    {"max_pool_dx", "taps", max_pool_dx, DT_F16, 1, 8, 5, 5, 0, 2, 1},
    {"global_average", "fold", global_average, DT_F16, 2, 50, 17, 19},
    {"global_average_batch", "fold", global_average, DT_F32, 1, 40, 7, 7, .max = 4, .used = 3},
    {"row_max", "fold", row_max, DT_F16, 11, 100},
    {"row_max_i32", "fold", row_max, DT_I32, 3, 77},
    {"row_max_bool", "fold", row_max, DT_BOOL, 3, 77},
    {"row_max_f64", "fold", row_max, DT_F64, 3, 77},
    {"exp_sum_f64", "fold", exp_sum, DT_F64, 3, 77},
    {"row_max_u8", "fold", row_max, DT_U8, 3, 77},
    {"exp_sum", "fold", exp_sum, DT_F32, 3, 1000, .max = 3, .used = 2},
    {"exp_sum_long", "fold", exp_sum, DT_BF16, 3, 5000},
    {"batch_sum", "fold", batch_sum, DT_F16, 8, 37, .max = 8, .used = 5},
    {"statistics", "fold", statistics, DT_F16, 1, 40, 8, 9, .max = 3, .used = 2},
    {"statistics_planes", "fold", statistics_planes, DT_F32, 1, 5, 40, 41, .max = 3, .used = 2},
    {"statistics_split4", "fold", statistics, DT_F16, 1, 40, 8, 9, .max = 3, .used = 2, .parts = 4},
    {"statistics_planes_split3", "fold", statistics_planes, DT_F32, 1, 5, 70, 71, .max = 3, .used = 2, .parts = 3},
    {"statistics_shared", "fold", statistics, DT_BF16, 1, 40, 18, 19, .max = 2, .used = 2},
    {"batch_norm_dx", "fold", batch_norm_dx, DT_F32, 2, 20, 8, 9},
    {"softmax_loss", "rows", softmax_loss, DT_F32, 1, 257, .max = 3, .used = 2, .tolerance = 1e-5},
    {"softmax_loss_warp", "rows", softmax_loss, DT_F32, 1, 50, .max = 13, .used = 11, .tolerance = 1e-5},
    {"softmax_loss_1000", "rows", softmax_loss, DT_BF16, 2, 1000},
    {"softmax_loss_10", "rows", softmax_loss, DT_F16, 1, 10, .max = 40, .used = 37},
    {"softmax_loss_2", "rows", softmax_loss, DT_F32, 70, 2, .tolerance = 1e-5},
    {"softmax_loss_1", "each", softmax_loss, DT_F32, 1, 1, .max = 40, .used = 37},
    {"softmax_loss_50000", "rows", softmax_loss, DT_F32, 2, 50000, .tolerance = 1e-5},
    {"layer_norm", "rows", layer_norm, DT_F16, 1, 768, 3, .max = 3, .used = 2},
    {"layer_norm_32", "rows", layer_norm, DT_F32, 3, 32, 5, .tolerance = 1e-5},
    {"layer_norm_dx", "rows", layer_norm_dx, DT_BF16, 1, 197, .max = 7, .used = 6},
    {"layer_norm_dx_long", "rows", layer_norm_dx, DT_F32, 3, 3000},
    {"log_sum_exp_square", "rows", log_sum_exp, DT_F16, 40, 40, .tolerance = 1e-5},
    {"conv3x3", "tile", conv, DT_F16, 1, 64, 9, 9, 128, 3, 1, 1},
    {"conv3x3_bf16", "tile", conv, DT_BF16, 1, 40, 9, 9, 72, 3, 1, 1},
    {"conv3x3_batch", "tile", conv, DT_F16, 1, 24, 7, 5, 40, 3, 1, 1, .max = 3, .used = 2},
    {"conv3x3_c20", "tile", conv, DT_F16, 1, 20, 9, 9, 33, 3, 1, 1},
    {"conv3x3_c13_pad", "tile", conv, DT_BF16, 1, 13, 9, 9, 37, 3, 1, 1, .pixel = 16},
    {"conv3x3_c13", "tile", conv, DT_F16, 1, 13, 9, 9, 37, 3, 1, 1},
    {"conv7x7_stem", "tile", conv, DT_F16, 1, 3, 21, 21, 64, 7, 2, 3, .pixel = 8},
    {"conv1x1", "tile", conv, DT_F16, 1, 64, 9, 9, 96, 1, 1},
    {"conv1x1_s2_batch", "tile", conv, DT_F16, 1, 32, 15, 15, 72, 1, 2, .max = 4, .used = 3},
    {"conv3x3_s2", "tile", conv, DT_F16, 1, 32, 15, 15, 72, 3, 2, 1},
    {"conv_halo", "tile", conv_halo, DT_F16, 1, 32, 9, 9, 64, 3, 1, 1},
    {"conv_tf32", "tile", conv, DT_F32, 1, 20, 9, 9, 72, 3, 1, 1, .tf32 = true, .tolerance = 1e-3},
    {"conv_f32", "tile", conv, DT_F32, 1, 20, 7, 9, 40, 3, 1, 1, .max = 2, .used = 1},
    {"conv_f32_c3", "tile", conv, DT_F32, 1, 3, 11, 9, 40, 3, 2, 1},
    {"bn_relu_conv", "tile", bn_relu_conv, DT_F16, 1, 32, 9, 9, 64, 3, 1, 1},
    {"bn_relu_conv_f32", "tile", bn_relu_conv, DT_F32, 1, 16, 6, 5, 40, 3, 1, 1},
    {"conv_dx", "tile", conv_dx, DT_F16, 1, 32, 9, 9, 40, 3, 1, 1, .max = 2, .used = 1},
    {"conv_dx_s2", "tile", conv_dx, DT_F16, 1, 32, 9, 9, 40, 3, 2, 1},
    {"conv_dx_tf32", "tile", conv_dx, DT_F32, 1, 24, 7, 7, 20, 3, 1, 1, .tf32 = true, .tolerance = 1e-3},
    {"conv_dw", "tile", conv_dw, DT_F16, 1, 32, 9, 9, 40, 3, 1, 1, .max = 3, .used = 2},
    {"conv_dw_s2", "tile", conv_dw, DT_BF16, 2, 32, 9, 9, 40, 3, 2, 1},
    {"conv_dw_split4", "tile", conv_dw, DT_F16, 2, 32, 9, 9, 40, 3, 1, 1, .parts = 4},
    {"conv_dw_split_batch", "tile", conv_dw, DT_F16, 1, 32, 9, 9, 40, 1, 2, .max = 4, .used = 3, .parts = 2},
    {"conv_dw_f32", "tile", conv_dw, DT_F32, 1, 12, 7, 7, 24, 3, 1, 1},
    {"conv_split3", "tile", conv, DT_F16, 1, 64, 7, 7, 72, 3, 1, 1, .parts = 3},
    {"conv_shared", "tile", conv, DT_F16, 1, 64, 5, 5, 72, 3, 1, 1},
    {"bn_relu_conv_split2", "tile", bn_relu_conv, DT_F16, 1, 32, 9, 9, 64, 3, 1, 1, .parts = 2},
    {"matmul_split_more", "tile", matmul, DT_F16, 48, 72, 0, 0, 136, .max = 2, .used = 1, .parts = 5},
    {"stem7x7_s2", "tile", stem, DT_BF16, 1, 3, 21, 23, 64, 7, 2, 3, COPIED(8, 8)},
    {"stem7x7_s2_grey", "tile", stem, DT_F16, 1, 1, 15, 14, 40, 7, 2, 3, .max = 3, .used = 2, COPIED(2, 2)},
    {"stem3x3_s2", "tile", stem, DT_F16, 1, 3, 15, 13, 33, 3, 2, 1, .max = 3, .used = 2, COPIED(8, 8)},
    {"stem3x3_s2_bare", "tile", stem, DT_BF16, 2, 3, 16, 15, 32, 3, 2, 0, COPIED(8, 8)},
    {"stem3x3", "tile", stem, DT_BF16, 1, 3, 9, 11, 64, 3, 1, 1, .max = 2, .used = 1, COPIED(4, 4)},
    {"stem3x3_c2", "tile", stem, DT_F16, 1, 2, 9, 11, 24, 3, 1, 1, COPIED(2, 2)},
    {"stem5x5_grey", "tile", stem, DT_F16, 1, 1, 12, 12, 20, 5, 1, 2, .max = 2, .used = 2, COPIED(2, 2)},
    {"stem7x7_s2_f32", "tile", stem, DT_F32, 1, 3, 15, 13, 24, 7, 2, 3, COPIED(4, 4)},
    {"stem11x11_s4", "tile", stem, DT_F16, 1, 3, 31, 29, 16, 11, 4, 2, COPIED(8, 8)},
    {"stem_patches", "tile", stem, DT_BF16, 2, 3, 16, 16, 24, 4, 4, 0, COPIED(8, 8)},
    {"stem7x7_s2_dw", "tile", stem_dw, DT_BF16, 1, 3, 21, 23, 64, 7, 2, 3, .max = 3, .used = 2, COPIED(8, 8)},
    {"stem7x7_s2_dw_split", "tile", stem_dw, DT_F16, 3, 3, 21, 23, 40, 7, 2, 3, .parts = 3, COPIED(8, 8)},
    {"stem7x7_s2_grey_dw", "tile", stem_dw, DT_F16, 2, 1, 15, 14, 40, 7, 2, 3, COPIED(8, 2)},
    {"stem3x3_s2_dw", "tile", stem_dw, DT_F16, 1, 3, 15, 13, 32, 3, 2, 1, .max = 2, .used = 1, COPIED(8, 8)},
    {"stem3x3_dw", "tile", stem_dw, DT_BF16, 1, 3, 9, 11, 64, 3, 1, 1, .max = 2, .used = 2, COPIED(8, 4)},
    {"stem3x3_c2_dw", "tile", stem_dw, DT_F16, 1, 2, 9, 11, 24, 3, 1, 1, COPIED(8, 2)},
    {"stem5x5_grey_dw", "tile", stem_dw, DT_F16, 2, 1, 12, 12, 20, 5, 1, 2, .holds = "b copied by 2"},
    {"stem7x7_s2_dw_f32", "tile", stem_dw, DT_F32, 1, 3, 15, 13, 24, 7, 2, 3, COPIED(4, 4)},
    {"depthwise", "taps", depthwise, DT_F16, 1, 1, 9, 9, 24, 3, 1, 1, .max = 2, .used = 1},
    {"depthwise_s2_bf16", "taps", depthwise, DT_BF16, 2, 1, 9, 7, 40, 5, 2, 2},
    {"depthwise_f32", "taps", depthwise, DT_F32, 1, 1, 9, 9, 12, 3, 1, 1},
    {"depthwise_odd", "each", depthwise, DT_F16, 1, 1, 9, 9, 13, 3, 1, 1},
    {"depthwise_dx", "taps", depthwise_dx, DT_F16, 1, 1, 9, 9, 24, 3, 1, 1},
    {"depthwise_dw", "fold", depthwise_dw, DT_F16, 1, 1, 9, 9, 40, 3, 1, 1, .max = 3, .used = 2},
    {"depthwise_dw_split", "fold", depthwise_dw, DT_BF16, 2, 1, 15, 15, 40, 3, 2, 1, .parts = 3},
    {"matmul", "tile", matmul, DT_F16, 48, 72, 0, 0, 136, .max = 2, .used = 1},
    {"matmul_inside", "tile", matmul_inside, DT_F16, 19, 72, 0, 0, 136, .max = 4, .used = 3, COPIED(8, 8)},
    {"matmul_spaced", "tile", matmul_spaced, DT_F16, 33, 37, 0, 0, 53, .pixel = 56, .max = 2, .used = 1, COPIED(8, 8)},
    {"matmul_odd", "tile", matmul, DT_BF16, 33, 50, 0, 0, 70},
    {"matmul_k1", "tile", matmul, DT_F16, 40, 32, 0, 0, 72},
    {"matmul_k4", "tile", matmul, DT_F16, 40, 128, 0, 0, 72},
    {"matmul_f32", "tile", matmul, DT_F32, 33, 50, 0, 0, 70},
    {"matmul_tf32", "tile", matmul, DT_F32, 33, 64, 0, 0, 72, .tf32 = true, .tolerance = 1e-3},
    {"matmul_bt", "tile", matmul_bt, DT_F16, 40, 72, 0, 0, 136},
    {"matmul_at_bt", "tile", matmul_at_bt, DT_F16, 40, 72, 0, 0, 136},
    {"matmul_at_bt_f32", "tile", matmul_at_bt, DT_F32, 36, 40, 0, 0, 68},
    {"matmul_dw", "tile", matmul_dw, DT_F16, 8, 40, 0, 0, 72, .max = 6, .used = 5},
    {"batched", "tile", batched, DT_F16, 2, 40, 20, 0, 24, .max = 3, .used = 2},
    {"sums_conv", "tile", conv, DT_F16, 1, 32, 9, 9, 128, 3, 1, 1, .sums = statistics_of},
    {"sums_conv_bf16", "tile", conv, DT_BF16, 1, 40, 15, 9, 72, 3, 1, 1, .max = 3, .used = 2, .sums = statistics_of},
    {"sums_conv_stem", "tile", conv, DT_F16, 1, 3, 21, 21, 64, 7, 2, 3, .pixel = 8, .max = 4, .used = 3, .sums = statistics_of},
    {"sums_conv1x1", "tile", conv, DT_BF16, 1, 64, 9, 9, 96, 1, 1, .max = 4, .used = 3, .sums = gradient_of},
    {"sums_conv_odd", "tile", conv, DT_F16, 1, 20, 9, 9, 33, 3, 1, 1, .max = 3, .used = 2, .sums = gradient_of},
    {"sums_conv_f32", "tile", conv, DT_F32, 1, 20, 7, 9, 40, 3, 1, 1, .max = 2, .used = 1, .sums = mean_of},
    {"sums_conv_tf32", "tile", conv, DT_F32, 1, 20, 9, 9, 72, 3, 1, 1, .tf32 = true, .tolerance = 1e-3, .sums = gradient_of},
    {"sums_dx", "tile", conv_dx, DT_F16, 2, 32, 9, 9, 40, 3, 1, 1, .max = 2, .used = 1, .sums = gradient_of},
    {"sums_dx_split3", "tile", conv_dx, DT_BF16, 1, 136, 9, 9, 64, 3, 1, 1, .max = 3, .used = 2, .parts = 3, .sums = gradient_of},
    {"sums_conv_split2", "tile", conv, DT_F16, 1, 64, 15, 15, 72, 1, 1, .max = 3, .used = 2, .parts = 2, .sums = statistics_of},
    {"sums_prologue", "tile", bn_relu_conv, DT_BF16, 1, 32, 9, 9, 64, 3, 1, 1, .tolerance = 1e-2, .sums = statistics_of},
    {"sums_many", "tile", conv, DT_F16, 1, 8, 56, 56, 16, 1, 1, .max = 3, .used = 2, .sums = statistics_of},
};
enum { NCASES = sizeof cases / sizeof *cases };

static int64_t batches(int64_t n) { return n ? n : 1; }

typedef struct Job {                  // a case on its way
    const Case *c;
    Kernel *k;                        // as written
    Kernel *product, *sums;           // what the judge evaluates: k itself and NULL, or what k is made of
    Text text;
} Job;

static Job job_of(Cx *cx, const Case *c) {
    Graph *g = graph_new(cx, batches(c->max));
    Node *y = c->build(g, c);
    Job j = {.c = c, .k = kernel_of(cx, g, y, "k")};
    CudaOptions options = {.tf32 = c->tf32, .parts = c->parts};
    j.product = j.k;
    if (c->sums) {
        Kernel *sums = kernel_of(cx, g, c->sums(g, c, y), "s"), *joined = kernel_with_sums(j.product, sums);
        bool joins = joined && cuda_form(cx, joined, &options).tile;
        if (joins) j.k = joined, j.sums = sums;
        else if (c->schedule) fail(cx, E_CHECK, "%s: the sums stay alone", c->name);
    }
    j.text = render_cuda(cx, j.k, &options);
    return j;
}

static const char *kernel_name(Cx *cx, const Job *j) { return cx_fmt(cx, "k_%s", j->c->name); }

#endif
