// merge.c -- two variables that every index moves as one are one: if each index grows by c when v grows
// by one, and by c * extent(v) when u does, then u * extent(v) + v is a single longer variable. So a
// 1x1 convolution is a plain matrix product, and an element-wise kernel is one flat loop, without a
// division to unpack what was never apart.
#include "cuda.h"

typedef struct Seen { bool *of; Expr *u, *v; int64_t ev; } Seen;

static bool moves_as_one(const Seen *s, Expr *index) {
    if (index_has_data(index)) return false;
    int64_t a = ix_coef(index, s->u), b = ix_coef(index, s->v);
    return a != IX_WILD && b != IX_WILD && a == b * s->ev;
}

static bool as_one(Seen *s, Expr *e) {
    if (!e || s->of[e->id]) return true;
    s->of[e->id] = true;
    if (e->is_index) return moves_as_one(s, e);
    return as_one(s, e->a) && (expr_is_reduce(e) || as_one(s, e->b)) && as_one(s, e->c);
}

static bool fit(Kernel *k, Expr *u, Expr *v) {
    if (u->op != I_VAR || v->op != I_VAR || u == v) return false;
    Seen s = {NEW(k->cx, bool, k->nexpr), u, v, k->extent[v->i]};
    bool one = !var_is_open(k, v);
    for (int i = 0; i < k->nout && one; i++) one = as_one(&s, k->bodies[i]);
    for (int i = 0; i < k->nout && one; i++) one = moves_as_one(&s, ix_result(k, i));
    return one;
}

// The variable that takes the place of u and v; to[] says so.
static Expr *joined(Kernel *k, Expr *u, Expr *v, Expr ***to) {
    Expr *w = k_var(k, k->extent[u->i] * k->extent[v->i], k->grows[u->i]);
    *to = NEW(k->cx, Expr *, k->nvar);
    (*to)[u->i] = ix_imm(k, 0), (*to)[v->i] = w;
    return w;
}

static bool one_axis(Kernel *k) {
    for (int i = 0; i < k->out->shape.n; i++)
        for (int j = 0; j < k->out->shape.n; j++) {
            Expr **to;
            if (!fit(k, k->axis[i], k->axis[j])) continue;
            k->axis[j] = joined(k, k->axis[i], k->axis[j], &to);
            k->axis[i] = ix_imm(k, 0);
            for (int r = 0; r < k->nout; r++) k->bodies[r] = expr_subst(k, k->bodies[r], to);
            return true;
        }
    return false;
}

static bool is_pair(const Expr *x, const Expr *u, const Expr *v) {
    return expr_is_reduce(x) && x->b == u && x->a->op == x->op && x->a->b == v;
}

static bool replace(Kernel *k, Expr *old, Expr *new) {
    bool used = false;
    for (int i = 0; i < k->nout; i++) {
        Expr *e = expr_put(k, k->bodies[i], old, new);
        used |= e != k->bodies[i];
        k->bodies[i] = e;
    }
    return used;
}

// By id: what the kernel's results are made of. The table keeps what earlier joints replaced, too, and joining that
// would only make more of it, without end. Operands have smaller ids.
static bool *reached(Kernel *k) {
    bool *of = NEW(k->cx, bool, k->nexpr);
    for (int i = 0; i < k->nout; i++) of[k->bodies[i]->id] = true;
    for (int i = k->nexpr - 1; i >= 0; i--) {
        const Expr *in[] = {k->expr[i]->a, k->expr[i]->b, k->expr[i]->c};
        for (int j = 0; j < 3 && of[i]; j++)
            if (in[j]) of[in[j]->id] = true;
    }
    return of;
}

// Neighbours in the chain of a reduction; in all reductions over them at once, as they share loops.
static bool one_loop(Kernel *k) {
    bool *live = reached(k);
    for (int i = 0, n = k->nexpr; i < n; i++) {
        Expr *e = k->expr[i], **to;
        if (!live[i] || !expr_is_reduce(e) || !is_pair(e, e->b, e->a->b) || !fit(k, e->b, e->a->b)) continue;
        Expr *u = e->b, *v = e->a->b, *w = joined(k, u, v, &to);
        bool used = false;
        for (int j = k->nexpr - 1; j >= 0; j--)
            if (is_pair(k->expr[j], u, v))
                used |=
                    replace(k, k->expr[j], k_reduce(k, (KOp)k->expr[j]->op, w, expr_subst(k, k->expr[j]->a->a, to)));
        if (used) return true;
    }
    return false;
}

Kernel *kernel_merged(Kernel *k) {
    Kernel *m = kernel_copy(k);
    while (one_axis(m) || one_loop(m)) {}
    m->body = m->bodies[0];
    return m;
}
