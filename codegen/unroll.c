// unroll.c -- the schedule for formulas with small constant tables in them: unroll every axis that
// indexes a table, so that its entries are literals; write the sums out; equal terms are one by
// interning. Straight-line code, no loop inside a tile. Nothing here knows of Winograd: that 2-D
// transforms are cheap follows from the sharing.
#include "codegen.h"

enum { MAXSUM = 8, MAXTABLE = 64, MAXOUT = 64 };

typedef struct Unroll {
    Out *o;
    Expr **value;                                 // what a variable stands for, or NULL
    int64_t *step;                                // of an axis: how many of it are unrolled
} Unroll;

static bool is_table(const Expr *e) {
    return e && !e->is_index && e->op == K_LOAD && e->buf->op == OP_Const && e->buf->data && e->type == DT_F32 &&
           numel(e->buf->shape) <= MAXTABLE;
}

static bool has_table(const Expr *e) {
    return e && !e->is_index && (is_table(e) || has_table(e->a) || has_table(e->b) || has_table(e->c));
}

static bool small_sums(const Expr *e) {
    if (!e) return true;
    if (e->is_index) return !index_has_data(e);
    bool fits = !expr_is_reduce(e) || (e->op == K_SUM && e->i <= MAXSUM);
    return fits && small_sums(e->a) && small_sums(e->b) && small_sums(e->c);
}

// v % c in a table's index: c of v are unrolled. v itself: all of it.
static void steps(Unroll *u, Expr *e, bool inside) {
    if (!e) return;
    if (!e->is_index) {
        steps(u, e->a, is_table(e));
        if (!expr_is_reduce(e)) steps(u, e->b, false);
        steps(u, e->c, false);
        return;
    }
    if (!inside || e->op == I_IMM) return;
    int64_t *s = u->step;
    if (e->op == I_MOD && e->a->op == I_VAR && e->b->op == I_IMM)
        s[e->a->i] = s[e->a->i] > e->b->i ? s[e->a->i] : e->b->i;
    else if (e->op == I_VAR) s[e->i] = u->o->k->extent[e->i];
    else steps(u, e->a, true), steps(u, e->b, true);
}

static bool imm(const Expr *e, double f) { return e->op == K_IMM && e->f == f; }

static Expr *simple(Kernel *k, KOp op, Expr *a, Expr *b) {
    if (op == K_MUL && (imm(a, 0) || imm(b, 0))) return k_imm(k, DT_F32, 0);
    if (op == K_MUL && imm(a, 1)) return b;
    if (op == K_MUL && imm(a, -1)) return k1(k, K_NEG, b);
    if (op == K_ADD && imm(a, 0)) return b;
    if (op == K_ADD && imm(b, 0)) return a;
    if (op == K_ADD && b->op == K_NEG) return k2(k, K_SUB, a, b->a);
    if (op == K_ADD && a->op == K_NEG) return k2(k, K_SUB, b, a->a);
    return k2(k, op, a, b);
}

static Expr *flat_index(Unroll *u, Expr *e) {
    if (e->op == I_VAR) return u->value[e->i] ? u->value[e->i] : e;
    return e->op == I_IMM ? e : ix(u->o->k, (IOp)e->op, flat_index(u, e->a), flat_index(u, e->b));
}

// e with every variable replaced by its value and every sum written out
static Expr *flat(Unroll *u, Expr *e) {
    Kernel *k = u->o->k;
    if (!e) return NULL;
    if (e->is_index) return flat_index(u, e);
    if (e->op == K_SUM) {
        Expr *sum = k_imm(k, DT_F32, 0);
        for (int64_t i = 0; i < e->i; i++) {
            u->value[e->b->i] = ix_imm(k, i);
            sum = simple(k, K_ADD, sum, flat(u, e->a));
        }
        u->value[e->b->i] = NULL;
        return sum;
    }
    Expr *a = flat(u, e->a), *b = flat(u, e->b), *c = flat(u, e->c);
    if (is_table(e) && a->op == I_IMM) return k_imm(k, DT_F32, dtype_get_f(DT_F32, (const float *)e->buf->data + a->i));
    if (e->op == K_ADD || e->op == K_MUL) return simple(k, (KOp)e->op, a, b);
    if (e->op == K_INSIDE) return k_inside(k, b, e->i, a, c);
    Expr copy = *e;
    copy.a = a, copy.b = b, copy.c = c, copy.as = NULL;
    return expr_intern(k, copy);
}

typedef struct Result { Expr *value, *at; const char *guard; } Result;

