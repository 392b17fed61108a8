// graph.c -- making, interning, sorting and rewriting nodes.
#include "op.h"

int64_t numel(Shape s) {
    int64_t n = 1;
    for (int i = 0; i < s.n; i++)
        if (__builtin_mul_overflow(n, s.d[i], &n)) return INT64_MAX;      // of no tensor: check_shape refuses it
    return n;
}

Node *owner(Node *n) { return n->home ? owner(n->home) : n; }

void view_set(Node *n) {
    View *v = &n->view;
    *v = (View){.room = 1};
    for (int d = n->shape.n - 1; d >= 0; d--) {
        v->stride[d] = v->room;
        v->base += n->halo[d] * v->room;
        v->room *= n->shape.d[d] + 2 * n->halo[d];
    }
}

Attr shape_attr(const Shape *s) { return (Attr){.n = s->n, .batch = s->batch, .i = s->d}; }

Shape attr_shape(Attr a) {
    Shape s = {.n = a.n, .batch = a.batch};
    if (a.n) memcpy(s.d, a.i, sizeof *s.d * (size_t)a.n);
    return s;
}

bool same_dims(Shape a, Shape b) { return a.n == b.n && !memcmp(a.d, b.d, sizeof *a.d * (size_t)a.n); }
bool same_shape(Shape a, Shape b) { return same_dims(a, b) && a.batch == b.batch; }

const char *shape_str(Cx *cx, Shape s) {
    char *r = "[";
    for (int i = 0; i < s.n; i++) {
        const char *comma = i ? "," : "";
        r = s.batch == i + 1 ? cx_fmt(cx, "%s%sN", r, comma) : cx_fmt(cx, "%s%s%lld", r, comma, (long long)s.d[i]);
    }
    return cx_fmt(cx, "%s]", r);
}

// Sizes come from files: what cannot be held must fail before anything multiplies it.
static void check_shape(Graph *g, const Node *n) {
    int64_t total = dtypes[n->type].bytes;
    if (n->shape.n > MAXDIM) fail(g->cx, E_UNSUPPORTED, "%s: more than %d axes", optab[n->op].name, MAXDIM);
    for (int i = 0; i < n->shape.n; i++) {
        int64_t d = n->shape.d[i];
        if (d < 0) fail(g->cx, E_MALFORMED, "%s: axis %d would have size %lld", optab[n->op].name, i, (long long)d);
        if (d == 0) d = 1;                             // an empty tensor, but its other sizes still must fit
        if (__builtin_mul_overflow(total, d, &total) || total > (int64_t)1 << 46)
            fail(g->cx, E_LIMIT, "%s: a tensor of shape %s is too large", optab[n->op].name,
                 shape_str(g->cx, n->shape));
    }
}

Graph *graph_new(Cx *cx, int64_t max_batch) {
    static const char *const functions[] = {"init", "forward"};
    Graph *g = NEW(cx, Graph, 1);
    *g = (Graph){
        .fn = functions, .nfn = 2, .cx = cx, .max_batch = max_batch, .lanes = 16, .isa = ISA_AVX512, .caphash = 64};
    g->hash = NEW(cx, Node *, g->caphash);
    return g;
}

static Node *leaf(Graph *g, Op op, const char *name, DType t, Shape s, const void *data) {
    Node *n = NEW(g->cx, Node, 1);
    *n = (Node){.op = op, .type = t, .shape = s, .name = name, .data = data, .frozen = op != OP_Input, .stored = true};
    check_shape(g, n);
    view_set(n);
    return n;
}

Node *graph_input(Graph *g, const char *name, DType t, Shape s) {
    return *VEC_PUSH(g->cx, g->input, g->ninput) = leaf(g, OP_Input, name, t, s, NULL);
}

Node *graph_param(Graph *g, const char *name, DType t, Shape s, const void *data) {
    return leaf(g, OP_Param, name, t, s, data);
}

Node *graph_const(Graph *g, DType t, Shape s, const void *data) {
    return leaf(g, OP_Const, NULL, t, s, data ? data : "");   // without data: empty, and still no splat
}

static uint64_t mix(uint64_t h, uint64_t x) {
    h = (h ^ x) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 29;
}

static uint64_t bits(double f) { uint64_t u; memcpy(&u, &f, 8); return u; }

static size_t hash_of(const Node *n) {
    uint64_t h = mix((uint64_t)n->op << 8 | n->type, n->again);
    for (int i = 0; i < n->nin; i++) h = mix(h, (uint64_t)(uintptr_t)n->in[i]);
    for (int i = 0; i < n->attr.n; i++) h = mix(h, (uint64_t)n->attr.i[i]);
    return (size_t)mix(mix(h, bits(n->attr.f)), bits(n->attr.f2) ^ (uint64_t)n->attr.batch);
}

