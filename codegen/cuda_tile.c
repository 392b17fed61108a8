// cuda_tile.c -- the schedule for sums of products on tensor cores: an implicit matrix product (cuda_tile.h).
// Copies run STAGES - 1 tiles ahead of the products, with one barrier for each tile. f, the epilogue, is
// printed from the formula on the accumulators.
#include "cuda_tile.h"

#define LL(x) ((long long)(x))

static int64_t extent(Out *o, Expr *v) { return o->k->extent[v->i]; }

// ---- indices ----

// The part of an affine index that the variables of g move: " + v3 * 64 + v4"
static const char *part(Out *o, Expr *e, Group *g) {
    const char *s = "";
    for (int i = 0; i < g->n; i++) {
        int64_t c = ix_coef(e, g->v[i]);
        if (c) s = cx_fmt(o->cx, c == 1 ? "%s + v%d" : "%s + v%d * %lld", s, (int)g->v[i]->i, LL(c));
    }
    return s;
}

static void unflatten_group(Out *o, Group *g, const char *flat) {
    if (!g->n) return;
    int64_t *e = &o->k->extent[g->v[g->n - 1]->i], real = *e;
    *e = g->last;
    unflatten(o, g->v, g->n, flat);
    *e = real;
}

static const char *bound(Out *o, Group *g) { return size_text(o, g->size, g->grows); }

static void unrolled(Out *o, const char *index, int n) {
    line(o, "#pragma unroll");
    begin(o, "for (int %s = 0; %s < %d; %s++) {", index, index, n, index);
}

// ---- staging ----

static int per_row(Tile *t, Factor *f) { return (f->kmajor ? t->bk : f->tile) / f->vec; }
static int per_thread(Tile *t, Factor *f) { return f->tile * t->bk / f->vec / t->threads; }

static void piece(Out *o, Tile *t, Factor *f) {       // where in the tile this thread's u-th copy goes
    int row = per_row(t, f);
    line(o, "const int p = (int)threadIdx.x + u * %d, row = p / %d, col = p %% %d * %d;", t->threads, row, row, f->vec);
}

static const char *place(Out *o, Tile *t, Factor *f) {
    return cx_fmt(o->cx, "S%s[s * %d + tvc_at(row, col, %d, %d)]", f->id, f->tile * t->bk, f->kmajor ? t->bk : f->tile,
                  t->per);
}

// What does not change along k, once per thread: where its copies begin, and the guards' indices.
static void prepare(Out *o, Tile *t, Factor *f) {
    int n = per_thread(t, f);
    if (f->how == SCALAR) return;
    line(o, "int %s_at[%d], %s_in[%d];", f->id, n, f->id, n);
    if (f->how == COMPUTED) line(o, "unsigned %s_ok = 0;", f->id);    // a bit for each copy of the tiles under way
    for (int g = 0; g < f->nguard; g++) line(o, "int %s_g%d[%d];", f->id, g, n);
    unrolled(o, "u", n);
    piece(o, t, f);
    line(o, "const int %s = %s + %s;", f->flat, f->base, f->kmajor ? "row" : "col");
    unflatten_group(o, f->own, f->flat);
    line(o, "%s_in[u] = %s < %s;", f->id, f->flat, bound(o, f->own));
    Expr *at = f->load->a;
    line(o, "%s_at[u] = %lld%s%s;", f->id, LL(index_at_zero(at)), part(o, at, f->own), part(o, at, &t->z));
    for (int g = 0; g < f->nguard; g++) {
        Expr *e = f->guard[g]->b;
        line(o, "%s_g%d[u] = %lld%s%s;", f->id, g, LL(index_at_zero(e)), part(o, e, f->own), part(o, e, &t->z));
    }
    end(o);
}

// k rounded up for one factor lies beyond the end of the other.
static const char *within_last(Out *o, Tile *t) {
    Expr *v = t->k.v[t->k.n - 1];
    return t->k.last == extent(o, v) ? "" : cx_fmt(o->cx, " && v%d < %lld", (int)v->i, LL(extent(o, v)));
}

