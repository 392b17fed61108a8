// cuda_product.c -- which tiled kernels are plain products of matrices, as a library computes them: both factors
// bare loads, every group one variable (kernel_merged joins what moves as one), and round the sum nothing but
// what a library's epilogue has: a number times it, a bias along n, a matrix added, a ReLU.
#include "cuda_tile.h"

static bool is_zero(const Expr *e) { return e->op == K_IMM && e->f == 0; }

// How far an index moves with a group; -1: not evenly, or backwards.
static int64_t step(const Expr *index, const Group *g) {
    int64_t c = g->n ? ix_coef((Expr *)(uintptr_t)index, g->v[0]) : 0;
    return c == IX_WILD || c < 0 ? -1 : c;
}

static const Group *group(const Tile *t, ProductAxis axis) {
    const Group *g[PRODUCT_AXES] = {[PRODUCT_M] = &t->m, [PRODUCT_N] = &t->n, [PRODUCT_K] = &t->k,
                                    [PRODUCT_COUNT] = &t->z};
    return g[axis];
}

static bool set_operand(const Tile *t, const Expr *index, int ref, Operand *x) {
    if (index_has_data(index)) return false;
    *x = (Operand){.ref = ref, .at = index_at_zero(index)};
    for (int i = 0; i < PRODUCT_AXES; i++)
        if ((x->step[i] = step(index, group(t, i))) < 0) return false;
    return true;
}

static bool set_load(Out *o, const Tile *t, const Expr *load, Operand *x) {
    return set_operand(t, load->a, buf_number(o->k, load->buf), x);
}

static bool set_sizes(Out *o, const Tile *t, Product *p) {
    p->grows = -1;
    for (int i = 0; i < PRODUCT_AXES; i++) {
        const Group *g = group(t, i);
        if (g->n > 1 || (g->grows && p->grows >= 0)) return false;
        p->size[i] = g->n ? o->k->extent[g->v[0]->i] : 1;
        if (g->grows) p->grows = i;
    }
    return true;
}

static bool set_factors(Out *o, const Tile *t, Product *p) {
    const Factor *f[] = {&t->a, &t->b};
    for (int i = 0; i < 2; i++)
        if (f[i]->load != f[i]->f || !f[i]->load || !set_load(o, t, f[i]->load, i ? &p->b : &p->a)) return false;
    return (p->a.step[PRODUCT_M] == 1 || p->a.step[PRODUCT_K] == 1) &&
           (p->b.step[PRODUCT_N] == 1 || p->b.step[PRODUCT_K] == 1) &&
           set_operand(t, ix_view(o->k, o->k->out, o->k->axis), 0, &p->d);
}

// ---- what is made of the sum ----

// A term of the epilogue that is no sum: a bias, or a matrix laid out as the result is.
static bool set_term(Out *o, const Tile *t, const Expr *e, Product *p) {
    Operand x;
    if (e->op != K_LOAD || !set_load(o, t, e, &x)) return false;
    bool rows = x.step[PRODUCT_M] > 0;
    if (x.step[PRODUCT_N] != 1 || x.step[PRODUCT_K] || (rows ? p->c.ref : p->bias.ref) >= 0) return false;
    if (!rows && x.step[PRODUCT_COUNT]) return false;
    if (rows && (x.step[PRODUCT_M] < p->size[PRODUCT_N] || e->buf->type != o->k->out->type)) return false;
    *(rows ? &p->c : &p->bias) = x;
    return true;
}

static bool set_scaled(const Tile *t, const Expr *e, Product *p) {
    const Expr *by = NULL;
    if (e->op == K_MUL && e->a->op == K_IMM) by = e->a, e = e->b;
    else if (e->op == K_MUL && e->b->op == K_IMM) by = e->b, e = e->a;
    p->alpha = by ? by->f : 1;
    return e == t->sum;
}

static bool set_terms(Out *o, const Tile *t, const Expr *e, Product *p) {
    if (set_scaled(t, e, p)) return true;
    if (e->op != K_ADD) return false;
    for (int i = 0; i < 2; i++) {
        const Expr *term = i ? e->b : e->a, *rest = i ? e->a : e->b;
        Product before = *p;
        if (set_term(o, t, term, p) && set_terms(o, t, rest, p)) return true;
        *p = before;
    }
    return false;
}

static bool set_epilogue(Out *o, const Tile *t, Product *p) {
    const Expr *e = o->k->body;
    p->relu = e->op == K_MAX && is_zero(e->a);
    p->bias.ref = p->c.ref = -1;
    return set_terms(o, t, p->relu ? e->b : e, p);
}

// A result over what is read is nothing for a library, but where it is added element by element.
static bool is_apart(Out *o, const Product *p) {
    const Operand *x[] = {&p->a, &p->b, &p->bias, &p->c};
    const Node *d = owner(o->k->out);
    for (int i = 0; i < 4; i++) {
        bool same = x[i]->ref >= 0 && owner(o->k->buf[x[i]->ref]) == d;
        bool alike = x[i]->at == p->d.at && !memcmp(x[i]->step, p->d.step, sizeof p->d.step);
        if (same && (i < 3 || !alike)) return false;
    }
    return true;
}

void tile_product(Out *o, const Tile *t, const CudaOptions *options) {
    Product p = {.tf32 = t->type == DT_F32 && options->tf32};
    DType out = o->k->out->type;
    bool plain = (out == DT_F32 || out == t->type) && set_sizes(o, t, &p) &&
                 set_factors(o, t, &p) && set_epilogue(o, t, &p) && is_apart(o, &p);
    if (plain) o->product = p;
}
