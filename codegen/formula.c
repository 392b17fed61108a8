// formula.c -- kernels as bytecode: what print.c does for the C compiler, for the interpreter.
//
// Requires a kernel with formulas; keeps it. Values get registers: shared ones until their scope
// ends, others until their user has read them. Neighbouring output axes that every index treats
// as one become one, so that blocks are long; the axis blocks run along is chosen by size. What
// does not move with a reduction's variable is computed before its loop.
#include "formula.h"
#include "axes.h"
#include "ir/op.h"
#include "runtime/arith.h"
#include "runtime/interp.h"

typedef struct Coder {
    Cx *cx;
    Kernel *k;
    Axes axes;
    int64_t *code;
    int n;
    int nvar;                         // the kernel's variables, and those made of uniform terms
    int *reg;                         // by expression id: 1 + the register it is in, or 0
    int *scope_of;                    // and the depth of the scope that put it there
    int *uses;
    Expr **live;                      // expressions in registers, innermost scope last
    int nlive, depth, deepest;
    bool *taken;                      // registers
    int nreg, capreg;
} Coder;

// ---- words ----

static void put(Coder *o, int64_t word) { *VEC_PUSH(o->cx, o->code, o->n) = word; }

static void put_double(Coder *o, double f) {
    int64_t bits;
    memcpy(&bits, &f, sizeof bits);
    put(o, bits);
}

static void put_index(Coder *o, const Affine *a) {
    put(o, a->base);
    put(o, affine_coef(a, o->axes.lane));
    put(o, a->n);
    for (int i = 0; i < a->n; i++) put(o, a->var[i]), put(o, a->coef[i]);
}

static int buf_of(Kernel *k, Node *n) {
    int b = k->nout;
    while (k->buf[b] != n) b++;
    return b;
}

// ---- registers and scopes ----

static int take(Coder *o) {
    int r = 0;
    while (r < o->nreg && o->taken[r]) r++;
    if (r == o->capreg) {
        int cap = o->capreg ? 2 * o->capreg : 32;
        o->taken = cx_grow(o->cx, o->taken, (size_t)o->capreg, (size_t)cap);
        o->capreg = cap;
    }
    if (r == o->nreg) o->nreg++;
    o->taken[r] = true;
    return r;
}

static int give(Coder *o, Expr *e, int r) {
    o->reg[e->id] = r + 1, o->scope_of[e->id] = o->depth;
    *VEC_PUSH(o->cx, o->live, o->nlive) = e;
    return r;
}

static void drop(Coder *o, Expr *e) {
    if (!o->reg[e->id]) return;
    o->taken[o->reg[e->id] - 1] = false;
    o->reg[e->id] = 0;
}

// e has been read: if by its only user, where it was made, its register is free again.
static void done(Coder *o, Expr *e) {
    if (e && o->uses[e->id] == 1 && o->scope_of[e->id] == o->depth) drop(o, e);
}

static int open_scope(Coder *o) {
    if (++o->depth > o->deepest) o->deepest = o->depth;
    return o->nlive;
}

static void close_scope(Coder *o, int mark) {
    while (o->nlive > mark) {
        Expr *e = o->live[--o->nlive];
        if (o->reg[e->id] && o->scope_of[e->id] == o->depth) drop(o, e);
    }
    o->depth--;
}

// ---- indices ----

static int value(Coder *o, Expr *e);
static int index_column(Coder *o, Expr *e);

// Which expressions move with variable v, by id.
static bool *moving(Coder *o, int64_t v) {
    bool *m = NEW(o->cx, bool, o->k->nexpr);
    for (int i = 0; i < o->k->nexpr; i++) {
        Expr *e = o->k->expr[i];
        bool own = expr_is_reduce(e) && e->b->i == v;
        m[i] = (e->is_index && e->op == I_VAR && e->i == v) || (e->a && m[e->a->id]) ||
               (e->b && !expr_is_reduce(e) && m[e->b->id]) || (e->c && m[e->c->id]);
        if (own) m[i] = false;
    }
    return m;
}

