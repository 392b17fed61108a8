// slices.c -- the schedule for long sums of products whose results are many vectors side by side, as
// a convolution's weight gradient:
//
//     out[..] = f(sum over r of A[..] * B[..])
//
//     lane    the last axis: B and out step by 1, A stands still
//     o       A stands still, B moves: `ob` of them share each load of A
//     q       B stands still, A steps by 1: nq of them share each load of B
//
// The sum goes in slices that fit the first-level cache, and every tile of a unit takes in one slice
// before the next is begun. Partial sums live where the results will be; f, printed from the formula,
// is applied with the last slice.
#include "factors.h"

enum { SLICE = 12 << 10, SHARE = 20 << 10, SHORT = 80 << 10, ENOUGH = 16 };     // bytes, bytes, bytes, units

typedef struct Slices {
    Factors f;
    Expr *lane, *o, *q;                           // o may be NULL
    Expr *outer[MAXDIM];
    int nouter;
    int64_t ob, nq;                               // the tile's size along o and q
    int split;                                    // red[split] goes in steps, those before it outside
    int64_t step;
    int64_t part[MAXDIM], share;                  // of outer[i], of o / ob: how many are a unit's
} Slices;

static bool is_loop(const Expr *e) { return e->op == I_VAR; }

// The place an output axis has in the tile.
static bool cast_axis(Out *o, Slices *t, Expr *v) {
    int64_t a = ix_coef(t->f.a->a, v), b = ix_coef(t->f.b->a, v);
    if (a == IX_WILD || b == IX_WILD || out_coef(o->k, v) == IX_WILD || var_is_open(o->k, v)) return false;
    if (a == 1 && b == 0) {                       // the last such axis
        if (t->q) t->outer[t->nouter++] = t->q;
        return t->q = v, true;
    }
    if (a == 0 && b != 0 && !t->o) return t->o = v, true;
    return t->outer[t->nouter++] = v, true;
}

static int64_t divisor(int64_t n, int64_t most) {
    while (most > 1 && n % most) most--;
    return most < 1 ? 1 : most;
}

static bool analyse(Out *o, Slices *t) {
    Kernel *k = o->k;
    *t = (Slices){0};
    if (!factors_of(k, &t->f) || !(t->lane = lane_of(o)) || var_extent(k, t->lane) != o->lanes) return false;
    if (ix_coef(t->f.a->a, t->lane) != 0) { Expr *x = t->f.a; t->f.a = t->f.b, t->f.b = x; }
    if (ix_coef(t->f.a->a, t->lane) != 0 || ix_coef(t->f.b->a, t->lane) != 1) return false;
    for (int d = 0; d < k->out->shape.n; d++)
        if (is_loop(k->axis[d]) && k->axis[d] != t->lane && !cast_axis(o, t, k->axis[d])) return false;
    return t->q && padded_from(k->out) == k->out->shape.n;
}

// The longest slice that fits; false: the sum is short enough to be done at once.
static bool slice(Out *o, Slices *t) {
    int64_t each = 4 * (var_extent(o->k, t->q) + o->lanes * t->ob), steps = 1;
    for (int r = 0; r < t->f.nred; r++) steps *= var_extent(o->k, t->f.red[r]);
    if (steps * each <= SHORT) return false;
    steps = 1;
    int r = t->f.nred - 1;
    for (; r > 0 && steps * var_extent(o->k, t->f.red[r]) * each <= SLICE; r--) steps *= var_extent(o->k, t->f.red[r]);
    int64_t n = var_extent(o->k, t->f.red[r]), most = SLICE / (steps * each);
    t->split = r, t->step = var_is_open(o->k, t->f.red[r]) ? 1 : divisor(n, most < n ? most : n);
    return true;
}

// Of the outermost axis and of o, as much of both as gives the most products for what is loaded.
static void share_both(Out *o, Slices *t, int64_t room) {
    int64_t n = var_extent(o->k, t->outer[0]), groups = var_extent(o->k, t->o) / t->ob;
    double best = 0;
    for (int64_t part = 1; part <= n && part <= room; part++) {
        int64_t share = divisor(groups, room / part < groups ? room / part : groups);
        double products = (double)(part * share * t->ob) / (double)(part + share * t->ob);
        if (n % part || products <= best) continue;
        best = products, t->part[0] = part, t->share = share;
    }
}

