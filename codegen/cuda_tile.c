// cuda_tile.c -- the schedule for sums of products on tensor cores: an implicit matrix product (cuda_tile.h).
// Copies run STAGES - 1 tiles ahead of the products, with one barrier for each tile. What becomes of the sums is
// cuda_epilogue.c's.
#include "cuda_tile.h"

enum { FAR = -(1 << 30) };            // an index that no guard lets through

static int64_t extent(Out *o, Expr *v) { return o->k->extent[v->i]; }
static const char *whole_text(Out *o, Expr *v) { return numeral_text(o, v, NUMBER_AT_ZERO, extent(o, v)); }   // not rounded up

// ---- indices ----

// How far an affine index moves with all variables of g as one, where it does; else 0.
static int64_t even_step(Out *o, Expr *e, Group *g) {
    int64_t step = g->n > 1 ? ix_coef(e, g->v[g->n - 1]) : 0, size = g->last;
    if (step == 0 || size != extent(o, g->v[g->n - 1])) return 0;
    for (int i = g->n - 2; i >= 0; size *= extent(o, g->v[i--]))
        if (ix_coef(e, g->v[i]) != step * size) return 0;
    return step;
}

// The part of an affine index that the variables of g move: " + v3 * 64 + v4"; or, with the name of their flat index,
// " + k * 64", where no quotients are wanted then. A step of 1 is left out: what an address is contiguous along belongs to the form; `any`: to a guard's index it
// does not.
static const char *moved(Out *o, Expr *e, Group *g, const char *flat, bool any) {
    const char *s = "";
    int64_t step = flat ? even_step(o, e, g) : 0;
    if (step) return step == 1 ? cx_fmt(o->cx, " + %s", flat)
                               : cx_fmt(o->cx, " + %s * %s", flat, numeral_text(o, e, NUMBER_STEP + (int)g->v[0]->i, step));
    for (int i = 0; i < g->n; i++) {
        int64_t c = ix_coef(e, g->v[i]);
        if (c) s = cx_fmt(o->cx, "%s + v%d", s, (int)g->v[i]->i);
        if (c && (c != 1 || any)) s = cx_fmt(o->cx, "%s * %s", s, numeral_text(o, e, NUMBER_STEP + (int)g->v[i]->i, c));
    }
    return s;
}


// What a thread adds to an index once and for all: the variables of the factor's own group, and of z.
static const char *fixed(Out *o, Factor *f, Tile *t, Expr *e, bool any) {
    int64_t at = index_at_zero(e);
    const char *s = at ? numeral_text(o, e, NUMBER_AT_ZERO, at) : "0";
    s = cx_fmt(o->cx, "%s%s", s, moved(o, e, f->own, NULL, any));
    return cx_fmt(o->cx, "%s%s", s, moved(o, e, &t->z, NULL, any));
}

// Is a variable of g in e, outside of what is known already?
static int first_in(const Group *g, const Expr *e, const Expr *known) {
    int first = g->n;
    if (!e || e == known) return first;
    if (e->is_index || e->op == K_LOAD || e->op == K_INSIDE) {
        for (int i = g->n - 1; i >= 0; i--)
            if (touches(e, g->v[i])) first = i;
        return first;
    }
    const Expr *in[] = {e->a, e->b, e->c};
    for (int i = 0; i < 3; i++) {
        int x = first_in(g, in[i], known);
        if (x < first) first = x;
    }
    return first;
}

void tile_variables_of(Out *o, Group *g, const char *flat, const Expr *of, const Expr *known) {
    int first = of ? first_in(g, of, known) : 0;
    if (first >= g->n) return;
    int64_t *e = &o->k->extent[g->v[g->n - 1]->i], real = *e;
    *e = g->last;
    unflatten_from(o, g->v, g->n, flat, first);
    *e = real;
}

void tile_variables(Out *o, Group *g, const char *flat) { tile_variables_of(o, g, flat, NULL, NULL); }

const char *tile_bound(Out *o, Group *g) { return size_text(o, g, g->size, g->grows); }

const char *tile_parts(Out *o, Tile *t) { return numeral_text(o, t, NUMBER_EXTENT, t->parts); }