// A term that is no variable, but the same in all lanes and through the loops over var[0..n):
// made one. The walk over the index then costs no column.
static bool uniform(Coder *o, Expr *e, const int64_t *var, int n) {
    if (o->axes.lane >= 0 && moving(o, o->axes.lane)[e->id]) return false;
    for (int i = 0; i < n; i++)
        if (moving(o, var[i])[e->id]) return false;
    return true;
}

static bool walk_through(Coder *o, Expr *index, const int64_t *var, int n, Affine *a) {
    Rest rest;
    if (!affine_of(&o->axes, index, a, &rest)) return false;
    for (int i = 0; i < rest.n; i++)
        if (!uniform(o, rest.e[i], var, n)) return false;
    for (int i = 0; i < rest.n; i++) {
        int v = o->nvar++;
        int column = index_column(o, rest.e[i]);
        put(o, FORMULA_UNIFORM), put(o, v), put(o, column);
        if (!affine_add(a, v, rest.coef[i])) return false;
    }
    return true;
}

static bool walk(Coder *o, Expr *index, Affine *a) { return walk_through(o, index, NULL, 0, a); }

// An index as a column of numbers.
static int index_column(Coder *o, Expr *e) {
    static const Arith op_of[] = {[I_ADD] = ARITH_ADD, [I_MUL] = ARITH_MUL, [I_DIV] = ARITH_DIV, [I_MOD] = ARITH_FMOD};
    if (o->reg[e->id]) return o->reg[e->id] - 1;
    Affine a;
    Rest rest;
    if (affine_of(&o->axes, e, &a, &rest) && !rest.n) {
        int dst = take(o);
        put(o, FORMULA_AFFINE), put(o, dst), put_index(o, &a);
        return give(o, e, dst);
    }
    bool data = e->op == I_DATA;
    int x = data ? value(o, e->a) : index_column(o, e->a), y = data ? x : index_column(o, e->b), dst = take(o);
    if (data) put(o, FORMULA_DATA), put(o, dst), put(o, x), put(o, e->i);
    else put(o, FORMULA_ARITH), put(o, dst), put(o, DT_I64), put(o, op_of[e->op]), put(o, x), put(o, y);
    done(o, e->a), done(o, e->b);
    return give(o, e, dst);
}

static int load(Coder *o, Expr *e) {
    Affine a;
    bool walks = walk(o, e->a, &a);
    int at = walks ? 0 : index_column(o, e->a), dst = take(o);
    put(o, walks ? FORMULA_LOAD : FORMULA_GATHER), put(o, dst), put(o, buf_of(o->k, e->buf)), put(o, e->buf->type);
    if (walks) put_index(o, &a);
    else put(o, at), done(o, e->a);
    return give(o, e, dst);
}

// A word to be filled in later.
static int hole(Coder *o) { return put(o, 0), o->n - 1; }

// The code for e as nested code: its register and its length go to two holes.
static void nest(Coder *o, Expr *e, int result, int length) {
    int start = o->n, mark = open_scope(o);
    o->code[result] = value(o, e);
    o->code[length] = o->n - start;
    close_scope(o, mark);
}

static int inside(Coder *o, Expr *e) {
    Affine a = {0};
    bool walks = walk(o, e->b, &a);
    int at = walks ? -1 : index_column(o, e->b), dst = take(o);
    put(o, FORMULA_INSIDE), put(o, dst), put(o, e->type), put(o, e->i), put(o, at), put_index(o, &a);
    int result = hole(o), other = hole(o), length = hole(o), other_length = hole(o);
    nest(o, e->a, result, length);
    nest(o, e->c, other, other_length);
    if (!walks) done(o, e->b);
    return give(o, e, dst);
}

// ---- reductions ----

// Values that stand still get their register now, before the loop. Not what hides behind a
// condition: its loads could reach outside. Nor what an inner loop holds: it may move with that.
static void hoist(Coder *o, Expr *e, const bool *m) {
    if (!e || e->is_index) return;
    if (!m[e->id]) {
        if (e->op != K_IMM) value(o, e);
    } else if (e->op != K_INSIDE && !expr_is_reduce(e)) {
        hoist(o, e->a, m), hoist(o, e->b, m), hoist(o, e->c, m);
    }
}