// A unit's share of the results stays in the cache as well: whole axes from the innermost outwards
// while they fit, then a part of the last two; less of them while there are too few units for all threads.
static void share(Out *o, Slices *t) {
    int64_t bytes = 4 * o->lanes * t->ob * var_extent(o->k, t->q), units = 1;
    for (int i = t->nouter - 1; i > 0; i--) {
        int64_t n = var_extent(o->k, t->outer[i]);
        t->part[i] = divisor(n, SHARE / bytes < n ? SHARE / bytes : n);
        bytes *= t->part[i], units *= n / t->part[i];
    }
    int64_t room = SHARE / bytes > 1 ? SHARE / bytes : 1, groups = var_extent(o->k, t->o) / t->ob;
    t->share = divisor(groups, room < groups ? room : groups);
    if (t->nouter) share_both(o, t, room), units *= var_extent(o->k, t->outer[0]) / t->part[0];
    units *= groups / t->share;
    for (int i = 0; i < t->nouter && units < ENOUGH; i++) {
        int64_t less = divisor(t->part[i], (t->part[i] * units + ENOUGH - 1) / ENOUGH);
        units *= t->part[i] / less, t->part[i] = less;
    }
    o->units = units;
}

static void place(Out *o, Slices *t, int i, int q) {
    if (t->o) line(o, "const long v%d = t%d + %d;", (int)t->o->i, (int)t->o->i, i);
    line(o, "const long v%d = t%d + %d, v%d = 0;", (int)t->q->i, (int)t->q->i, q, (int)t->lane->i);
}

// One slice's products, into a0_0 .. a1_7.
static void accumulate(Out *o, Slices *t) {
    const Factors *f = &t->f;
    for (int i = 0; i < t->ob; i++)
        for (int q = 0; q < t->nq; q++) line(o, "vf a%d_%d = {0};", i, q);
    begin(o, "{");
    place(o, t, 0, 0);
    int x = (int)f->red[t->split]->i;
    begin(o, "for (long v%d = k%d; v%d < k%d + %lldL; v%d++) {", x, x, x, x, (long long)t->step, x);
    for (int r = t->split + 1; r < f->nred; r++) loop(o, f->red[r]);
    line(o, "const m_f32 *a = b%d + %s, *b = b%d + %s;", buf_number(o->k, f->a->buf), index_text(o, f->a->a),
         buf_number(o->k, f->b->buf), index_text(o, f->b->a));
    for (int i = 0; i < t->ob; i++)
        line(o, "const vf w%d = LD(b + %lldL);", i, (long long)(t->o ? i * ix_coef(f->b->a, t->o) : 0));
    for (int q = 0; q < t->nq; q++) {
        line(o, "const vf s%d = splat(a[%d]);", q, q);
        for (int i = 0; i < t->ob; i++) line(o, "a%d_%d += w%d * s%d;", i, q, i, q);
    }
    for (int r = t->split; r < f->nred; r++) end(o);
    end(o);
}

static void add_up(Out *o, Slices *t) {
    o->lane = t->lane;
    for (int i = 0; i < t->ob; i++)
        for (int q = 0; q < t->nq; q++) {
            int mark = open_scope(o);
            begin(o, "{");
            place(o, t, i, q);
            line(o, "m_f32 *to = b0 + %s;", out_index(o, 0));
            line(o, "const vf sum = first ? a%d_%d : (vf)(LD(to) + a%d_%d);", i, q, i, q);
            if (o->k->body == t->f.sum) line(o, "ST(to, sum);");
            else {
                begin(o, "if (last) {");
                name_expr(o, t->f.sum, "sum");
                store(o, 0, o->k->body);
                end(o);
                line(o, "else ST(to, sum);");
            }
            end(o);
            close_scope(o, mark);
        }
    o->lane = NULL;
}

