// pixels.c -- see pixels.h.
//
// The table is a Gather and no arithmetic, since algebra may turn a division into a product with the reciprocal, which
// rounds otherwise; 256 values a channel stay in a GPU's first cache.
#include "pixels.h"

bool pixels_possible(DType type, int rank) { return dtype_is_float(type) && rank == 4; }

bool pixels_placeable(const Preparer *p) { return preparer_numbers(p) < INT32_MAX; }

// ---- values ----

// [256 * channels]: what each byte becomes, by the input's channel.
static Node *table_of(Graph *g, const Preparer *p) {
    int64_t n = 256 * (int64_t)p->in.channels;
    float *v = NEW(g->cx, float, n);
    for (int c = 0; c < p->in.channels; c++) memcpy(v + 256 * c, p->table[c], sizeof p->table[c]);
    return graph_const(g, DT_F32, SHAPE(n), v);
}

// The last axis from its end.
static Node *reversed(Graph *g, Node *x) {
    int64_t at[3 * MAXDIM] = {0}, *step = at + x->shape.n, *size = step + x->shape.n;
    int last = x->shape.n - 1;
    for (int d = 0; d <= last; d++) step[d] = 1, size[d] = x->shape.d[d];
    at[last] = size[last] - 1, step[last] = -1;
    return op1a(g, Slice, x, ((Attr){.n = 3 * x->shape.n, .batch = x->shape.batch, .i = at}));
}

static Node *values(Graph *g, const Preparer *p, Node *bytes) {
    int64_t channels = p->in.channels, *first = NEW(g->cx, int64_t, channels);
    for (int64_t c = 0; c < channels; c++) first[c] = 256 * c;
    if (p->recipe.bgr && channels == 3) bytes = reversed(g, bytes);
    Node *index = op2(g, Add, node_cast(g, bytes, DT_I64), graph_const(g, DT_I64, SHAPE(channels), first));
    return graph_op(g, OP_Gather, AXES(0), 2, (Node *[]){table_of(g, p), index});
}

// ---- places: all of one formula of the whole picture's shape, nothing used twice, so that it melts into its user ----

// Number k of every picture's Place along an axis.
static Node *number(Graph *g, Node *place, Shape s, int axis, int k) {
    Node *one = node_slice(g, node_slice(g, place, 1, axis, 1), 2, k, 1);
    Shape apart = {.n = 4, .batch = s.batch, .d = {s.d[0], 1, 1, 1}};
    return node_expand(g, node_reshape(g, one, apart), s);
}

static Node *index_along(Graph *g, Shape s, int axis) { return node_cast(g, node_iota(g, s, axis), DT_I32); }

static Node *source(Graph *g, Node *place, Shape s, int axis) {
    Node *steps = op2(g, Mul, number(g, place, s, axis, 1), index_along(g, s, axis + 1));
    return op2(g, Add, number(g, place, s, axis, 0), steps);
}

static Node *is_there(Graph *g, Node *place, Shape s, int axis) {
    Node *i = index_along(g, s, axis + 1);
    Node *lo = number(g, place, s, axis, 2), *hi = number(g, place, s, axis, 3);
    return op2(g, And, op2(g, LessEqual, lo, i), op2(g, Less, i, hi));
}

static Node *scaled(Graph *g, Node *x, int64_t by) { return op2(g, Mul, x, node_like(g, x, (double)by)); }

// bytes [N,H,W,C] moved. A black one stands before the first, for what is not there.
static Node *placed_bytes(Graph *g, Node *bytes, Node *place) {
    Shape s = bytes->shape, flat = {.n = 2, .batch = s.batch, .d = {s.d[0], s.d[1] * s.d[2] * s.d[3]}};
    Node *row = scaled(g, source(g, place, s, 0), s.d[2]);
    Node *index = op2(g, Add, scaled(g, op2(g, Add, row, source(g, place, s, 1)), s.d[3]), index_along(g, s, 3));
    Node *there = op2(g, And, is_there(g, place, s, 0), is_there(g, place, s, 1));
    index = op3(g, Where, there, op2(g, Add, index, node_like(g, index, 1)), node_like(g, index, 0));
    int64_t black[] = {0, 1, 1, 1, flat.d[0], flat.d[1] + 1};    // before, spread, sizes
    Node *from = op1a(g, Pad, node_reshape(g, bytes, flat), ((Attr){.n = 6, .batch = s.batch, .i = black}));
    Node *moved = graph_op(g, OP_GatherElements, AXES(1), 2, (Node *[]){from, node_reshape(g, index, flat)});
    return node_reshape(g, moved, s);
}

// ---- the input ----

typedef struct Swap { Node *from, *to; } Swap;

static Node *swapped(Graph *g, Node *n, void *swap) {
    (void)g;
    const Swap *s = swap;
    return n == s->from ? s->to : NULL;
}

Node *pixels_input(Graph *g, const Preparer *p, bool placed) {
    Node *x = g->input[0], *bytes, *made;
    Shape s = x->shape, raw = s, places = {.n = 3, .batch = s.batch, .d = {s.d[0], 2, PLACE_NUMBERS}};
    raw.d[1] = p->in.height, raw.d[2] = p->in.width, raw.d[3] = p->in.channels;
    assert(pixels_possible(x->type, s.n) && numel(s) == numel(raw) && s.batch <= 1);
    made = bytes = graph_input(g, x->name, DT_U8, raw);
    g->input[0] = bytes, g->ninput--;
    if (placed) made = placed_bytes(g, bytes, graph_input(g, "tvc.place", DT_I32, places));
    made = values(g, p, made);
    if (!p->in.nhwc) made = node_transpose(g, made, (int64_t[]){0, 3, 1, 2});
    made = node_cast(g, made, x->type);
    graph_map(g, swapped, &(Swap){x, made});
    return made;
}
