// tile.c -- the schedule for sums of products: a tile of vector accumulators in registers. It looks
// only at how the two factors' indices move, so it serves convolution, matrix product and whatever
// else has the form
//
//     out[..] = f(sum over r of A[..] * B[..])
//
//     lane    the last axis: B and out step by 1, A stands still     (a block of output channels)
//     o       A stands still, B moves: `ob` of them share each load of A. Where the last axis is
//             longer than a vector, o counts its vectors
//     p, q    B stands still, A moves: np x nq of them share each load of B
//
// f, the epilogue, is printed from the formula, on the accumulators. A unit of work is one group of
// o by np rows of p, all of q.
#include "factors.h"

enum { LONG_SUM = 512, PART = 512 };  // terms; then an indirect epilogue costs less than 1 %, and halves what is compiled

typedef struct Tile {
    Factors f;
    Expr *lane, *o, *p, *q;                       // o, p or q may be NULL
    Expr *outer[MAXDIM];
    int nouter;
    bool wide;                                    // o is the lane's variable, in steps of a vector
    int64_t ob, np, nq;                           // the tile's size along o, p, q
    int cut;                                      // sums of parts: red[cut] goes in steps of `part`; or -1
    int64_t part;
} Tile;

static int64_t extent(Out *o, Expr *v) { return var_extent(o->k, v); }

// Which part of the tile an output axis can play.
static bool cast_axis(Out *o, Tile *t, Expr *v) {
    int64_t a = ix_coef(t->f.a->a, v), b = ix_coef(t->f.b->a, v), y = out_coef(o->k, v);
    if (a == IX_WILD || b == IX_WILD || y == IX_WILD) return false;
    if (a == 0 && b != 0 && !t->o && !var_is_open(o->k, v)) return t->o = v, true;
    if (a != 0 && b == 0) {                       // the last two such axes are p and q
        if (t->p) t->outer[t->nouter++] = t->p;
        t->p = t->q, t->q = v;
        return true;
    }
    return t->outer[t->nouter++] = v, true;
}

// v / c somewhere in an index, c a divisor of v's extent
static int64_t divisor_of(const Kernel *k, const Expr *e, const Expr *v) {
    if (!e || !e->is_index || e->op == I_VAR || e->op == I_IMM || e->op == I_DATA) return 0;
    if (e->op == I_DIV && e->a == v && e->b->op == I_IMM && k->extent[v->i] % e->b->i == 0) return e->b->i;
    int64_t c = divisor_of(k, e->a, v);
    return c ? c : divisor_of(k, e->b, v);
}

// Groups: an axis that A divides becomes two, `slow * c + fast`, with which A moves evenly.
static void split_axes(Kernel *k, const Factors *f) {
    for (int d = 0; d < k->out->shape.n; d++) {
        Expr *v = k->axis[d];
        if (v->op != I_VAR || var_is_open(k, v)) continue;
        int64_t c = divisor_of(k, f->a->a, v);
        if (!c) c = divisor_of(k, f->b->a, v);
        if (!c) continue;
        Expr *slow = k_var(k, k->extent[v->i] / c, false), *fast = k_var(k, c, false);
        Expr **to = NEW(k->cx, Expr *, k->nvar);
        to[v->i] = k->axis[d] = ix(k, I_ADD, ix_mul(k, slow, c), fast);
        k->body = k->bodies[0] = expr_subst(k, k->body, to);
    }
}

// The variables of an output axis, one or two.
static bool cast_parts(Out *o, Tile *t, Expr *e) {
    if (e->op == I_IMM || e == t->lane) return true;
    if (e->op == I_VAR) return cast_axis(o, t, e);
    return cast_parts(o, t, e->a) && (e->op != I_ADD || cast_parts(o, t, e->b));
}

static bool analyse(Out *o, Tile *t) {
    Kernel *k = o->k;
    *t = (Tile){0};
    if (!factors_of(k, &t->f) || !(t->lane = lane_of(o))) return false;
    t->wide = extent(o, t->lane) != o->lanes;
    if (t->wide && padded_from(k->out) < k->out->shape.n) return false;
    if (ix_coef(t->f.a->a, t->lane) != 0) { Expr *x = t->f.a; t->f.a = t->f.b, t->f.b = x; }
    if (ix_coef(t->f.a->a, t->lane) != 0 || ix_coef(t->f.b->a, t->lane) != 1) return false;
    if (t->wide) t->o = t->lane;
    for (int d = 0; d < k->out->shape.n; d++)
        if (!cast_parts(o, t, k->axis[d])) return false;
    if (t->p && var_is_open(k, t->p)) t->outer[t->nouter++] = t->p, t->p = NULL;
    return true;
}

