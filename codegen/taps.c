// taps.c -- the schedule for reductions of few terms along a vector of results: depthwise
// convolutions, pooling, sums over short axes.
//
//     out[.. p, q, .. lane] = f(reduce over r.. of g)       the r.. together take at most TERMS values
//
// The terms are written out for a run of q's at once, so that what neighbours share (weights,
// overlapping windows) is loaded once: equal expressions are one by interning. Where g asks whether
// an index is inside, rows and columns for which the answer is always yes are told apart from the
// edge, which keeps the tests.
#include "codegen.h"

enum { TERMS = 32, RUN = 8, STATEMENTS = 128 };

typedef struct Range { int64_t lo, hi; } Range;

typedef struct Taps {
    Out *o;
    Expr *reduce;                     // the outermost reduction of the formula
    Expr *p, *q;                      // output axes: the last two besides the lane; p may be NULL
    Range inner_p, inner_q;           // where no test is needed
    int64_t run;                      // q's written out
    Expr **value;                     // what a variable stands for, or NULL
} Taps;

// ---- which formulas ----

static int64_t terms_of(const Taps *t) {
    int64_t n = 1;
    for (Expr *e = t->reduce; e->op == t->reduce->op && n <= TERMS; e = e->a) {
        if (var_is_open(t->o->k, e->b)) return TERMS + 1;
        n *= e->i;
    }
    return n;
}

static Expr *below(const Taps *t) {
    Expr *e = t->reduce;
    while (e->op == t->reduce->op) e = e->a;
    return e;
}

static bool is_reduce(const Expr *e) { return expr_is_reduce(e); }

static bool reduces_more(const Taps *t, Expr *e) {
    if (!e || e->is_index || e == t->reduce) return false;
    return is_reduce(e) || reduces_more(t, e->a) || reduces_more(t, e->b) || reduces_more(t, e->c);
}

// Leave in r the values of v for which every test of e on an index that moves with v alone holds.
static void shrink(Kernel *k, Expr *e, Expr *v, Range *r) {
    if (!e || e->is_index || !v) return;
    shrink(k, e->a, v, r);
    if (!is_reduce(e)) shrink(k, e->b, v, r);
    shrink(k, e->c, v, r);
    int64_t lo, hi, c = e->op == K_INSIDE ? ix_coef(e->b, v) : 0;
    if (c <= 0 || c == IX_WILD) return;
    ix_range(k, e->b, &lo, &hi);
    hi -= c * (k->extent[v->i] - 1);                   // of what is added to c * v
    int64_t from = lo >= 0 ? 0 : (-lo + c - 1) / c, to = e->i - 1 - hi < 0 ? 0 : (e->i - 1 - hi) / c + 1;
    if (from > r->lo) r->lo = from;
    if (to < r->hi) r->hi = to;
}

static void choose_run(Taps *t, int64_t terms) {
    int64_t n = t->inner_q.hi - t->inner_q.lo, most = STATEMENTS / terms < RUN ? STATEMENTS / terms : RUN,
            least = INT64_MAX;
    for (int64_t run = most < n ? most : n; run >= 2; run--) {
        int64_t cost = (n + run - 1) / run * (run + 1);
        if (cost < least) least = cost, t->run = run;
    }
}

static bool analyse(Taps *t) {
    Out *o = t->o;
    Kernel *k = o->k;
    if (k->nout > 1 || !(o->lane = lane_of(o)) || !(t->reduce = expr_find(k->body, is_reduce))) return false;
    int64_t terms = terms_of(t);
    if (terms > TERMS || reduces_more(t, k->body) || expr_find(below(t), is_reduce)) return false;
    for (int d = k->out->shape.n - 1; d >= 0 && !t->p; d--) {
        Expr *v = k->axis[d];
        if (v->op != I_VAR || v == o->lane || var_is_open(k, v)) continue;
        if (!t->q) t->q = v;
        else t->p = v;
    }
    if (!t->q) return false;
    t->inner_q = (Range){0, k->extent[t->q->i]}, t->inner_p = (Range){0, t->p ? k->extent[t->p->i] : 1};
    shrink(k, below(t), t->q, &t->inner_q), shrink(k, below(t), t->p, &t->inner_p);
    choose_run(t, terms);
    return t->run >= 2 && t->inner_p.lo < t->inner_p.hi;
}

// ---- writing the terms out ----

static Expr *flat_index(Taps *t, Expr *e) {
    if (e->op == I_VAR) return t->value[e->i] ? t->value[e->i] : e;
    return e->op == I_IMM ? e : ix(t->o->k, (IOp)e->op, flat_index(t, e->a), flat_index(t, e->b));
}

