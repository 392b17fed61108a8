// fuse.c -- decide which nodes get a buffer. Every other node melts into the kernel of its user.
//
// Requires: expanded operators. Keeps: the graph; sets stored, home, halo and view of every node.
//
// A kernel has one anchor, a contraction or reduction, and grows forward from it over element-wise
// nodes of the same shape that are the only user. Element-wise chains without an anchor melt into
// whatever reads them once. A contraction reads its operands from buffers; nothing with an anchor
// or a Mix inside may melt into a loop, where it would be computed again and again.
#include "passes.h"

enum { CHAIN = 48, FEW = 4096 };                   // unstored nodes above each other: bounds every recursion over formulas

typedef struct Fuse {
    Graph *g;
    bool *heavy;                         // by id: its formula holds an anchor
    bool *mixed;                         // or a Mix, which counts as one
    bool *plain;                         // a body reads or writes it: row-major, in a buffer of its own
    bool *pinned;                        // others count on its buffer
    bool *number;                        // is_number
    int *depth;
} Fuse;

static bool is_move(const Node *n) { return op_kind(n) == MOVE || op_kind(n) == MIX; }

static Node *behind_moves(Node *n) {
    while (is_move(n) && n->op != OP_Keep) n = n->in[0];
    return n;
}

// A weight that is one number everywhere: where init alone reads it, to pack it, the number will do.
static bool is_filled(const Node *n) {
    if (n->op != OP_Keep || !n->frozen) return false;
    for (n = n->in[0]; op_kind(n) == MOVE && n->op != OP_Keep;) n = n->in[0];
    return op_is_splat(n);
}

// x melts into n together with its anchor: n continues x element by element, and alone.
static bool continues(const Node *n, const Node *x) {
    return op_is_ewise(n) && x->uses == 1 && same_shape(x->shape, n->shape) && !x->stored;
}

// Of what is made again: elements; large operands; unstored nodes above each other.
enum { LARGE = 1 << 14, LARGE_GPU = 1 << 8, AGAIN = 2, STEEP = 6, AGAIN_GPU = 3, STEEP_GPU = 20 };

// Made again for every element of a larger tensor, a formula should be next to nothing.
static bool spreads(const Fuse *f, const Node *n, const Node *x) {
    bool next_to_nothing = f->g->gpu && ((x->uses == 1 && numel(x->shape) <= FEW && f->depth[x->id] == 1) ||
                                         (f->number[x->id] && f->depth[x->id] <= STEEP));
    return !next_to_nothing && op_is_ewise(x) && x->nin > 0 && numel(x->shape) < numel(n->shape);
}

// ---- in training programs: made again beside each user, where that takes hardly more reading than a buffer ----

static bool is_costly(const Node *n) {
    switch (n->op) {
    case OP_Add:
    case OP_Sub:
    case OP_Mul:
    case OP_Neg:
    case OP_Relu:
    case OP_Less:
    case OP_LessEqual:
    case OP_Max:
    case OP_Min:
    case OP_Where: case OP_Cast: case OP_And: case OP_Or: case OP_Not: case OP_Equal: return false;
    default: return true;
    }
}

// Adds to seen[] the large buffers n's formula reads; too many, or costly work: false.
static bool few_reads(const Fuse *f, const Node *n, int64_t size, const Node **seen, int *count) {
    if (is_costly(n) && !(f->g->gpu && n->op == OP_Iota)) return false;
    for (int k = 0; k < n->nin; k++) {
        const Node *x = n->in[k];
        while (f->g->gpu && x->op == OP_Expand && !x->stored) x = x->in[0];
        if (numel(x->shape) * 16 <= size || op_is_splat(x)) continue;
        if (!x->stored && op_is_ewise(x)) {
            if (!few_reads(f, x, size, seen, count)) return false;
            continue;
        }
        if (!x->stored) return false;
        int i = 0;
        while (i < *count && seen[i] != x) i++;
        if (i == *count && (*count)++ == (f->g->gpu ? AGAIN_GPU : AGAIN)) return false;
        seen[i] = x;
    }
    return true;
}

// On a GPU a factor may be a formula of a few images, computed on its way into shared memory.
static bool prologue(const Fuse *f, const Node *n, const Node *x) {
    const Node *seen[AGAIN_GPU + 1];
    int count = 0;
    bool may = f->g->gpu && (n->op == OP_Conv || n->op == OP_ConvDw) && f->depth[x->id] <= STEEP_GPU &&
               n->in[0] != n->in[1] && few_reads(f, x, numel(x->shape), seen, &count);
    for (int i = 0; may && i < count; i++) may = !op_is_leaf(seen[i]) && same_shape(seen[i]->shape, x->shape);
    return may && count;
}

