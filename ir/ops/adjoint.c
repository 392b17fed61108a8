// Adjoints of windows: the same sums read from the other end. attr.i = a Window, then the sizes of
// the image axes of what is made (grad_window.c builds them).
//
// The output places that touched row h through tap r are those i with i*stride = h + before - r*dilation.
#include "../op.h"

#define D(t, axis) (n->in[t]->shape.d[axis])

static Window adjoint_window(const Node *n, const int64_t **sizes) {
    Node w = *n;
    w.attr.n = 1 + (n->attr.n - 1) / 6 * 5;
    *sizes = n->attr.i + w.attr.n;
    return window_of(&w);
}

// From row h and tap r to the place in dy, and the guards: value where they hold, else zero.
typedef struct Back { Expr *from[MAXDIM], *at[MAXDIM]; } Back;

static void back(Kernel *k, const Window *w, int d, Expr *h, Expr *r, Back *b) {
    Expr *e = ix(k, I_ADD, h, ix_mul(k, r, -w->axis[d].dilation));
    b->from[d] = ix_add(k, e, w->axis[d].before);
    b->at[d] = ix(k, I_DIV, b->from[d], ix_imm(k, w->axis[d].stride));
}

static Expr *guarded(Kernel *k, const Window *w, const Back *b, Shape y, Expr *value) {
    Expr *zero = k_imm(k, value->type, 0);
    for (int d = w->rank - 1; d >= 0; d--) {
        int64_t st = w->axis[d].stride;
        value = k_inside(k, ix(k, I_MOD, b->from[d], ix_imm(k, st)), 1, value, zero);
        value = k_inside(k, b->from[d], (y.d[2 + d] - 1) * st + 1, value, zero);
    }
    return value;
}

static void image_of(Node *n, int t) {
    const int64_t *sizes;
    Window w = adjoint_window(n, &sizes);
    n->shape = n->in[t]->shape;
    for (int d = 0; d < w.rank; d++) n->shape.d[2 + d] = sizes[d];
    n->type = n->in[t]->type;
}

// ---- ConvDx: w, dy -> dx ----
//     dx[n,c,h] = sum o,r  dy[n, o, (h + before - r*dilation) / stride] * w[o, c, r]
void infer_conv_dx(Graph *g, Node *n) {
    (void)g;
    image_of(n, 1);
    n->shape.d[1] = D(0, 1) * n->attr.i[0];
}

Expr *emit_conv_dx(Kernel *k, Node *n, Expr **at) {
    const int64_t *sizes;
    Window w = adjoint_window(n, &sizes);
    int64_t cg = D(0, 1), og = D(0, 0) / w.group;
    Expr *o = k_var(k, og, false), *f[MAXDIM], *y[MAXDIM] = {at[0]}, *r[MAXDIM];
    Back b = {0};
    f[0] = y[1] = w.group == 1 ? o : ix(k, I_ADD, ix_mul(k, ix(k, I_DIV, at[1], ix_imm(k, cg)), og), o);
    f[1] = w.group == 1 ? at[1] : ix(k, I_MOD, at[1], ix_imm(k, cg));
    for (int d = 0; d < w.rank; d++) {
        r[d] = f[2 + d] = k_var(k, w.axis[d].kernel, false);
        back(k, &w, d, at[2 + d], r[d], &b);
        y[2 + d] = b.at[d];
    }
    Expr *e = k2(k, K_MUL, pull(k, n->in[1], y), pull(k, n->in[0], f));
    e = guarded(k, &w, &b, n->in[1]->shape, e);
    for (int d = w.rank - 1; d >= 0; d--) e = k_reduce(k, K_SUM, r[d], e);
    return k_reduce(k, K_SUM, o, e);
}

// dx is a convolution again: of dy, with the weights turned round and their channels swapped within each group.
static Node *turned(Graph *g, Node *f, int64_t group) {
    int r = f->shape.n;
    int64_t flip[3 * MAXDIM], perm[MAXDIM];
    for (int d = 0; d < r; d++)
        flip[d] = d < 2 ? 0 : f->shape.d[d] - 1, flip[r + d] = d < 2 ? 1 : -1, flip[2 * r + d] = f->shape.d[d];
    f = graph_op(g, OP_Slice, (Attr){.n = 3 * r, .i = flip}, 1, &f);
    Shape split = {.n = r + 1}, joined = f->shape;
    split.d[0] = group, split.d[1] = f->shape.d[0] / group, split.d[2] = f->shape.d[1];
    for (int d = 2; d < r; d++) split.d[d + 1] = f->shape.d[d];
    for (int d = 0; d <= r; d++) perm[d] = d == 1 ? 2 : d == 2 ? 1 : d;
    joined.d[0] = group * split.d[2], joined.d[1] = split.d[1];
    f = graph_op(g, OP_Transpose, (Attr){.n = r + 1, .i = perm}, 1, (Node *[]){node_reshape(g, f, split)});
    return node_reshape(g, f, joined);
}