static void stage_scalar(Out *o, Tile *t, Factor *f) {
    line(o, "const int %s = %s + %s;", f->flat, f->base, f->kmajor ? "row" : "col");
    line(o, "f32 x = 0;");
    begin(o, "if (%s < %s && k < %s) {", f->flat, bound(o, f->own), bound(o, &t->k));
    int mark = open_scope(o);
    unflatten_group(o, f->own, f->flat), unflatten_group(o, &t->k, "k");
    begin(o, "if (1%s) {", within_last(o, t));
    line(o, "x = %s;", value_text(o, f->f));
    end(o);
    close_scope(o, mark);
    end(o);
    line(o, "%s = %s;", place(o, t, f), to_memory(o, t->type, "x"));
}

static const char *guards(Out *o, Tile *t, Factor *f) {
    const char *ok = cx_fmt(o->cx, "%s_in[u] && k < %s%s", f->id, bound(o, &t->k), within_last(o, t));
    for (int g = 0; g < f->nguard; g++)
        ok = cx_fmt(o->cx, "%s && (unsigned)(%s_g%d[u]%s) < %lldu", ok, f->id, g, part(o, f->guard[g]->b, &t->k),
                    LL(f->guard[g]->i));
    return ok;
}

static void stage_copied(Out *o, Tile *t, Factor *f) {
    int size = f->vec * dtypes[t->type].bytes;
    const char *bytes = cx_fmt(o->cx, "%d", size);
    line(o, "const int ok = %s;", guards(o, t, f));
    if (f->how == COMPUTED) line(o, "%s_ok = %s_ok << 1 | (unsigned)ok;", f->id, f->id);
    if (f->vec > 1 && extent(o, f->run) % f->vec) {   // the last vector ends within
        const char *v = f->kmajor ? cx_fmt(o->cx, "v%d", (int)f->run->i) : cx_fmt(o->cx, "(%s + col)", f->base);
        line(o, "const int left = (%lld - %s) * %d;", LL(extent(o, f->run)), v, dtypes[t->type].bytes);
        bytes = cx_fmt(o->cx, "left < %d ? left : %d", size, size);
    }
    line(o, "tvc_copy_%d(&%s, b%d + (ok ? %s_at[u]%s : 0), ok ? %s : 0);", size, place(o, t, f),
         buf_number(o->k, f->load->buf), f->id, part(o, f->load->a, &t->k), bytes);
}

// One stage of one factor into shared memory; of a computed one, what its formula mainly loads.
static void stage(Out *o, Tile *t, Factor *f) {
    unrolled(o, "u", per_thread(t, f));
    piece(o, t, f);
    line(o, "const int k = k0 + %s;", f->kmajor ? "col" : "row");
    if (f->how == SCALAR) stage_scalar(o, t, f);
    else {
        unflatten_group(o, &t->k, "k");
        stage_copied(o, t, f);
    }
    end(o);
}

// The second half for a computed factor: each thread works on what it copied itself, so its own wait is enough.
// Bits of tile kt lie above those of the tiles that were begun since.
static void compute(Out *o, Tile *t, Factor *f) {
    if (f->how != COMPUTED) return;
    const char *type = cx_fmt(o->cx, "%sx%d", memory_type(t->type), t->per);
    int n = per_thread(t, f);
    unrolled(o, "u", n);
    piece(o, t, f);
    line(o, "const int k = k0 + %s, %s = %s + %s;", f->kmajor ? "col" : "row", f->flat, f->base,
         f->kmajor ? "row" : "col");
    begin(o, "if (%s_ok >> (%d - u) & 1) {", f->id, (STAGES - 1) * n - 1);
    line(o, "%s *const at = (%s *)&%s, raw = *at, y;", type, type, place(o, t, f));
    int mark = open_scope(o);
    unflatten_group(o, f->own, f->flat), unflatten_group(o, &t->k, "k");
    name_expr(o, f->load, from_memory(o, t->type, "raw.x[e]"));
    load_neighbours(o, f->inner, f->run, t->per);
    unrolled(o, "e", t->per);
    line(o, "y.x[e] = %s;", to_memory(o, t->type, value_text(o, f->inner)));
    end(o);
    line(o, "*at = y;");
    close_scope(o, mark);
    end(o), end(o);
}

