// cuda_cast.c -- see cuda_tile.h: which axis and which factor plays which part.
#include "cuda_tile.h"

static bool is_zero(const Expr *e) { return e->op == K_IMM && e->f == 0; }
static int64_t extent(Out *o, Expr *v) { return o->k->extent[v->i]; }

// ---- groups ----

static void join(Out *o, Group *g, Expr *v) {
    g->v[g->n++] = v, g->last = extent(o, v), g->size = (g->n == 1 ? 1 : g->size) * g->last;
    g->grows |= var_is_open(o->k, v);
}

static void to_back(Out *o, Group *g, Expr *v) {
    int j = 0;
    for (int i = 0; i < g->n; i++)
        if (g->v[i] != v) g->v[j++] = g->v[i];
    g->v[j] = v, g->last = extent(o, v);
}

static void open_first(Out *o, Group *g) {
    for (int i = 1; i < g->n; i++)
        for (int j = i; j > 0 && var_is_open(o->k, g->v[j]) && !var_is_open(o->k, g->v[j - 1]); j--) {
            Expr *v = g->v[j];
            g->v[j] = g->v[j - 1], g->v[j - 1] = v;
        }
    g->last = extent(o, g->v[g->n - 1]);
}

static bool grows_in_front(Out *o, Group *g) {        // as it must: a smaller batch is then a shorter index
    for (int i = 1; i < g->n; i++)
        if (var_is_open(o->k, g->v[i])) return false;
    return true;
}

static Expr *last(Group *g) { return g->v[g->n - 1]; }

static bool within(Group *g, Expr *v) {
    for (int i = 0; i < g->n; i++)
        if (g->v[i] == v) return true;
    return false;
}

// ---- factors ----

static bool affine(Out *o, Expr *e) {
    for (int v = 0; v < o->k->nvar; v++)
        if (ix_coef(e, &(Expr){.is_index = true, .op = I_VAR, .i = v}) == IX_WILD) return false;
    return !index_has_data(e);
}

static Expr *run_in(Expr *load, Group *g) {
    for (int i = 0; load && i < g->n; i++)
        if (ix_coef(load->a, g->v[i]) == 1) return g->v[i];
    return NULL;
}

// The first load of a formula that runs along k or the factor's own axes.
static Expr *main_load(Out *o, Tile *t, Factor *f, Expr *e) {
    if (!e || e->is_index || expr_is_reduce(e)) return NULL;
    if (e->op == K_LOAD) {
        bool fits =
            e->buf->type == t->type && affine(o, e->a) && (run_in(e, &t->k) || run_in(e, f->own) || e == f->inner);
        return fits ? e : NULL;
    }
    Expr *part[] = {e->a, e->b, e->c}, *l = NULL;
    for (int i = 0; i < 3 && !l; i++) l = main_load(o, t, f, part[i]);
    return l;
}

static void peel(Out *o, Tile *t, Factor *f) {        // guards, then a formula
    Expr *e = f->f;
    for (; e->op == K_INSIDE && is_zero(e->c) && f->nguard < MAXGUARD && affine(o, e->b); e = e->a)
        f->guard[f->nguard++] = e;
    f->inner = e;
    f->load = main_load(o, t, f, e);
}

static void choose_staging(Out *o, Tile *t, Factor *f) {
    int bytes = dtypes[t->type].bytes;
    bool copied = f->load && f->load == f->inner;
    f->how = SCALAR, f->vec = 1;
    f->run = run_in(f->load, &t->k);
    if (!f->run) f->run = run_in(f->load, f->own);
    f->kmajor = !f->run || within(&t->k, f->run);
    if (copied && bytes == 4) f->how = COPIED;
    if (!f->run || f->run != last(f->kmajor ? &t->k : f->own) || var_is_open(o->k, f->run)) return;
    for (int i = 0; i < f->nguard; i++)
        if (touches(f->guard[i]->b, f->run)) return;
    bool whole = f->kmajor || f->own->n == 1;         // k is rounded up; a single axis may end within a vector
    if (!copied) {
        if (extent(o, f->run) % t->per || !neighbours(o, f->inner, f->run, t->per, 32)) return;
        f->how = COMPUTED, f->vec = t->per;
        return;
    }
    for (int vec = t->per; vec * bytes >= 4; vec /= 2)
        if ((whole || extent(o, f->run) % vec == 0) && contiguous(o->k, f->load->a, f->run, vec)) {
            f->how = COPIED, f->vec = vec;
            return;
        }
}

static DType half_type(const Expr *e, DType t) {      // of the first load of halves, else t
    if (!e || e->is_index || t != DT_F32) return t;
    if (e->op == K_LOAD) return dtype_is_narrow(e->buf->type) ? e->buf->type : t;
    return half_type(e->c, half_type(expr_is_reduce(e) ? NULL : e->b, half_type(e->a, t)));
}

// ---- the whole ----

// A guard round the product guards every factor that can tell.
static bool guard_product(Out *o, Factor *a, Factor *b, Expr **guard, int n) {
    Kernel *k = o->k;
    for (int i = n - 1; i >= 0; i--) {
        Factor *f[] = {a, b};
        Expr *plain[] = {a->f, b->f};
        bool placed = false;
        for (int j = 0; j < 2; j++) {
            bool can = true;
            for (int d = 0; d < k->out->shape.n; d++)
                if (touches(guard[i]->b, k->axis[d]) && !touches(plain[j], k->axis[d]) &&
                    touches(plain[1 - j], k->axis[d]))
                    can = false;
            if (can) f[j]->f = k_inside(k, guard[i]->b, guard[i]->i, f[j]->f, k_imm(k, DT_F32, 0)), placed = true;
        }
        if (!placed) return false;
    }
    return true;
}