void tile_unrolled(Out *o, const char *index, int n) {
    line(o, "#pragma unroll");
    begin(o, "for (int %s = 0; %s < %d; %s++) {", index, index, n, index);
}

// ---- staging ----

static int per_row(Tile *t, Factor *f) { return (f->kmajor ? t->bk : f->tile) / f->vec; }
static int per_thread(Tile *t, Factor *f) { return f->tile * t->bk / f->vec / t->threads; }
static int columns(Tile *t, Factor *f) { return f->kmajor ? t->bk : f->tile; }
static int rows_apart(Tile *t, Factor *f) { return t->threads / per_row(t, f); }      // of a thread's copies

// All copies of a thread lie in one column, in rows that are permuted alike.
static bool is_regular(Tile *t, Factor *f) { return t->threads % per_row(t, f) == 0 && rows_apart(t, f) % 8 == 0; }

static void first_piece(Out *o, Tile *t, Factor *f) {
    int row = per_row(t, f);
    if (!is_regular(t, f)) return;
    line(o, "const int %s_row = (int)threadIdx.x / %d, %s_col = (int)threadIdx.x %% %d * %d;", f->id, row, f->id, row,
         f->vec);
    line(o, "const int %s_put = tvc_at(%s_row, %s_col, %d, %d);", f->id, f->id, f->id, columns(t, f), t->per);
    if (f->how != SCALAR) line(o, "const Shared %s_to = tvc_shared(&S%s[%s_put]);", f->id, f->id, f->id);
}

static void piece(Out *o, Tile *t, Factor *f) {       // where in the tile this thread's u-th copy goes
    int row = per_row(t, f);
    if (is_regular(t, f)) line(o, "const int row = %s_row + u * %d, col = %s_col;", f->id, rows_apart(t, f), f->id);
    else
        line(o, "const int p = (int)threadIdx.x + u * %d, row = p / %d, col = p %% %d * %d;", t->threads, row, row,
             f->vec);
}

static const char *place(Out *o, Tile *t, Factor *f) {
    int size = f->tile * t->bk;
    if (is_regular(t, f))
        return cx_fmt(o->cx, "S%s[s * %d + %s_put + u * %d]", f->id, size, f->id, rows_apart(t, f) * columns(t, f));
    return cx_fmt(o->cx, "S%s[s * %d + tvc_at(row, col, %d, %d)]", f->id, size, columns(t, f), t->per);
}

static const char *copied_to(Out *o, Tile *t, Factor *f) {
    int bytes = dtypes[t->type].bytes, row = rows_apart(t, f) * columns(t, f) * bytes;
    if (!is_regular(t, f)) return cx_fmt(o->cx, "tvc_shared(&%s)", place(o, t, f));
    return cx_fmt(o->cx, "%s_to + s * %d + u * %d", f->id, f->tile * t->bk * bytes, row);
}

static bool is_ragged(Group *g, int tile) { return g->grows || g->size % tile; }

// The conditions under which a copy is made, joined; "" if it always is.
static const char *both(Out *o, const char *a, const char *b) {
    return *a && *b ? cx_fmt(o->cx, "%s && %s", a, b) : *a ? a : b;
}

// k rounded up for one factor lies beyond the end of the other.
static const char *within_last(Out *o, Tile *t) {
    Expr *v = t->k.v[t->k.n - 1];
    return t->k.last == extent(o, v) ? "" : cx_fmt(o->cx, "v%d < %s", (int)v->i, whole_text(o, v));
}

// Whether a row lies within must be asked; the first guard, where there is one, fails for those that do not.
static bool asks(Factor *f) { return is_ragged(f->own, f->tile) && !f->nguard; }

static const char *guards(Out *o, Tile *t, Factor *f) {
    const char *ok = asks(f) ? cx_fmt(o->cx, "%s_in[u]", f->id) : "";
    if (is_ragged(&t->k, t->bk)) ok = both(o, ok, cx_fmt(o->cx, "k < %s", tile_bound(o, &t->k)));
    ok = both(o, ok, within_last(o, t));
    for (int g = 0; g < f->nguard; g++) {
        const char *size = numeral_text(o, f->guard[g], NUMBER_EXTENT, f->guard[g]->i);
        ok = both(o, ok, cx_fmt(o->cx, "(unsigned)(%s_g%d[u]%s) < (unsigned)%s", f->id, g,
                                moved(o, f->guard[g]->b, &t->k, "k", true), size));
    }
    return ok;
}