// With zeros put between dy's elements for a stride.
static Node *dx_of_spread(Graph *g, Node *n) {
    const int64_t *sizes;
    Window w = adjoint_window(n, &sizes);
    Node *dy = n->in[1];
    int r = dy->shape.n;
    int64_t spread[3 * MAXDIM];
    bool apart = false;
    for (int d = 0; d < r; d++) spread[d] = 0, spread[r + d] = 1, spread[2 * r + d] = dy->shape.d[d];
    for (int d = 0; d < w.rank; d++) {
        int64_t st = w.axis[d].stride, reach = (w.axis[d].kernel - 1) * w.axis[d].dilation,
                size = (dy->shape.d[2 + d] - 1) * st + 1;
        spread[r + 2 + d] = st, spread[2 * r + 2 + d] = size;
        apart |= st != 1;
        w.axis[d].after = sizes[d] - size + w.axis[d].before;
        w.axis[d].before = reach - w.axis[d].before;
        w.axis[d].stride = 1;
        if (w.axis[d].before < 0 || w.axis[d].after < 0) return NULL;
    }
    if (apart) dy = op1(g, Keep, graph_op(g, OP_Pad, (Attr){.n = 3 * r, .i = spread}, 1, &dy));
    return graph_op(g, OP_Conv, window_attr(g->cx, &w), 2, (Node *[]){dy, turned(g, n->in[0], w.group)});
}

// With a stride of two, even rows meet other taps than odd ones do: each phase is a convolution without
// stride by its own share of the taps, and no product is with a zero.
typedef struct Phases {
    Graph *g;
    Node *n;
    Window w;
    const int64_t *sizes;
    int64_t first[MAXDIM];            // of each image axis: the phase, then its first tap
} Phases;

// The stretch of taps and padding of axis d's phase; false: such padding is none.
static bool phase_window(const Phases *p, int d, Window *w, int64_t *tap) {
    int64_t st = p->w.axis[d].stride, a = p->first[d], K = p->w.axis[d].kernel, before = p->w.axis[d].before;
    *tap = (a + before) % st;
    int64_t taps = (K - *tap + st - 1) / st, made = (p->sizes[d] + st - 1) / st, ahead = (a + before - *tap) / st;
    w->axis[d].kernel = taps, w->axis[d].stride = 1;
    w->axis[d].before = (taps - 1) * p->w.axis[d].dilation - ahead;
    w->axis[d].after = made - p->n->in[1]->shape.d[2 + d] + ahead;
    return w->axis[d].before >= 0 && w->axis[d].after >= 0;
}

static Node *one_phase(Phases *p) {
    Node *f = p->n->in[0];
    Window w = p->w;
    int r = f->shape.n;
    int64_t cut[3 * MAXDIM];
    for (int d = 0; d < r; d++) cut[d] = 0, cut[r + d] = 1, cut[2 * r + d] = f->shape.d[d];
    for (int d = 0; d < w.rank; d++) {
        if (!phase_window(p, d, &w, &cut[2 + d])) return NULL;
        cut[r + 2 + d] = p->w.axis[d].stride, cut[2 * r + 2 + d] = w.axis[d].kernel;
    }
    f = graph_op(p->g, OP_Slice, (Attr){.n = 3 * r, .i = cut}, 1, &f);
    return graph_op(p->g, OP_Conv, window_attr(p->g->cx, &w), 2, (Node *[]){p->n->in[1], turned(p->g, f, w.group)});
}

// All phases of the axes from d on, woven; where one of two meets no tap, zeros stand for it. NULL: not possible.
static Node *phases(Phases *p, int d) {
    Graph *g = p->g;
    int64_t st = d < p->w.rank ? p->w.axis[d].stride : 1, apart[3 * MAXDIM];
    if (d == p->w.rank) return one_phase(p);
    Node *part[2] = {NULL, NULL};
    int found = 0;
    for (int64_t a = 0; a < st; a++) {
        p->first[d] = a;
        if ((a + p->w.axis[d].before) % st >= p->w.axis[d].kernel) continue;
        found++;
        if (!(part[a] = phases(p, d + 1))) return NULL;
    }
    if (st == 1 || found == 2) return st == 1 ? part[0] : graph_op(g, OP_Weave, AXES(2 + d), 2, part);
    Node *only = part[0] ? part[0] : part[1];
    int r = only->shape.n;
    for (int i = 0; i < r; i++) apart[i] = 0, apart[r + i] = 1, apart[2 * r + i] = only->shape.d[i];
    apart[2 + d] = part[0] ? 0 : 1, apart[r + 2 + d] = 2, apart[2 * r + 2 + d] *= 2;
    return graph_op(g, OP_Pad, (Attr){.n = 3 * r, .i = apart}, 1, &only);
}