static bool find_factors(Out *o, Tile *t) {
    Kernel *k = o->k;
    Expr *guard[MAXGUARD], *e = t->sum = k->nout - k->nsum == 1 ? expr_find(k->body, expr_is_sum) : NULL;
    int n = 0;
    if (!e || e->type != DT_F32) return false;
    for (; expr_is_sum(e); e = e->a) {
        if (t->k.n == MAXDIM * 2) return false;
        join(o, &t->k, e->b);
    }
    for (; e->op == K_INSIDE && is_zero(e->c) && n < MAXGUARD; e = e->a) guard[n++] = e;
    if (e->op != K_MUL) return false;
    t->a = (Factor){.f = e->a, .own = &t->m, .id = "a", .flat = "m", .base = "m0"};
    t->b = (Factor){.f = e->b, .own = &t->n, .id = "b", .flat = "n", .base = "n0"};
    return guard_product(o, &t->a, &t->b, guard, n);
}

static bool cast_axes(Out *o, Tile *t) {
    Kernel *k = o->k;
    Expr *y = ix_view(k, k->out, k->axis), *along = NULL;
    for (int d = 0; d < k->out->shape.n; d++)
        if (k->axis[d]->op == I_VAR && ix_coef(y, k->axis[d]) == 1) along = k->axis[d];
    if (!along) return false;
    if (touches(t->a.f, along)) { Expr *x = t->a.f; t->a.f = t->b.f, t->b.f = x; }
    for (int d = 0; d < k->out->shape.n; d++) {
        Expr *v = k->axis[d];
        if (v->op != I_VAR) continue;
        bool a = touches(t->a.f, v), b = touches(t->b.f, v);
        join(o, a == b ? &t->z : a ? &t->m : &t->n, v);
    }
    bool too_many = t->z.size > UINT16_MAX || t->n.size / 128 >= UINT16_MAX;      // blocks, which only the first axis has more of
    if (!within(&t->n, along) || t->m.size < 8 || t->n.size < 8 || t->k.size < 8 || too_many) return false;
    to_back(o, &t->n, along);
    return true;
}

// The order of variables: what a factor is contiguous along comes last.
static bool order_axes(Out *o, Tile *t) {
    Expr *m = run_in(t->a.load, &t->m), *k = run_in(t->a.load, &t->k);
    if (!k) k = run_in(t->b.load, &t->k);
    open_first(o, &t->m);
    if (m) to_back(o, &t->m, m);
    if (k) to_back(o, &t->k, k);
    return grows_in_front(o, &t->m) && grows_in_front(o, &t->n) && grows_in_front(o, &t->k) && grows_in_front(o, &t->z);
}

static void round_up_k(Tile *t) {
    int64_t up = 1;
    if (t->a.kmajor && t->a.vec > up) up = t->a.vec;
    if (t->b.kmajor && t->b.vec > up) up = t->b.vec;
    int64_t whole = (t->k.last + up - 1) / up * up;
    t->k.size = t->k.size / t->k.last * whole, t->k.last = whole;
}

static void choose_sizes(Tile *t) {
    t->bm = t->m.size > 64 ? 128 : 64, t->bn = t->n.size > 64 ? 128 : 64;
    t->wm = t->bm == 128 && t->bn == 128 ? 64 : 32, t->wn = WN;
    t->threads = t->bm / t->wm * (t->bn / t->wn) * 32;
    t->a.tile = t->bm, t->b.tile = t->bn;
}

static int neighbours_out(Out *o, Tile *t) {          // as many results as can be computed side by side
    Kernel *k = o->k;
    Expr *along = last(&t->n);
    int n = var_is_open(k, along) ? 1 : 8;
    t->sum->as = "sum";
    for (; n > 1; n /= 2)
        if (extent(o, along) % n == 0 && contiguous(k, ix_view(k, k->out, k->axis), along, n) &&
            vector_fits(k->out->type, n, 32) && neighbours(o, k->body, along, n, 32))
            break;
    t->sum->as = NULL;
    return n;
}

// A part is at least STEPS tiles long; what the last block reads stays within LEFT bytes.
static int choose_parts(const Tile *t, const CudaOptions *options) {
    enum { STEPS = 8, LEFT = 1 << 20 };
    int64_t steps = (t->k.size + t->bk - 1) / t->bk / STEPS, left = LEFT / (t->bm * t->bn * 4);
    if (options->parts) return options->parts;
    int parts = split_parts(blocks_along(&t->m, t->bm) * blocks_along(&t->n, t->bn) * blocks_along(&t->z, 1),
                            steps < left ? steps : left);
    return parts * t->z.size <= UINT16_MAX ? parts : 1;
}

bool tile_cast(Out *o, Tile *t, const CudaOptions *options) {
    *t = (Tile){.type = DT_F32};
    if (strcmp(o->index, "int") || !find_factors(o, t) || !cast_axes(o, t)) return false;
    t->type = half_type(t->a.f, DT_F32);
    if (half_type(t->b.f, DT_F32) != t->type) return false;
    t->per = 16 / dtypes[t->type].bytes, t->bk = ROW / dtypes[t->type].bytes;
    peel(o, t, &t->a), peel(o, t, &t->b);
    if (!order_axes(o, t)) return false;
    choose_staging(o, t, &t->a), choose_staging(o, t, &t->b);
    round_up_k(t);
    choose_sizes(t);
    t->vec = neighbours_out(o, t);
    t->parts = choose_parts(t, options);
    if (!sums_find(o, t)) return false;
    return (t->n.size + t->bn - 1) / t->bn <= UINT16_MAX;
}
