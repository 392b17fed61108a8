// shifts.c -- the schedule for long sums of products of two images, one shifted against the other by a few steps, as
// a depthwise convolution's weight gradient:
//
//     out[.., taps.., lane] = f(sum over r.. of A[..] * B[..])
//
//     lane    the last axis: A, B and out step by 1
//     taps    B stands still, A moves: an accumulator for each place of theirs, at most as many as there are registers
//
// Of the innermost r a run of steps is written out at once, so that what neighbours share of A is loaded once. Sums
// of many terms are sums of partial sums, loop by loop, so that their rounding errors stay those of short ones.
#include "factors.h"

enum { PART = 512, MOST_TAPS = 25, MOST_RUN = 8 };    // terms summed in registers; accumulators; steps of r

typedef struct Shifts {
    Factors f;
    Expr *lane, *tap[MAXDIM], *step;                  // step: the innermost r
    int ntap, nouter, sums;                           // axes; how many; results of a unit
    int64_t run;
    int level;                                        // of red[]: from here on, sums are in registers
} Shifts;

typedef struct Term { int64_t at; int sum, step; } Term;      // A's place; of which result, with which step's B

static bool is_tap(Out *o, const Shifts *t, Expr *v) {
    int64_t a = ix_coef(t->f.a->a, v);
    return a != 0 && a != IX_WILD && ix_coef(t->f.b->a, v) == 0 && out_coef(o->k, v) != IX_WILD;
}

// Registers for accumulators and for a run of B's, beside one for A.
static int most_taps(const Out *o) { return o->isa == ISA_AVX512 ? MOST_TAPS : 9; }

static int64_t most_steps(const Out *o, int taps) {
    int64_t room = (o->isa == ISA_AVX512 ? 30 : 14) - taps;
    return room < MOST_RUN ? room : MOST_RUN;
}

static void cast_axes(Out *o, Shifts *t) {
    Kernel *k = o->k;
    bool taps = true;
    t->sums = 1;
    for (int d = k->out->shape.n - 1; d >= 0; d--) {
        Expr *v = k->axis[d];
        if (v->op != I_VAR || v == t->lane) continue;
        taps = taps && is_tap(o, t, v) && !var_is_open(k, v) && t->sums * var_extent(k, v) <= most_taps(o);
        if (taps) t->tap[t->ntap++] = v, t->sums *= (int)var_extent(k, v);
        else t->nouter++;
    }
}

static void choose_run(Out *o, Shifts *t) {
    int64_t n = var_extent(o->k, t->step), inner = n;
    for (t->run = var_is_open(o->k, t->step) ? 1 : most_steps(o, t->sums); n % t->run;) t->run--;
    t->level = t->f.nred - 1;
    while (t->level > 0 && inner * var_extent(o->k, t->f.red[t->level - 1]) <= PART)
        inner *= var_extent(o->k, t->f.red[--t->level]);
}

static bool analyse(Out *o, Shifts *t) {
    Kernel *k = o->k;
    *t = (Shifts){0};
    if (!factors_of(k, &t->f) || !(t->lane = lane_of(o)) || var_extent(k, t->lane) != o->lanes) return false;
    t->step = t->f.red[t->f.nred - 1];
    if (padded_from(k->out) < k->out->shape.n) return false;
    for (int swap = 0; swap < 2 && t->ntap == 0; swap++) {
        if (swap) { Expr *x = t->f.a; t->f.a = t->f.b, t->f.b = x; }
        t->nouter = 0, cast_axes(o, t);
    }
    int64_t a = ix_coef(t->f.a->a, t->lane), b = ix_coef(t->f.b->a, t->lane);
    bool even = ix_coef(t->f.a->a, t->step) != IX_WILD && ix_coef(t->f.b->a, t->step) != IX_WILD;
    if (t->ntap == 0 || a != 1 || b != 1 || !even) return false;
    choose_run(o, t);
    return true;
}

static int by_place(const void *a, const void *b) {
    const Term *x = a, *y = b;
    return x->at != y->at ? (x->at > y->at) - (x->at < y->at) : x->sum - y->sum;
}