// What a computed factor must know of its copies later on; the end of k alone can be asked again.
static bool keeps_bits(Out *o, Tile *t, Factor *f) {
    return f->how == COMPUTED && (f->nguard || asks(f) || *within_last(o, t));
}

// What does not change along k, once per thread: where its copies begin, and the guards' indices.
static void prepare(Out *o, Tile *t, Factor *f) {
    int n = per_thread(t, f);
    first_piece(o, t, f);
    if (f->how == SCALAR) return;
    line(o, "int %s_at[%d];", f->id, n);
    if (asks(f)) line(o, "int %s_in[%d];", f->id, n);
    if (keeps_bits(o, t, f)) line(o, "unsigned %s_ok = 0;", f->id);   // a bit for each copy of the tiles under way
    for (int g = 0; g < f->nguard; g++) line(o, "int %s_g%d[%d];", f->id, g, n);
    tile_unrolled(o, "u", n);
    piece(o, t, f);
    line(o, "const int %s = %s + %s;", f->flat, f->base, f->kmajor ? "row" : "col");
    tile_variables(o, f->own, f->flat);
    if (asks(f)) line(o, "%s_in[u] = %s < %s;", f->id, f->flat, tile_bound(o, f->own));
    line(o, "%s_at[u] = %s;", f->id, fixed(o, f, t, f->load->a, false));
    for (int g = 0; g < f->nguard; g++) {
        const char *x = fixed(o, f, t, f->guard[g]->b, true);
        if (g == 0 && is_ragged(f->own, f->tile))
            x = cx_fmt(o->cx, "%s < %s ? %s : %d", f->flat, tile_bound(o, f->own), x, FAR);
        line(o, "%s_g%d[u] = %s;", f->id, g, x);
    }
    end(o);
}

static void stage_scalar(Out *o, Tile *t, Factor *f) {
    line(o, "const int k = k0 + %s;", f->kmajor ? "col" : "row");
    line(o, "const int %s = %s + %s;", f->flat, f->base, f->kmajor ? "row" : "col");
    line(o, "f32 x = 0;");
    const char *size = tile_bound(o, f->own);
    begin(o, "if (%s < %s && k < %s) {", f->flat, size, tile_bound(o, &t->k));
    int mark = open_scope(o);
    tile_variables(o, f->own, f->flat), tile_variables(o, &t->k, "k");
    begin(o, "if (%s) {", *within_last(o, t) ? within_last(o, t) : "1");
    line(o, "x = %s;", value_text(o, f->f));
    end(o);
    close_scope(o, mark);
    end(o);
    line(o, "%s = %s;", place(o, t, f), to_memory(o, t->type, "x"));
}

static void stage_copied(Out *o, Tile *t, Factor *f) {
    int size = f->vec * dtypes[t->type].bytes;
    const char *bytes = cx_fmt(o->cx, "%d", size), *ok = guards(o, t, f);
    if (*ok) line(o, "const int ok = %s;", ok);
    if (keeps_bits(o, t, f)) line(o, "%s_ok = %s_ok << 1 | (unsigned)ok;", f->id, f->id);
    if (f->vec > 1 && extent(o, f->run) % f->vec) {   // the last vector ends within
        const char *v = f->kmajor ? cx_fmt(o->cx, "v%d", (int)f->run->i) : cx_fmt(o->cx, "(%s + col)", f->base);
        line(o, "const int left = (%s - %s) * %d;", whole_text(o, f->run), v, dtypes[t->type].bytes);
        bytes = cx_fmt(o->cx, "left < %d ? left : %d", size, size);
    }
    const char *at = cx_fmt(o->cx, "%s_at[u]%s", f->id, moved(o, f->load->a, &t->k, "k", false));
    if (*ok) at = cx_fmt(o->cx, "(ok ? %s : 0)", at), bytes = cx_fmt(o->cx, "ok ? %s : 0", bytes);
    line(o, "tvc_copy_%d(%s, b%d + %s, %s);", size, copied_to(o, t, f), buf_number(o->k, f->load->buf), at, bytes);
}

