// layout.c -- blocked channels: [N, C, H, W] kept as [N, C/B, H, W, B], B the target's vector.
//
// Requires: expanded operators. A layout is nothing but a Reshape and a Transpose (and, where B does
// not divide C, a Pad before and a Slice behind). This pass puts a pair of them around every
// convolution and moves them outwards through whatever does not mind; what meets cancels here and
// in moves.c. Weights get theirs too: those depend on parameters alone, and so fall into init.
//
// Padded channels hold whatever the operators make of zero: only operators that keep such lanes
// finite are passed, and the weights that meet them are zero.
#include "blocked.h"

static int64_t up(int64_t n, int64_t b) { return (n + b - 1) / b * b; }

// x with axis `axis` padded by zeros to size
static Node *pad_axis(Graph *g, Node *x, int axis, int64_t size) {
    int64_t a[3 * MAXDIM];
    int r = x->shape.n;
    if (x->shape.d[axis] == size) return x;
    for (int d = 0; d < r; d++) a[d] = 0, a[r + d] = 1, a[2 * r + d] = d == axis ? size : x->shape.d[d];
    return graph_op(g, OP_Pad, (Attr){.n = 3 * r, .i = a}, 1, &x);
}

Node *reshape_batch(Graph *g, Node *x, int batch, Shape s) {
    s.batch = batch;
    return node_reshape(g, x, s);
}

Node *block(Graph *g, Node *x, int64_t b) {
    Node *z = b == g->lanes ? blocked(g, x) : NULL;
    if (z) return z;
    int64_t c = up(x->shape.d[1], b);
    x = pad_axis(g, x, 1, c);
    const int64_t *d = x->shape.d;
    return op1a(g, Transpose, reshape_batch(g, x, x->shape.batch, SHAPE(d[0], c / b, b, d[2], d[3])),
                AXES(0, 1, 3, 4, 2));
}

Node *unblock(Graph *g, Node *z, int64_t channels) {
    const int64_t *d = z->shape.d;
    Node *x = reshape_batch(g, op1a(g, Transpose, z, AXES(0, 1, 4, 2, 3)), z->shape.batch,
                            SHAPE(d[0], d[1] * d[4], d[2], d[3]));
    if (d[1] * d[4] == channels) return x;
    return node_slice(g, x, 1, 0, channels);
}

static bool cuts_channels_only(const Node *s) {
    const int64_t *a = s->attr.i;
    for (int d = 0; d < 4; d++)
        if (a[d] != 0 || a[4 + d] != 1 || (d != 1 && s->shape.d[d] != s->in[0]->shape.d[d])) return false;
    return true;
}

Node *blocked(Graph *g, Node *n) {
    static const int64_t perm[] = {0, 1, 4, 2, 3};
    if (n->shape.n != 4) return NULL;
    int64_t channels = n->shape.d[1];
    if (n->op == OP_Slice && cuts_channels_only(n)) n = n->in[0];
    Node *t = n->op == OP_Reshape ? n->in[0] : NULL;
    bool is = t && t->op == OP_Transpose && t->shape.n == 5 && !memcmp(t->attr.i, perm, sizeof perm) &&
              n->shape.d[1] == t->shape.d[1] * t->shape.d[2] && t->shape.d[2] == g->lanes &&
              t->shape.d[1] == up(channels, g->lanes) / g->lanes;
    return is ? t->in[0] : NULL;
}

// ---- convolutions ----

// [O, C, R, S] -> [O/B, C/b, R, S, b, B], both padded
static Node *pack(Graph *g, Node *w, int64_t b) {
    int64_t B = g->lanes;
    w = pad_axis(g, pad_axis(g, w, 0, up(w->shape.d[0], B)), 1, up(w->shape.d[1], b));
    const int64_t *d = w->shape.d;
    w = reshape_batch(g, w, 0, SHAPE(d[0] / B, B, d[1] / b, b, d[2], d[3]));
    return op1(g, Keep, op1a(g, Transpose, w, AXES(0, 2, 4, 5, 3, 1)));
}

// The weights of n groups of o outputs side by side, zeros where a channel meets another group's:
// [O, c, R, S] -> [O, n c, R, S].
static Node *side_by_side(Graph *g, Node *w, int64_t n, int64_t o) {
    int64_t c = w->shape.d[1];
    const int64_t *d = w->shape.d;
    if (n == 1) return w;
    float *same = NEW(g->cx, float, n * n);
    for (int64_t i = 0; i < n; i++) same[i * n + i] = 1;
    Node *mask = graph_const(g, DT_F32, SHAPE(n, 1, n, 1, 1, 1), same);
    w = reshape_batch(g, w, 0, SHAPE(d[0] / (n * o), n, o, 1, c, d[2], d[3]));
    return reshape_batch(g, op2(g, Mul, w, mask), 0, SHAPE(d[0], n * c, d[2], d[3]));
}

