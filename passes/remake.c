// remake.c -- in training programs: what gradients need of the way forward is made again, not kept.
//
// Requires: expanded operators in their final layout. Keeps: every value.
//
// The way forward is what the loss is made of; everything else in a step comes later. A large element-wise
// value that is needed on both ways would lie in memory from one to the other. Where it can be had from
// buffers that lie there anyway -- the convolution's result, of which activation and normalisation are
// made -- later users get a twin of their own, with a formula down to those buffers. Residual sums go
// through several blocks so, up to a number of buffers; then one of them is kept. On a GPU these are as many as a
// product can make its image of itself. On a CPU a few convolutions are made again as well: short sums whose result is
// a considerable part of all that would lie in memory.
#include "passes.h"
#include "train.h"

enum { LARGE = 1 << 14, SMALLER = 16, SOURCES = 8, FORMULA = 96 };     // elements; times; buffers and nodes of a twin
enum { SOURCES_GPU = 3 };              // as fuse.c's AGAIN_GPU: with more a twin has a kernel of its own at each block
enum { SHORT = 64, GROWTH = 2, PART = 24 };    // terms of a sum; times; of all results of convolutions

typedef struct Remake {
    Graph *g;
    int n;
    Node **order;
    bool *early, *late, *needed;      // by id: the loss is made of it; other parts of the step; those use it
    bool *saved, *again;              // its buffer lasts; late users get a twin
    double results;                   // bytes of all results of convolutions on the way forward
    Node **relu, **twin;              // its Relu on the way forward; made when first asked for
    Node **copy;                      // within the twin being made, with that tag
    uint32_t *tag;
} Remake;

static bool is_known(const Remake *r, const Node *n) { return n->id < r->n && r->order[n->id] == n; }

static double bytes(const Node *n) { return (double)numel(n->shape) * dtypes[n->type].bytes; }

// ---- what is early, what late ----

static void mark(Remake *r, bool *set, Node *root) {
    Node **todo = NULL;
    int n = 0, cap = 0;
    *STACK_PUSH(r->g->cx, todo, n, cap) = root;
    while (n) {
        Node *x = todo[--n];
        if (set[x->id]) continue;
        set[x->id] = true;
        for (int k = 0; k < x->nin; k++) *STACK_PUSH(r->g->cx, todo, n, cap) = x->in[k];
    }
}

static bool find_ways(Remake *r) {
    bool *others = NEW(r->g->cx, bool, r->n), any = false;
    for (int i = 0; i < r->g->nroot; i++) {
        Root *root = &r->g->root[i];
        bool loss = root->fn == FN_TRAIN_STEP && strcmp(root->name, "tvc.loss") == 0;
        any |= loss;
        mark(r, loss ? r->early : root->fn == FN_TRAIN_STEP ? r->late : others, root->value);
    }
    for (int i = 0; i < r->n; i++) r->late[i] &= !r->early[i] && !others[i];
    for (int i = 0; i < r->n; i++) {
        Node *n = r->order[i];
        if (n->op == OP_Relu && r->early[i]) r->relu[n->in[0]->id] = n;
        if (n->op == OP_ConvBlk && r->early[i]) r->results += bytes(n);
        for (int k = 0; k < n->nin; k++) r->needed[n->in[k]->id] |= r->late[i] && r->early[n->in[k]->id];
    }
    return any;
}

// ---- what can be made again, and of what ----

static bool passes_on(const Node *n) {
    switch (n->op) {
    case OP_Reshape: case OP_Transpose: case OP_Expand: case OP_Slice: case OP_Pad: return true;
    default: return op_is_ewise(n) && n->nin > 0;
    }
}

// Part of the twin of a value of `size` elements; everything else is read from where it lies.
static bool is_inside(const Remake *r, const Node *n, int64_t size) {
    return passes_on(n) && !n->frozen && !r->saved[n->id] && numel(n->shape) * SMALLER > size;
}

typedef struct Parts { const Node *inside[FORMULA], *source[SOURCES]; int ninside, nsource; } Parts;

static bool list_add(const Node **list, int *n, int most, const Node *x) {
    for (int i = 0; i < *n; i++)
        if (list[i] == x) return true;
    if (*n == most) return false;
    list[(*n)++] = x;
    return true;
}

// False: too many.
static bool find_parts(const Remake *r, const Node *v, Parts *p) {
    int64_t size = numel(v->shape);
    int most = r->g->gpu ? SOURCES_GPU : SOURCES;
    *p = (Parts){.inside = {v}, .ninside = 1};
    for (int i = 0; i < p->ninside; i++)
        for (int k = 0; k < p->inside[i]->nin; k++) {
            const Node *x = p->inside[i]->in[k];
            bool inside = is_inside(r, x, size),
                 free = op_is_leaf(x) || x->frozen || x->nin == 0 || numel(x->shape) * SMALLER <= size;
            if (inside && !list_add(p->inside, &p->ninside, FORMULA, x)) return false;
            if (!inside && !free && !list_add(p->source, &p->nsource, most, x)) return false;
        }
    return true;
}