// The variables of k at this thread's copies: before the loop over them where they are the same for all.
static bool same_k(Tile *t, Factor *f) { return f->kmajor && is_regular(t, f); }

static void copies(Out *o, Tile *t, Factor *f, Expr *of, Expr *known) {
    int n = per_thread(t, f);
    if (same_k(t, f)) {
        begin(o, "{");
        line(o, "const int k = k0 + %s_col;", f->id);
        tile_variables_of(o, &t->k, "k", of, known);
    }
    if (of) {                                         // formulas one after the other: registers are scarce
        line(o, "#pragma unroll 1");
        begin(o, "for (int u = 0; u < %d; u++) {", n);
    } else tile_unrolled(o, "u", n);
    piece(o, t, f);
    if (same_k(t, f)) return;
    line(o, "const int k = k0 + %s;", f->kmajor ? "col" : "row");
    Numbers *numbers = o->numbers;
    o->numbers = NULL;                                // quotients for each copy, in the inner loop: by literals they are cheaper
    tile_variables_of(o, &t->k, "k", of, known);
    o->numbers = numbers;
}

static void end_copies(Out *o, Tile *t, Factor *f) {
    end(o);
    if (same_k(t, f)) end(o);
}

// One stage of one factor into shared memory; of a computed one, what its formula mainly loads.
static void stage(Out *o, Tile *t, Factor *f) {
    if (f->how == SCALAR) {
        tile_unrolled(o, "u", per_thread(t, f));
        piece(o, t, f);
        stage_scalar(o, t, f);
        end(o);
        return;
    }
    copies(o, t, f, NULL, NULL);
    stage_copied(o, t, f);
    end_copies(o, t, f);
}

// Indices that move evenly along k, of all that is loaded.
static void name_even(Out *o, Tile *t, Factor *f, Expr *e) {
    if (!e || e->is_index || e->as) return;
    if (e->op != K_LOAD) {
        name_even(o, t, f, e->a), name_even(o, t, f, e->b), name_even(o, t, f, e->c);
        return;
    }
    if (index_has_data(e->a) || !even_step(o, e->a, &t->k)) return;
    const char *at = fixed(o, f, t, e->a, false);
    name_expr(o, e->a, cx_fmt(o->cx, "(%s%s)", at, moved(o, e->a, &t->k, "k", false)));
}

// The second half for a computed factor: each thread works on what it copied itself, so its own wait is enough.
// Bits of tile kt lie above those of the tiles that were begun since.
static void compute(Out *o, Tile *t, Factor *f) {
    if (f->how != COMPUTED) return;
    const char *type = cx_fmt(o->cx, "%sx%d", memory_type(t->type), t->per);
    int n = per_thread(t, f), mark = open_scope(o);
    copies(o, t, f, f->inner, f->load);
    if (keeps_bits(o, t, f)) begin(o, "if (%s_ok >> (%d - u) & 1) {", f->id, (STAGES - 1) * n - 1);
    else begin(o, "if (%s) {", *guards(o, t, f) ? guards(o, t, f) : "1");
    line(o, "%s *const at = (%s *)&%s, raw = *at, y;", type, type, place(o, t, f));
    line(o, "const int %s = %s + %s;", f->flat, f->base, f->kmajor ? "row" : "col");
    tile_variables_of(o, f->own, f->flat, f->inner, f->load);
    name_expr(o, f->load, from_memory(o, t->type, "raw.x[e]"));
    name_even(o, t, f, f->inner);
    load_neighbours(o, f->inner, f->run, t->per);
    tile_unrolled(o, "e", t->per);
    line(o, "y.x[e] = %s;", to_memory(o, t->type, value_text(o, f->inner)));
    end(o);
    line(o, "*at = y;");
    end(o);
    end_copies(o, t, f);
    close_scope(o, mark);
}

// ---- products ----

// Elements of 32 bits across the rows are read one by one, as ldmatrix turns those of 16 bits only.
static bool by_matrix(Tile *t, Factor *f) { return f->kmajor || t->per == 8; }