// One result for each combination of unrolled indices.
static void outputs(Unroll *u, int d, const char *guard, Result *r, int *n) {
    Kernel *k = u->o->k;
    while (d < k->out->shape.n && (k->axis[d]->op != I_VAR || u->step[k->axis[d]->i] == 0)) d++;
    if (d == k->out->shape.n) {
        r[(*n)++] = (Result){flat(u, k->body), flat_index(u, ix_view(k, k->out, k->axis)), guard};
        return;
    }
    int64_t v = k->axis[d]->i, size = k->extent[v], step = u->step[v];
    Expr *tile = step < size ? u->value[v] : NULL;       // v = tile * step + i
    for (int64_t i = 0; i < step; i++) {
        u->value[v] = tile ? ix_add(k, ix_mul(k, tile, step), i) : ix_imm(k, i);
        bool over = tile && size % step && i >= size % step;
        const char *g =
            over ? cx_fmt(u->o->cx, "%sif (%s < %lldL) ", guard, index_text(u->o, u->value[v]), (long long)size)
                 : guard;
        outputs(u, d + 1, g, r, n);
    }
    u->value[v] = tile;
}

static bool prepare(Unroll *u) {
    Out *o = u->o;
    Kernel *k = o->k;
    int64_t results = 1;
    int room = k->nvar + MAXDIM;                         // for the tiles' numbers, too
    u->value = NEW(o->cx, Expr *, room), u->step = NEW(o->cx, int64_t, room);
    steps(u, k->body, false);
    for (int d = 0; d < k->out->shape.n; d++)
        if (k->axis[d]->op == I_VAR && u->step[k->axis[d]->i]) {
            results *= u->step[k->axis[d]->i];
            if (k->axis[d] == o->lane || var_is_open(k, k->axis[d])) return false;
        }
    return results <= MAXOUT;
}

// The loops that remain: an unrolled axis longer than its step runs over tiles.
static int loops_of(Unroll *u, Expr **v) {
    Kernel *k = u->o->k;
    int n = 0;
    for (int pass = 0; pass < 2; pass++)                 // the batch first
        for (int d = 0; d < k->out->shape.n; d++) {
            Expr *x = k->axis[d];
            if (x->op != I_VAR || x == u->o->lane || var_is_open(k, x) != !pass) continue;
            int64_t size = k->extent[x->i], step = u->step[x->i];
            if (step == size) continue;
            if (step) x = u->value[x->i] = k_var(k, (size + step - 1) / step, false);
            if (x->op == I_VAR) v[n++] = x;
        }
    return n;
}

static bool is_axis_before(const Kernel *k, const Expr *v, int padded) {
    for (int d = 0; d < padded; d++)
        if (k->axis[d] == v) return true;
    return false;
}

static bool is_among(Expr *const *v, int n, const Expr *axis) {
    while (n > 0 && v[n - 1] != axis) n--;
    return n > 0;
}

static void print(Unroll *u) {
    Out *o = u->o;
    Result *r = NEW(o->cx, Result, MAXOUT);
    int n = 0, mark = open_scope(o);
    outputs(u, 0, "", r, &n);
    o->uses = NEW(o->cx, int, o->k->nexpr);
    for (int i = 0; i < n; i++) count_uses(o, r[i].value);
    for (int i = 0; i < n; i++) {
        const char *v = value_text(o, r[i].value), *at = index_text(o, r[i].at);
        line(o, o->lane ? "%sST(b0 + %s, %s);" : "%sb0[%s] = %s;", r[i].guard, at, v);
    }
    close_scope(o, mark);
}

bool schedule_unroll(Out *o) {
    Kernel *k = o->k;
    if (k->nout > 1 || k->out->type != DT_F32 || !has_table(k->body) || !small_sums(k->body)) return false;
    Unroll u = {.o = o};
    o->lane = lane_of(o);
    if (o->lane && k->extent[o->lane->i] != o->lanes) o->lane = NULL;
    if (!prepare(&u)) return false;
    Expr *v[MAXDIM];
    int n = loops_of(&u, v), outer = n < 2 ? n : 2;
    o->per_batch = n && var_is_open(k, v[0]);
    o->units = 1;
    for (int i = 0; i < outer; i++) o->units *= k->extent[v[i]->i];
    begin(o, "for (long u = lo; u < hi; u++) {");
    unpack(o, v, outer);
    int padded = padded_from(k->out);
    if (padded < k->out->shape.n) {
        for (int d = 0; d < padded; d++)               // axes that the unit itself walks are cleared as a whole
            if (k->axis[d]->op == I_VAR && !is_among(v, outer, k->axis[d])) padded = d;
        const char *first = "1";
        for (int i = 0; i < outer; i++)
            if (!is_axis_before(k, v[i], padded)) first = cx_fmt(o->cx, "%s && v%d == 0", first, (int)v[i]->i);
        begin(o, "if (%s) {", first);
        clear_halo(o, 0, padded);
        end(o);
    }
    for (int i = outer; i < n; i++) loop(o, v[i]);
    if (o->lane) line(o, "const long v%d = 0;", (int)o->lane->i);
    print(&u);
    for (int i = outer; i < n; i++) end(o);
    end(o);
    return true;
}
