// stems.c -- convolutions of pictures of few channels, as most networks begin with, in a form whose factors a GPU
// copies 16 bytes at a time.
//
// Channels that do not fill a copy get others of zeros beside them; and where a convolution has a stride, as many
// neighbours in a row become one pixel with the channels of all of them:
//
//     x [N, C, .., columns]  ->  [N, beside * channels, .., columns']     what lays the picture out does it on the way
//     w [O, C, .., taps]     ->  [O, beside * channels, .., taps']        zeros where there was nothing
//     dw                     <-  what was there
//
// 3 channels by 7 taps of stride 2 are 8 by 4 so. Sums get terms of zero only. As taps may have to begin within a
// pixel, some of those are a zero times a number of the picture: what is not finite there shows in one column more.
//
// Requires: expanded operators. Keeps: every value, and the FLOPs of what was asked for (Conv's f in ir/ops.h).
#include "passes.h"

typedef struct Stems {
    Node **order;
    int n;
    bool *picture, *prefix;           // by id: an input, moved and computed element by element; prefix_alone()
} Stems;

typedef struct Form {
    int64_t beside, channels;         // pixels that become one; channels of each, zeros included
    int64_t shift, columns;           // zeros before the first tap; columns of the new picture
    Window w;                         // as it becomes
    double share;                     // of the products, those of the model's own
} Form;

static int64_t up(int64_t n, int64_t b) { return (n + b - 1) / b * b; }

// The window `w` over a picture x, `out` columns of results.
static Form form_of(Window w, Shape x, int64_t out, int64_t beside, int64_t channels) {
    int last = w.rank - 1;
    int64_t kernel = w.axis[last].kernel, before = w.axis[last].before, columns = x.d[x.n - 1];
    Form f = {.beside = beside, .channels = channels, .shift = up(before, beside) - before};
    int64_t taps = up(f.shift + kernel, beside) / beside, step = w.axis[last].stride / beside;
    before = (f.shift + before) / beside, columns = up(columns, beside) / beside;
    int64_t read = (out - 1) * step + (taps - 1) * w.axis[last].dilation + 1 - before;
    f.columns = read < columns ? read : columns;
    w.axis[last].kernel = taps, w.axis[last].stride = step;
    w.axis[last].before = before, w.axis[last].after = read - f.columns;
    f.w = w, f.share = (double)(kernel * x.d[1]) / (double)(taps * beside * channels);
    return f;
}

// What a result costs: products, and the copies that bring their factors; less than 4 bytes are none.
static double cost(const Form *f, int64_t bytes) {
    enum { COPY = 24, ALONE = 96 };                    // in bytes of products
    int64_t pixel = f->beside * f->channels, per = 16 / bytes;
    while (pixel % per) per /= 2;
    double copy = per * bytes < 4 ? ALONE : COPY;
    return (double)(f->w.axis[f->w.rank - 1].kernel * pixel) * ((double)bytes + copy / (double)per);
}

// Memory has no room between such pixels (channels.c).
static bool lies_close(int64_t channels) { return channels == 2 || channels == 4 || channels % 8 == 0; }

static Form best_form(Window w, Shape x, int64_t out, int64_t bytes) {
    enum { MOST = 64 };                                // beside each other
    Form best = form_of(w, x, out, 1, x.d[1]);
    int64_t stride = w.axis[w.rank - 1].stride, most = w.axis[w.rank - 1].dilation == 1 ? stride : 1;
    for (int64_t beside = most < MOST ? most : MOST; beside >= 1; beside--)
        for (int64_t fill = 1; stride % beside == 0 && fill <= 8; fill *= 2) {
            Form f = form_of(w, x, out, beside, up(x.d[1], fill));
            if (f.columns > 0 && lies_close(beside * f.channels) && cost(&f, bytes) < cost(&best, bytes)) best = f;
        }
    return best;
}

// ---- pictures and weights ----

