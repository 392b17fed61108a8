// axes.c -- see axes.h. Two neighbouring axes become one where every index moves over them as over
// one axis: h * W + w is one number if W is as long as w's axis, in every index.
#include "axes.h"

// ---- indices as sums ----

bool affine_add(Affine *a, int64_t var, int64_t coef) {
    int i = 0;
    while (i < a->n && a->var[i] != var) i++;
    if (i == MAX_TERMS) return false;
    if (i == a->n) a->var[a->n] = var, a->coef[a->n++] = 0;
    a->coef[i] += coef;
    return true;
}

static bool terms(Expr *e, int64_t by, Affine *a, Rest *rest) {
    if (e->op == I_IMM) return a->base += by * e->i, true;
    if (e->op == I_VAR) return affine_add(a, e->i, by);
    if (e->op == I_ADD) return terms(e->a, by, a, rest) && terms(e->b, by, a, rest);
    if (e->op == I_MUL && e->b->op == I_IMM) return terms(e->a, by * e->b->i, a, rest);
    if (rest->n == MAX_TERMS) return false;
    rest->e[rest->n] = e, rest->coef[rest->n++] = by;
    return true;
}

int64_t affine_coef(const Affine *a, int64_t var) {
    for (int i = 0; i < a->n; i++)
        if (a->var[i] == var) return a->coef[i];
    return 0;
}

bool affine_of(const Axes *x, Expr *index, Affine *a, Rest *rest) {
    *a = (Affine){0}, rest->n = 0;
    if (!terms(index, 1, a, rest)) return false;
    int n = 0;
    for (int i = 0; i < a->n; i++)
        if (a->coef[i] && !x->merged[a->var[i]]) a->var[n] = a->var[i], a->coef[n++] = a->coef[i];
    a->n = n;
    return true;
}

// ---- merging ----

typedef struct Roots { Cx *cx; Expr **e; int n; bool *seen; } Roots;      // indices as a whole

static void collect(Roots *r, Expr *e) {
    if (!e || r->seen[e->id]) return;
    r->seen[e->id] = true;
    Expr *part[] = {e->a, expr_is_reduce(e) ? NULL : e->b, e->c};
    for (int i = 0; i < 3; i++) {
        if (part[i] && part[i]->is_index && !e->is_index) *VEC_PUSH(r->cx, r->e, r->n) = part[i];
        collect(r, part[i]);
    }
}

static bool depends(const Expr *e, int64_t v) {               // as an index; not through data
    if (!e || !e->is_index || e->op == I_IMM || e->op == I_DATA) return false;
    return e->op == I_VAR ? e->i == v : depends(e->a, v) || depends(e->b, v);
}

static bool as_one(Expr *index, int64_t slow, int64_t fast, int64_t extent) {
    Affine a = {0};
    Rest rest = {.n = 0};
    if (!terms(index, 1, &a, &rest) || affine_coef(&a, slow) != affine_coef(&a, fast) * extent) return false;
    for (int i = 0; i < rest.n; i++)
        if (depends(rest.e[i], slow) || depends(rest.e[i], fast)) return false;
    return true;
}

static void merge(Axes *x, const int64_t *var, int n) {
    Kernel *k = x->k;
    Roots r = {.cx = k->cx};
    for (int i = 0; i < k->nout; i++) *VEC_PUSH(k->cx, r.e, r.n) = ix_view(k, k->outs[i], k->axis);
    r.seen = NEW(k->cx, bool, k->nexpr);
    for (int i = 0; i < k->nout; i++) collect(&r, k->bodies[i]);
    int64_t fast = n ? var[n - 1] : -1;
    for (int d = n - 2; d >= 0; d--) {
        bool one = !x->grows[var[d]] && !x->grows[fast];
        for (int i = 0; i < r.n && one; i++) one = as_one(r.e[i], var[d], fast, x->extent[fast]);
        if (one) x->merged[var[d]] = true, x->extent[fast] *= x->extent[var[d]];
        else fast = var[d];
    }
}

// ---- the lane ----

enum { LONG_ENOUGH = 7, TOO_SHORT = 8 };

// The last axis that is long enough, because memory runs along it; else the longest. One that grows
// only if the others are short.
static int choose_lane(const Axes *x, const int64_t *var, int n) {
    int best = -1;
    for (int i = n - 1; i >= 0; i--) {
        int v = (int)var[i];
        if (x->merged[v] || x->grows[v]) continue;
        if (best < 0 || (x->extent[best] < LONG_ENOUGH && x->extent[v] > x->extent[best])) best = v;
    }
    for (int i = 0; i < n; i++)
        if (x->grows[var[i]] && (best < 0 || (x->extent[best] < TOO_SHORT && x->extent[var[i]] > x->extent[best])))
            return (int)var[i];
    return best;
}

Axes axes_of(Kernel *k) {
    Axes x = {.k = k, .lane = -1};
    int64_t var[MAXDIM];
    int n = 0;
    for (int d = 0; d < k->out->shape.n; d++)
        if (k->axis[d]->op == I_VAR) var[n++] = k->axis[d]->i;
    x.extent = NEW(k->cx, int64_t, k->nvar + 1);
    x.grows = NEW(k->cx, bool, k->nvar + 1), x.merged = NEW(k->cx, bool, k->nvar + 1);
    for (int v = 0; v < k->nvar; v++) x.extent[v] = k->extent[v], x.grows[v] = k->grows[v] && k->max_batch > 1;
    merge(&x, var, n);
    x.lane = choose_lane(&x, var, n);
    for (int pass = 1; pass >= 0; pass--)                     // what grows first
        for (int i = 0; i < n; i++)
            if (var[i] != x.lane && !x.merged[var[i]] && x.grows[var[i]] == (bool)pass)
                x.outer[x.nouter++] = (int)var[i];
    return x;
}