// Where this thread's part of the fragments of stage 0 begins. Fragments of 16 rows (A), or of two times 8 columns
// (B): further ones lie a constant number of bytes away along the rows, and an exclusive or away along a row.
static void fragment_start(Out *o, Tile *t, Factor *f) {
    const char *half = cx_fmt(o->cx, "(lane >> 4) * %d", t->per), *odd = cx_fmt(o->cx, "(lane >> 3 & 1) * %d", t->per);
    bool a = f == &t->a;
    const char *row = a ? "wm + (lane & 15)" : "wn + (lane & 7) + (lane >> 4) * 8", *col = a ? half : odd;
    if (!f->kmajor) {
        row = a ? "(lane & 7) + (lane >> 4) * 8" : "(lane & 15)";
        col = a ? "wm + (lane >> 3 & 1) * 8" : "wn + (lane >> 4) * 8";
    }
    if (by_matrix(t, f))
        line(o, "const Shared %s_from = tvc_shared(&S%s[tvc_at(%s, %s, %d, %d)]);", f->id, f->id, row, col,
             columns(t, f), t->per);
}

static void fragments(Out *o, Tile *t, Factor *f, int n) {
    const char *i = f == &t->a ? "i" : "j";
    int bytes = dtypes[t->type].bytes, cols = columns(t, f);
    tile_unrolled(o, i, n);
    if (by_matrix(t, f)) {
        const char *at = f->kmajor ? cx_fmt(o->cx, "(%s_s ^ ks * %d) + %s * %d", f->id, bytes, i, 16 * cols * bytes)
                                   : cx_fmt(o->cx, "(%s_s ^ %s * %d) + ks * %d", f->id, i, 16 * bytes, cols * bytes);
        line(o, "tvc_ldmatrix%s(%s[%s], %s);", f->kmajor ? "" : "_trans", f->id, i, at);
    } else {
        const char *k = f == &t->a ? "q >> 1" : "q & 1", *x = f == &t->a ? "q & 1" : "q >> 1";
        const char *from = f == &t->a ? "wm + i * 16" : "wn + j * 16";
        tile_unrolled(o, "q", 4);
        line(o, "const int row = ks + (lane & 3) + (%s) * 4, col = %s + (lane >> 2) + (%s) * 8;", k, from, x);
        line(o, "%s[%s][q] = tvc_bits(S%s[s * %d + tvc_at(row, col, %d, %d)]);", f->id, i, f->id, f->tile * t->bk, cols,
             t->per);
        end(o);
    }
    end(o);
}

static void products(Out *o, Tile *t, const CudaOptions *options) {
    int mt = t->wm / 16;
    const char *type = t->type == DT_F32 && options->tf32 ? "tf32" : dtypes[t->type].name;
    for (int i = 0; i < 2; i++) {
        Factor *f = i ? &t->b : &t->a;
        int stage_bytes = f->tile * t->bk * dtypes[t->type].bytes;
        if (by_matrix(t, f)) line(o, "const Shared %s_s = %s_from + s * %d;", f->id, f->id, stage_bytes);
    }
    line(o, "#pragma unroll");
    begin(o, "for (int ks = 0; ks < %d; ks += %d) {", t->bk, t->per * 2);
    line(o, "u32 a[%d][4], b[2][4];", mt);
    fragments(o, t, &t->a, mt), fragments(o, t, &t->b, 2);
    tile_unrolled(o, "i", mt);
    line(o, "tvc_mma_%s(acc[i], a[i], b);", type);
    end(o), end(o);
}

// How many tiles of k this block has. What is known here is an operand, and takes no register.
static void count_tiles(Out *o, Tile *t) {
    bool grows = t->k.grows;
    int64_t n = blocks_along(&t->k, t->bk), share = (n + t->parts - 1) / t->parts;
    const char *all = grows ? cx_fmt(o->cx, "(%s + %d) / %d", tile_bound(o, &t->k), t->bk - 1, t->bk)
                            : numeral_text(o, &t->k, NUMBER_BLOCKS, n);
    line(o, "const int %s = %s;", t->parts == 1 ? "tiles" : "all", all);
    if (t->parts == 1) return;
    const char *over = cx_fmt(o->cx, "(all + %s - 1)", tile_parts(o, t));
    line(o, "const int share = (int)(%s);", grows ? quotient_text(o, t, NUMBER_QUOTIENT, t->parts, over)
                                                  : numeral_text(o, t, NUMBER_BLOCKS, share));
    line(o, "const int first = block_part * share, left = all - first, tiles = left < share ? left : share;");
}

