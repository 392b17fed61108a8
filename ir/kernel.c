// kernel.c -- building formulas: hash-consed values, simplified indices, and pulling a node's
// element through everything that has no buffer of its own.
#include "op.h"

static const struct { int args; char kind; } kop[] = {
#define KOP(name, n, class, infix, flt, integer) [K_##name] = {n, #class[0]},
#include "../runtime/kops.h"
};

// ---- interning ----

static uint64_t mix(uint64_t h, uint64_t x) {
    h = (h ^ x) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 32;
}

static uint64_t bits(double f) { uint64_t u; memcpy(&u, &f, 8); return u; }

static uint64_t hash_of(const Expr *e) {
    uint64_t h = mix((uint64_t)(e->op * 2 + e->is_index), e->type);
    h = mix(mix(h, (uint64_t)(uintptr_t)e->a), (uint64_t)(uintptr_t)e->b);
    h = mix(mix(h, (uint64_t)(uintptr_t)e->c), (uint64_t)(uintptr_t)e->buf);
    return mix(mix(h, (uint64_t)e->i), bits(e->f));
}

static bool same(const Expr *x, const Expr *y) {
    return x->is_index == y->is_index && x->op == y->op && x->type == y->type && x->a == y->a && x->b == y->b &&
           x->c == y->c && x->i == y->i && x->buf == y->buf && bits(x->f) == bits(y->f);
}

static Expr **slot(Kernel *k, const Expr *e) {
    size_t i = hash_of(e) & (size_t)(k->caphash - 1);
    while (k->hash[i] && !same(k->hash[i], e)) i = (i + 1) & (size_t)(k->caphash - 1);
    return &k->hash[i];
}

static void rehash(Kernel *k) {
    k->hash = NEW(k->cx, Expr *, k->caphash = k->caphash ? k->caphash * 2 : 128);
    for (int i = 0; i < k->nexpr; i++) *slot(k, k->expr[i]) = k->expr[i];
}

Expr *expr_intern(Kernel *k, Expr e) {
    if (k->nexpr * 2 >= k->caphash) rehash(k);
    Expr **s = slot(k, &e);
    if (*s) return *s;
    Expr *p = NEW(k->cx, Expr, 1);
    *p = e;
    p->id = k->nexpr;
    return *s = *VEC_PUSH(k->cx, k->expr, k->nexpr) = p;
}

// ---- values ----

Expr *k_imm(Kernel *k, DType t, double f) {
    t = dtypes[t].value;
    if (!dtype_is_float(t)) return k_imm_i(k, t, (int64_t)f);
    return expr_intern(k, (Expr){.op = K_IMM, .type = t, .f = t == DT_F32 ? (double)(float)f : f});
}

Expr *k_imm_i(Kernel *k, DType t, int64_t i) {
    if (dtype_is_float(t)) return k_imm(k, t, (double)i);
    return expr_intern(k, (Expr){.op = K_IMM, .type = t, .i = i});
}

Expr *k1(Kernel *k, KOp op, Expr *a) {
    return expr_intern(k, (Expr){.op = op, .type = kop[op].kind == 'P' ? DT_BOOL : a->type, .a = a});
}

Expr *k2(Kernel *k, KOp op, Expr *a, Expr *b) {
    assert(a->type == b->type);
    bool truth = kop[op].kind == 'C' || kop[op].kind == 'L';
    return expr_intern(k, (Expr){.op = op, .type = truth ? DT_BOOL : a->type, .a = a, .b = b});
}

Expr *k_select(Kernel *k, Expr *cond, Expr *a, Expr *b) {
    assert(cond->type == DT_BOOL && a->type == b->type);
    if (a == b) return a;
    return expr_intern(k, (Expr){.op = K_SELECT, .type = a->type, .a = cond, .b = a, .c = b});
}

Expr *k_cast(Kernel *k, DType t, Expr *a) {
    t = dtypes[t].value;
    return a->type == t ? a : expr_intern(k, (Expr){.op = K_CAST, .type = t, .a = a});
}

Expr *k_index(Kernel *k, Expr *index) {
    if (index->op == I_IMM) return k_imm_i(k, DT_I64, index->i);
    return expr_intern(k, (Expr){.op = K_INDEX, .type = DT_I64, .a = index});
}

Expr *k_batch(Kernel *k, int64_t factor) { return expr_intern(k, (Expr){.op = K_BATCH, .type = DT_I64, .i = factor}); }

Expr *k_random(Kernel *k, Expr *index, int64_t stream) {
    return expr_intern(k, (Expr){.op = K_RANDOM, .type = DT_F32, .a = index, .i = stream});
}

Expr *k_inside(Kernel *k, Expr *index, int64_t extent, Expr *value, Expr *otherwise) {
    int64_t lo, hi;
    ix_range(k, index, &lo, &hi);
    if (lo >= 0 && hi < extent) return value;
    if (hi < 0 || lo >= extent) return otherwise;
    return expr_intern(
        k, (Expr){.op = K_INSIDE, .type = value->type, .a = value, .b = index, .c = otherwise, .i = extent});
}