// A convolution worth running twice: its image is needed later anyway.
static bool is_cheap(const Remake *r, const Node *n) {
    if (n->op != OP_ConvBlk || n->nin != 2 || r->g->gpu || !r->early[n->id] || !r->needed[n->in[0]->id]) return false;
    const Shape *w = &n->in[1]->shape;
    return numel(*w) <= SHORT * w->d[0] * w->d[w->n - 1] && bytes(n) >= GROWTH * bytes(n->in[0]) &&
           PART * bytes(n) >= r->results;
}

// Sources that would have to be kept for this: no more bytes than the value itself has, and in
// buffers on the way forward as well.
static bool pays(const Remake *r, const Node *v, const Parts *p) {
    double more = 0;
    for (int i = 0; i < p->nsource; i++) {
        const Node *s = p->source[i];
        if (r->saved[s->id] || is_cheap(r, s)) continue;
        if (s->uses < 2) return false;
        more += bytes(s);
    }
    return more <= bytes(v);
}

// Its sign can be had of its Relu just as well.
static bool asks_sign_only(const Remake *r, const Node *v) {
    bool only = r->relu[v->id] != NULL;
    for (int i = v->id; i < r->n && only; i++)
        for (int k = 0; r->late[i] && k < r->order[i]->nin; k++)
            only &=
                r->order[i]->in[k] != v || (r->order[i]->op == OP_Less && k == 1 && op_is_splat(r->order[i]->in[0]) &&
                                            splat_value(r->order[i]->in[0]) == 0);
    return only;
}

static void save(Remake *r, const Node *n) { *(is_cheap(r, n) ? &r->again[n->id] : &r->saved[n->id]) = true; }

static void decide(Remake *r, Node *v) {
    Parts p;
    bool can = find_parts(r, v, &p) && pays(r, v, &p);
    if ((!can || p.nsource > 1) && asks_sign_only(r, v)) {
        r->needed[r->relu[v->id]->id] = true;
        return;                                          // see late_form
    }
    r->relu[v->id] = NULL;
    r->again[v->id] = can, r->saved[v->id] = !can;
    for (int i = 0; can && i < p.nsource; i++) save(r, p.source[i]);
}

static void decide_all(Remake *r) {
    for (int i = 0; i < r->n; i++) {
        Node *n = r->order[i];
        if (!r->early[i] || !r->needed[i]) { r->relu[i] = NULL; continue; }
        if (passes_on(n) && !n->frozen && numel(n->shape) >= LARGE) decide(r, n);
        else r->relu[i] = NULL, save(r, n);
    }
}

// ---- twins ----

static Node *for_late_users(Remake *r, Node *x);

// The part of a twin that n is. Recursion as deep as FORMULA.
static Node *clone(Remake *r, Node *n, int64_t size, uint32_t tag) {
    Node *in[MAXIN];
    if (!is_inside(r, n, size)) return for_late_users(r, n);
    if (r->tag[n->id] == tag) return r->copy[n->id];
    for (int k = 0; k < n->nin; k++) in[k] = clone(r, n->in[k], size, tag);
    r->tag[n->id] = tag;
    return r->copy[n->id] = graph_again(r->g, graph_op(r->g, n->op, n->attr, n->nin, in), tag);
}

// Of what the convolution's image has become for late users.
static Node *run_again(Remake *r, Node *n, uint32_t tag) {
    Node *in[] = {for_late_users(r, n->in[0]), n->in[1]};
    return graph_again(r->g, graph_op(r->g, n->op, n->attr, 2, in), tag);
}

// Recursion over convolutions, each of a larger image than the next.
static Node *for_late_users(Remake *r, Node *x) {
    if (!is_known(r, x) || !r->again[x->id]) return x;
    uint32_t tag = (uint32_t)x->id + 1;
    if (!r->twin[x->id])
        r->twin[x->id] = op_kind(x) == CONTRACT ? run_again(r, x, tag) : clone(r, x, numel(x->shape), tag);
    return r->twin[x->id];
}

static Node *late_form(Graph *g, Node *n, void *env) {
    Remake *r = env;
    Node *in[MAXIN];
    bool changed = false;
    if (is_known(r, n) && !r->late[n->id]) return NULL;
    for (int k = 0; k < n->nin; k++) {
        Node *x = n->in[k];
        if (is_known(r, x) && r->relu[x->id]) x = r->relu[x->id];
        in[k] = for_late_users(r, x);
        changed |= in[k] != n->in[k];
    }
    return changed ? graph_op(g, n->op, n->attr, n->nin, in) : NULL;
}

void remake(Graph *g) {
    graph_sort(g);
    int n = g->norder;
    Remake r = {.g = g, .n = n, .order = g->order};
    bool **sets[] = {&r.early, &r.late, &r.needed, &r.saved, &r.again};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) *sets[i] = NEW(g->cx, bool, n);
    r.relu = NEW(g->cx, Node *, n), r.twin = NEW(g->cx, Node *, n), r.copy = NEW(g->cx, Node *, n),
    r.tag = NEW(g->cx, uint32_t, n);
    if (!find_ways(&r)) return;
    decide_all(&r);
    graph_map(g, late_form, &r);
}
