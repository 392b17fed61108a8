// cuda_rows.c -- the schedule for rows: reductions over a row, some of them over formulas of others, and results of
// that row and of its elements. A softmax, the loss over it and its gradient are one kernel so.
//
//     a few   short rows: 2, 4, .. 32 threads for each
//     block   long rows: all 256
//
// Reductions go in levels, those of a level share a loop; partial results meet in a fixed order, and all threads of a
// row have all of a level before the next one begins. A thread sees the same elements of the row in every loop; where
// they are few, loops are unrolled, and the compiler keeps in registers what it read and computed of them.
#include "cuda.h"

enum { THREADS = 256, WARP = 32, MAXFOLDS = 16, LONG = 256, HELD = 8 };

typedef struct Rows {
    Expr *of[MAXFOLDS];               // the reductions, by id: what one is made of stands before it
    int level[MAXFOLDS], nof, nlevel;
    Expr *column;                     // the axis along rows, or NULL: results are one number for each
    Expr *out[MAXDIM];                // the other axes
    int nout;
    int64_t size;                     // of a row
    int share;                        // threads for each
    const char *thread;               // its number among them
} Rows;

// All reductions of a formula, unless one must not be computed everywhere.
static bool collect(Rows *r, Expr *e, bool *seen, bool guarded) {
    if (!e || e->is_index || seen[e->id]) return true;
    seen[e->id] = true;
    guarded |= e->op == K_INSIDE;
    if (!collect(r, e->a, seen, guarded) || !collect(r, e->c, seen, guarded)) return false;
    if (!expr_is_reduce(e)) return collect(r, e->b, seen, guarded);
    if (guarded || r->nof == MAXFOLDS) return false;
    r->of[r->nof++] = e;
    return true;
}

// How many reductions stand within each other, below and in every expression: operands come before their users.
static void set_levels(const Kernel *k, Rows *r) {
    int *deep = NEW(k->cx, int, k->nexpr);
    for (int i = 0; i < k->nexpr; i++) {
        const Expr *e = k->expr[i], *in[] = {e->a, expr_is_reduce(e) ? NULL : e->b, e->c};
        for (int j = 0; j < 3; j++)
            if (in[j] && deep[in[j]->id] > deep[i]) deep[i] = deep[in[j]->id];
        deep[i] += expr_is_reduce(e);
    }
    for (int i = 0; i < r->nof; i++) {
        r->level[i] = deep[r->of[i]->id] - 1;
        if (r->level[i] >= r->nlevel) r->nlevel = r->level[i] + 1;
    }
}

static bool in_rows(const Kernel *k, const Rows *r) {
    for (int i = 0; i < r->nof; i++)
        if (r->of[i]->i != r->size || var_is_open(k, r->of[i]->b) || expr_is_reduce(r->of[i]->a)) return false;
    return true;
}

// The fastest axis, if no reduction depends on it.
static Expr *column_of(const Rows *r) {
    Expr *last = r->nout ? r->out[r->nout - 1] : NULL;
    for (int i = 0; i < r->nof && last; i++)
        if (touches(r->of[i], last)) last = NULL;
    return last;
}

static bool analyse(Out *o, Rows *r) {
    Kernel *k = o->k;
    bool *seen = NEW(k->cx, bool, k->nexpr);
    for (int i = 0; i < k->nout; i++)
        if (!collect(r, k->bodies[i], seen, false)) return false;
    if (!r->nof) return false;
    r->size = r->of[0]->i, r->nout = cuda_axes(o, r->out);
    if (!in_rows(k, r)) return false;
    set_levels(k, r);
    r->column = column_of(r);
    if (r->column && (k->extent[r->column->i] != r->size || var_is_open(k, r->column))) return false;
    r->nout -= r->column != NULL;
    for (r->share = 2; r->share < r->size && r->share < WARP;) r->share *= 2;
    if (r->size > LONG) r->share = THREADS;
    r->thread = r->share > WARP ? "threadIdx.x" : "lane";
    return r->column || r->nlevel > 1;                // else it is a plain reduction
}

// ---- printing ----

static const char *type(const Expr *e) { return dtypes[e->type].name; }

static int64_t turns_of(const Rows *r) { return (r->size + r->share - 1) / r->share; }

static bool is_held(const Rows *r) { return turns_of(r) <= HELD; }
static bool is_ragged(const Rows *r) { return is_held(r) && r->size % r->share; }

// The loop over the row's elements. Beyond its end an unrolled one has the last element again, and `in` is false: where
// nothing branches, the compiler finds what loops have in common.
static int begin_row(Out *o, const Rows *r, const Expr *v) {
    long long turns = turns_of(r), size = r->size;
    const char *name = cx_fmt(o->cx, "v%d", (int)v->i), *first = cx_fmt(o->cx, "(%s)%s", o->index, r->thread);
    line(o, is_held(r) ? "#pragma unroll" : "#pragma unroll 4");
    if (!is_held(r)) {
        begin(o, "for (%s %s = %s; %s < %lld; %s += %d) {", o->index, name, first, name, size, name, r->share);
        return open_scope(o);
    }
    begin(o, "for (int i = 0; i < %lld; i++) {", turns);
    line(o, "const %s %s = %s + i * %d;", o->index, is_ragged(r) ? "c" : name, first, r->share);
    if (is_ragged(r)) line(o, "const bool in = i < %lld || c < %lld;", turns - 1, size);
    if (is_ragged(r)) line(o, "const %s %s = in ? c : %lld;", o->index, name, size - 1);
    return open_scope(o);
}