Expr *k_reduce(Kernel *k, KOp op, Expr *var, Expr *body) {
    if (var->op == I_IMM) return body;
    return expr_intern(k, (Expr){.op = op, .type = body->type, .a = body, .b = var, .i = k->extent[var->i]});
}

bool expr_is_reduce(const Expr *e) { return !e->is_index && e->op >= K_SUM && e->op <= K_MINIMUM; }
bool expr_is_sum(const Expr *e) { return !e->is_index && e->op == K_SUM; }

Expr *k_var(Kernel *k, int64_t extent, bool grows) {
    if (extent == 1 && !grows) return ix_imm(k, 0);
    if (k->nvar == k->capvar) {
        int n = k->capvar, cap = k->capvar = n ? 2 * n : 16;
        k->extent = cx_grow(k->cx, k->extent, sizeof *k->extent * (size_t)n, sizeof *k->extent * (size_t)cap);
        k->grows = cx_grow(k->cx, k->grows, sizeof *k->grows * (size_t)n, sizeof *k->grows * (size_t)cap);
    }
    k->extent[k->nvar] = extent, k->grows[k->nvar] = grows;
    return expr_intern(k, (Expr){.is_index = true, .op = I_VAR, .i = k->nvar++});
}

Expr *k_axis(Kernel *k, Shape s, int d) { return k_var(k, s.d[d], s.batch == d + 1); }

// ---- pulling ----

static void reads(Kernel *k, Node *n) {
    for (int i = k->nout; i < k->nbuf; i++)
        if (k->buf[i] == n) return;
    *VEC_PUSH(k->cx, k->buf, k->nbuf) = n;
}

// Every reduction runs over variables of its own: used twice at the same place, it is the same. Those of a
// kernel with several results all run over the same ones (kernel.h).
static Expr *pull_once(Kernel *k, Node *n, Expr **at) {
    if (k->nout > 1) k->nvar = k->naxis;
    size_t bytes = sizeof *at * (size_t)n->shape.n;
    for (int i = 0; i < k->npulled; i++)
        if (k->pulled[i].n == n && !memcmp(k->pulled[i].at, at, bytes)) return k->pulled[i].e;
    Expr *e = optab[n->op].emit(k, n, at);
    struct Pulled *p = VEC_PUSH(k->cx, k->pulled, k->npulled);
    p->n = n, p->e = e;
    memcpy(p->at, at, bytes);
    return e;
}

Expr *pull(Kernel *k, Node *n, Expr **at) {
    bool own = n == k->outs[0] || n->head == k->outs[0];
    if (n != k->out && n->stored && !(own && k->nout > 1)) {
        reads(k, n);
        return expr_intern(k, (Expr){.op = K_LOAD, .type = dtypes[n->type].value, .buf = n, .a = ix_view(k, n, at)});
    }
    if (op_kind(n) != REDUCE && op_kind(n) != CONTRACT) return optab[n->op].emit(k, n, at);
    k->anchor = n;
    return pull_once(k, n, at);
}

Expr *pull_bcast(Kernel *k, Node *n, int i, Expr **at) {
    Node *x = n->in[i];
    Expr *in[MAXDIM];
    for (int d = 0; d < x->shape.n; d++) {
        bool one = x->shape.d[d] == 1 && x->shape.batch != d + 1;
        in[d] = one ? ix_imm(k, 0) : at[n->shape.n - x->shape.n + d];
    }
    return pull(k, x, in);
}

// A halo answers for what lies outside, if it is wide enough and holds the right value.
Expr *pull_padded(Kernel *k, Node *n, Expr **at, double otherwise) {
    Expr *x = pull(k, n, at), *other = k_imm(k, n->type, otherwise);
    for (int d = n->shape.n - 1; d >= 0; d--) {
        int64_t lo, hi, h = n->halo[d], size = n->shape.d[d];
        ix_range(k, at[d], &lo, &hi);
        bool covered = n->stored && n != k->out && bits(n->halo_value) == bits(otherwise) && lo >= -h && hi < size + h;
        if (!covered) x = k_inside(k, at[d], size, x, other);
    }
    return x;
}

// The kernel's place in a result of it; where that has but one element along an axis, that one's.
static void place_in(Kernel *k, const Node *n, Expr **at) {
    for (int d = 0; d < n->shape.n; d++) {
        bool one = n->shape.d[d] == 1 && n->shape.batch != d + 1;
        at[d] = one ? ix_imm(k, 0) : k->axis[d];
    }
}

static Expr *pull_result(Kernel *k, Node *n) {
    Expr *at[MAXDIM];
    place_in(k, n, at);
    return pull(k, n, at);
}

Expr *ix_result(Kernel *k, int i) {
    Expr *at[MAXDIM];
    place_in(k, k->outs[i], at);
    return ix_view(k, k->outs[i], at);
}