// [.., c, .., l] -> [.., beside * channels, .., columns], the last axis from `shift` on; zeros around it
static Node *put_beside(Graph *g, Node *x, const Form *f, int64_t shift, int64_t columns) {
    int64_t pad[3 * MAXDIM], perm[MAXDIM];
    int r = x->shape.n, last = r - 1;
    for (int d = 0; d < r; d++) pad[d] = 0, pad[r + d] = 1, pad[2 * r + d] = x->shape.d[d];
    pad[last] = shift, pad[2 * r + 1] = f->channels, pad[3 * r - 1] = columns * f->beside;
    x = graph_op(g, OP_Pad, (Attr){.n = 3 * r, .batch = x->shape.batch, .i = pad}, 1, &x);
    Shape apart = x->shape, joined = x->shape;
    apart.n = r + 1, apart.d[last] = columns, apart.d[r] = f->beside;
    joined.d[1] = f->beside * f->channels, joined.d[last] = columns;
    for (int d = 0; d <= r; d++) perm[d] = d == 0 ? 0 : d == 1 ? r : d - 1;
    return node_reshape(g, node_transpose(g, node_reshape(g, x, apart), perm), joined);
}

// And back: a gradient of weights, [o, beside * channels, .., taps'] -> [o, c, .., taps]
static Node *take_apart(Graph *g, Node *w, const Form *f, Shape to) {
    int64_t perm[MAXDIM];
    int r = to.n, last = r - 1;
    Shape apart = {.n = r + 1, .d = {w->shape.d[0], f->beside, f->channels}}, joined = w->shape;
    for (int d = 2; d < r; d++) apart.d[d + 1] = w->shape.d[d];
    for (int d = 0; d <= r; d++) perm[d] = d == 0 ? 0 : d == r ? 1 : d + 1;
    joined.d[1] = f->channels, joined.d[last] *= f->beside;
    w = node_reshape(g, node_transpose(g, node_reshape(g, w, apart), perm), joined);
    return node_slice(g, node_slice(g, w, 1, 0, to.d[1]), last, f->shift, to.d[last]);
}

// ---- which convolutions ----

static bool is_known(const Stems *s, const Node *x) { return x->id < s->n && s->order[x->id] == x; }

static Node *one(Graph *g, Node *n, void *env) {
    const Stems *s = env;
    if ((n->op != OP_Conv && n->op != OP_ConvDw) || n->type != DT_F32) return NULL;
    if (n->shape.n < 4 || n->shape.n == MAXDIM) return NULL;       // no image, or no axis left to put pixels on
    Window w = window_of(n);
    Node *x = n->in[0], *y = n->op == OP_Conv ? n : n->in[1];
    if (w.group > 1 || !is_known(s, x) || !s->picture[x->id]) return NULL;
    bool prefix = is_known(s, n) && s->prefix[n->id];
    int64_t bytes = dtype_is_narrow(prefix ? g->prefix_product : g->product) ? 2 : 4;
    Form f = best_form(w, x->shape, y->shape.d[y->shape.n - 1], bytes);
    if (f.beside == 1 && f.channels == x->shape.d[1]) return NULL;
    Attr attr = window_attr(g->cx, &f.w);
    attr.f = f.share;
    Node *in[] = {op1(g, Keep, put_beside(g, x, &f, 0, f.columns)), n->in[1]};
    if (n->op == OP_ConvDw) return take_apart(g, graph_op(g, OP_ConvDw, attr, 2, in), &f, n->shape);
    in[1] = op1(g, Keep, put_beside(g, in[1], &f, f.shift, f.w.axis[w.rank - 1].kernel));
    return graph_op(g, OP_Conv, attr, 2, in);
}

void stems(Graph *g) {
    graph_sort(g);
    Stems s = {.order = g->order, .n = g->norder, .picture = NEW(g->cx, bool, g->norder), .prefix = prefix_alone(g)};
    for (int i = 0; i < g->norder; i++) {
        const Node *n = g->order[i];
        s.picture[i] = op_is_leaf(n) ? !n->train : op_kind(n) == MOVE || op_is_ewise(n);
        for (int k = 0; k < n->nin; k++) s.picture[i] &= s.picture[n->in[k]->id];
    }
    graph_map(g, one, &s);
}