static int reduce(Coder *o, Expr *e) {
    static const Arith op_of[] = {
        [K_SUM - K_SUM] = ARITH_ADD,
        [K_PROD - K_SUM] = ARITH_MUL,
        [K_MAXIMUM - K_SUM] = ARITH_MAX,
        [K_MINIMUM - K_SUM] = ARITH_MIN,
    };
    hoist(o, e->a, moving(o, e->b->i));
    int dst = take(o);
    put(o, FORMULA_REDUCE), put(o, dst), put(o, e->type), put(o, op_of[e->op - K_SUM]), put(o, e->b->i);
    int result = hole(o), length = hole(o);
    nest(o, e->a, result, length);
    return give(o, e, dst);
}

// ---- sums of products: f32 loads whose indices are affine, zero outside of conditions ----

typedef struct Factor { Expr *load; Affine at; } Factor;
typedef struct Sums {
    int nvar, nguard, nfactor;
    int64_t var[FORMULA_MAX_SUMS], extent[FORMULA_MAX_SUMS];
    Affine guard[FORMULA_MAX_SUMS];
    Factor factor[2];
} Sums;

static bool is_zero(const Expr *e) { return e->op == K_IMM && e->f == 0; }

static bool factors(Coder *o, Expr *e, Sums *s) {
    for (; e->op == K_INSIDE; e = e->a) {
        Affine *a = &s->guard[s->nguard];
        if (!is_zero(e->c) || s->nguard == FORMULA_MAX_SUMS || !walk_through(o, e->b, s->var, s->nvar, a) ||
            affine_coef(a, o->axes.lane) < 0) return false;
        s->extent[s->nguard++] = e->i;
    }
    if (e->op == K_MUL && !s->nfactor) return factors(o, e->a, s) && s->nfactor == 1 && factors(o, e->b, s);
    if (e->op != K_LOAD || e->buf->type != DT_F32 || s->nfactor == 2) return false;
    Factor *f = &s->factor[s->nfactor++];
    f->load = e;
    return walk_through(o, e->a, s->var, s->nvar, &f->at);
}

static bool is_guarded(const Sums *s, int64_t v) {
    for (int i = 0; i < s->nguard; i++)
        if (affine_coef(&s->guard[i], v)) return true;
    return false;
}

// The innermost variable moves no condition, so that its runs are long; of those, the longest.
static void choose_inner(Coder *o, Sums *s) {
    int best = s->nvar - 1;
    int64_t most = -1;
    for (int i = 0; i < s->nvar; i++) {
        int64_t n = is_guarded(s, s->var[i]) ? 0 : o->k->extent[s->var[i]];
        if (n >= most) most = n, best = i;
    }
    int64_t v = s->var[best];
    memmove(&s->var[best], &s->var[best + 1], sizeof v * (size_t)(s->nvar - 1 - best));
    s->var[s->nvar - 1] = v;
}

static bool match_sums(Coder *o, Expr *e, Sums *s) {
    *s = (Sums){0};
    for (; e->op == K_SUM && e->type == DT_F32; e = e->a) {
        if (s->nvar == FORMULA_MAX_SUMS) return false;
        s->var[s->nvar++] = e->b->i;
    }
    if (!s->nvar || !factors(o, e, s)) return false;
    choose_inner(o, s);
    return true;
}

static int sumprod(Coder *o, Expr *e, const Sums *s) {
    static const Affine nowhere;
    int dst = take(o);
    put(o, FORMULA_SUMPROD), put(o, dst), put(o, s->nvar);
    for (int i = 0; i < s->nvar; i++) put(o, s->var[i]);
    for (int i = 0; i < 2; i++) {
        put(o, i < s->nfactor ? buf_of(o->k, s->factor[i].load->buf) : -1);
        put_index(o, i < s->nfactor ? &s->factor[i].at : &nowhere);
    }
    put(o, s->nguard);
    for (int i = 0; i < s->nguard; i++) put(o, s->extent[i]), put_index(o, &s->guard[i]);
    return give(o, e, dst);
}