// What a run of steps adds to which sum, in the order of A's places.
static int list_products(Out *o, Shifts *t, Term *p) {
    int n = 0;
    for (int i = 0; i < t->sums; i++) {
        int64_t at = 0;
        for (int d = 0, rest = i; d < t->ntap; d++) {
            int size = (int)var_extent(o->k, t->tap[d]);
            at += rest % size * ix_coef(t->f.a->a, t->tap[d]), rest /= size;
        }
        for (int s = 0; s < t->run; s++) p[n++] = (Term){at + s * ix_coef(t->f.a->a, t->step), i, s};
    }
    qsort(p, (size_t)n, sizeof *p, by_place);
    return n;
}

static void products(Out *o, Shifts *t) {
    Term p[MOST_TAPS * MOST_RUN];
    int n = list_products(o, t, p), loads = 0;
    long long next = (long long)ix_coef(t->f.b->a, t->step);
    line(o, "const m_f32 *a = b%d + %s, *b = b%d + %s;", buf_number(o->k, t->f.a->buf), index_text(o, t->f.a->a),
         buf_number(o->k, t->f.b->buf), index_text(o, t->f.b->a));
    for (int s = 0; s < t->run; s++) line(o, "const vf y%d = LD(b + %lldL);", s, s * next);
    for (int i = 0; i < n; i++) {
        bool again = i && p[i].at == p[i - 1].at;
        if (!again) line(o, "const vf x%d = LD(a + %lldL);", loads++, (long long)p[i].at);
        line(o, "s%d += x%d * y%d;", p[i].sum, loads - 1, p[i].step);
    }
}

static void sum_up(Out *o, Shifts *t) {
    line(o, "vf all0[%d] = {0};", t->sums);
    for (int r = 0; r < t->f.nred; r++) {
        int x = (int)t->f.red[r]->i;
        for (int i = 0; r == t->level && i < t->sums; i++) line(o, "vf s%d = {0};", i);
        if (r < t->f.nred - 1) loop(o, t->f.red[r]);
        else
            begin(o, "for (long v%d = 0; v%d < %s; v%d += %lldL) {", x, x, extent_text(o, t->step), x,
                  (long long)t->run);
        if (r + 1 < t->level) line(o, "vf all%d[%d] = {0};", r + 1, t->sums);
    }
    products(o, t);
    for (int r = t->f.nred - 1; r >= 0; r--) {
        end(o);
        int outer = r ? r - 1 : 0;
        for (int i = 0; r == t->level && i < t->sums; i++) line(o, "all%d[%d] += s%d;", outer, i, i);
        if (r < t->level && r) line(o, "for (int i = 0; i < %d; i++) all%d[i] += all%d[i];", t->sums, outer, r);
    }
}

static void results(Out *o, Shifts *t) {
    for (int i = 0; i < t->sums; i++) {
        int mark = open_scope(o);
        begin(o, "{");
        for (int d = 0, rest = i; d < t->ntap; d++) {
            int size = (int)var_extent(o->k, t->tap[d]);
            line(o, "const long v%d = %d;", (int)t->tap[d]->i, rest % size), rest /= size;
        }
        name_expr(o, t->f.sum, cx_fmt(o->cx, "all0[%d]", i));
        store(o, 0, o->k->body);
        end(o);
        close_scope(o, mark);
    }
}

bool schedule_shifts(Out *o) {
    Shifts t;
    Expr *v[MAXDIM];
    if (!analyse(o, &t)) return false;
    int n = unit_axes(o, v, t.nouter);
    begin(o, "for (long u = lo; u < hi; u++) {");
    unpack(o, v, n);
    line(o, "const long v%d = 0;", (int)t.lane->i);
    begin(o, "{");
    for (int d = 0; d < t.ntap; d++) line(o, "const long v%d = 0;", (int)t.tap[d]->i);
    sum_up(o, &t);
    o->lane = t.lane;
    results(o, &t);
    end(o), end(o);
    return true;
}