static Node *depthwise(Graph *g, Node *n, const Window *w) {
    int64_t B = g->lanes, c = up(w->group, B);
    Node *f = pad_axis(g, n->in[1], 0, c);
    const int64_t *d = f->shape.d;
    f = op1(g, Keep, op1a(g, Transpose, reshape_batch(g, f, 0, SHAPE(c / B, B, d[2], d[3])), AXES(0, 2, 3, 1)));
    return unblock(g, graph_op(g, OP_DepthwiseBlk, n->attr, 2, (Node *[]){block(g, n->in[0], B), f}), w->group);
}

static int64_t common(int64_t a, int64_t b) { return b ? common(b, a % b) : a; }

// As many groups together as fill whole blocks of channels and of outputs.
static Node *grouped(Graph *g, Node *n, Window w) {
    int64_t B = g->lanes, c = n->in[1]->shape.d[1], o = n->shape.d[1] / w.group, apart = common(common(c, o), B);
    int64_t together = B / apart, groups = up(w.group, together);
    Node *f = pack(g, side_by_side(g, pad_axis(g, n->in[1], 0, groups * o), together, o), B);
    Node *x = up(w.group * c, B) == groups * c ? n->in[0] : pad_axis(g, n->in[0], 1, groups * c);
    w.group = groups / together;
    return unblock(g, graph_op(g, OP_ConvBlk, window_attr(g->cx, &w), 2, (Node *[]){block(g, x, B), f}), n->shape.d[1]);
}

// Images of few channels, as photographs, stay as they are.
static int64_t block_size(Graph *g, Node *x) { return x->shape.d[1] < g->lanes && !blocked(g, x) ? 1 : g->lanes; }

static Node *conv(Graph *g, Node *n) {
    Window w = window_of(n);
    Node *x = n->in[0];
    if (w.rank != 2 || n->type != DT_F32) return NULL;
    if (w.group > 1 && w.group == x->shape.d[1] && w.group == n->shape.d[1]) return depthwise(g, n, &w);
    if (w.group > 1) return grouped(g, n, w);
    if (!g->direct && winograd_pays(g, n))
        return unblock(g, winograd(g, n, block(g, x, g->lanes), pack(g, n->in[1], g->lanes)), n->shape.d[1]);
    int64_t b = block_size(g, x);
    Node *z = graph_op(g, OP_ConvBlk, n->attr, 2, (Node *[]){block(g, x, b), pack(g, n->in[1], b)});
    return unblock(g, z, n->shape.d[1]);
}

// Back from a layout padded in both channel axes: [O', C', R, S] -> [O, C, R, S]
static Node *cut(Graph *g, Node *w, Shape to) {
    return node_slice(g, node_slice(g, w, 0, 0, to.d[0]), 1, 0, to.d[1]);
}

// A kernel of one place with strides reads few of the image's pixels, each many times: those alone, side by side.
static Node *pixels_read(Graph *g, Node *x, const Node *dy, Window *w) {
    bool all = true;
    for (int d = 0; d < 2; d++) {
        if (w->axis[d].kernel > 1 || w->axis[d].before || w->axis[d].after) return x;
        all &= w->axis[d].stride == 1;
    }
    if (all) return x;
    const int64_t *d = x->shape.d, *y = dy->shape.d;
    int64_t some[] = {0, 0, 0, 0, 0, 1, 1, w->axis[0].stride, w->axis[1].stride, 1, d[0], d[1], y[2], y[3], d[4]};
    w->axis[0].stride = w->axis[1].stride = 1;
    return op1(g, Keep, op1a(g, Slice, x, ((Attr){.n = 15, .i = some})));
}

static Node *conv_dw(Graph *g, Node *n) {
    Window w = window_of(n);
    Node *x = n->in[0], *dy = n->in[1], *f;
    int64_t B = g->lanes, b = block_size(g, x);
    if (w.rank != 2 || n->type != DT_F32) return NULL;
    if (w.group > 1) {
        if (w.group != x->shape.d[1] || w.group != dy->shape.d[1]) return NULL;
        f = graph_op(g, OP_DepthwiseDwBlk, n->attr, 2, (Node *[]){block(g, x, B), block(g, dy, B)});
        const int64_t *d = f->shape.d;
        return cut(g, reshape_batch(g, op1a(g, Transpose, f, AXES(0, 3, 1, 2)), 0, SHAPE(d[0] * d[3], 1, d[1], d[2])),
                   n->shape);
    }
    x = pixels_read(g, block(g, x, b), dy, &w);
    f = graph_op(g, OP_ConvDwBlk, window_attr(g->cx, &w), 2, (Node *[]){x, block(g, dy, B)});
    const int64_t *d = f->shape.d;
    f = reshape_batch(g, op1a(g, Transpose, f, AXES(0, 5, 1, 4, 2, 3)), 0, SHAPE(d[0] * d[5], d[1] * d[4], d[2], d[3]));
    return cut(g, f, n->shape);
}

// ---- what passes blocks on ----

// 1 + exp x, as sigmoid divides by
static bool is_positive(const Node *n) {
    for (int i = 0; i < n->nin && n->op == OP_Add; i++)
        if (n->in[i]->op == OP_Exp && op_is_splat(n->in[1 - i]) && splat_value(n->in[1 - i]) > 0) return true;
    return false;
}