// ---- everything else ----

static int arith(Coder *o, Expr *e) {
    int a = value(o, e->a), b = e->b ? value(o, e->b) : a, dst = take(o);
    put(o, FORMULA_ARITH), put(o, dst), put(o, e->a->type), put(o, e->op), put(o, a), put(o, b);
    return give(o, e, dst);
}

static int select_one(Coder *o, Expr *e) {
    int c = value(o, e->a), a = value(o, e->b), b = value(o, e->c), dst = take(o);
    put(o, FORMULA_SELECT), put(o, dst), put(o, e->type), put(o, c), put(o, a), put(o, b);
    return give(o, e, dst);
}

static int cast(Coder *o, Expr *e) {
    int a = value(o, e->a), dst = take(o);
    put(o, FORMULA_CAST), put(o, dst), put(o, e->type), put(o, e->a->type), put(o, a);
    return give(o, e, dst);
}

static int imm(Coder *o, Expr *e) {
    int dst = take(o);
    put(o, FORMULA_IMM), put(o, dst), put(o, e->type);
    if (dtype_is_float(e->type)) put_double(o, e->f);
    else put(o, e->i);
    return give(o, e, dst);
}

static int batch(Coder *o, Expr *e) {
    int dst = take(o);
    put(o, FORMULA_BATCH), put(o, dst), put(o, e->i);
    return give(o, e, dst);
}

static int random_at(Coder *o, Expr *e) {
    int at = index_column(o, e->a), dst = take(o);
    put(o, FORMULA_RANDOM), put(o, dst), put(o, e->i), put(o, at);
    return give(o, e, dst);
}

static int fresh(Coder *o, Expr *e) {
    Sums s;
    if (e->op < NKOPS) return arith(o, e);
    switch (e->op) {
    case K_IMM: return imm(o, e);
    case K_LOAD: return load(o, e);
    case K_INSIDE: return inside(o, e);
    case K_SELECT: return select_one(o, e);
    case K_CAST: return cast(o, e);
    case K_INDEX: return index_column(o, e->a);
    case K_BATCH: return batch(o, e);
    case K_RANDOM: return random_at(o, e);
    default: return match_sums(o, e, &s) ? sumprod(o, e, &s) : reduce(o, e);
    }
}

// The register e is in.
static int value(Coder *o, Expr *e) {
    if (o->reg[e->id]) return o->reg[e->id] - 1;
    int r = fresh(o, e);
    if (e->op < NKOPS || e->op == K_SELECT || e->op == K_CAST) {
        Expr *part[] = {e->a, e->b, e->c};
        for (int i = 0; i < 3; i++) done(o, part[i]);
    }
    return r;
}

// ---- results and the whole ----

// The padding around a result, written by the unit that holds its first element: runs of
// elements, repeated along the axis before. Everything before axis d is fixed.
static void put_runs(Coder *o, const Node *n, int d, int last, int64_t at, int64_t repeats, int64_t stride,
                     int64_t *count) {
    int64_t s = n->view.stride[d], h = n->halo[d], size = n->shape.d[d], from[] = {at, at + (h + size) * s};
    for (int i = 0; i < 2 && h; i++) put(o, from[i]), put(o, h * s), put(o, repeats), put(o, stride), ++*count;
    if (d == last) return;
    if (repeats == 1) {
        put_runs(o, n, d + 1, last, at + h * s, size, s, count);
        return;
    }
    for (int64_t r = 0; r < repeats; r++) put_runs(o, n, d + 1, last, at + r * stride + h * s, size, s, count);
}