// Accumulators that fit the registers beside ob weights and a broadcast.
static int64_t pixels(Out *o, int64_t ob) {
    return o->isa == ISA_AVX512 ? 28 / ob : 12 / ob;
}

// The longest run of pixels that divides a row, if it is long enough; else as many as fit and a rest.
static int64_t run(int64_t n, int64_t most) {
    for (int64_t q = most; q * 2 > most; q--)
        if (n % q == 0) return q;
    return n < most ? n : most;
}

static int64_t step(Out *o, const Tile *t) { return t->wide ? o->lanes : 1; }      // of o

static void size(Out *o, Tile *t) {
    int64_t blocks = (extent(o, t->o) + step(o, t) - 1) / step(o, t);
    t->ob = blocks % 2 ? 1 : 2;
    while (!t->p && !t->q && t->wide && t->ob < 8 && blocks >= 2 * t->ob) t->ob *= 2;      // a vector by a matrix
    while (t->ob > 1 && t->ob * step(o, t) > extent(o, t->o)) t->ob /= 2;      // the last one moves back, not out
    int64_t px = pixels(o, t->ob), q = extent(o, t->q);
    if (var_is_open(o->k, t->q)) q = q / o->k->max_batch > 1 ? q / o->k->max_batch : q;
    t->nq = run(q, px);
    t->np = t->nq == extent(o, t->q) ? px / t->nq : 1;
    if (t->np > extent(o, t->p)) t->np = extent(o, t->p);
}

static int64_t terms(Out *o, const Tile *t) {
    int64_t n = 1;
    for (int r = 0; r < t->f.nred; r++) n *= extent(o, t->f.red[r]);
    return n;
}

// A sum of many terms is one of partial sums, in pieces of equal size: its rounding errors stay those of a short one.
static void cut_sum(Out *o, Tile *t) {
    int64_t inner = 1;
    int r = t->f.nred - 1;
    t->cut = -1;
    if (terms(o, t) < 2 * PART) return;
    for (; r > 0 && inner * extent(o, t->f.red[r]) <= PART; r--) inner *= extent(o, t->f.red[r]);
    int64_t n = extent(o, t->f.red[r]), most = PART / inner, pieces = (n + most - 1) / most;
    t->cut = r, t->part = (n + pieces - 1) / pieces;
}

static void place(Out *o, Expr *v, const char *at) {
    if (v) line(o, "const long v%d = t%d + %s;", (int)v->i, (int)v->i, at);
}

static bool is_costly(const Expr *e) { return e->op == K_EXP || e->op == K_LOG || e->op == K_TANH || e->op == K_ERF; }

static void zero_sums(Out *o, const Tile *t, int px) {
    for (int i = 0; i < t->ob; i++)
        for (int p = 0; p < px; p++) line(o, "vf a%d_%d = {0};", i, p);
}

static void products(Out *o, Tile *t, int64_t np, int64_t nq) {
    const Factors *f = &t->f;
    int px = (int)(np * nq), ob = (int)t->ob;
    line(o, "const m_f32 *a = b%d + %s, *b = b%d + %s;", buf_number(o->k, f->a->buf), index_text(o, f->a->a),
         buf_number(o->k, f->b->buf), index_text(o, f->b->a));
    int64_t bo = t->o ? ix_coef(f->b->a, t->o) * step(o, t) : 0, ap = t->p ? ix_coef(f->a->a, t->p) : 0,
            aq = t->q ? ix_coef(f->a->a, t->q) : 0;
    for (int i = 0; i < ob; i++) line(o, "const vf w%d = LD(b + %lldL);", i, (long long)(i * bo));
    for (int p = 0; p < px; p++) {
        line(o, "const vf s%d = splat(a[%lldL]);", p, (long long)(p / nq * ap + p % nq * aq));
        for (int i = 0; i < ob; i++) line(o, "a%d_%d += w%d * s%d;", i, p, i, p);
    }
}

// The loop over a part of red[cut], into fresh accumulators.
static void begin_part(Out *o, Tile *t, int px) {
    Expr *v = t->f.red[t->cut];
    int x = (int)v->i;
    const char *all = extent_text(o, v), *end = cx_fmt(o->cx, "k%d + %lldL", x, (long long)t->part);
    begin(o, "for (long k%d = 0; k%d < %s; k%d += %lldL) {", x, x, all, x, (long long)t->part);
    zero_sums(o, t, px);
    if (extent(o, v) % t->part || var_is_open(o->k, v)) end = cx_fmt(o->cx, "(%s < %s ? %s : %s)", end, all, end, all);
    begin(o, "for (long v%d = k%d; v%d < %s; v%d++) {", x, x, x, end, x);
}