static void pipeline(Out *o, Tile *t, const CudaOptions *options) {
    count_tiles(o, t);
    const char *from = t->parts == 1 ? "" : "first + ";
    begin(o, "for (int kt = %d; kt < tiles; kt++) {", 1 - STAGES);
    if (t->a.how != COMPUTED && t->b.how != COMPUTED)
        line(o, "if (kt >= 0) { tvc_wait(%d); __syncthreads(); }", STAGES - 2);
    else {
        begin(o, "if (kt >= 0) {");
        line(o, "tvc_wait(%d);", STAGES - 2);
        line(o, "const int k0 = (%skt) * %d, s = kt %% %d;", from, t->bk, STAGES);
        compute(o, t, &t->a), compute(o, t, &t->b);
        line(o, "__syncthreads();");
        end(o);
    }
    line(o, "const int k0 = (%skt + %d) * %d, s = (kt + %d) %% %d, more = kt + %d < tiles;", from, STAGES - 1, t->bk,
         STAGES - 1, STAGES, STAGES - 1);
    begin(o, "if (more) {");
    stage(o, t, &t->a), stage(o, t, &t->b);
    end(o);
    for (int i = 0; i < 2; i++) {
        Factor *f = i ? &t->b : &t->a;
        if (keeps_bits(o, t, f)) line(o, "if (!more) %s_ok <<= %d;", f->id, per_thread(t, f));
    }
    line(o, "tvc_commit();");
    begin(o, "if (kt >= 0) {");
    line(o, "const int s = kt %% %d;", STAGES);
    products(o, t, options);
    end(o);
    end(o);
}

static void start(Out *o, Tile *t, Grid *l) {
    static const char *const how[] = {[COPIED] = "copied", [COMPUTED] = "computed", [SCALAR] = "scalar"};
    const char *type = memory_type(t->type);
    int warps = t->bm / t->wm, na = STAGES * t->bm * t->bk, nb = STAGES * t->bn * t->bk;
    Group *g[] = {&t->m, &t->n, &t->z};
    int per[] = {t->bm, t->bn, 1};
    for (int i = 0; i < 3; i++)
        if (g[i]->n) l->axis[i].items = g[i]->size, l->axis[i].per_block = per[i], l->axis[i].grows = g[i]->grows;
    l->threads = t->threads, l->shared = o->pool = (na + nb) * dtypes[t->type].bytes;
    line(o, "// a %s by %d, b %s by %d", how[t->a.how], t->a.vec, how[t->b.how], t->b.vec);
    line(o, "%s *const Sa = (%s *)pool, *const Sb = Sa + %d;", type, type, na);
    line(o, "const int lane = (int)(threadIdx.x & 31), warp = (int)(threadIdx.x >> 5);");
    line(o, "const int wm = warp %% %d * %d, wn = warp / %d * %d;", warps, t->wm, warps, t->wn);
    line(o, "const int m0 = (int)block * %d, n0 = (int)block_y * %d;", t->bm, t->bn);
    if (t->parts > 1) {
        l->axis[2].items *= t->parts;
        if (t->z.n) divide(o, t, t->parts, false, "block_z", "block_part", "z");
        else line(o, "const int block_part = (int)block_z;");
    }
    tile_variables(o, &t->z, t->parts == 1 ? "(int)block_z" : "(int)z");
    line(o, "f32 acc[%d][%d][4] = {{{0}}};", t->wm / 16, t->wn / 8);
}

bool cuda_tile(Out *o, Grid *l, const CudaOptions *options) {
    Tile t;
    if (!tile_cast(o, &t, options)) return false;
    start(o, &t, l);
    prepare(o, &t, &t.a), prepare(o, &t, &t.b);
    fragment_start(o, &t, &t.a), fragment_start(o, &t, &t.b);
    pipeline(o, &t, options);
    tile_join(o, &t, l);
    tile_epilogue(o, &t);
    if (o->k->nsum) sums_end(o, &t, l);
    else tile_product(o, &t, options);          // a library makes no sums
    return true;
}