static void put_halo(Coder *o, int i) {
    Node *n = o->k->outs[i];
    int first = 0, last = n->shape.n - 1;
    while (last >= 0 && !n->halo[last]) last--;
    if (last < 0) return;
    while (!n->halo[first]) first++;
    Expr *at[MAXDIM];
    Affine a;
    Rest none;
    for (int d = 0; d < n->shape.n; d++) at[d] = d < first ? o->k->axis[d] : ix_imm(o->k, 0);
    if (!affine_of(&o->axes, ix_view(o->k, n, at), &a, &none) || none.n) assert(!"a view is a sum");
    for (int d = first; d < n->shape.n; d++) a.base -= n->halo[d] * n->view.stride[d];
    put(o, FORMULA_FILL), put(o, i), put(o, n->type), put(o, dtypes[n->type].value), put_double(o, n->halo_value),
        put_index(o, &a);
    int vars = hole(o);
    for (int d = first; d < n->shape.n; d++)
        if (o->k->axis[d]->op == I_VAR && !o->axes.merged[o->k->axis[d]->i]) put(o, o->k->axis[d]->i), o->code[vars]++;
    int runs = hole(o);
    int64_t count = 0;
    put_runs(o, n, first, last, 0, 1, 0, &count);
    o->code[runs] = count;
}

static void put_result(Coder *o, int i) {
    Node *n = o->k->outs[i];
    Affine a;
    Rest none;
    if (!affine_of(&o->axes, ix_view(o->k, n, o->k->axis), &a, &none) || none.n) assert(!"a view is a sum");
    put_halo(o, i);
    int r = value(o, o->k->bodies[i]);
    put(o, FORMULA_STORE), put(o, i), put(o, n->type), put_index(o, &a), put(o, dtypes[n->type].value), put(o, r);
}

static void count_uses(Coder *o, Expr *e) {
    if (!e || o->uses[e->id]++) return;
    count_uses(o, e->a), count_uses(o, e->c);
    if (!expr_is_reduce(e)) count_uses(o, e->b);
}

static void check_limits(Coder *o) {
    if (o->nvar > FORMULA_MAX_VARS || o->nreg > FORMULA_CELLS || o->deepest > FORMULA_MAX_DEPTH)
        fail(o->cx, E_UNSUPPORTED, "%s: too large a formula for a machine without a C compiler",
             optab[o->k->out->op].name);
}

// Header, variables, outer axes, then the code there is.
static Formula finish(Coder *o) {
    Kernel *k = o->k;
    const Axes *x = &o->axes;
    int64_t nreg = o->nreg ? o->nreg : 1,
            block = FORMULA_CELLS / nreg < FORMULA_MAX_BLOCK ? FORMULA_CELLS / nreg : FORMULA_MAX_BLOCK;
    FormulaHeader h = {FORMULA_VERSION, k->nbuf, nreg, block, o->nvar, x->nouter, x->lane};
    Coder whole = {.cx = o->cx};
    for (size_t i = 0; i < sizeof h / sizeof(int64_t); i++) put(&whole, ((const int64_t *)&h)[i]);
    for (int v = 0; v < k->nvar; v++) put(&whole, x->extent[v]), put(&whole, x->grows[v]);
    for (int v = k->nvar; v < o->nvar; v++) put(&whole, 1), put(&whole, 0);
    Formula f = {.units = 1, .per_batch = x->nouter && x->grows[x->outer[0]]};
    for (int i = 0; i < x->nouter; i++) put(&whole, x->outer[i]), f.units *= x->extent[x->outer[i]];
    if (x->lane >= 0 && !x->grows[x->lane]) f.units *= (x->extent[x->lane] + block - 1) / block;
    for (int i = 0; i < o->n; i++) put(&whole, o->code[i]);
    f.code = whole.code, f.n = whole.n;
    return f;
}

Formula formula_of(Cx *cx, Kernel *k) {
    Coder o = {.cx = cx, .k = k, .axes = axes_of(k), .nvar = k->nvar};
    int n = k->nexpr;                                         // what is added from here on gets no register
    o.reg = NEW(cx, int, n), o.scope_of = NEW(cx, int, n), o.uses = NEW(cx, int, n);
    for (int i = 0; i < k->nout; i++) count_uses(&o, k->bodies[i]);
    for (int i = 0; i < k->nout; i++) put_result(&o, i);
    check_limits(&o);
    return finish(&o);
}