static void store_inputs(Fuse *f, Node *n) {
    OpKind kind = op_kind(n);
    f->mixed[n->id] = kind == MIX;
    f->plain[n->id] |= kind == BODY;
    for (int k = 0; k < n->nin; k++) {
        Node *x = n->in[k];
        if (x->stored || !f->mixed[x->id]) continue;
        if (kind == REDUCE || kind == CONTRACT || (op_is_ewise(n) && f->mixed[n->id])) x->stored = true;
        else f->mixed[n->id] = true;
    }
    bool full = f->mixed[n->id];                         // has taken in its one anchor
    for (int k = 0; k < n->nin; k++) {
        Node *x = behind_moves(n->in[k]);
        if (kind == BODY) n->in[k]->stored = f->plain[n->in[k]->id] = true;
        if (x->stored || op_is_leaf(x)) continue;
        if (f->heavy[x->id]) {
            bool melts = x == n->in[k] && !full && continues(n, x);
            x->stored = !melts, full |= melts, f->heavy[n->id] |= melts;
        } else if (kind == CONTRACT && op_is_ewise(x) && x->nin) x->stored = !prologue(f, n, x);
        else if (spreads(f, n, x)) x->stored = true;
    }
}

// What a GPU lays out another way, zeros around it, is computed by the kernel that does so.
static void compute_kept(Fuse *f, Node *n) {
    if (!f->g->gpu || n->op != OP_Keep) return;
    Node *x = n->in[0];
    while (is_move(x) && x->op != OP_Keep && !x->stored && x->uses == 1) x = x->in[0];
    bool may = x->stored && x->uses == 1 && op_is_ewise(x) && x->nin && f->depth[x->id] <= STEEP;
    if (may && !f->heavy[x->id] && !f->mixed[x->id] && !f->plain[x->id]) x->stored = false;
}

// ---- x * sigmoid(x): what is used several times, but by one formula alone, needs no buffer ----

enum { PRIVATE = 24, WRITTEN = 256 };    // nodes of a formula that are looked at; its size with nothing shared

typedef struct Formula { Node *n[PRIVATE]; int size; } Formula;

static bool joins(const Node *n, const Node *x) {
    OpKind kind = op_kind(x);
    return same_shape(x->shape, n->shape) && x->type == n->type &&
           (op_is_ewise(x) || kind == REDUCE || kind == CONTRACT) && x->nin > 0 && !op_joins(x);
}

static int uses_within(const Formula *t, const Node *x) {
    int uses = 0;
    for (int i = 0; i < t->size; i++)
        for (int k = 0; k < t->n[i]->nin; k++) uses += t->n[i]->in[k] == x;
    return uses;
}

static void add(Formula *t, Node *x) {
    for (int i = 0; i < t->size; i++)
        if (t->n[i] == x) return;
    if (t->size < PRIVATE) t->n[t->size++] = x;
}

// Nodes of n's formula, counted as often as they are met, or more than `most`.
static int written(const Node *n, int most) {
    int size = 1;
    for (int k = 0; k < n->nin && size <= most; k++)
        if (!n->in[k]->stored) size += written(n->in[k], most - size);
    return size;
}

static void take_back(Fuse *f, Node *n) {
    if (!op_is_ewise(n) || n->nin < 2) return;
    Formula t = {{n}, 1};
    for (int i = 0; i < t.size; i++)
        for (int k = 0; k < t.n[i]->nin; k++) {
            Node *x = t.n[i]->in[k];
            if (!joins(n, x) || f->plain[x->id] || f->pinned[x->id]) continue;
            bool anchor = f->heavy[x->id] || f->mixed[x->id], room = !anchor || (!f->heavy[n->id] && !f->mixed[n->id]);
            if (x->stored && (x->uses < 2 || !room || uses_within(&t, x) != x->uses)) continue;
            if (x->stored) {
                x->stored = false;
                if (written(n, WRITTEN) > WRITTEN) x->stored = true;
                else f->heavy[n->id] |= f->heavy[x->id], f->mixed[n->id] |= f->mixed[x->id];
            }
            if (op_is_ewise(x) && !x->stored) add(&t, x);
        }
}

static int depth_of(Fuse *f, const Node *n) {
    int most = 0;
    for (int k = 0; k < n->nin; k++)
        if (!n->in[k]->stored && f->depth[n->in[k]->id] > most) most = f->depth[n->in[k]->id];
    return most + 1;
}

static bool made_again(const Fuse *f, const Node *n) {
    const Node *seen[AGAIN_GPU + 1];
    int count = 0;
    bool may = f->g->nfn > 2 && op_is_ewise(n) && n->uses > 1 && n->nin && !n->frozen &&
               numel(n->shape) >= (f->g->gpu ? LARGE_GPU : LARGE) && !f->heavy[n->id] && !f->mixed[n->id] &&
               f->depth[n->id] <= (f->g->gpu ? STEEP_GPU : STEEP) && few_reads(f, n, numel(n->shape), seen, &count);
    for (int i = 0; may && i < count && !f->g->gpu; i++) f->pinned[seen[i]->id] = true;
    return may;
}

