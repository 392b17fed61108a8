// cuda_neighbours.c -- elements that lie side by side, read, computed and written as one.
#include "cuda.h"

bool vector_fits(DType t, int n, int bytes) { return n * dtypes[t].bytes <= (t == DT_F32 ? bytes : 16); }

// Guarded loads and loops stay scalar.
bool neighbours(Out *o, Expr *e, Expr *v, int n, int bytes) {
    if (!e || e->as || !touches(e, v)) return true;
    if (e->is_index || e->op == K_INSIDE || e->op == K_INDEX || e->op == K_RANDOM || expr_is_reduce(e)) return false;
    if (e->op == K_LOAD) return contiguous(o->k, e->a, v, n) && vector_fits(e->buf->type, n, bytes);
    return neighbours(o, e->a, v, n, bytes) && neighbours(o, e->b, v, n, bytes) && neighbours(o, e->c, v, n, bytes);
}

// The loads that move with v, as vectors; element e of each is named.
void load_neighbours(Out *o, Expr *x, Expr *v, int n) {
    if (!x || x->is_index || x->as || !touches(x, v)) return;
    if (x->op != K_LOAD) {
        load_neighbours(o, x->a, v, n), load_neighbours(o, x->b, v, n), load_neighbours(o, x->c, v, n);
        return;
    }
    if (!contiguous(o->k, x->a, v, n) || !vector_fits(x->buf->type, n, 32)) return;
    int i = o->nname++;
    const char *type = cx_fmt(o->cx, "%sx%d", memory_type(x->buf->type), n);
    line(o, "const %s l%d = *(const %s *)(b%d + %s);", type, i, type, buf_number(o->k, x->buf),
         index_text(o, x->a));
    name_expr(o, x, from_memory(o, x->buf->type, cx_fmt(o->cx, "l%d.x[e]", i)));
}

void store_neighbours(Out *o, Expr *v, int n) {
    Kernel *k = o->k;
    int nout = k->nout - k->nsum;
    for (int i = 0; i < nout; i++) load_neighbours(o, k->bodies[i], v, n);
    for (int i = 0; i < nout; i++) line(o, "%sx%d y%d;", memory_type(k->outs[i]->type), n, i);
    line(o, "#pragma unroll");
    begin(o, "for (int e = 0; e < %d; e++) {", n);
    int mark = open_scope(o);
    for (int i = 0; i < nout; i++) {
        const char *x = value_text(o, k->bodies[i]);
        line(o, "y%d.x[e] = %s;", i, to_memory(o, k->outs[i]->type, x));
    }
    close_scope(o, mark);
    end(o);
    for (int i = 0; i < nout; i++)
        line(o, "*(%sx%d *)(b%d + %s) = y%d;", memory_type(k->outs[i]->type), n, i, out_index(o, i), i);
}