// Keeps lanes of padding finite. A divisor, a logarithm and the like would not.
static bool keeps_finite(Graph *g, const Node *n) {
    switch (n->op) {
    case OP_Add:
    case OP_Sub:
    case OP_Mul:
    case OP_Max:
    case OP_Min:
    case OP_Neg:
    case OP_Abs:
    case OP_Relu:
    case OP_Exp:
    case OP_Tanh: case OP_Erf: case OP_Where: case OP_Less: case OP_LessEqual: case OP_Floor: case OP_Sqrt: return true;
    case OP_Div:
        return numel(n->in[1]->shape) == 1 || is_positive(blocked(g, n->in[1]) ? blocked(g, n->in[1]) : n->in[1]);
    default: return false;
    }
}

// What broadcasts against [N,C,H,W], so that it broadcasts against the blocked form; or NULL.
static Node *operand(Graph *g, Node *x, int64_t channels) {
    int64_t B = g->lanes;
    Shape s = x->shape;
    if (numel(s) == 1 && !s.batch) return reshape_batch(g, x, 0, (Shape){0});
    if (blocked(g, x)) return blocked(g, x);
    if (s.n >= 3 && s.n <= 4 && s.d[s.n - 3] == channels && numel(s) == channels && !s.batch) {
        if (s.n == 4) x = reshape_batch(g, x, 0, SHAPE(channels, 1, 1));
        Node *padded = pad_axis(g, x, 0, up(channels, B));
        return reshape_batch(g, padded == x ? x : op1(g, Keep, padded), 0, SHAPE(up(channels, B) / B, 1, 1, B));
    }
    if (s.n == 4 && s.d[1] == channels) return block(g, x, B);
    if (s.n == 4 && s.d[1] == 1) return reshape_batch(g, x, s.batch, SHAPE(s.d[0], 1, s.d[2], s.d[3], 1));
    return NULL;
}

// Over images too: a normalisation's statistics.
static bool reduces_pixels(const Node *n) {
    bool is = n->op == OP_ReduceSum || n->op == OP_ReduceMax || n->op == OP_ReduceMin;
    for (int i = 0; is && i < n->attr.n; i++) is = n->attr.i[i] != 1;
    return is;
}

static bool carries_channels(const Node *n) {
    bool pool = n->op == OP_MaxPool || n->op == OP_SumPool || n->op == OP_MaxPoolTap;
    if (pool) return n->attr.n == 11;                     // two image axes
    if (n->op == OP_SumPoolDx || n->op == OP_MaxPoolDx) return n->attr.n == 13;
    if (n->op == OP_Concat) return n->attr.i[0] == 1;
    if (n->op == OP_Weave) return n->attr.i[0] > 1;
    return reduces_pixels(n) || n->op == OP_Keep;
}

// Pad and Slice of image axes alone, with the block's axis behind.
static Node *through_cut(Graph *g, Node *n) {
    Node *z = blocked(g, n->in[0]);
    int64_t a[15];
    if (!z || n->attr.i[1] != 0 || n->attr.i[5] != 1 || n->shape.d[1] != n->in[0]->shape.d[1]) return NULL;
    for (int p = 0; p < 3; p++) {
        memcpy(a + 5 * p, n->attr.i + 4 * p, sizeof *a * 4);
        a[5 * p + 4] = p == 0 ? 0 : p == 1 ? 1 : g->lanes;
    }
    a[11] = z->shape.d[1];
    return unblock(g, graph_op(g, n->op, (Attr){.n = 15, .i = a, .f = n->attr.f}, 1, &z), n->shape.d[1]);
}

static Node *through(Graph *g, Node *n) {
    bool any = false, carries = carries_channels(n);
    if (n->shape.n != 4 || (!carries && !op_is_ewise(n))) return NULL;
    int64_t channels = n->shape.d[1];
    if (channels % g->lanes && !carries && !keeps_finite(g, n)) return NULL;
    Node *in[MAXIN];
    for (int i = 0; i < n->nin; i++) any |= blocked(g, n->in[i]) != NULL;
    if (!any) return NULL;
    for (int i = 0; i < n->nin; i++) {
        int64_t c = n->op == OP_Concat ? n->in[i]->shape.d[1] : channels;
        if (n->op == OP_Concat && (c % g->lanes || n->in[i]->type != DT_F32)) return NULL;
        if (!(in[i] = carries ? block(g, n->in[i], g->lanes) : operand(g, n->in[i], c))) return NULL;
    }
    return unblock(g, graph_op(g, n->op, n->attr, n->nin, in), channels);
}

static Node *layout_one(Graph *g, Node *n, void *env) {
    (void)env;
    if (n->op == OP_Conv) return conv(g, n);
    if (n->op == OP_ConvDw) return conv_dw(g, n);
    if ((n->op == OP_Pad || n->op == OP_Slice) && n->shape.n == 4) return through_cut(g, n);
    return through(g, n);
}

void layout(Graph *g) { graph_map(g, layout_one, NULL); }
