// import_attention.c -- attention and rotary embeddings, by their parts.
//
// Queries are [batch, heads, places, size]; keys and values have as many heads or a divisor of that, and then serve
// several heads each. Also given as [batch, places, heads * size].
#include "build.h"

static Node *swap_axes(Graph *g, Node *x, int a, int b) {
    int64_t perm[MAXDIM];
    for (int d = 0; d < x->shape.n; d++) perm[d] = d == a ? b : d == b ? a : d;
    return op1a(g, Transpose, x, ((Attr){.n = x->shape.n, .i = perm}));
}

// [b, l, heads * size] as [b, heads, l, size]
static Node *split_heads(Import *im, Node *x, int64_t heads) {
    Shape s = x->shape;
    if (heads < 1 || s.d[2] % heads)
        import_fail(im, E_MALFORMED, "%lld heads of %s", (long long)heads, shape_str(im->cx, s));
    s.n = 4, s.d[3] = s.d[2] / heads, s.d[2] = heads;
    return swap_axes(im->g, node_reshape(im->g, x, s), 1, 2);
}

static Node *join_heads(Graph *g, Node *x) {
    Node *y = swap_axes(g, x, 1, 2);
    Shape s = y->shape;
    s.n = 3, s.d[2] *= s.d[3];
    return node_reshape(g, y, s);
}

static Node *heads_of(Import *im, int k, const char *count) {
    Node *x = in(im, k);
    if (x->shape.n == 3) return split_heads(im, x, attr_int(im, count, 0));
    if (x->shape.n != 4) import_fail(im, E_MALFORMED, "its input %d is %s", k, shape_str(im->cx, x->shape));
    return x;
}

// Keys or values after those of earlier runs.
static Node *after_past(Import *im, Node *x, int past) {
    return in_given(im, past) ? concat2(im->g, in(im, past), x, 2) : x;
}

// ---- which places may be seen ----

typedef struct Mask {
    Node *allowed;                    // bool, or NULL: all
    Node *bias;                       // added to the scores, or NULL
} Mask;

static void allow(Graph *g, Mask *m, Node *where) { m->allowed = m->allowed ? op2(g, And, m->allowed, where) : where; }

// A mask that names fewer places than there are hides the others.
static void given_mask(Import *im, Mask *m, int64_t places) {
    Node *x = in(im, 3);
    int r = x->shape.n, last = r - 1;
    int64_t *pad = NEW(im->cx, int64_t, 3 * MAXDIM);
    for (int d = 0; d < r; d++) pad[r + d] = 1, pad[2 * r + d] = x->shape.d[d];
    if (r && x->shape.d[last] < places && x->shape.d[last] != 1) {
        pad[2 * r + last] = places;
        x = op1a(im->g, Pad, x, ((Attr){.n = 3 * r, .i = pad, .f = x->type == DT_BOOL ? 0 : -INFINITY}));
    }
    if (x->type == DT_BOOL) allow(im->g, m, x);
    else m->bias = x;
}

static Node *number(Graph *g, int64_t v) { return graph_scalar_i(g, DT_I64, v); }

// By position: query i stands at i + offset among the keys j.
static void positional_mask(Import *im, Mask *m, int64_t queries, int64_t keys, Node *valid) {
    Graph *g = im->g;
    Shape s = SHAPE(queries, keys);
    int64_t past = in_given(im, 4) ? in(im, 4)->shape.d[2] : 0;
    int64_t left = attr_int(im, "left_window_size", -1), right = attr_int(im, "right_window_size", -1);
    Node *offset = valid && !past ? op2(g, Sub, valid, number(g, queries)) : number(g, past);
    Node *ahead = op2(g, Sub, iota_along(g, s, 1), op2(g, Add, iota_along(g, s, 0), offset));
    if (attr_int(im, "is_causal", 0)) allow(g, m, op2(g, LessEqual, ahead, number(g, 0)));
    if (left >= 0) allow(g, m, op2(g, LessEqual, number(g, -left), ahead));
    if (right >= 0) allow(g, m, op2(g, LessEqual, ahead, number(g, right)));
    if (valid) allow(g, m, op2(g, Less, iota_along(g, s, 1), valid));
}

static Mask mask_of(Import *im, int64_t queries, int64_t keys) {
    Mask m = {0};
    Node *valid = NULL;
    if (in_given(im, 6)) {                                // how many keys of each sample are real
        valid = node_cast(im->g, in(im, 6), DT_I64);
        for (int r = valid->shape.n; r < 4; r++) valid = unsqueezed(im->g, valid, r);
    }
    if (in_given(im, 3)) given_mask(im, &m, keys);
    positional_mask(im, &m, queries, keys, valid);
    return m;
}

// Softmax over the last axis where rows without any place are zeros.
static Node *masked_softmax(Graph *g, Node *x) {
    Attr last = AXES(x->shape.n - 1);
    Node *zero = node_like(g, x, 0), *m = reduced(g, OP_ReduceMax, x, last);
    m = op3(g, Where, op1(g, IsInf, m), zero, m);
    Node *e = op1(g, Exp, op2(g, Sub, x, m)), *sum = reduced(g, OP_ReduceSum, e, last);
    return op2(g, Div, e, op3(g, Where, op2(g, Equal, sum, zero), node_like(g, x, 1), sum));
}

// ---- attention ----

