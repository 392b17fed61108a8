// index.c -- index arithmetic in simplest form, and what schedules ask of an index.
//
// Canonical: constants stand on the right and are gathered; a product has a constant second
// factor wherever one is known; x / c and x % c split into what c divides and a rest in 0..c.
// What is split and put together again (e/c*c + e%c) never happened.
#include "op.h"

static Expr *node(Kernel *k, IOp op, Expr *a, Expr *b, int64_t i) {
    return expr_intern(k, (Expr){.is_index = true, .op = op, .a = a, .b = b, .i = i});
}

static bool is_imm(const Expr *e) { return e->op == I_IMM; }

Expr *ix_imm(Kernel *k, int64_t i) { return node(k, I_IMM, NULL, NULL, i); }
Expr *ix_add(Kernel *k, Expr *a, int64_t i) { return ix(k, I_ADD, a, ix_imm(k, i)); }
Expr *ix_mul(Kernel *k, Expr *a, int64_t i) { return ix(k, I_MUL, a, ix_imm(k, i)); }

Expr *ix_data(Kernel *k, Expr *value, int64_t extent) {
    if (value->op == K_IMM && value->i >= 0 && value->i < extent) return ix_imm(k, value->i);
    if (value->op == K_INDEX) {
        int64_t lo, hi;
        ix_range(k, value->a, &lo, &hi);
        if (lo >= 0 && hi < extent) return value->a;
    }
    return node(k, I_DATA, value, NULL, extent);
}

// t = base * factor
static Expr *factored(Expr *t, int64_t *factor) {
    bool product = t->op == I_MUL && is_imm(t->b);
    *factor = product ? t->b->i : 1;
    return product ? t->a : t;
}

// (e / c) * (c * s) + (e % c) * s = e * s
static Expr *mend(Kernel *k, Expr *a, Expr *b) {
    int64_t s, r;
    Expr *m = factored(b, &s), *d = factored(a, &r);
    if (m->op != I_MOD || d->op != I_DIV || !is_imm(m->b) || d->a != m->a || d->b != m->b) return NULL;
    return r == m->b->i * s ? ix_mul(k, m->a, s) : NULL;
}

static Expr *add(Kernel *k, Expr *a, Expr *b) {
    if (is_imm(a) && is_imm(b)) return ix_imm(k, a->i + b->i);
    if (is_imm(a)) return add(k, b, a);
    if (is_imm(b) && b->i == 0) return a;
    if (a->op == I_ADD && is_imm(a->b))                                                // constants last
        return is_imm(b) ? add(k, a->a, ix_imm(k, a->b->i + b->i)) : add(k, add(k, a->a, b), a->b);
    if (b->op == I_ADD) return add(k, add(k, a, b->a), b->b);                          // sums lean left
    int64_t fa, fb;
    Expr *ta = factored(a, &fa), *tb = factored(b, &fb), *m;
    if (ta == tb && !is_imm(b)) return ix_mul(k, ta, fa + fb);
    if (!is_imm(b) && ((m = mend(k, a, b)) || (m = mend(k, b, a)))) return m;
    if (a->op == I_ADD && !is_imm(b)) {
        ta = factored(a->b, &fa);
        if (ta == tb) return add(k, a->a, ix_mul(k, ta, fa + fb));
        if ((m = mend(k, a->b, b)) || (m = mend(k, b, a->b))) return add(k, a->a, m);
    }
    return node(k, I_ADD, a, b, 0);
}

static Expr *mul(Kernel *k, Expr *a, Expr *b) {
    if (is_imm(a) && is_imm(b)) return ix_imm(k, a->i * b->i);
    if (is_imm(a)) return mul(k, b, a);
    if (!is_imm(b)) return node(k, I_MUL, a, b, 0);
    if (b->i == 0) return b;
    if (b->i == 1) return a;
    if (a->op == I_MUL && is_imm(a->b)) return mul(k, a->a, ix_imm(k, a->b->i * b->i));
    if (a->op == I_ADD) return add(k, mul(k, a->a, b), mul(k, a->b, b));
    return node(k, I_MUL, a, b, 0);
}

// e = quot * y + rem, by terms
static void split(Kernel *k, Expr *e, int64_t y, Expr **quot, Expr **rem) {
    *quot = ix_imm(k, 0), *rem = e;
    if (e->op == I_ADD) {
        Expr *q, *r;
        split(k, e->a, y, quot, rem);
        split(k, e->b, y, &q, &r);
        *quot = add(k, *quot, q), *rem = add(k, *rem, r);
    } else if (is_imm(e) && e->i >= 0) {
        *quot = ix_imm(k, e->i / y), *rem = ix_imm(k, e->i % y);
    } else if (e->op == I_MUL && is_imm(e->b) && e->b->i % y == 0) {
        *quot = mul(k, e->a, ix_imm(k, e->b->i / y)), *rem = ix_imm(k, 0);
    }
}

