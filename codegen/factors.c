// factors.c -- recognising sums of products.
#include "factors.h"

static bool is_factor(const Expr *e) { return e->op == K_LOAD && e->buf->type == DT_F32 && !index_has_data(e->a); }

bool factors_of(Kernel *k, Factors *f) {
    *f = (Factors){.sum = k->nout == 1 ? expr_find(k->body, expr_is_sum) : NULL};
    Expr *e = f->sum;
    if (!e || e->type != DT_F32) return false;
    for (; expr_is_sum(e); e = e->a) {
        if (f->nred == MAXRED) return false;
        f->red[f->nred++] = e->b;
    }
    if (e->op != K_MUL || !is_factor(e->a) || !is_factor(e->b)) return false;
    f->a = e->a, f->b = e->b;
    return true;
}

int64_t var_extent(const Kernel *k, const Expr *v) { return v ? k->extent[v->i] : 1; }
int64_t out_coef(Kernel *k, Expr *v) { return ix_coef(ix_view(k, k->out, k->axis), v); }