Node *expand_conv_dx(Graph *g, Node *n) {
    Phases p = {.g = g, .n = n};
    p.w = adjoint_window(n, &p.sizes);
    bool two = false, fits = true;
    for (int d = 0; d < p.w.rank; d++) {
        two |= p.w.axis[d].stride == 2;
        fits &= p.w.axis[d].stride == 1 ||
                (p.w.axis[d].stride == 2 && p.w.axis[d].dilation == 1 && n->in[1]->shape.batch != 3 + d);
    }
    Node *dx = two && fits ? phases(&p, 0) : NULL;
    if (!dx) return dx_of_spread(g, n);
    for (int d = 0; d < p.w.rank; d++) dx = node_slice(g, dx, 2 + d, 0, p.sizes[d]);
    return dx;
}

// ---- ConvDw: x, dy -> dw [O, C/group, kernel..] ----
//     dw[o,c,r] = sum n,i  x[n, c, i*stride + r*dilation - before] * dy[n,o,i]
void infer_conv_dw(Graph *g, Node *n) {
    Window w = window_of(n);
    (void)g;
    n->shape = (Shape){.n = 2 + w.rank, .d = {D(1, 1), D(0, 1) / w.group}};
    for (int d = 0; d < w.rank; d++) n->shape.d[2 + d] = w.axis[d].kernel;
}

Expr *emit_conv_dw(Kernel *k, Node *n, Expr **at) {
    Window w = window_of(n);
    Expr *x[MAXDIM], *y[MAXDIM], *v[MAXDIM];
    int64_t og = D(1, 1) / w.group;
    x[0] = y[0] = v[0] = k_axis(k, n->in[1]->shape, 0);
    y[1] = at[0];
    x[1] = w.group == 1 ? at[1] : ix(k, I_ADD, ix_mul(k, ix(k, I_DIV, at[0], ix_imm(k, og)), n->shape.d[1]), at[1]);
    for (int d = 0; d < w.rank; d++) {
        v[1 + d] = y[2 + d] = k_var(k, D(1, 2 + d), false);
        x[2 + d] = window_tap(k, &w, d, v[1 + d], at[2 + d]);
    }
    Expr *e = k2(k, K_MUL, pull_padded(k, n->in[0], x, 0), pull(k, n->in[1], y));
    for (int d = w.rank; d >= 0; d--) e = k_reduce(k, K_SUM, v[d], e);
    return e;
}

// ---- pools ----

static Expr *spread_back(Kernel *k, Node *n, Expr **at, Node *tap, Node *dy) {
    const int64_t *sizes;
    Window w = adjoint_window(n, &sizes);
    Expr *y[MAXDIM], *r[MAXDIM], *here = ix_imm(k, 0);
    Back b = {0};
    memcpy(y, at, sizeof *y * (size_t)n->shape.n);
    for (int d = 0; d < w.rank; d++) {
        r[d] = k_var(k, w.axis[d].kernel, false);
        back(k, &w, d, at[2 + d], r[d], &b);
        y[2 + d] = b.at[d];
        here = ix(k, I_ADD, ix_mul(k, here, w.axis[d].kernel), r[d]);
    }
    Expr *e = pull(k, dy, y);
    if (tap)
        e = k_select(k, k2(k, K_EQ, pull(k, tap, y), k_cast(k, tap->type, k_index(k, here))), e, k_imm(k, n->type, 0));
    e = guarded(k, &w, &b, dy->shape, e);
    for (int d = w.rank - 1; d >= 0; d--) e = k_reduce(k, K_SUM, r[d], e);
    return e;
}

// dy -> what each place of the image was summed into
void infer_pool_dx(Graph *g, Node *n) { (void)g, image_of(n, n->nin - 1); }
Expr *emit_sum_pool_dx(Kernel *k, Node *n, Expr **at) { return spread_back(k, n, at, NULL, n->in[0]); }

// tap (each window's first maximum, MaxPoolTap), dy
Expr *emit_max_pool_dx(Kernel *k, Node *n, Expr **at) { return spread_back(k, n, at, n->in[0], n->in[1]); }
