// cuda_sums.c -- sums over the rows of a tile's result, column by column, made where the result is (Kernel.nsum): a
// normalisation's statistics, the two sums of its gradient. Terms are formed from values as they are stored, and are
// added in an order that shapes alone decide: those of a thread; of the lanes with the same columns; of the warps one
// above the other; then what the blocks of a column of blocks have left in the workspace, by the last of them to get
// there, which goes on with the formulas round the sums. Where blocks are many, groups of them do so first.
#include "cuda_tile.h"

enum { FEW = 32, MOSTLEFT = 1 << 28, MOSTLOADS = 10 };        // blocks whose sums one block adds up in any case; bytes left

// ---- finding them ----

static bool collect(Tile *t, Expr *e) {
    if (!e || e->is_index) return true;
    if (!expr_is_reduce(e)) return collect(t, e->a) && collect(t, e->b) && collect(t, e->c);
    for (int i = 0; i < t->ntotal; i++)
        if (t->total[i] == e) return true;
    if (t->ntotal == MAXSUMS) return false;
    t->total[t->ntotal++] = e;
    return true;
}

static Expr *load_of(const Node *n, Expr *e) {
    if (!e || e->is_index) return NULL;
    if (e->op == K_LOAD) return e->buf == n ? e : NULL;
    Expr *part[] = {e->a, e->b, e->c}, *l = NULL;
    for (int i = 0; i < 3 && !l; i++) l = load_of(n, part[i]);
    return l;
}

// One number for each column, and nothing else.
static bool by_columns(Out *o, const Tile *t) {
    Kernel *k = o->k;
    if (t->z.n || t->n.n != 1) return false;
    for (int i = k->nout - k->nsum; i < k->nout; i++) {
        Expr *at = ix_result(k, i);
        if (ix_coef(at, t->n.v[0]) == 0) return false;
        for (int j = 0; j < t->m.n; j++)
            if (touches(at, t->m.v[j])) return false;
    }
    return true;
}

static int64_t column_blocks(const Tile *t) { return blocks_along(&t->m, t->bm); }
static int64_t row_blocks(const Tile *t) { return blocks_along(&t->n, t->bn); }

// Blocks of a group, about as many as there are groups; all, where they are few.
static int64_t group_size(const Tile *t) {
    int64_t size = FEW;
    while (size * size < column_blocks(t)) size++;
    return size;
}

static int64_t groups(const Tile *t) { return (column_blocks(t) + group_size(t) - 1) / group_size(t); }

static int numbers(const Tile *t) { return t->ntotal * t->bn; }     // of a block

static int64_t left_bytes(const Tile *t) { return row_blocks(t) * (column_blocks(t) + groups(t)) * numbers(t) * 4; }

// How many different loads are in e, added to those in l; MOSTLOADS + 1: more.
static int count_loads(Expr *e, Expr **l, int n) {
    if (!e || e->is_index || n > MOSTLOADS) return n;
    if (e->op != K_LOAD) return count_loads(e->c, l, count_loads(e->b, l, count_loads(e->a, l, n)));
    for (int i = 0; i < n; i++)
        if (l[i] == e) return n;
    return l[n] = e, n + 1;
}

// A factor computed of many vectors leaves no registers for sums.
static bool is_heavy(const Factor *f) {
    Expr *l[MOSTLOADS + 1];
    return f->how == COMPUTED && count_loads(f->inner, l, 0) > MOSTLOADS;
}

bool sums_find(Out *o, Tile *t) {
    Kernel *k = o->k;
    if (!k->nsum) return true;
    if (is_heavy(&t->a) || is_heavy(&t->b)) return false;
    for (int i = k->nout - k->nsum; i < k->nout; i++)
        if (!collect(t, k->bodies[i])) return false;
    for (int i = 0; i < t->ntotal && !t->stored; i++) t->stored = load_of(k->out, t->total[i]->a);
    if (!t->stored || !by_columns(o, t)) return false;
    bool fits = row_blocks(t) * (groups(t) + 1) <= MOSTTURNS && left_bytes(t) <= MOSTLEFT;
    t->stored->as = "stored";
    for (int i = 0; i < t->ntotal; i++)
        fits &= t->vec == 1 || neighbours(o, t->total[i]->a, t->n.v[0], t->vec, 32);
    t->stored->as = NULL;
    return fits;
}

// ---- those of a thread: of as many columns as it stores side by side ----

void sums_begin(Out *o, const Tile *t) {
    for (int i = 0; i < t->ntotal; i++) line(o, "f32 s%d[%d] = {0};", i, t->vec);
}

void sums_add(Out *o, const Tile *t) {
    DType type = o->k->out->type;
    if (t->ntotal == 0) return;
    const char *x = t->vec == 1 ? to_memory(o, type, value_text(o, o->k->body)) : "y0.x[e]";
    name_expr(o, t->stored, from_memory(o, type, x));
    for (int i = 0; i < t->ntotal && t->vec > 1; i++) load_neighbours(o, t->total[i]->a, t->n.v[0], t->vec);
    tile_unrolled(o, "e", t->vec);
    for (int i = 0; i < t->ntotal; i++) line(o, "s%d[e] += %s;", i, value_text(o, t->total[i]->a));
    end(o);
}