// sum over the reductions, into a0_0 .. a1_13; in parts: into all[]
static void accumulate(Out *o, Tile *t, int64_t np, int64_t nq) {
    int px = (int)(np * nq), nred = t->f.nred;
    if (t->cut >= 0) line(o, "vf all[%d] = {0};", (int)t->ob * px);
    else zero_sums(o, t, px);
    begin(o, "{");
    place(o, t->o, "0"), place(o, t->p, "0"), place(o, t->q, "0");
    if (!t->wide) line(o, "const long v%d = 0;", (int)t->lane->i);
    for (int r = 0; r < nred; r++) {
        if (r == t->cut) { begin_part(o, t, px); continue; }
        if (r == nred - 1 && extent(o, t->f.red[r]) % o->lanes == 0) line(o, "#pragma GCC unroll 2");
        loop(o, t->f.red[r]);
    }
    products(o, t, np, nq);
    for (int r = nred - 1; r >= 0; r--) {
        end(o);
        if (r != t->cut) continue;
        for (int i = 0; i < t->ob * px; i++) line(o, "all[%d] += a%d_%d;", i, i / px, i % px);
        end(o);
    }
    end(o);
}

static void epilogue_of(Out *o, Tile *t, const char *sum) {
    int mark = open_scope(o);
    if (!t->wide) line(o, "const long v%d = 0;", (int)t->lane->i);
    name_expr(o, t->f.sum, sum);
    store(o, 0, o->k->body);
    close_scope(o, mark);
}

// Where the sums are long, or f is, once in a loop over the accumulators; else on each of them.
static void epilogue(Out *o, Tile *t, int64_t np, int64_t nq) {
    o->lane = t->lane;
    if (terms(o, t) >= LONG_SUM || expr_find(o->k->body, is_costly)) {
        const char *all = "";
        for (int i = 0; i < t->ob; i++)
            for (int p = 0; p < np * nq; p++) all = cx_fmt(o->cx, "%s%sa%d_%d", all, *all ? ", " : "", i, p);
        if (t->cut < 0) line(o, "const vf all[] = {%s};", all);
        line(o, "const vf *a = all;");
        begin(o, "for (long i = 0; i < %lldL; i++) for (long p = 0; p < %lldL; p++) for (long q = 0; q < %lldL; q++) {",
              (long long)t->ob, (long long)np, (long long)nq);
        place(o, t->o, t->wide ? "i * LANES" : "i"), place(o, t->p, "p"), place(o, t->q, "q");
        line(o, "const vf sum = *a++;");
        epilogue_of(o, t, "sum");
        end(o);
    } else
        for (int i = 0; i < t->ob; i++)
            for (int p = 0; p < np * nq; p++) {
                begin(o, "{");
                place(o, t->o, cx_fmt(o->cx, "%d", i * (int)step(o, t))),
                    place(o, t->p, cx_fmt(o->cx, "%d", (int)(p / nq))),
                    place(o, t->q, cx_fmt(o->cx, "%d", (int)(p % nq)));
                epilogue_of(o, t, cx_fmt(o->cx, "a%d_%d", i, p));
                end(o);
            }
    o->lane = NULL;
}

// One tile, as a function of where it begins.
static void tile_function(Out *o, Tile *t, const char *suffix, int64_t np, int64_t nq) {
    Out f = *o;
    f.text = "", f.len = f.cap = 0, f.depth = 1, f.named = NULL, f.nnamed = 0, f.uses = NULL;
    locals(&f);
    accumulate(&f, t, np, nq);
    epilogue(&f, t, np, nq);
    const char *args = "";
    Expr *v[] = {t->o, t->p, t->q};
    for (int i = 0; i < 3; i++) args = v[i] ? cx_fmt(o->cx, "%s, long t%d", args, (int)v[i]->i) : args;
    for (int i = 0; i < t->nouter; i++) args = cx_fmt(o->cx, "%s, long v%d", args, (int)t->outer[i]->i);
    o->before =
        cx_fmt(o->cx, "%sTILE void $_%s(void *const *buf, const Ctx *ctx%s) {\n%s}\n", o->before, suffix, args, f.text);
}

static void call(Out *o, Tile *t, const char *suffix, const char *p, const char *q) {
    const char *args = "buf, ctx";
    if (t->o) args = cx_fmt(o->cx, "%s, v%d", args, (int)t->o->i);
    if (t->p) args = cx_fmt(o->cx, "%s, %s", args, p);
    if (t->q) args = cx_fmt(o->cx, "%s, %s", args, q);
    for (int i = 0; i < t->nouter; i++) args = cx_fmt(o->cx, "%s, v%d", args, (int)t->outer[i]->i);
    line(o, "$_%s(%s);", suffix, args);
}

