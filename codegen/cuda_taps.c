// cuda_taps.c -- the schedule for reductions of few terms along a row of results: depthwise convolutions and their
// data gradients, pools. A thread has as many neighbours as 16 bytes of what is read hold; each term is read as one
// vector, under the guards that the neighbours share. What lies otherwise in memory, as a depthwise convolution's
// weights may, is read element by element.
#include "cuda.h"

enum { THREADS = 256, TERMS = 32, UNROLLED = 9, MAXGUARDS = 8 };

typedef struct Taps {
    Expr *reduce, *term;              // the outermost reduction; what is reduced, without its guards
    Expr *red[MAXDIM * 2], *guard[MAXGUARDS];
    int nred, nguard;
    int64_t terms;
    Expr *along;                      // the axis of the neighbours
    int vec;
} Taps;

static bool is_neutral(Out *o, const Expr *reduce, const Expr *e) {
    return e->op == K_IMM && !strcmp(value_text(o, (Expr *)(uintptr_t)e), neutral_text(o, (Expr *)(uintptr_t)reduce));
}

// Guards that leave nothing of a term; a factor's are the product's.
static Expr *peeled(Out *o, Taps *t, Expr *e) {
    for (; e->op == K_INSIDE && is_neutral(o, t->reduce, e->c) && t->nguard < MAXGUARDS; e = e->a)
        t->guard[t->nguard++] = e;
    if (e->op != K_MUL || t->reduce->op != K_SUM) return e;
    Expr *a = peeled(o, t, e->a), *b = peeled(o, t, e->b);
    return k2(o->k, K_MUL, a, b);
}

static bool is_simple(const Expr *e) {                // nothing that must not be read everywhere
    if (!e || e->is_index) return true;
    return e->op != K_INSIDE && !expr_is_reduce(e) && is_simple(e->a) && is_simple(e->b) && is_simple(e->c);
}

static bool has_vector(Out *o, const Expr *e, Expr *v, int n) {
    if (!e || e->is_index) return false;
    if (e->op == K_LOAD) return contiguous(o->k, e->a, v, n) && vector_fits(e->buf->type, n, 16);
    return has_vector(o, e->a, v, n) || has_vector(o, e->b, v, n) || has_vector(o, e->c, v, n);
}

static int reductions(const Expr *e, const Expr *known) {
    if (!e || e->is_index || e == known) return 0;
    return expr_is_reduce(e) + reductions(e->a, known) + reductions(e->b, known) + reductions(e->c, known);
}

static bool choose_vector(Out *o, Taps *t) {
    Kernel *k = o->k;
    if (!t->along || var_is_open(k, t->along)) return false;
    for (int g = 0; g < t->nguard; g++)
        if (touches(t->guard[g]->b, t->along)) return false;
    for (t->vec = 8; t->vec > 1; t->vec /= 2) {
        bool fits = k->extent[t->along->i] % t->vec == 0 &&
                    contiguous(k, ix_view(k, k->out, k->axis), t->along, t->vec) &&
                    vector_fits(k->out->type, t->vec, 32) && has_vector(o, t->term, t->along, t->vec);
        t->reduce->as = "sum";
        fits = fits && neighbours(o, k->body, t->along, t->vec, 32);
        t->reduce->as = NULL;
        if (fits) return true;
    }
    return false;
}

static bool analyse(Out *o, Taps *t, Expr **v, int n) {
    Kernel *k = o->k;
    t->terms = 1;
    t->reduce = k->nout == 1 ? expr_find(k->body, expr_is_reduce) : NULL;
    if (!t->reduce || reductions(k->body, t->reduce)) return false;
    Expr *e = t->reduce;
    for (; e->op == t->reduce->op && t->nred < MAXDIM * 2; e = e->a) {
        if (var_is_open(k, e->b)) return false;
        t->terms *= k->extent[e->b->i], t->red[t->nred++] = e->b;
    }
    if (t->terms >= TERMS) return false;
    t->term = peeled(o, t, e);
    t->along = n ? v[n - 1] : NULL;
    return is_simple(t->term) && choose_vector(o, t);
}

static void add_term(Out *o, Taps *t) {
    const char *guards = "1";
    for (int g = 0; g < t->nguard; g++)
        guards = cx_fmt(o->cx, "%s%s(unsigned %s)(%s) < %lldu", g ? guards : "", g ? " && " : "", o->index,
                        index_text(o, t->guard[g]->b), (long long)t->guard[g]->i);
    begin(o, "if (%s) {", guards);
    int mark = open_scope(o);
    load_neighbours(o, t->term, t->along, t->vec);
    line(o, "#pragma unroll");
    begin(o, "for (int e = 0; e < %d; e++) {", t->vec);
    line(o, "const %s v%d = row + e;", o->index, (int)t->along->i);
    const char *x = value_text(o, t->term);
    line(o, "a[e] = %s;", fold_text(o, t->reduce, "a[e]", x));
    end(o);
    close_scope(o, mark);
    end(o);
}

bool cuda_taps(Out *o, Grid *l, const CudaOptions *options) {
    (void)options;
    Expr *v[MAXDIM];
    Taps t = {.nred = 0};
    int n = cuda_axes(o, v);
    if (!analyse(o, &t, v, n)) return false;
    int64_t size = vars_size(o->k, v, n);
    bool grows = vars_grow(o->k, v, n);
    l->threads = THREADS;
    l->axis[0].items = size, l->axis[0].per_block = THREADS * t.vec, l->axis[0].grows = grows;
    line(o, "const %s u = ((%s)block * %d + (%s)threadIdx.x) * %d;", o->index, o->index, THREADS, o->index, t.vec);
    line(o, "if (u >= %s) return;", size_text(o, v, size, grows));
    unflatten(o, v, n, "u");
    line(o, "const %s row = v%d;", o->index, (int)t.along->i);
    line(o, "%s a[%d];", dtypes[t.reduce->type].name, t.vec);
    line(o, "#pragma unroll");
    line(o, "for (int e = 0; e < %d; e++) a[e] = %s;", t.vec, neutral_text(o, t.reduce));
    for (int i = 0; i < t.nred; i++) {
        line(o, t.terms <= UNROLLED || i == t.nred - 1 ? "#pragma unroll" : "#pragma unroll 1");
        begin(o, "for (%s v%d = 0; v%d < %lld; v%d++) {", o->index, (int)t.red[i]->i, (int)t.red[i]->i,
              (long long)o->k->extent[t.red[i]->i], (int)t.red[i]->i);
    }
    add_term(o, &t);
    for (int i = 0; i < t.nred; i++) end(o);
    name_expr(o, t.reduce, "a[e]");
    store_neighbours(o, t.along, t.vec);
    return true;
}
