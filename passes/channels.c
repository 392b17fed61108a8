// channels.c -- images with their channels last, as kernels for a GPU read them.
//
// No operator changes: a view decides where an element lies, and formulas go by views. Two passes:
//     keep_images         what contractions read of leaves, and weights, get a buffer of their own (fuse gives
//                         it a view; for frozen weights it is init that fills it)
//     lay_channels_last   called by fuse: which stored nodes lie channels last; lay_operand_last, one that fuse thought of
//                         later
#include "passes.h"

static bool is_window(const Node *n) {
    switch (n->op) {
    case OP_Conv:
    case OP_ConvDx:
    case OP_ConvDw:
    case OP_MaxPool:
    case OP_MaxPoolTap:
    case OP_SumPool:
    case OP_SumPoolDx:
    case OP_MaxPoolDx: return n->shape.n > 3;
    default: return false;
    }
}

static bool is_conv(const Node *n) { return n->op == OP_Conv || n->op == OP_ConvDw; }

static int64_t image_size(Shape s) {
    int64_t size = 1;
    for (int d = 2; d < s.n; d++) size *= s.d[d];
    return size;
}

// A leaf, or one turned, lies as its owner had it; without image axes that is as good, if the type is right.
static Node *kept(Graph *g, Node *x, const bool *prefix) {
    Node *leaf = x;
    while (op_kind(leaf) == MOVE && leaf->op != OP_Keep) leaf = leaf->in[0];
    DType product = op_is_leaf(leaf) && prefix[leaf->id] ? g->prefix_product : g->product;
    bool narrow = x->type == DT_F32 && dtype_is_narrow(product), root = false;
    for (int i = 0; i < g->nroot; i++) root |= g->root[i].value == leaf;
    if (op_is_splat(leaf) || (!op_is_leaf(leaf) && !(narrow && root))) return x;
    return narrow || (x->shape.n > 3 && image_size(x->shape) > 1) ? op1(g, Keep, x) : x;
}

bool is_pointwise(const Node *n) {
    bool point = n->op == OP_Conv && n->shape.n > 3 && n->in[1]->shape.d[1] == n->in[0]->shape.d[1];
    for (int d = 2; point && d < n->shape.n; d++)
        point = n->in[1]->shape.d[d] == 1 && n->in[0]->shape.d[d] == n->shape.d[d];
    return point;
}

static bool is_frozen_leaf(const Node *n) {
    while (op_kind(n) == MOVE && n->op != OP_Keep) n = n->in[0];
    return (n->op == OP_Param && !n->train) || n->op == OP_Const;
}

// What is added to a product may be wanted in its result's type (precision.c).
static Node *keep_bias(Graph *g, Node *n, const bool *prefix) {
    for (int k = 0; k < 2; k++)
        if (is_pointwise(n->in[1 - k]) && is_frozen_leaf(n->in[k])) {
            Node *in[] = {n->in[0], n->in[1]};
            in[k] = kept(g, n->in[k], prefix);
            return in[k] == n->in[k] ? NULL : graph_op(g, n->op, n->attr, 2, in);
        }
    return NULL;
}

static Node *keep_one(Graph *g, Node *n, void *prefix) {
    if (n->op == OP_Add) return keep_bias(g, n, prefix);
    if (!is_conv(n) && n->op != OP_MatMul) return NULL;
    Node *in[] = {kept(g, n->in[0], prefix), kept(g, n->in[1], prefix)};
    return in[0] == n->in[0] && in[1] == n->in[1] ? NULL : graph_op(g, n->op, n->attr, 2, in);
}

void keep_images(Graph *g) {
    graph_sort(g);
    graph_map(g, keep_one, prefix_alone(g));
}

// ---- views ----

// Same places, element by element: the two may as well lie alike.
static bool alike(const Node *a, const Node *b) { return a->shape.n == b->shape.n && a->shape.d[1] == b->shape.d[1]; }

static bool passes_on(const Node *n) {
    switch (n->op) {
    case OP_Concat:
    case OP_Slice:
    case OP_Pad:
    case OP_Keep:
    case OP_ReduceSum:
    case OP_ReduceMax:
    case OP_ReduceMin: return true;
    default: return op_is_ewise(n);
    }
}

// Every node that a chain of element-wise operators connects with a window.
static bool spread(Graph *g, bool *last) {
    bool again = false;
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        if (n->shape.n < 4) continue;
        for (int k = 0; k < n->nin; k++) {
            Node *x = n->in[k];
            bool join =
                x->shape.n == n->shape.n && (is_window(n) || (passes_on(n) && (alike(n, x) || n->op == OP_Concat)));
            if (!join || last[n->id] == last[x->id]) continue;
            last[n->id] = last[x->id] = again = true;
        }
    }
    return again;
}

// A pixel's channels begin at a multiple of what is copied at once.
static int64_t pixel(Shape s) {
    int64_t c = s.d[1], by = c <= 2 ? 2 : c <= 4 ? 4 : 8;
    return numel(s) == c ? c : (c + by - 1) / by * by;
}

static void view_last(Node *n) {
    Shape s = n->shape;
    int64_t at = pixel(s);
    n->view = (View){.room = 0};
    n->view.stride[1] = 1;
    for (int d = s.n - 1; d > 1; d--) n->view.stride[d] = at, at *= s.d[d];
    n->view.stride[0] = at;
    n->view.room = at * s.d[0];
}

void lay_channels_last(Graph *g, const bool *plain) {
    bool *last = NEW(g->cx, bool, g->norder);
    for (int i = 0; i < g->norder; i++) last[i] = is_window(g->order[i]);
    while (spread(g, last)) {}
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        if (last[i] && n->stored && !n->home && !plain[i] && !op_is_leaf(n) && n->shape.n > 3 && n->shape.d[1] > 1)
            view_last(n);
    }
}

void lay_operand_last(const Node *n, Node *x) {
    if (is_window(n) && x->shape.n > 3 && x->shape.d[1] > 1) view_last(x);
}
