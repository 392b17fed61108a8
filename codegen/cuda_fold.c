// cuda_fold.c -- the schedule for long reductions: the threads of a warp, of a block, or eight warps side
// by side share each result. Partial results meet in a fixed order, so a sum is the same in every run.
//
//     warp    what is reduced lies contiguous: 32 threads for each result, 8 results in a block
//     block   the same, and long: all 256 threads for one result
//     columns the results lie side by side: 32 of them in a block, 8 threads for each
//
// Several reductions over the same variables (mean and variance) share the loop.
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
} Fold;

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
    bool columns = !runs && f->nout && walks(inner(f->of[0]), f->out[f->nout - 1]);
    f->share = columns ? COLUMNS : size >= LONG ? BLOCK : WARP;
    return true;
}

// ---- printing ----

static const char *type(Expr *e) { return dtypes[e->type].name; }

static void accumulate(Out *o, Fold *f) {
    Kernel *k = o->k;
    static const char *const first[] = {[WARP] = "lane", [BLOCK] = "threadIdx.x", [COLUMNS] = "warp"};
    static const int step[] = {[WARP] = 32, [BLOCK] = 32 * WARPS, [COLUMNS] = WARPS};
    for (int i = 0; i < f->nof; i++) {
        f->acc[i] = cx_fmt(o->cx, "a%d", o->nname++);
        line(o, "%s %s = %s;", type(f->of[i]), f->acc[i], neutral_text(o, f->of[i]));
    }
    bool grows = vars_grow(k, f->red, f->nred);
    const char *size = size_text(o, vars_size(k, f->red, f->nred), grows);
    if (f->nred == 1 && !grows) o->flat = vars_size(k, f->red, 1), size = "size";
    begin(o, "for (%s r = (%s)%s; r < %s; r += %d) {", o->index, o->index, first[f->share], size, step[f->share]);
    int mark = open_scope(o);
    unflatten(o, f->red, f->nred, "r");
    for (int i = 0; i < f->nof; i++) {
        const char *x = value_text(o, inner(f->of[i]));
        line(o, "%s = %s;", f->acc[i], fold_text(o, f->of[i], f->acc[i], x));
    }
    close_scope(o, mark);
    end(o);
}

static void join_lanes(Out *o, Fold *f) {
    line(o, "#pragma unroll");
    begin(o, "for (int d = 16; d; d >>= 1) {");
    for (int i = 0; i < f->nof; i++) {
        const char *other = cx_fmt(o->cx, "o%d", o->nname++);
        line(o, "const %s %s = tvc_shfl_xor(%s, d);", type(f->of[i]), other, f->acc[i]);
        line(o, "%s = %s;", f->acc[i], fold_text(o, f->of[i], f->acc[i], other));
    }
    end(o);
}

// Across warps, through shared memory. `lanes` results of each warp meet.
static void join_warps(Out *o, Fold *f, Grid *l, int lanes) {
    const char *lane = lanes == 1 ? "0" : "lane";
    for (int i = 0; i < f->nof; i++) {
        line(o, "__shared__ %s part%d[%d][%d];", type(f->of[i]), i, WARPS, lanes);
        l->shared += dtypes[f->of[i]->type].bytes * WARPS * lanes;
    }
    if (lanes == 1) begin(o, "if (lane == 0) {");
    for (int i = 0; i < f->nof; i++) line(o, "part%d[warp][%s] = %s;", i, lane, f->acc[i]);
    if (lanes == 1) end(o);
    line(o, "__syncthreads();");
    line(o, lanes == 1 ? "if (threadIdx.x) return;" : "if (warp || item >= items) return;");
    for (int i = 0; i < f->nof; i++) line(o, "%s = part%d[0][%s];", f->acc[i], i, lane);
    begin(o, "for (int w = 1; w < %d; w++) {", WARPS);
    for (int i = 0; i < f->nof; i++)
        line(o, "%s = %s;", f->acc[i], fold_text(o, f->of[i], f->acc[i], cx_fmt(o->cx, "part%d[w][%s]", i, lane)));
    end(o);
}

bool cuda_fold(Out *o, Grid *l, const CudaOptions *options) {
    (void)options;
    static const char *const number[] = {
        [WARP] = "block * 8u + warp", [BLOCK] = "block", [COLUMNS] = "block * 32u + lane"};
    static const int per_block[] = {[WARP] = WARPS, [BLOCK] = 1, [COLUMNS] = 32};
    Fold f = {.nof = 0};
    if (!analyse(o, &f)) return false;
    int64_t size = vars_size(o->k, f.out, f.nout);
    bool grows = vars_grow(o->k, f.out, f.nout);
    l->threads = 32 * WARPS;
    l->axis[0].items = size, l->axis[0].per_block = per_block[f.share], l->axis[0].grows = grows;
    line(o, "const unsigned lane = threadIdx.x & 31u, warp = threadIdx.x >> 5;");
    line(o, "const %s items = %s, item = (%s)(%s), at = item < items ? item : 0;", o->index, size_text(o, size, grows),
         o->index, number[f.share]);
    unflatten(o, f.out, f.nout, "at");                // the last block's idle threads repeat the first result
    accumulate(o, &f);
    if (f.share != COLUMNS) join_lanes(o, &f);
    if (f.share == WARP) line(o, "if (lane || item >= items) return;");
    else join_warps(o, &f, l, f.share == BLOCK ? 1 : 32);
    for (int i = 0; i < f.nof; i++) name_expr(o, f.of[i], f.acc[i]);
    for (int i = 0; i < o->k->nout; i++) store(o, i, o->k->bodies[i]);
    return true;
}