// One tile and one slice, as a function of where they begin.
static const char *tile_function(Out *o, Slices *t) {
    Out f = *o;
    f.text = "", f.len = f.cap = 0, f.depth = 1, f.named = NULL, f.nnamed = 0, f.uses = NULL;
    locals(&f);
    accumulate(&f, t);
    add_up(&f, t);
    const char *args = "", *call = "buf, ctx";
    Expr *v[] = {t->o, t->q};
    for (int i = 0; i < 2; i++)
        if (v[i])
            args = cx_fmt(o->cx, "%s, long t%d", args, (int)v[i]->i),
            call = cx_fmt(o->cx, "%s, v%d", call, (int)v[i]->i);
    for (int i = 0; i < t->nouter; i++)
        args = cx_fmt(o->cx, "%s, long v%d", args, (int)t->outer[i]->i),
        call = cx_fmt(o->cx, "%s, v%d", call, (int)t->outer[i]->i);
    for (int r = 0; r <= t->split; r++) {
        int x = (int)t->f.red[r]->i;
        args = cx_fmt(o->cx, "%s, long %c%d", args, r < t->split ? 'v' : 'k', x),
        call = cx_fmt(o->cx, "%s, v%d", call, x);
    }
    o->before = cx_fmt(o->cx,
                       "%sTILE void $_slice(void *const *buf, const Ctx *ctx%s, bool first, bool last) {\n    "
                       "(void)first, (void)last;\n%s}\n",
                       o->before, args, f.text);
    return call;
}

static void slice_loops(Out *o, Slices *t) {
    const char *first = "1", *last = "1";
    for (int r = 0; r <= t->split; r++) {
        int x = (int)t->f.red[r]->i;
        long long step = r < t->split ? 1 : t->step;
        begin(o, "for (long v%d = 0; v%d < %s; v%d += %lldL) {", x, x, extent_text(o, t->f.red[r]), x, step);
        first = cx_fmt(o->cx, "%s && v%d == 0", first, x);
        last = cx_fmt(o->cx, "%s && v%d + %lldL == %s", last, x, step, extent_text(o, t->f.red[r]));
    }
    line(o, "const bool first = %s, last = %s;", first, last);
}

static void begin_share(Out *o, Expr *v, int64_t groups, int64_t part) {
    line(o, "const long s%d = rest %% %lldL * %lldL; rest /= %lldL;", (int)v->i, (long long)(groups / part),
         (long long)part, (long long)(groups / part));
}

static void share_loop(Out *o, Expr *v, int64_t part, int64_t step) {
    int x = (int)v->i;
    begin(o, "for (long v%d = s%d * %lldL; v%d < (s%d + %lldL) * %lldL; v%d += %lldL) {", x, x, (long long)step, x, x,
          (long long)part, (long long)step, x, (long long)step);
}

bool schedule_slices(Out *o) {
    Slices t;
    if (!analyse(o, &t)) return false;
    t.ob = var_extent(o->k, t.o) % 2 ? 1 : 2;
    t.nq = divisor(var_extent(o->k, t.q), (o->isa == ISA_AVX512 ? 28 : 12) / t.ob);
    if (!slice(o, &t)) return false;
    share(o, &t);
    const char *args = tile_function(o, &t);
    int q = (int)t.q->i, opened = t.split + 3 + t.nouter + (t.o != NULL);
    begin(o, "for (long u = lo; u < hi; u++) {");
    line(o, "long rest = u;");
    for (int i = t.nouter - 1; i >= 0; i--) begin_share(o, t.outer[i], var_extent(o->k, t.outer[i]), t.part[i]);
    if (t.o) begin_share(o, t.o, var_extent(o->k, t.o) / t.ob, t.share);
    slice_loops(o, &t);
    if (t.o) share_loop(o, t.o, t.share, t.ob);
    for (int i = 0; i < t.nouter; i++) share_loop(o, t.outer[i], t.part[i], 1);
    begin(o, "for (long v%d = 0; v%d < %lldL; v%d += %lldL) {", q, q, (long long)var_extent(o->k, t.q), q,
          (long long)t.nq);
    line(o, "$_slice(%s, first, last);", args);
    while (opened--) end(o);
    return true;
}