// ---- products ----

// Fragments of 16 rows (A), or of two times 8 columns (B), out of a stage. Which way a tile lies decides the
// addresses; 32-bit elements across the rows are read one by one, as ldmatrix turns 16-bit ones only.
static void fragments(Out *o, Tile *t, Factor *f, const char *row, const char *col, const char *rowt, const char *colt,
                      int n) {
    const char *i = f == &t->a ? "i" : "j";
    int cols = f->kmajor ? t->bk : f->tile;
    unrolled(o, i, n);
    if (f->kmajor || t->per == 8)
        line(o, "tvc_ldmatrix%s(%s[%s], &S%s[s * %d + tvc_at(%s, %s, %d, %d)]);", f->kmajor ? "" : "_trans", f->id, i,
             f->id, f->tile * t->bk, f->kmajor ? row : rowt, f->kmajor ? col : colt, cols, t->per);
    else {
        const char *k = f == &t->a ? "q >> 1" : "q & 1", *x = f == &t->a ? "q & 1" : "q >> 1";
        const char *from = f == &t->a ? "wm + i * 16" : "wn + j * 16";
        unrolled(o, "q", 4);
        line(o, "const int row = ks + (lane & 3) + (%s) * 4, col = %s + (lane >> 2) + (%s) * 8;", k, from, x);
        line(o, "%s[%s][q] = tvc_bits(S%s[s * %d + tvc_at(row, col, %d, %d)]);", f->id, i, f->id, f->tile * t->bk, cols,
             t->per);
        end(o);
    }
    end(o);
}

static void products(Out *o, Tile *t, const CudaOptions *options) {
    int mt = t->wm / 16, nt = t->wn / 8, step = t->per * 2;
    const char *type = t->type == DT_F32 && options->tf32 ? "tf32" : dtypes[t->type].name;
    const char *half = cx_fmt(o->cx, "(lane >> 4) * %d", t->per), *odd = cx_fmt(o->cx, "(lane >> 3 & 1) * %d", t->per);
    line(o, "#pragma unroll");
    begin(o, "for (int ks = 0; ks < %d; ks += %d) {", t->bk, step);
    line(o, "u32 a[%d][4], b[%d][4];", mt, nt / 2);
    fragments(o, t, &t->a, "wm + i * 16 + (lane & 15)", cx_fmt(o->cx, "ks + %s", half),
              "ks + (lane & 7) + (lane >> 4) * 8", "wm + i * 16 + (lane >> 3 & 1) * 8", mt);
    fragments(o, t, &t->b, "wn + j * 16 + (lane & 7) + (lane >> 4) * 8", cx_fmt(o->cx, "ks + %s", odd),
              "ks + (lane & 15)", "wn + j * 16 + (lane >> 4) * 8", nt / 2);
    unrolled(o, "i", mt), unrolled(o, "j", nt);
    line(o, "tvc_mma_%s(acc[i][j], a[i], &b[j / 2][j %% 2 * 2]);", type);
    end(o), end(o), end(o);
}