static void end_row(Out *o, int mark) {
    close_scope(o, mark);
    end(o);
}

static void reduce_level(Out *o, Grid *l, const Rows *r, int level) {
    Expr *of[MAXFOLDS];
    const char *acc[MAXFOLDS];
    bool done[MAXFOLDS] = {false};
    Partial p = {of, acc, 0};
    for (int i = 0; i < r->nof; i++) {
        if (r->level[i] != level) continue;
        of[p.n] = r->of[i], acc[p.n] = cx_fmt(o->cx, "a%d", o->nname++);
        line(o, "%s %s = %s;", type(of[p.n]), acc[p.n], neutral_text(o, of[p.n]));
        p.n++;
    }
    for (int i = 0; i < p.n; i++) {                   // as a rule all are over one variable: one loop
        if (done[i]) continue;
        int mark = begin_row(o, r, of[i]->b);
        for (int j = i; j < p.n; j++)
            if (of[j]->b == of[i]->b) {
                const char *x = value_text(o, of[j]->a);
                done[j] = true;
                line(o, "%s%s = %s;", is_ragged(r) ? "if (in) " : "", acc[j], fold_text(o, of[j], acc[j], x));
            }
        end_row(o, mark);
    }
    if (r->share > WARP) partial_shared(o, l, p, 1);
    partial_lanes(o, p, r->share);
    if (r->share > WARP) partial_warps(o, p, 1);
    for (int i = 0; i < p.n; i++) name_expr(o, of[i], acc[i]);
}

static bool is_wide(const Out *o, const Rows *r, int result) {
    return r->column && ix_coef(ix_view(o->k, o->k->outs[result], o->k->axis), r->column) != 0;
}

static void store_narrow(Out *o, const Rows *r) {
    begin(o, "if (%s == 0) {", r->thread);
    int mark = open_scope(o);
    for (int i = 0; i < o->k->nout; i++)
        if (!is_wide(o, r, i)) store(o, i, o->k->bodies[i]);
    end_row(o, mark);
}

// Of a row that is held all is computed before any of it is stored, which could change what is read as far as the
// compiler knows.
static void store_wide(Out *o, const Rows *r) {
    Kernel *k = o->k;
    bool held = is_held(r);
    for (int i = 0; i < k->nout && held; i++)
        if (is_wide(o, r, i)) line(o, "%s y%d[%lld];", type(k->bodies[i]), i, (long long)turns_of(r));
    int mark = begin_row(o, r, r->column);
    for (int i = 0; i < k->nout; i++) {
        if (!is_wide(o, r, i)) continue;
        if (!held) { store(o, i, k->bodies[i]); continue; }
        const char *y = value_text(o, k->bodies[i]);
        line(o, "y%d[i] = %s;", i, y);
    }
    end_row(o, mark);
    if (!held) return;
    mark = begin_row(o, r, r->column);
    for (int i = 0; i < k->nout; i++) {
        if (!is_wide(o, r, i)) continue;
        name_expr(o, k->bodies[i], cx_fmt(o->cx, "y%d[i]", i));
        if (is_ragged(r)) begin(o, "if (in) {");
        store(o, i, k->bodies[i]);
        if (is_ragged(r)) end(o);
    }
    end_row(o, mark);
}

static void store_rows(Out *o, const Rows *r) {
    int narrow = 0;
    for (int i = 0; i < o->k->nout; i++) narrow += !is_wide(o, r, i);
    if (narrow < o->k->nout) store_wide(o, r);
    if (narrow) store_narrow(o, r);
}

bool cuda_rows(Out *o, Grid *l, const CudaOptions *options) {
    (void)options;
    Rows r = {.nof = 0};
    if (!analyse(o, &r)) return false;
    int64_t rows = vars_size(o->k, r.out, r.nout);
    bool grows = vars_grow(o->k, r.out, r.nout), block = r.share > WARP;
    int per_block = THREADS / r.share;
    l->threads = THREADS;
    l->axis[0].items = rows, l->axis[0].per_block = per_block, l->axis[0].grows = grows;
    if (block) {
        line(o, "const unsigned lane = threadIdx.x & 31u, warp = threadIdx.x >> 5;");
        line(o, "const %s at = (%s)block;", o->index, o->index);
    } else {                                          // the last block's idle threads repeat the first row
        line(o, "const unsigned lane = threadIdx.x & %du;", r.share - 1);
        line(o, "const %s rows = %s, row = (%s)(block * %du + threadIdx.x / %du), at = row < rows ? row : 0;", o->index,
             size_text(o, r.out, rows, grows), o->index, per_block, r.share);
    }
    unflatten(o, r.out, r.nout, "at");
    for (int i = 0; i < r.nlevel; i++) reduce_level(o, l, &r, i);
    if (!block) line(o, "if (row >= rows) return;");
    store_rows(o, &r);
    return true;
}