// a @ b, where every head of b serves several of a.
static Node *by_heads(Import *im, Node *a, Node *b) {
    Graph *g = im->g;
    int64_t heads = a->shape.d[1], shared = b->shape.d[1];
    if (heads == shared) return op2(g, MatMul, a, b);
    if (shared < 1 || heads % shared)
        import_fail(im, E_MALFORMED, "%lld heads for %lld", (long long)shared, (long long)heads);
    Shape s = a->shape;
    s.n = 5, s.d[1] = shared, s.d[2] = heads / shared, s.d[3] = a->shape.d[2], s.d[4] = a->shape.d[3];
    Node *y = op2(g, MatMul, node_reshape(g, a, s), unsqueezed(g, b, 2));
    Shape t = a->shape;
    t.d[3] = y->shape.d[4];
    return node_reshape(g, y, t);
}

static Node *soft_capped(Graph *g, Node *x, double cap) {
    return cap > 0 ? scaled(g, op1(g, Tanh, scaled(g, x, 1 / cap)), cap) : x;
}

// softmax(cap(q k^T scale) + mask) v; output 3 shows the scores at the stage that was asked for.
void import_attention(Import *im, const DocNode *n) {
    Graph *g = im->g;
    Node *q = heads_of(im, 0, "q_num_heads"), *k = heads_of(im, 1, "kv_num_heads"),
         *v = heads_of(im, 2, "kv_num_heads");
    k = after_past(im, k, 4), v = after_past(im, v, 5);
    double scale = node_attr(n, "scale") ? attr_float(im, "scale", 1) : 1 / sqrt((double)q->shape.d[3]);
    Node *stage[4];
    stage[0] = by_heads(im, scaled(g, q, sqrt(scale)), swap_axes(g, scaled(g, k, sqrt(scale)), 2, 3));
    stage[1] = stage[2] = soft_capped(g, stage[0], attr_float(im, "softcap", 0));
    Mask m = mask_of(im, q->shape.d[2], k->shape.d[2]);
    if (m.bias) stage[2] = op2(g, Add, stage[2], m.bias);
    if (m.allowed) stage[2] = op3(g, Where, m.allowed, stage[2], node_like(g, stage[2], -INFINITY));
    DType t = dtype_of_onnx(attr_int(im, "softmax_precision", 0));
    Node *logits = node_cast(g, stage[2], dtype_is_float(t) ? t : q->type);
    stage[3] = m.bias || m.allowed ? masked_softmax(g, logits) : op1a(g, Softmax, logits, AXES(3));
    stage[3] = node_cast(g, stage[3], q->type);
    Node *y = by_heads(im, stage[3], v);
    out(im, 0, in(im, 0)->shape.n == 3 ? join_heads(g, y) : y);
    out(im, 1, k);
    out(im, 2, v);
    int64_t shown = attr_int(im, "qk_matmul_output_mode", 0);
    out(im, 3, stage[shown < 0 || shown > 3 ? 0 : shown]);
}

// ---- rotary embeddings ----

static Node *cut(Graph *g, Node *x, int64_t from, int64_t step, int64_t size) {
    int r = x->shape.n;
    int64_t at[3 * MAXDIM] = {0};
    for (int d = 0; d < r; d++) at[r + d] = 1, at[2 * r + d] = x->shape.d[d];
    at[r - 1] = from, at[2 * r - 1] = step, at[3 * r - 1] = size;
    return op1a(g, Slice, x, ((Attr){.n = 3 * r, .i = at}));
}

// A table of angles, by position if positions are given, as [batch or 1, 1, places, size].
static Node *angles(Import *im, int k) {
    Graph *g = im->g;
    Node *table = in(im, k);
    if (in_given(im, 3)) table = graph_op(g, OP_Gather, AXES(0), 2, (Node *[]){table, in(im, 3)});
    if (table->shape.n != 3) import_fail(im, E_MALFORMED, "its input %d is %s", k, shape_str(im->cx, in(im, k)->shape));
    return unsqueezed(g, table, 1);
}

// Pairs of numbers turned by the angle of their place: halves of the vector, or neighbours.
void import_rotary_embedding(Import *im, const DocNode *n) {
    (void)n;
    Graph *g = im->g;
    Node *x = heads_of(im, 0, "num_heads"), *cosine = angles(im, 1), *sine = angles(im, 2);
    int64_t size = x->shape.d[3], turned = attr_int(im, "rotary_embedding_dim", 0), half;
    bool neighbours = attr_int(im, "interleaved", 0);
    if (turned == 0) turned = size;
    if (turned < 2 || turned > size || turned % 2)
        import_fail(im, E_MALFORMED, "turns %lld of %lld", (long long)turned, (long long)size);
    half = turned / 2;
    Node *a = cut(g, x, 0, neighbours ? 2 : 1, half), *b = cut(g, x, neighbours ? 1 : half, neighbours ? 2 : 1, half);
    Node *real = op2(g, Sub, op2(g, Mul, cosine, a), op2(g, Mul, sine, b));
    Node *imaginary = op2(g, Add, op2(g, Mul, sine, a), op2(g, Mul, cosine, b));
    if (neighbours) real = unsqueezed(g, real, 4), imaginary = unsqueezed(g, imaginary, 4);
    Node *y = concat2(g, real, imaginary, neighbours ? 4 : 3);
    Shape s = x->shape;
    s.d[3] = turned;
    y = node_reshape(g, y, s);
    if (turned < size) y = concat2(g, y, cut(g, x, turned, 1, size - turned), 3);
    out(im, 0, in(im, 0)->shape.n == 3 ? join_heads(g, y) : y);
}