// ---- of a block ----

static void join_lanes(Out *o, const Tile *t) {
    int lanes = WN / t->vec;
    if (lanes < 32) {
        line(o, "#pragma unroll 1");
        begin(o, "for (int d = 16; d >= %d; d >>= 1) {", lanes);
        tile_unrolled(o, "e", t->vec);
        for (int i = 0; i < t->ntotal; i++) line(o, "s%d[e] += tvc_shfl_xor(s%d[e], d);", i, i);
        end(o), end(o);
    }
    begin(o, "if (lane < %d) {", lanes);
    tile_unrolled(o, "e", t->vec);
    for (int i = 0; i < t->ntotal; i++) line(o, "own[%d + lane * %d + e] = s%d[e];", i * WN, t->vec, i);
    end(o), end(o);
}

static void join_warps(Out *o, const Tile *t) {
    int above = t->bm / t->wm, own = ROWS * WN;
    line(o, "__syncthreads();");
    line(o, "f32 *const sums = (f32 *)pool + %d;", t->threads / 32 * own);
    line(o, "#pragma unroll 1");
    begin(o, "for (int i = (int)threadIdx.x; i < %d; i += %d) {", numbers(t), t->threads);
    line(o, "const f32 *const part = (const f32 *)pool + i %% %d / %d * %d + i / %d * %d + i %% %d;", t->bn, WN,
         above * own, t->bn, WN, WN);
    line(o, "sums[i] = part[0];");
    line(o, "for (int w = 1; w < %d; w++) sums[i] += part[w * %d];", above, own);
    end(o);
}

// ---- of all blocks in a column ----

enum { ALL_LEFT, ALL_TURNS, GROUP_SIZE, BLOCKS_LEFT, GROUPS, ROUNDED, BY_SIZE /* takes two */ };

static const char *numeral(Out *o, const Tile *t, int which, int64_t value) {
    return numeral_text(o, &t->ntotal, which, value);
}

static const char *by_size(Out *o, const Tile *t, const char *x) {
    return quotient_text(o, &t->ntotal, BY_SIZE, group_size(t), x);
}

// Blocks by groups, then the groups likewise, until all of them are one group.
static void join_blocks(Out *o, Tile *t, Grid *l) {
    int64_t n = numbers(t), left = column_blocks(t) + groups(t), turns = groups(t) + 1;
    turns_workspace(o, l, row_blocks(t) * turns, left_bytes(t));
    const char *size = numeral(o, t, GROUP_SIZE, group_size(t));
    line(o, "u32 *turn = turns + block_y * %s;", numeral(o, t, ALL_TURNS, turns));
    line(o, "f32 *left_m = sums_left + (long)block_y * %s;", numeral(o, t, ALL_LEFT, left * n));
    line(o, "int number_m = (int)block, blocks_m = (%s + %d) / %d;", tile_bound(o, &t->m), t->bm - 1, t->bm);
    line(o, "#pragma unroll 1");
    begin(o, "for (;;) {");
    line(o, "const int group_m = (int)%s, first_m = group_m * %s, rest_m = blocks_m - first_m;",
         by_size(o, t, "number_m"), size);
    line(o, "if (!tvc_gather(sums, %d, left_m + (long)first_m * %d, turn + group_m,", (int)n, (int)n);
    line(o, "                number_m - first_m, rest_m < %s ? rest_m : %s, %d)) return;", size, size, t->threads);
    line(o, "if (blocks_m <= %s) break;", size);
    line(o, "turn += %s;", numeral(o, t, GROUPS, groups(t)));
    line(o, "left_m += %s;", numeral(o, t, BLOCKS_LEFT, column_blocks(t) * n));
    const char *up = cx_fmt(o->cx, "(blocks_m + %s)", numeral(o, t, ROUNDED, group_size(t) - 1));
    line(o, "number_m = group_m, blocks_m = (int)%s;", by_size(o, t, up));
    end(o);
}

void sums_end(Out *o, Tile *t, Grid *l) {
    Kernel *k = o->k;
    join_lanes(o, t), join_warps(o, t), join_blocks(o, t, l);
    line(o, "const int column = (int)threadIdx.x;");
    begin(o, "if (column < %d && n0 + column < %s) {", t->bn, tile_bound(o, &t->n));
    int mark = open_scope(o);
    tile_variables(o, &t->n, "n0 + column");
    for (int i = 0; i < t->ntotal; i++) name_expr(o, t->total[i], cx_fmt(o->cx, "sums[%d + column]", i * t->bn));
    for (int i = k->nout - k->nsum; i < k->nout; i++) store(o, i, k->bodies[i]);
    close_scope(o, mark);
    end(o);
}
