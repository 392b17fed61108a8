// cuda_fold.c -- the schedule for long reductions: the threads of a warp, of a block, or eight warps side
// by side share each result. Partial results meet in a fixed order, so a sum is the same in every run.
//
//     warp    what is reduced lies contiguous: 32 threads for each result, 8 results in a block
//     block   the same, and long: all 256 threads for one result
//     columns the results lie side by side: 32 of them in a block, 8 threads for each
//
// Several reductions over the same variables (mean and variance) share the loop. Where the results are few, several
// blocks share them (cuda_split.c).
#include "cuda.h"

enum { WARPS = 8, MAXFOLDS = 8, SHORT = 32, LONG = 4096 };

typedef struct Fold {
    Expr *of[MAXFOLDS];               // the outermost reductions of all results
    int nof;
    Expr *red[MAXDIM * 2];            // the variables they run over, the fastest last
    int nred;
    Expr *out[MAXDIM];
    int nout;
    enum { WARP, BLOCK, COLUMNS } share;
    const char *acc[MAXFOLDS];
    int parts;                        // blocks for the same results
} Fold;

enum { MAXSHARED = 4 };               // reductions that blocks can share: what they leave is f32

// All reductions of a formula, unless one must not be computed everywhere.
static bool collect(Fold *f, Expr *e, bool guarded) {
    if (!e || e->is_index) return true;
    if (!expr_is_reduce(e)) {
        guarded |= e->op == K_INSIDE;
        return collect(f, e->a, guarded) && collect(f, e->b, guarded) && collect(f, e->c, guarded);
    }
    for (int i = 0; i < f->nof; i++)
        if (f->of[i] == e) return !guarded;
    if (guarded || f->nof == MAXFOLDS) return false;
    f->of[f->nof++] = e;
    return true;
}

static Expr *inner(Expr *e) {
    KOp op = (KOp)e->op;
    while (expr_is_reduce(e) && e->op == (int)op) e = e->a;
    return e;
}

static int chain(Expr *e, Expr **v) {
    int n = 0;
    for (Expr *x = e; expr_is_reduce(x) && x->op == e->op && n < MAXDIM * 2; x = x->a) v[n++] = x->b;
    return n;
}

static bool same_loops(Fold *f) {
    f->nred = chain(f->of[0], f->red);
    for (int i = 1; i < f->nof; i++) {
        Expr *v[MAXDIM * 2];
        if (chain(f->of[i], v) != f->nred || memcmp(v, f->red, sizeof *v * (size_t)f->nred)) return false;
    }
    return true;
}

static bool walks(Expr *e, Expr *v) {                 // does a load step by one along v?
    if (!e || e->is_index) return false;
    if (e->op == K_LOAD) return ix_coef(e->a, v) == 1;
    return walks(e->a, v) || (!expr_is_reduce(e) && walks(e->b, v)) || walks(e->c, v);
}

static void to_front(Expr **v, int i) {
    Expr *x = v[i];
    memmove(v + 1, v, sizeof *v * (size_t)i);
    v[0] = x;
}

// What grows is slowest; what memory runs along is fastest. Returns whether there is such a variable.
static bool order_loops(Kernel *k, Fold *f) {
    Expr *x = inner(f->of[0]);
    bool runs = false;
    for (int i = f->nred - 1; i >= 0; i--)
        if (!runs && !var_is_open(k, f->red[i]) && walks(x, f->red[i])) {
            Expr *v = f->red[i];
            memmove(f->red + i, f->red + i + 1, sizeof v * (size_t)(f->nred - 1 - i));
            f->red[f->nred - 1] = v, runs = true;
        }
    for (int i = 0; i < f->nred; i++)
        if (var_is_open(k, f->red[i])) to_front(f->red, i);
    return runs;
}

static bool analyse(Out *o, Fold *f) {
    Kernel *k = o->k;
    for (int i = 0; i < k->nout; i++)
        if (!collect(f, k->bodies[i], false)) return false;
    if (!f->nof || !same_loops(f)) return false;
    int64_t size = vars_size(k, f->red, f->nred);
    if (size < SHORT) return false;
    bool runs = order_loops(k, f);
    f->nout = cuda_axes(o, f->out);
    for (int i = 0; i < f->nout && !runs; i++)        // what is read lies side by side along a result's axis: that one last
        if (!var_is_open(k, f->out[i]) && walks(inner(f->of[0]), f->out[i])) {
            Expr *v = f->out[i];
            memmove(f->out + i, f->out + i + 1, sizeof v * (size_t)(f->nout - 1 - i));
            f->out[f->nout - 1] = v;
            break;
        }
    bool columns = !runs && f->nout && walks(inner(f->of[0]), f->out[f->nout - 1]);
    f->share = columns ? COLUMNS : size >= LONG ? BLOCK : WARP;
    return true;
}