static Expr *flat(Taps *t, Expr *e) {
    static const KOp fold[] = {[K_SUM] = K_ADD, [K_PROD] = K_MUL, [K_MAXIMUM] = K_MAX, [K_MINIMUM] = K_MIN};
    Kernel *k = t->o->k;
    if (!e) return NULL;
    if (e->is_index) return flat_index(t, e);
    if (!is_reduce(e)) {
        Expr copy = *e;
        copy.a = flat(t, e->a), copy.b = flat(t, e->b), copy.c = flat(t, e->c), copy.as = NULL;
        return e->op == K_INSIDE ? k_inside(k, copy.b, e->i, copy.a, copy.c) : expr_intern(k, copy);
    }
    int nred = 0;
    Expr *red[TERMS], *all = NULL;                     // a chain over all terms, whatever the nesting
    for (Expr *r = e; r->op == e->op; r = r->a) red[nred++] = r->b, t->value[r->b->i] = ix_imm(k, 0);
    for (int d = 0; d >= 0;) {
        Expr *term = flat(t, below(t));
        all = all ? k2(k, fold[e->op], all, term) : term;
        for (d = nred - 1; d >= 0; d--) {              // count on
            int64_t next = t->value[red[d]->i]->i + 1;
            bool over = next == k->extent[red[d]->i];
            t->value[red[d]->i] = ix_imm(k, over ? 0 : next);
            if (!over) break;
        }
    }
    for (int d = 0; d < nred; d++) t->value[red[d]->i] = NULL;
    return all;
}

// ---- printing ----

// A run of results in the inner part, q from inner_q.lo + the loop's variable on.
static void inner(Taps *t) {
    Out *o = t->o;
    Kernel *k = o->k;
    int64_t last = t->inner_q.hi - t->inner_q.lo - t->run;
    Expr *q = k_var(k, last + 1, false), *p = t->p ? k_var(k, t->inner_p.hi - t->inner_p.lo, false) : NULL, *at[RUN],
         *result[RUN];
    if (p) t->value[t->p->i] = ix_add(k, p, t->inner_p.lo);
    if (p && p->op == I_VAR)
        line(o, "const long v%d = v%d - %lldL;", (int)p->i, (int)t->p->i, (long long)t->inner_p.lo);
    if (q->op == I_VAR) {                              // the last run may overlap the one before
        begin(o, "for (long q = 0; q < %lldL; q += %lldL) {", (long long)(last + t->run), (long long)t->run);
        line(o, "const long v%d = q < %lldL ? q : %lldL;", (int)q->i, (long long)last, (long long)last);
    } else begin(o, "{");
    for (int64_t i = 0; i < t->run; i++) {
        t->value[t->q->i] = ix_add(k, q, t->inner_q.lo + i);
        at[i] = flat_index(t, ix_view(k, k->out, k->axis)), result[i] = flat(t, k->body);
    }
    int *uses = o->uses, mark = open_scope(o);
    o->uses = NEW(o->cx, int, k->nexpr);
    for (int64_t i = 0; i < t->run; i++) count_uses(o, result[i]);
    for (int64_t i = 0; i < t->run; i++) {
        const char *v = value_text(o, result[i]);
        line(o, "ST(b0 + %s, %s);", index_text(o, at[i]), v);
    }
    close_scope(o, mark);
    o->uses = uses;
    end(o);
}

// What lies outside the inner rows and columns: by the formula as it is.
static void edge(Taps *t, const char *inner_row) {
    Out *o = t->o;
    int q = (int)t->q->i;
    long long Q = o->k->extent[q];
    begin(o, "for (long v%d = 0; v%d < %lldL; v%d++) {", q, q, Q, q);
    line(o, "if (%s && v%d == %lldL) v%d = %lldL;", inner_row, q, (long long)t->inner_q.lo, q,
         (long long)t->inner_q.hi);
    if (t->inner_q.hi == Q) line(o, "if (v%d == %lldL) break;", q, Q);
    int mark = open_scope(o);
    store(o, 0, o->k->body);
    close_scope(o, mark);
    end(o);
}

static void row(Taps *t) {
    Kernel *k = t->o->k;
    bool whole_p = t->inner_p.lo == 0 && t->inner_p.hi == (t->p ? k->extent[t->p->i] : 1);
    bool whole_q = t->inner_q.lo == 0 && t->inner_q.hi == k->extent[t->q->i];
    const char *inner_row = "1";
    if (!whole_p)
        inner_row = cx_fmt(k->cx, "(v%d >= %lldL && v%d < %lldL)", (int)t->p->i, (long long)t->inner_p.lo, (int)t->p->i,
                           (long long)t->inner_p.hi);
    if (!whole_p || !whole_q) edge(t, inner_row);
    if (!whole_p) begin(t->o, "if %s {", inner_row);
    inner(t);
    if (!whole_p) end(t->o);
}

bool schedule_taps(Out *o) {
    Kernel *k = o->k;
    Taps t = {.o = o};
    if (!analyse(&t)) return false;
    t.value = NEW(o->cx, Expr *, k->nvar + 4);
    Expr *v[MAXDIM];
    int axes = 0, n, rank = k->out->shape.n;
    for (int d = 0; d < rank; d++) axes += k->axis[d]->op == I_VAR && k->axis[d] != o->lane;
    n = unit_axes(o, v, axes - 1);
    begin(o, "for (long u = lo; u < hi; u++) {");
    unpack(o, v, n);
    clear_halos(o, v, n);
    begin(o, "for (long i = 0; i < %lldL; i += LANES) {", (long long)k->extent[o->lane->i]);
    long long last = k->extent[o->lane->i] - o->lanes;
    line(o, "const long v%d = i < %lldL ? i : %lldL;", (int)o->lane->i, last, last);
    row(&t);
    end(o), end(o);
    return true;
}