// All tiles along q, from row p. Where q's length is known only at run time and the tile does not
// divide it, ever smaller tiles take the rest.
static void row(Out *o, Tile *t, const char *name, const char *p, int64_t np) {
    int64_t Q = extent(o, t->q), rest = Q % t->nq;
    bool open = var_is_open(o->k, t->q) && (Q / o->k->max_batch) % t->nq != 0;
    if (!open) {
        tile_function(o, t, name, np, t->nq);
        if (rest) tile_function(o, t, cx_fmt(o->cx, "%s_rest", name), np, rest);
        const char *whole =
            t->q && var_is_open(o->k, t->q) ? extent_text(o, t->q) : cx_fmt(o->cx, "%lldL", (long long)(Q - rest));
        line(o, "for (long q = 0; q < %s; q += %lldL)", whole, (long long)t->nq);
        o->depth++, call(o, t, name, p, "q"), o->depth--;
        if (rest) call(o, t, cx_fmt(o->cx, "%s_rest", name), p, cx_fmt(o->cx, "%lldL", (long long)(Q - rest)));
        return;
    }
    line(o, "long q = 0;");
    for (int64_t n = t->nq; n; n = n == t->nq && n > 8 ? 8 : n / 2) {
        const char *f = cx_fmt(o->cx, "%s_%lld", name, (long long)n);
        tile_function(o, t, f, np, n);
        line(o, "for (; q + %lldL <= %s; q += %lldL)", (long long)n, extent_text(o, t->q), (long long)n);
        o->depth++, call(o, t, f, p, "q"), o->depth--;
    }
}

static void unpack_unit(Out *o, Tile *t, int64_t rows, int64_t groups) {
    line(o, "const long p = u %% %lldL * %lldL, g = u / %lldL %% %lldL;", (long long)rows, (long long)t->np,
         (long long)rows, (long long)groups);
    o->units = rows * groups;
    for (int pass = 0; pass < 2; pass++)               // the batch last: it is the slowest
        for (int i = 0; i < t->nouter; i++) {
            Expr *v = t->outer[i];
            if (var_is_open(o->k, v) != pass) continue;
            if (pass) line(o, "const long v%d = u / %lldL;", (int)v->i, (long long)o->units), o->per_batch = true;
            else
                line(o, "const long v%d = u / %lldL %% %lldL;", (int)v->i, (long long)o->units,
                     (long long)extent(o, v));
            o->units *= extent(o, v);
        }
    if (!t->o) return;
    long long each = t->ob * step(o, t), last = extent(o, t->o) - each;                  // the last may overlap the one before
    line(o, "const long v%d = g * %lldL < %lldL ? g * %lldL : %lldL;", (int)t->o->i, each, last, each, last);
}

// With axes split where that makes a tile, else as they were.
static bool analyse_split(Out *o, Tile *t) {
    Kernel *k = o->k;
    Expr *axis[MAXDIM], *body = k->body;
    if (!factors_of(k, &t->f)) return false;
    memcpy(axis, k->axis, sizeof axis);
    split_axes(k, &t->f);
    if (analyse(o, t)) return true;
    memcpy(k->axis, axis, sizeof axis);
    k->body = k->bodies[0] = body;
    return false;
}

bool schedule_tile(Out *o) {
    Tile t;
    if (!analyse_split(o, &t)) return false;
    size(o, &t);
    cut_sum(o, &t);
    int64_t P = extent(o, t.p), rows = (P + t.np - 1) / t.np, each = t.ob * step(o, &t),
            groups = (extent(o, t.o) + each - 1) / each, restp = P % t.np;
    begin(o, "for (long u = lo; u < hi; u++) {");
    unpack_unit(o, &t, rows, groups);
    int padded = padded_from(o->k->out);
    if (padded < o->k->out->shape.n) {                 // of all rows, by the unit that has the first
        for (int d = 0; d < padded; d++)
            if (o->k->axis[d] == t.p) padded = d;
        begin(o, "if (p == 0) for (long i = 0; i < %lldL; i++) {", (long long)t.ob);
        if (t.o) line(o, "const long v%d = g * %lldL + i;", (int)t.o->i, (long long)t.ob);
        clear_halo(o, 0, padded);
        end(o);
    }
    if (restp) {
        begin(o, "if (p + %lldL > %lldL) {", (long long)t.np, (long long)P);
        row(o, &t, "last", "p", restp);
        line(o, "continue;");
        end(o);
    }
    row(o, &t, "full", "p", t.np);
    end(o);
    return true;
}