// ---- printing ----

static const char *type(const Expr *e) { return dtypes[e->type].name; }

static const char *const first[] = {[WARP] = "lane", [BLOCK] = "threadIdx.x", [COLUMNS] = "warp"};
static const int step[] = {[WARP] = 32, [BLOCK] = 32 * WARPS, [COLUMNS] = WARPS};

static void accumulate(Out *o, Fold *f) {
    Kernel *k = o->k;
    for (int i = 0; i < f->nof; i++) {
        f->acc[i] = cx_fmt(o->cx, "a%d", o->nname++);
        line(o, "%s %s = %s;", type(f->of[i]), f->acc[i], neutral_text(o, f->of[i]));
    }
    bool grows = vars_grow(k, f->red, f->nred);
    const char *size = size_text(o, f->red, vars_size(k, f->red, f->nred), grows),
               *from = cx_fmt(o->cx, "(%s)%s", o->index, first[f->share]);
    if (f->nred == 1 && !grows && !o->numbers) o->flat = vars_size(k, f->red, 1), size = "size";
    if (f->parts > 1) {
        int whole = f->parts * step[f->share];
        line(o, "const %s all = %s;", o->index, size);
        const char *over = cx_fmt(o->cx, "(all + %s - 1)", numeral_text(o, f, NUMBER_EXTENT, whole));
        const char *shares = quotient_text(o, f, NUMBER_QUOTIENT, whole, over);
        line(o, "const %s share = (%s)(%s) * %d;", o->index, o->index, shares, step[f->share]);
        line(o, "const %s begin = (%s)block_y * share, end = begin + share < all ? begin + share : all;", o->index,
             o->index);
        from = cx_fmt(o->cx, "begin + %s", from), size = "end";
    }
    begin(o, "for (%s r = %s; r < %s; r += %d) {", o->index, from, size, step[f->share]);
    int mark = open_scope(o);
    unflatten(o, f->red, f->nred, "r");
    for (int i = 0; i < f->nof; i++) {
        const char *x = value_text(o, inner(f->of[i]));
        line(o, "%s = %s;", f->acc[i], fold_text(o, f->of[i], f->acc[i], x));
    }
    close_scope(o, mark);
    end(o);
}

void partial_lanes(Out *o, Partial p, int lanes) {
    line(o, "#pragma unroll");
    begin(o, "for (int d = %d; d; d >>= 1) {", (lanes < 32 ? lanes : 32) / 2);
    for (int i = 0; i < p.n; i++) {
        const char *other = cx_fmt(o->cx, "o%d", o->nname++);
        line(o, "const %s %s = tvc_shfl_xor(%s, d);", type(p.of[i]), other, p.acc[i]);
        line(o, "%s = %s;", p.acc[i], fold_text(o, p.of[i], p.acc[i], other));
    }
    end(o);
}

void partial_shared(Out *o, Grid *l, Partial p, int lanes) {
    for (int i = 0; i < p.n; i++) {
        line(o, "__shared__ %s part_%s[%d][%d];", type(p.of[i]), p.acc[i], WARPS, lanes);
        l->shared += dtypes[p.of[i]->type].bytes * WARPS * lanes;
    }
}

void partial_warps(Out *o, Partial p, int lanes) {
    const char *lane = lanes == 1 ? "0" : "lane";
    if (lanes == 1) begin(o, "if (lane == 0) {");
    for (int i = 0; i < p.n; i++) line(o, "part_%s[warp][%s] = %s;", p.acc[i], lane, p.acc[i]);
    if (lanes == 1) end(o);
    line(o, "__syncthreads();");
    for (int i = 0; i < p.n; i++) line(o, "%s = part_%s[0][%s];", p.acc[i], p.acc[i], lane);
    begin(o, "for (int w = 1; w < %d; w++) {", WARPS);
    for (int i = 0; i < p.n; i++) {
        const char *x = cx_fmt(o->cx, "part_%s[w][%s]", p.acc[i], lane);
        line(o, "%s = %s;", p.acc[i], fold_text(o, p.of[i], p.acc[i], x));
    }
    end(o);
}

static int lanes_of(const Fold *f) { return f->share == COLUMNS ? 32 : 1; }

