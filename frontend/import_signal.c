// import_signal.c -- windows, mel weights, and Fourier transforms as products with constant tables.
#include "import.h"

enum { TABLE_MAX = 1 << 22 };         // the longest axis of a table made here
static const double PI = 3.14159265358979323846;

static double number(Import *im, int k) {
    double *v;
    if (in_floats(im, k, &v) != 1) import_fail(im, E_MALFORMED, "its input %d is to be one number", k);
    return *v;
}

static int64_t whole(Import *im, int k, int64_t least, int64_t most) {
    double v = number(im, k);
    if (!(v >= (double)least)) import_fail(im, E_MALFORMED, "its input %d is %g", k, v);
    if (v > (double)most) import_fail(im, E_LIMIT, "its input %d is %g; at most %lld is served", k, v, (long long)most);
    return (int64_t)v;
}

// A constant of type t whose elements are computed here.
typedef struct Table { Node *node; char *data; } Table;

static Table new_table(Import *im, DType t, Shape s) {
    Table b = {.data = import_room(im, numel(s), (size_t)dtypes[t].bytes)};
    b.node = graph_const(im->g, t, s, b.data);
    return b;
}

static void set(Table b, int64_t i, double v) { dtype_set_f(b.node->type, b.data + i * dtypes[b.node->type].bytes, v); }

static DType output_type(Import *im) {
    DType t = dtype_of_onnx(attr_int(im, "output_datatype", 1));
    if (t == DT_NONE)
        import_fail(im, E_UNSUPPORTED, "a result of type %lld is not supported",
                    (long long)attr_int(im, "output_datatype", 1));
    return t;
}

// ---- windows: a + b cos(x) + c cos(2x) over one period ----

static void window(Import *im, double a, double b, double c) {
    int64_t n = whole(im, 0, 0, TABLE_MAX), period = attr_int(im, "periodic", 1) ? n : n - 1;
    Table w = new_table(im, output_type(im), SHAPE(n));
    for (int64_t i = 0; i < n; i++) {
        double x = period ? 2 * PI * (double)i / (double)period : PI;
        set(w, i, a + b * cos(x) + c * cos(2 * x));
    }
    out(im, 0, w.node);
}

void import_hann_window(Import *im, const DocNode *n) { (void)n, window(im, 0.5, -0.5, 0); }
void import_hamming_window(Import *im, const DocNode *n) { (void)n, window(im, 25.0 / 46, -21.0 / 46, 0); }
void import_blackman_window(Import *im, const DocNode *n) { (void)n, window(im, 0.42, -0.5, 0.08); }

// ---- mel weights: triangles between edges that are evenly spaced in mel ----

static double mel(double hertz) { return 2595 * log10(1 + hertz / 700); }

// Column c: up from edge[0] to edge[1], and down to edge[2].
static void triangle(Table w, int64_t c, const int64_t *edge) {
    int64_t rows = w.node->shape.d[0], columns = w.node->shape.d[1], low = edge[0], centre = edge[1], high = edge[2];
    for (int64_t i = low; i <= high && i < rows; i++) {
        if (i <= centre) set(w, i * columns + c, centre == low ? 1 : (double)(i - low) / (double)(centre - low));
        if (i >= centre && i < high) set(w, i * columns + c, (double)(high - i) / (double)(high - centre));
    }
}

void import_mel_weight_matrix(Import *im, const DocNode *n) {
    (void)n;
    int64_t bins = whole(im, 0, 1, TABLE_MAX), length = whole(im, 1, 1, TABLE_MAX);
    int64_t rate = whole(im, 2, 1, INT64_MAX / 2);
    int64_t rows = length / 2 + 1, *edge = import_room(im, bins + 2, sizeof *edge);
    double low = mel(number(im, 3)), high = mel(number(im, 4));
    for (int64_t i = 0; i < bins + 2; i++) {
        double hertz = 700 * (pow(10, (low + (double)i * (high - low) / (double)(bins + 2)) / 2595) - 1);
        double at = floor((double)(length + 1) * hertz / (double)rate);
        if (!(at >= 0 && at < (double)TABLE_MAX)) import_fail(im, E_MALFORMED, "its band edges do not fit");
        edge[i] = (int64_t)at;
        if (i && edge[i] < edge[i - 1]) import_fail(im, E_MALFORMED, "its band edges do not rise");
    }
    Table w = new_table(im, output_type(im), SHAPE(rows, bins));
    for (int64_t i = 0; i < bins; i++) triangle(w, i, edge + i);
    out(im, 0, w.node);
}

// ---- Fourier transforms ----

typedef struct Turn { Node *cosine, *sine; } Turn;    // e^(+-2 pi i j k / length), scaled: [length, results]

static Turn turn_of(Import *im, DType t, int64_t length, bool inverse, bool half) {
    int64_t results = half ? length / 2 + 1 : length;
    if (length < 1 || length > TABLE_MAX) import_fail(im, E_LIMIT, "a transform of %lld elements", (long long)length);
    Table c = new_table(im, t, SHAPE(length, results)), s = new_table(im, t, SHAPE(length, results));
    double scale = inverse ? 1 / (double)length : 1, way = inverse ? scale : -scale;
    for (int64_t i = 0; i < length * results; i++) {
        double angle = 2 * PI * (double)(i / results * (i % results) % length) / (double)length;
        set(c, i, cos(angle) * scale), set(s, i, sin(angle) * way);
    }
    return (Turn){c.node, s.node};
}