// A scalar made of constants and the batch's size, like the number of values a mean is made of.
static bool is_number(const Fuse *f, const Node *n) {
    bool is = numel(n->shape) == 1 && !n->shape.batch &&
              (n->op == OP_Const || n->op == OP_BatchSize || (op_is_ewise(n) && n->nin));
    for (int k = 0; is && k < n->nin; k++) is = f->number[n->in[k]->id];
    return is;
}

static void melt(Fuse *f) {
    Graph *g = f->g;
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        OpKind kind = op_kind(n);
        f->heavy[i] = kind == REDUCE || kind == CONTRACT;
        f->number[i] = is_number(f, n);
        n->stored = kind == LEAF ? !op_is_splat(n)
                                 : kind == BODY || (n->op == OP_Keep && !is_filled(n)) ||
                                       (op_is_ewise(n) && n->uses > 1 && n->nin);
        store_inputs(f, n);
        compute_kept(f, n);
        take_back(f, n);
        if (f->heavy[i] && n->uses > 1) n->stored = true;
        f->depth[i] = depth_of(f, n);
        if (made_again(f, n) || (g->gpu && f->depth[i] <= STEEP && op_is_ewise(n) && f->number[i])) n->stored = false;
        if (f->depth[i] > CHAIN && kind != LEAF) n->stored = true;
    }
    for (int i = 0; i < g->nroot; i++) g->root[i].value->stored = true;
}

static bool only_moved(Node *n) { return op_is_leaf(behind_moves(n)); }    // a leaf, seen another way

// What init computes for others to read has a buffer; a leaf already has one.
static void init_boundary(Graph *g) {
    for (int i = 0; i < g->norder; i++)
        for (int k = 0; k < g->order[i]->nin; k++) {
            Node *x = g->order[i]->in[k];
            if (x->frozen && !g->order[i]->frozen && !only_moved(x) && !(g->gpu && x->op == OP_Iota)) x->stored = true;
        }
}

// ---- Concat and Weave are writing into parts of a buffer: their inputs are laid out inside it ----

static bool placeable(const Fuse *f, const Node *c, const Node *x) {
    return !f->plain[x->id] && !x->home && !op_is_leaf(x) && x->frozen == c->frozen && op_kind(x) != BODY &&
           (x->stored || op_kind(x) != MOVE);
}

// Padding lies around what is woven, not between.
static bool has_halo(const Node *x) {
    for (int d = 0; d < x->shape.n; d++)
        if (x->halo[d]) return true;
    return false;
}

static bool weaves(const Node *c) {
    return !has_halo(c) && !has_halo(c->in[0]) && !has_halo(c->in[1]) && (!c->home || c->home->op == OP_Weave);
}

// Its elements would be copied even where it could melt: both parts have buffers.
static bool has_parts(const Node *c) { return c->in[0]->stored && c->in[1]->stored; }

static void slices(Fuse *f) {
    Graph *g = f->g;
    for (int i = g->norder - 1; i >= 0; i--) {           // outermost first: they may nest
        Node *c = g->order[i];
        if (!op_joins(c) || (!c->stored && !has_parts(c)) || c->in[0] == c->in[1]) continue;
        if (!placeable(f, c, c->in[0]) || !placeable(f, c, c->in[1]) || (c->op == OP_Weave && !weaves(c))) continue;
        c->stored = true;
        for (int k = 0; k < 2; k++) c->in[k]->home = c, c->in[k]->stored = true;
    }
}

// ---- padding: a window reads its image from a buffer that has the padding in it ----

static void want_halo(Node *x, int axis, int64_t before, int64_t reach) {
    int64_t after = reach - x->shape.d[axis], need = before > after ? before : after;
    if (x->halo[axis] < need) x->halo[axis] = need;
}

static void halos(Fuse *f) {
    for (int i = 0; i < f->g->norder; i++) {
        Node *n = f->g->order[i], *x = n->nin ? n->in[0] : NULL;
        bool dw = n->op == OP_ConvDwBlk || n->op == OP_DepthwiseDwBlk,
             blk = dw || n->op == OP_ConvBlk || n->op == OP_DepthwiseBlk;
        const int64_t *y = dw ? n->in[1]->shape.d : n->shape.d;
        if ((!blk && n->op != OP_Tiles) || op_is_leaf(x)) continue;
        x->stored = true;
        if (f->plain[x->id]) continue;
        Window w = blk ? window_of(n) : (Window){0};
        for (int d = 0; d < 2; d++) {
            const int64_t *a = n->attr.i;             // Tiles: apart, size, before, rows, columns
            int64_t before = blk ? w.axis[d].before : a[2];
            int64_t reach =
                blk ? (y[2 + d] - 1) * w.axis[d].stride + (w.axis[d].kernel - 1) * w.axis[d].dilation + 1 - before
                    : (a[3 + d] - 1) * a[0] + a[1] - before;
            want_halo(x, 2 + d, before, reach);
        }
    }
}