static void pipeline(Out *o, Tile *t, const CudaOptions *options) {
    line(o, "const int tiles = (%s + %d) / %d;", bound(o, &t->k), t->bk - 1, t->bk);
    begin(o, "for (int kt = %d; kt < tiles; kt++) {", 1 - STAGES);
    if (t->a.how != COMPUTED && t->b.how != COMPUTED)
        line(o, "if (kt >= 0) { tvc_wait(%d); __syncthreads(); }", STAGES - 2);
    else {
        begin(o, "if (kt >= 0) {");
        line(o, "tvc_wait(%d);", STAGES - 2);
        line(o, "const int k0 = kt * %d, s = kt %% %d;", t->bk, STAGES);
        compute(o, t, &t->a), compute(o, t, &t->b);
        line(o, "__syncthreads();");
        end(o);
    }
    line(o, "const int k0 = (kt + %d) * %d, s = (kt + %d) %% %d, more = kt + %d < tiles;", STAGES - 1, t->bk,
         STAGES - 1, STAGES, STAGES - 1);
    begin(o, "if (more) {");
    stage(o, t, &t->a), stage(o, t, &t->b);
    end(o);
    for (int i = 0; i < 2; i++) {
        Factor *f = i ? &t->b : &t->a;
        if (f->how == COMPUTED) line(o, "if (!more) %s_ok <<= %d;", f->id, per_thread(t, f));
    }
    line(o, "tvc_commit();");
    begin(o, "if (kt >= 0) {");
    line(o, "const int s = kt %% %d;", STAGES);
    products(o, t, options);
    end(o);
    end(o);
}

// ---- the result ----

static void epilogue(Out *o, Tile *t) {
    unrolled(o, "i", t->wm / 16), unrolled(o, "h", 2);
    line(o, "const int m = m0 + wm + i * 16 + (lane >> 2) + h * 8;");
    line(o, "if (m >= %s) continue;", bound(o, &t->m));
    unflatten_group(o, &t->m, "m");
    unrolled(o, "j", t->wn / 8);
    if (!t->pair) unrolled(o, "e", 2);
    line(o, "const int n = n0 + wn + j * 8 + (lane & 3) * 2%s;", t->pair ? "" : " + e");
    line(o, "if (n >= %s) continue;", bound(o, &t->n));
    int mark = open_scope(o);
    unflatten_group(o, &t->n, "n");
    name_expr(o, t->sum, "acc[i][j][h * 2 + e]");
    if (t->pair) store_neighbours(o, t->n.v[t->n.n - 1], 2);
    else store(o, 0, o->k->body), end(o);
    close_scope(o, mark);
    end(o), end(o), end(o);
}

static void start(Out *o, Tile *t, Grid *l) {
    static const char *const how[] = {[COPIED] = "copied", [COMPUTED] = "computed", [SCALAR] = "scalar"};
    const char *type = memory_type(t->type);
    int warps = t->bm / t->wm, na = STAGES * t->bm * t->bk, nb = STAGES * t->bn * t->bk;
    Group *g[] = {&t->m, &t->n, &t->z};
    int per[] = {t->bm, t->bn, 1};
    for (int i = 0; i < 3; i++)
        if (g[i]->n) l->axis[i].items = g[i]->size, l->axis[i].per_block = per[i], l->axis[i].grows = g[i]->grows;
    l->threads = t->threads, l->shared = (na + nb) * dtypes[t->type].bytes;
    line(o, "// %lld by %lld by %lld; a %s by %d, b %s by %d", LL(t->m.size), LL(t->n.size), LL(t->k.size), how[t->a.how],
         t->a.vec, how[t->b.how], t->b.vec);
    line(o, "__shared__ __align__(16) %s Sa[%d], Sb[%d];", type, na, nb);
    line(o, "const int lane = (int)(threadIdx.x & 31), warp = (int)(threadIdx.x >> 5);");
    line(o, "const int wm = warp %% %d * %d, wn = warp / %d * %d;", warps, t->wm, warps, t->wn);
    line(o, "const int m0 = (int)blockIdx.x * %d, n0 = (int)blockIdx.y * %d;", t->bm, t->bn);
    unflatten_group(o, &t->z, "(int)blockIdx.z");
    line(o, "f32 acc[%d][%d][4] = {{{0}}};", t->wm / 16, t->wn / 8);
}

bool cuda_tile(Out *o, Grid *l, const CudaOptions *options) {
    Tile t;
    if (!tile_cast(o, &t)) return false;
    start(o, &t, l);
    prepare(o, &t, &t.a), prepare(o, &t, &t.b);
    pipeline(o, &t, options);
    epilogue(o, &t);
    tile_product(o, &t, options);
    return true;
}