Kernel *kernel_of(Cx *cx, Graph *g, Node *n, const char *name) {
    Kernel *k = NEW(cx, Kernel, 1);
    *k = (Kernel){.cx = cx, .name = name, .out = n, .max_batch = g->max_batch};
    for (Node *m = n; m; m = m->mate) k->nout++;
    k->outs = NEW(cx, Node *, k->nout);
    k->bodies = NEW(cx, Expr *, k->nout);
    for (Node *m = n; m; m = m->mate) k->outs[k->nbuf] = m, *VEC_PUSH(cx, k->buf, k->nbuf) = m;
    if (op_kind(n) == BODY) {
        k->hand = optab[n->op].name;
        for (int i = 0; i < n->nin; i++) *VEC_PUSH(cx, k->buf, k->nbuf) = n->in[i];
        return k;
    }
    for (int i = 0; i < n->shape.n; i++) k->axis[i] = k_axis(k, n->shape, i);
    int most = k->naxis = k->nvar;
    for (int i = 0; i < k->nout; i++) {
        k->out = k->outs[i];
        k->nvar = k->naxis, k->npulled = 0;           // the same variables again
        k->bodies[i] = pull_result(k, k->out);
        most = k->nvar > most ? k->nvar : most;
    }
    k->nvar = most;
    k->out = n, k->body = k->bodies[0];
    return k;
}

// ---- rebuilding ----

typedef struct { Kernel *k; Expr **to, **done; } Subst;

static Expr *subst(Subst *s, Expr *e) {
    if (!e) return NULL;
    if (e->is_index && e->op == I_VAR) return s->to[e->i] ? s->to[e->i] : e;
    if (s->done[e->id]) return s->done[e->id];
    Expr *a = subst(s, e->a), *b = expr_is_reduce(e) ? e->b : subst(s, e->b), *c = subst(s, e->c), *r;
    if (e->is_index && e->op != I_IMM) r = e->op == I_DATA ? ix_data(s->k, a, e->i) : ix(s->k, (IOp)e->op, a, b);
    else if (!e->is_index && e->op == K_INSIDE) r = k_inside(s->k, b, e->i, a, c);
    else {
        Expr copy = *e;
        copy.a = a, copy.b = b, copy.c = c, copy.as = NULL;
        r = expr_intern(s->k, copy);
    }
    return s->done[e->id] = r;
}

Expr *expr_subst(Kernel *k, Expr *e, Expr **to) {
    Subst s = {k, to, NEW(k->cx, Expr *, e->id + 1)};
    return subst(&s, e);
}

Expr *expr_put(Kernel *k, Expr *e, Expr *old, Expr *new) {
    int n = (e->id > old->id ? e->id : old->id) + 1;
    Subst s = {k, NEW(k->cx, Expr *, k->nvar + 1), NEW(k->cx, Expr *, n)};
    s.done[old->id] = new;
    return subst(&s, e);
}

// In e, which is another kernel's, every variable has a place in to[], or lies within a part that is replaced.
Expr *expr_import(Kernel *k, Expr *e, Expr **to, int n, Expr **old, Expr **new) {
    Subst s = {k, to, NEW(k->cx, Expr *, e->id + 1)};
    for (int i = 0; i < n; i++)
        if (old[i]->id <= e->id) s.done[old[i]->id] = new[i];
    return subst(&s, e);
}

static void *copied(Cx *cx, const void *p, size_t bytes) {
    return bytes ? memcpy(cx_alloc(cx, bytes), p, bytes) : NULL;
}

// Expressions are shared; the tables that grow are not. Capacities are as VEC_PUSH and k_var left them.
Kernel *kernel_copy(const Kernel *k) {
    Kernel *c = copied(k->cx, k, sizeof *k);
    c->outs = copied(k->cx, k->outs, sizeof *k->outs * (size_t)k->nout);
    c->bodies = copied(k->cx, k->bodies, sizeof *k->bodies * (size_t)k->nout);
    c->extent = copied(k->cx, k->extent, sizeof *k->extent * (size_t)k->capvar);
    c->grows = copied(k->cx, k->grows, sizeof *k->grows * (size_t)k->capvar);
    c->hash = copied(k->cx, k->hash, sizeof *k->hash * (size_t)k->caphash);
    c->expr = NULL, c->nexpr = 0, c->buf = NULL, c->nbuf = 0;
    for (int i = 0; i < k->nexpr; i++) *VEC_PUSH(k->cx, c->expr, c->nexpr) = k->expr[i];
    for (int i = 0; i < k->nbuf; i++) *VEC_PUSH(k->cx, c->buf, c->nbuf) = k->buf[i];
    return c;
}

Expr *expr_find(Expr *e, bool (*is)(const Expr *)) {
    if (!e || e->is_index) return NULL;
    if (is(e)) return e;
    Expr *part[] = {e->a, e->b, e->c}, *r = NULL;
    for (int i = 0; i < 3 && !r; i++) r = expr_find(part[i], is);
    return r;
}
