// sums.c -- sums over everything but the channels, as normalisations and their gradients have them, in as few
// passes over the images as algebra allows. With c = x - mean(x):
//
//     sum(a + b) = sum a + sum b,  sum(a p) = p sum a,  sum c = 0          p: one number per channel
//     sum(c c) = sum(x x) - sum x mean x                                   for 16-bit images alone
//
// The first line leaves of a normalisation's gradient two sums that read the same images. The second makes
// mean and variance one pass. It loses digits where the mean is large beside the deviation; so did the image,
// when it was rounded to 16 bits.
#include "passes.h"

bool is_channel_sum(const Node *n) {
    const Node *x = n->op == OP_ReduceSum ? n->in[0] : NULL;
    if (!x || n->shape.n < 3 || x->shape.n != n->shape.n) return false;
    for (int d = 0; d < n->shape.n; d++)
        if (d == 1 ? n->shape.d[1] != x->shape.d[1] : n->shape.d[d] != 1) return false;
    return true;
}

// How many values of x a channel has, at maximum batch.
static int64_t per_channel(const Node *x) { return numel(x->shape) / x->shape.d[1]; }

// Is n that count, as a number?
static bool is_count(Graph *g, const Node *n, const Node *x) {
    while (n->op == OP_Reshape || n->op == OP_Expand) n = n->in[0];
    if (op_is_splat(n)) return !x->shape.batch && splat_value(n) == (double)per_channel(x);
    if (n->op == OP_Cast) n = n->in[0];
    return n->op == OP_BatchSize && x->shape.batch && n->attr.i[0] * g->max_batch == per_channel(x);
}

// Or one by it, which a division by a fixed number has become?
static bool is_part(const Node *n, const Node *x) {
    while (n->op == OP_Reshape || n->op == OP_Expand) n = n->in[0];
    return op_is_splat(n) && !x->shape.batch && (float)splat_value(n) == (float)(1.0 / (double)per_channel(x));
}

// The sum that m is x's mean by; or NULL.
static Node *sum_of_mean(Graph *g, const Node *m, const Node *x) {
    for (int i = 0; i < 2 && (m->op == OP_Div || m->op == OP_Mul); i++) {
        Node *s = m->in[i], *by = m->in[1 - i];
        if (is_channel_sum(s) && s->in[0] == x && (m->op == OP_Mul ? is_part(by, x) : i == 0 && is_count(g, by, x)))
            return s;
    }
    return NULL;
}

static bool is_centred(Graph *g, const Node *n) {
    return n->op == OP_Sub && n->shape.n > 2 && sum_of_mean(g, n->in[1], n->in[0]);
}

// One number per channel: n itself, or what was expanded; or NULL.
static Node *channel_factor(Node *n, const Node *of) {
    while (n->op == OP_Expand) n = n->in[0];
    bool is = numel(n->shape) == 1 ||
              (n->shape.n == of->shape.n && n->shape.d[1] == numel(n->shape) && !n->shape.batch) ||
              (n->shape.n == of->shape.n - 1 && n->shape.d[0] == numel(n->shape) && !n->shape.batch);
    return is && n->shape.n <= of->shape.n ? n : NULL;
}

enum { DEEP = 12 };

static bool has_centred(Graph *g, const Node *n, int deep) {
    if (deep == 0) return false;
    if (is_centred(g, n)) return true;
    bool linear = n->op == OP_Add || n->op == OP_Sub || n->op == OP_Neg || n->op == OP_Mul;
    for (int k = 0; linear && k < n->nin; k++)
        if (has_centred(g, n->in[k], deep - 1)) return true;
    return false;
}

static Node *reduced(Graph *g, Node *x, const Node *sum) { return graph_op(g, OP_ReduceSum, sum->attr, 1, &x); }

// The sum of x where that is simpler; else the sum as it is. NULL: zero.
static Node *linear(Graph *g, Node *x, const Node *sum, int deep) {
    if (is_centred(g, x)) return NULL;
    if (deep && x->op == OP_Neg) {
        Node *s = linear(g, x->in[0], sum, deep - 1);
        return s ? op1(g, Neg, s) : NULL;
    }
    if (deep && (x->op == OP_Add || x->op == OP_Sub) && same_shape(x->in[0]->shape, x->in[1]->shape) &&
        has_centred(g, x, DEEP)) {
        Node *a = linear(g, x->in[0], sum, deep - 1), *b = linear(g, x->in[1], sum, deep - 1);
        if (!b) return a;
        return a ? graph_op(g, x->op, (Attr){0}, 2, (Node *[]){a, b}) : x->op == OP_Sub ? op1(g, Neg, b) : b;
    }
    for (int i = 0; deep && x->op == OP_Mul && i < 2; i++) {
        Node *p = channel_factor(x->in[i], x);
        if (!p || !same_shape(x->in[1 - i]->shape, x->shape)) continue;
        Node *s = linear(g, x->in[1 - i], sum, deep - 1);
        return s ? op2(g, Mul, s, p) : NULL;
    }
    return reduced(g, x, sum);
}

static Node *square_sum(Graph *g, Node *n) {
    Node *c = n->in[0]->in[0], *x = c->in[0], *mean = c->in[1];
    Node *v = op2(g, Sub, reduced(g, op2(g, Mul, x, x), n), op2(g, Mul, sum_of_mean(g, mean, x), mean));
    return op2(g, Max, v, node_like(g, v, 0));
}

static Node *sum_one(Graph *g, Node *n, void *env) {
    (void)env;
    if (!is_channel_sum(n) || n->type != DT_F32) return NULL;
    Node *x = n->in[0];
    bool square = x->op == OP_Mul && x->in[0] == x->in[1] && is_centred(g, x->in[0]);
    if (square) return dtype_is_narrow(g->product) && dtype_is_narrow(g->prefix_product) ? square_sum(g, n) : NULL;
    if (!has_centred(g, x, DEEP)) return NULL;
    Node *s = linear(g, x, n, DEEP);
    if (!s) s = node_zeros(g, n);
    return s == n || !same_shape(s->shape, n->shape) ? NULL : s;
}

void sums(Graph *g) { graph_map(g, sum_one, NULL); }