static Expr *divide(Kernel *k, IOp op, Expr *a, Expr *b) {
    int64_t y = b->i, lo, hi, alo, ahi;
    if (!is_imm(b) || y <= 0) return node(k, op, a, b, 0);
    if (y == 1) return op == I_DIV ? a : ix_imm(k, 0);
    if (is_imm(a)) return ix_imm(k, op == I_DIV ? a->i / y : a->i % y);
    Expr *quot, *rem;
    split(k, a, y, &quot, &rem);
    ix_range(k, rem, &lo, &hi), ix_range(k, a, &alo, &ahi);
    if (lo >= 0 && hi < y && alo >= 0) return op == I_DIV ? quot : rem;
    if (alo >= 0 && lo >= 0 && rem != a) {                   // what divides comes out
        Expr *rest = node(k, op, rem, b, 0);
        return op == I_DIV ? add(k, quot, rest) : rest;
    }
    if (op == I_DIV && alo >= 0 && a->op == I_DIV && is_imm(a->b)) return divide(k, op, a->a, ix_imm(k, a->b->i * y));
    return node(k, op, a, b, 0);
}

Expr *ix(Kernel *k, IOp op, Expr *a, Expr *b) {
    switch (op) {
    case I_ADD: return add(k, a, b);
    case I_MUL: return mul(k, a, b);
    default:    return divide(k, op, a, b);
    }
}

Expr *ix_flat(Kernel *k, Shape s, Expr **at) {
    Expr *f = ix_imm(k, 0);
    for (int i = 0; i < s.n; i++) f = add(k, ix_mul(k, f, s.d[i]), at[i]);
    return f;
}

void ix_split(Kernel *k, Shape s, Expr *flat, Expr **at) {
    for (int i = s.n - 1; i >= 0; i--) {
        Expr *size = ix_imm(k, s.d[i]);
        at[i] = i ? divide(k, I_MOD, flat, size) : flat;
        if (i) flat = divide(k, I_DIV, flat, size);
        if (s.d[i] == 1 && s.batch != i + 1) at[i] = ix_imm(k, 0);
    }
}

Expr *ix_view(Kernel *k, Node *n, Expr **at) {
    Expr *f = ix_imm(k, 0);
    for (int d = 0; d < n->shape.n; d++) f = add(k, f, ix_mul(k, at[d], n->view.stride[d]));
    return ix_add(k, f, n->view.base);
}

static bool depends(const Expr *e, const Expr *var) {
    if (!e) return false;
    if (e == var) return true;
    return depends(e->a, var) || depends(e->b, var) || depends(e->c, var);
}

int64_t ix_coef(Expr *e, Expr *v) {
    if (e->op == I_IMM) return 0;
    if (e->op == I_VAR) return e->i == v->i;
    if (e->op == I_DATA) return depends(e->a, v) ? IX_WILD : 0;
    int64_t a = ix_coef(e->a, v), b = ix_coef(e->b, v);
    if (a == 0 && b == 0) return 0;
    if (a == IX_WILD || b == IX_WILD) return IX_WILD;
    if (e->op == I_ADD) return a + b;
    if (e->op == I_MUL && is_imm(e->b)) return a * e->b->i;
    return IX_WILD;
}

void ix_range(Kernel *k, Expr *e, int64_t *lo, int64_t *hi) {
    const int64_t far = INT64_MAX / 4;
    int64_t al, ah, bl, bh;
    switch (e->op) {
    case I_IMM: *lo = *hi = e->i; return;
    case I_VAR: *lo = 0, *hi = k->extent[e->i] - 1; return;
    case I_DATA: *lo = 0, *hi = e->i - 1; return;
    }
    ix_range(k, e->a, &al, &ah), ix_range(k, e->b, &bl, &bh);
    bool imm = is_imm(e->b);
    *lo = -far, *hi = far;
    if (al <= -far || ah >= far || bl <= -far || bh >= far) return;
    if (e->op == I_ADD) *lo = al + bl, *hi = ah + bh;
    else if (e->op == I_MUL && imm && !__builtin_mul_overflow(al, bl, lo) && !__builtin_mul_overflow(ah, bl, hi)) {
        if (bl < 0) { int64_t t = *lo; *lo = *hi, *hi = t; }
    }
    else if (e->op == I_DIV && imm && al >= 0 && bl > 0) *lo = al / bl, *hi = ah / bl;
    else if (e->op == I_MOD && imm && al >= 0 && bl > 0) *lo = 0, *hi = ah < bl ? ah : bl - 1;
    else *lo = -far, *hi = far;
}