static bool same(const Node *a, const Node *b) {
    return a->op == b->op && a->type == b->type && a->again == b->again && a->nin == b->nin && a->attr.n == b->attr.n &&
           a->attr.batch == b->attr.batch && bits(a->attr.f) == bits(b->attr.f) &&
           bits(a->attr.f2) == bits(b->attr.f2) &&
           (!a->attr.n || !memcmp(a->attr.i, b->attr.i, sizeof *a->attr.i * (size_t)a->attr.n)) &&
           (!a->nin || !memcmp(a->in, b->in, sizeof(Node *) * (size_t)a->nin));
}

static Node **slot(Graph *g, const Node *n) {
    size_t i = hash_of(n) & (size_t)(g->caphash - 1);
    while (g->hash[i] && !same(g->hash[i], n)) i = (i + 1) & (size_t)(g->caphash - 1);
    return &g->hash[i];
}

static Node *intern(Graph *g, Node *n) {
    Node **s = slot(g, n);
    if (*s) return *s;
    *s = n;
    if (++g->nhash * 2 > g->caphash) {
        Node **old = g->hash;
        int cap = g->caphash;
        g->hash = NEW(g->cx, Node *, g->caphash = cap * 2);
        for (int i = 0; i < cap; i++)
            if (old[i]) *slot(g, old[i]) = old[i];
    }
    return n;
}

// A constant of rank 0 without data: its value is in the attributes, so that it can be interned
// and become a literal. Integers keep all their bits in attr.i.
static Node *splat(Graph *g, DType t, Attr a) {
    Node *n = leaf(g, OP_Const, NULL, t, (Shape){0}, NULL);
    n->attr = a;
    n->stored = false;
    return intern(g, n);
}

Node *graph_scalar_i(Graph *g, DType t, int64_t v) {
    int64_t *i = NEW(g->cx, int64_t, 1);
    *i = v;
    return splat(g, t, (Attr){.n = 1, .i = i, .f = (double)v});
}

Node *graph_scalar(Graph *g, DType t, double v) {
    if (!dtype_is_float(t)) return graph_scalar_i(g, t, (int64_t)v);
    if (dtypes[t].value == DT_F32) v = (double)(float)v;
    return splat(g, t, (Attr){.f = v});
}

// Without inputs, and yet another value from call to call.
static bool varies(Op op) { return op == OP_Input || op == OP_Random || op == OP_BatchSize; }

static Node *make(Graph *g, Op op, Attr at, uint32_t again, int nin, Node *const *in) {
    Node *n = NEW(g->cx, Node, 1);
    *n = (Node){.op = op, .attr = at, .nin = nin, .again = again, .frozen = !varies(op)};
    if (nin != optab[op].nin || nin > MAXIN)
        fail(g->cx, E_MALFORMED, "%s takes %d inputs, not %d", optab[op].name, optab[op].nin, nin);
    n->in = NEW(g->cx, Node *, nin);
    if (nin) memcpy(n->in, in, sizeof(Node *) * (size_t)nin);
    for (int k = 0; k < nin && optab[op].kind == BODY; k++) {              // reads memory: a literal must lie in some
        Node *x = n->in[k];
        if (op_is_splat(x)) n->in[k] = graph_const(g, x->type, x->shape, splat_data(g->cx, x));
    }
    int64_t *i = NEW(g->cx, int64_t, at.n);
    if (at.n) memcpy(i, at.i, sizeof *i * (size_t)at.n);
    n->attr.i = i;
    for (int k = 0; k < nin; k++) n->frozen &= in[k]->frozen && !in[k]->train;
    if (nin) n->type = in[0]->type;
    optab[op].infer(g, n);
    check_shape(g, n);
    view_set(n);
    return intern(g, n);
}

Node *graph_op(Graph *g, Op op, Attr at, int nin, Node *const *in) { return make(g, op, at, 0, nin, in); }
Node *graph_again(Graph *g, Node *n, uint32_t tag) { return make(g, n->op, n->attr, tag, n->nin, n->in); }

void graph_root(Graph *g, const char *name, Node *value, Node *store, int fn) {
    *VEC_PUSH(g->cx, g->root, g->nroot) = (Root){name, value, store, fn};
}