// Shapes without, and with, a last axis of size 1.
static Node *drop_last(Graph *g, Node *x) {
    Shape s = x->shape;
    s.n--;
    return node_reshape(g, x, s);
}
static Node *add_last(Graph *g, Node *x) {
    Shape s = x->shape;
    s.d[s.n++] = 1;
    return node_reshape(g, x, s);
}

// x [.., length, 1 (real) or 2 (complex)] to [.., results, 2]
static Node *transform(Graph *g, Node *x, Turn t) {
    int last = x->shape.n - 1;
    Node *re = drop_last(g, node_slice(g, x, last, 0, 1));
    Node *u = op2(g, MatMul, re, t.cosine), *v = op2(g, MatMul, re, t.sine);
    if (x->shape.d[last] == 2) {
        Node *imaginary = drop_last(g, node_slice(g, x, last, 1, 1));
        u = op2(g, Sub, u, op2(g, MatMul, imaginary, t.sine));
        v = op2(g, Add, v, op2(g, MatMul, imaginary, t.cosine));
    }
    return node_concat(g, last, 2, (Node *[]){add_last(g, u), add_last(g, v)});
}

// Axis and the one before the last change places.
static Node *swap_in(Graph *g, Node *x, int axis) {
    int64_t perm[MAXDIM];
    for (int d = 0; d < x->shape.n; d++) perm[d] = d;
    perm[axis] = x->shape.n - 2, perm[x->shape.n - 2] = axis;
    return node_transpose(g, x, perm);
}

// The axis cut, or filled up with zeros, to that length.
static Node *to_length(Graph *g, Node *x, int axis, int64_t length) {
    int r = x->shape.n;
    int64_t attr[3 * MAXDIM];
    if (length <= x->shape.d[axis]) return node_slice(g, x, axis, 0, length);
    for (int d = 0; d < r; d++) attr[d] = 0, attr[r + d] = 1, attr[2 * r + d] = d == axis ? length : x->shape.d[d];
    return op1a(g, Pad, x, ((Attr){.n = 3 * r, .i = attr}));
}

static void needs_parts(Import *im, Node *x) {
    int r = x->shape.n;
    if (r < 2 || !dtype_is_float(x->type) || x->shape.d[r - 1] < 1 || x->shape.d[r - 1] > 2)
        import_fail(im, E_MALFORMED, "%s is no tensor of real or complex numbers", shape_str(im->cx, x->shape));
}

void import_dft(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    needs_parts(im, x);
    int r = x->shape.n;
    int64_t at = im->opset < 20 ? attr_int(im, "axis", 1) : in_given(im, 2) ? (int64_t)number(im, 2) : -2;
    int64_t axis = at < 0 ? at + r : at;
    if (axis < 0 || axis >= r - 1)
        import_fail(im, E_MALFORMED, "axis %lld of %s", (long long)at, shape_str(im->cx, x->shape));
    int64_t length = in_given(im, 1) ? whole(im, 1, 1, TABLE_MAX) : x->shape.d[axis];
    Turn t = turn_of(im, x->type, length, attr_int(im, "inverse", 0) != 0, attr_int(im, "onesided", 0) != 0);
    x = swap_in(im->g, to_length(im->g, x, (int)axis, length), (int)axis);
    out(im, 0, swap_in(im->g, transform(im->g, x, t), (int)axis));
}

// Frames of the signal [batch, samples, parts], each times the window and transformed.
void import_stft(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *x = in(im, 0);
    needs_parts(im, x);
    if (x->shape.n != 3) import_fail(im, E_MALFORMED, "a signal of %s", shape_str(im->cx, x->shape));
    int64_t samples = x->shape.d[1], step = whole(im, 1, 1, TABLE_MAX);
    int64_t length = in_given(im, 2) ? in(im, 2)->shape.d[0] : samples;
    if (in_given(im, 3)) length = whole(im, 3, 1, TABLE_MAX);
    if (length < 1 || length > samples)
        import_fail(im, E_MALFORMED, "frames of %lld in %lld samples", (long long)length, (long long)samples);
    int64_t frames = (samples - length) / step + 1;
    int64_t *index = import_room(im, (int64_t)ck_mul(im->cx, (size_t)frames, (size_t)length), sizeof *index);
    for (int64_t i = 0; i < frames * length; i++) index[i] = i / length * step + i % length;
    Node *where = graph_const(g, DT_I64, SHAPE(frames, length), index);
    Node *frame = graph_op(g, OP_Gather, AXES(1), 2, (Node *[]){x, where});
    if (in_given(im, 2)) frame = op2(g, Mul, frame, node_reshape(g, in(im, 2), SHAPE(length, 1)));
    out(im, 0, transform(g, frame, turn_of(im, x->type, length, false, attr_int(im, "onesided", 1) != 0)));
}