// All that share a buffer share its padding.
static void share_halos(Graph *g) {
    for (bool again = true; again;) {
        again = false;
        for (int i = 0; i < g->norder; i++) {
            Node *x = g->order[i], *o = owner(x);
            for (int d = 0; x != o && d < x->shape.n; d++) {
                if (x->halo[d] == o->halo[d]) continue;
                x->halo[d] = o->halo[d] = x->halo[d] > o->halo[d] ? x->halo[d] : o->halo[d];
                again = true;
            }
        }
    }
}

static void views(Fuse *f) {
    Graph *g = f->g;
    for (int i = 0; i < g->norder; i++) view_set(g->order[i]);
    if (g->gpu) lay_channels_last(g, f->plain);
    for (int i = g->norder - 1; i >= 0; i--) {
        Node *x = g->order[i], *c = x->home;
        if (!c || op_is_leaf(c)) continue;
        int64_t axis = c->attr.i[0];
        x->view = c->view;
        x->view.base += x == c->in[0] ? 0 : (c->op == OP_Weave ? 1 : c->in[0]->shape.d[axis]) * c->view.stride[axis];
        if (c->op == OP_Weave) x->view.stride[axis] *= 2;
    }
}

// ---- operands of contractions ----

// Each element is one of a buffer, at an index that moves evenly with every axis. A Reshape across
// padding or blocks is not.
static bool even(Graph *g, Node *x) {
    Kernel *k = kernel_of(g->cx, g, x, "");
    bool is = k->body->op == K_LOAD;
    for (int d = 0; is && d < x->shape.n; d++)
        is = k->axis[d]->op != I_VAR || ix_coef(k->body->a, k->axis[d]) != IX_WILD;
    return is;
}

static void pack_operands(Graph *g) {
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        for (int k = 0; k < n->nin && op_kind(n) == CONTRACT; k++) {
            Node *x = n->in[k];
            if (x->stored || op_kind(x) != MOVE || even(g, x)) continue;
            x->stored = true;
            view_set(x);
            if (g->gpu) lay_operand_last(n, x);
        }
    }
}

// ---- roots: row-major, in a buffer of their own, which may be that of their store ----

static void own_roots(Graph *g) {
    for (int i = 0; i < g->nroot; i++) {
        Node *n = g->root[i].value;
        bool taken = op_is_leaf(n);
        for (int j = 0; j < i && !taken; j++) taken = g->root[j].value == n && (g->root[j].store || g->root[i].store);
        if (taken) g->root[i].value = graph_again(g, op1(g, Keep, n), (uint32_t)i + 1);
    }
}

// Does n's formula read the leaf anywhere but at n's own place?
static bool reads_elsewhere(const Node *n, const Node *leaf, bool in_place) {
    if (n == leaf) return !in_place;
    if (n->nin == 0) return false;
    for (int k = 0; k < n->nin; k++) {
        const Node *x = n->in[k];
        if (x != leaf && (x->stored || op_is_leaf(x))) continue;
        bool here = in_place && op_is_ewise(n) && same_shape(x->shape, n->shape);
        if (reads_elsewhere(x, leaf, here)) return true;
    }
    return false;
}

// A store shares its target's memory: see Root for why no later kernel misses the old contents.
static void place_stores(Fuse *f) {
    for (int i = 0; i < f->g->nroot; i++) {
        Root *r = &f->g->root[i];
        if (r->store && !reads_elsewhere(r->value, r->store, true)) r->value->home = r->store;
    }
}

void fuse(Graph *g) {
    own_roots(g);
    graph_sort(g);
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        n->home = n->head = n->mate = NULL;
        n->halo_value = 0;
        memset(n->halo, 0, sizeof n->halo);
    }
    Fuse f = {.g = g, .depth = NEW(g->cx, int, g->norder)};
    bool **sets[] = {&f.heavy, &f.mixed, &f.plain, &f.pinned, &f.number};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) *sets[i] = NEW(g->cx, bool, g->norder);
    for (int i = 0; i < g->nroot; i++) f.plain[g->root[i].value->id] = true;
    melt(&f);
    init_boundary(g);
    place_stores(&f);
    halos(&f);
    slices(&f);
    share_halos(g);
    views(&f);
    pack_operands(g);
    if (g->gpu) pad_rows(g, f.plain);
}