static Partial partial_of(const Fold *f) { return (Partial){f->of, f->acc, f->nof}; }

// What the blocks of a group leave is joined as the threads' sums were.
static void join_blocks(Out *o, Fold *f, Grid *l, int64_t groups) {
    int lanes = lanes_of(f), each = f->nof * lanes, pieces = (each + 3) / 4;
    if (f->parts == 1) return;
    split_workspace(o, l, "(int)block", groups, f->parts, pieces);
    line(o, "f32 *const left = (f32 *)parts;");
    begin(o, lanes == 1 ? "if (threadIdx.x == 0) {" : "if (warp == 0) {");
    for (int i = 0; i < f->nof; i++)
        line(o, "left[(int)block_y * %d + %d%s] = %s;", pieces * 4, i * lanes, lanes == 1 ? "" : " + (int)lane",
             f->acc[i]);
    end(o);
    line(o, "__shared__ u32 before;");
    l->shared += 4;
    const char *parts = numeral_text(o, f, NUMBER_BLOCKS, f->parts);
    line(o, "if (!tvc_last(count, (u32)%s, &before)) return;", parts);
    for (int i = 0; i < f->nof; i++) line(o, "%s = %s;", f->acc[i], neutral_text(o, f->of[i]));
    begin(o, "for (int p = (int)%s; p < %s; p += %d) {", first[f->share], parts, step[f->share]);
    for (int i = 0; i < f->nof; i++) {
        const char *x =
            cx_fmt(o->cx, "tvc_fresh(&left[p * %d + %d%s])", pieces * 4, i * lanes, lanes == 1 ? "" : " + (int)lane");
        line(o, "%s = %s;", f->acc[i], fold_text(o, f->of[i], f->acc[i], x));
    }
    end(o);
    if (lanes == 1) partial_lanes(o, partial_of(f), 32);
    partial_warps(o, partial_of(f), lanes);
}

// A thread has at least TERMS terms; what a block leaves is f32.
static int choose_parts(const Kernel *k, const Fold *f, int64_t groups, const CudaOptions *options) {
    enum { TERMS = 16 };
    bool fits = f->share != WARP && f->nof <= MAXSHARED;
    for (int i = 0; i < f->nof; i++) fits &= f->of[i]->type == DT_F32;
    if (!fits) return 1;
    return options->parts
               ? options->parts
               : split_parts(groups, vars_size(k, (Expr **)(uintptr_t)f->red, f->nred) / step[f->share] / TERMS);
}

bool cuda_fold(Out *o, Grid *l, const CudaOptions *options) {
    static const char *const number[] = {
        [WARP] = "block * 8u + warp", [BLOCK] = "block", [COLUMNS] = "block * 32u + lane"};
    static const int per_block[] = {[WARP] = WARPS, [BLOCK] = 1, [COLUMNS] = 32};
    Fold f = {.nof = 0};
    if (!analyse(o, &f)) return false;
    int64_t size = vars_size(o->k, f.out, f.nout), groups = (size + per_block[f.share] - 1) / per_block[f.share];
    bool grows = vars_grow(o->k, f.out, f.nout);
    f.parts = choose_parts(o->k, &f, groups, options);
    l->threads = 32 * WARPS;
    l->axis[0].items = size, l->axis[0].per_block = per_block[f.share], l->axis[0].grows = grows;
    l->axis[1].items = f.parts;
    line(o, "const unsigned lane = threadIdx.x & 31u, warp = threadIdx.x >> 5;");
    line(o, "const %s items = %s, item = (%s)(%s), at = item < items ? item : 0;", o->index, size_text(o, f.out, size, grows),
         o->index, number[f.share]);
    unflatten(o, f.out, f.nout, "at");                // the last block's idle threads repeat the first result
    accumulate(o, &f);
    if (f.share != WARP) partial_shared(o, l, partial_of(&f), lanes_of(&f));
    if (f.share != COLUMNS) partial_lanes(o, partial_of(&f), 32);
    if (f.share != WARP) partial_warps(o, partial_of(&f), lanes_of(&f));
    join_blocks(o, &f, l, groups);
    static const char *const idle[] = {
        [WARP] = "lane || item >= items", [BLOCK] = "threadIdx.x", [COLUMNS] = "warp || item >= items"};
    line(o, "if (%s) return;", idle[f.share]);
    for (int i = 0; i < f.nof; i++) name_expr(o, f.of[i], f.acc[i]);
    for (int i = 0; i < o->k->nout; i++) store(o, i, o->k->bodies[i]);
    return true;
}