// Depth first without recursion: a model decides how deep its graph is.
static void visit(Graph *g, Node *root) {
    typedef struct { Node *n; int next; } Frame;
    Frame *stack = NULL;
    int depth = 0, cap = 0;
    root->uses++;
    if (root->id != -1) return;
    *STACK_PUSH(g->cx, stack, depth, cap) = (Frame){root, 0};
    root->id = 0;
    while (depth) {
        Frame *f = &stack[depth - 1];
        if (f->next == f->n->nin) {
            f->n->id = g->norder;
            *VEC_PUSH(g->cx, g->order, g->norder) = f->n;
            depth--;
            continue;
        }
        Node *x = f->n->in[f->next++];
        x->uses++;
        if (x->id != -1) continue;
        x->id = 0;                                    // seen; cannot recur, nodes are acyclic
        *STACK_PUSH(g->cx, stack, depth, cap) = (Frame){x, 0};
    }
}

// Everything reachable back to unseen (-1) and unused.
static void unmark(Graph *g) {
    Node **todo = NULL;
    int n = 0, cap = 0;
    for (int i = 0; i < g->nroot; i++) *STACK_PUSH(g->cx, todo, n, cap) = g->root[i].value;
    uint64_t stamp = ++g->stamp;
    while (n) {
        Node *x = todo[--n];
        if (x->stamp == stamp) continue;
        x->stamp = stamp, x->id = -1, x->uses = 0;
        for (int k = 0; k < x->nin; k++)
            if (x->in[k]->stamp != stamp) *STACK_PUSH(g->cx, todo, n, cap) = x->in[k];
    }
}

void graph_sort(Graph *g) {
    g->order = NULL;
    g->norder = 0;
    unmark(g);
    for (int i = 0; i < g->nroot; i++) visit(g, g->root[i].value);
}

// Nodes no root reaches are forgotten: theirs would be stale.
void graph_refreeze(Graph *g) {
    graph_sort(g);
    memset(g->hash, 0, sizeof *g->hash * (size_t)g->caphash);
    g->nhash = 0;
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        if (n->nin) n->frozen = true;
        for (int k = 0; k < n->nin; k++) n->frozen &= n->in[k]->frozen && !n->in[k]->train;
        if (!op_is_leaf(n) || op_is_splat(n)) *slot(g, n) = n, g->nhash++;
    }
}

int graph_map(Graph *g, MapFn *fn, void *env) {
    int hits = 0;
    graph_sort(g);
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i], *m = n, *in[MAXIN];
        bool moved = false;
        for (int k = 0; k < n->nin; k++) moved |= (in[k] = n->in[k]->to) != n->in[k];
        if (moved) m = make(g, n->op, n->attr, n->again, n->nin, in);
        Node *r = fn(g, m, env);
        hits += r != NULL;
        n->to = r ? r : m;
        if (n->to != n) {                             // keep the user's names alive
            if (!n->to->name) n->to->name = n->name;
            if (!n->to->doc) n->to->doc = n->doc;
        }
    }
    for (int i = 0; i < g->nroot; i++) g->root[i].value = g->root[i].value->to;
    return hits;
}

Shape bcast_shape(Graph *g, const char *what, Shape a, Shape b) {
    Shape s = {.n = a.n > b.n ? a.n : b.n};
    for (int i = 1; i <= s.n; i++) {
        int64_t x = i <= a.n ? a.d[a.n - i] : 1, y = i <= b.n ? b.d[b.n - i] : 1;
        bool bx = a.batch && a.batch == a.n - i + 1, by = b.batch && b.batch == b.n - i + 1;
        bool clash = x != y && x != 1 && y != 1;
        bool mixed = bx != by && (bx ? y : x) != 1;   // one grows with the batch, the other does not
        if (clash || mixed)
            fail(g->cx, mixed && !clash ? E_UNSUPPORTED : E_MALFORMED, "%s: cannot broadcast %s with %s", what,
                 shape_str(g->cx, a), shape_str(g->cx, b));
        s.d[s.n - i] = bx ? x : by ? y : x == 1 ? y : x;
        if (bx || by) s.batch = s.n - i + 1;
    }
    return s;
}

Node *node_reshape(Graph *g, Node *x, Shape s) {
    return same_shape(x->shape, s) ? x : op1a(g, Reshape, x, shape_attr(&s));
}

Node *node_cast(Graph *g, Node *x, DType t) {
    return x->type == t ? x : op1a(g, Cast, x, AXES((int64_t)t));
}

Node *node_like(Graph *g, Node *like, double v) { return graph_scalar(g, like->type, v); }

TensorDesc node_desc(const Node *n) {
    TensorDesc d = {.type = n->type, .rank = n->shape.n, .batch = n->shape.batch};
    memcpy(d.dim, n->shape.d, sizeof d.dim);
    return d;
}
