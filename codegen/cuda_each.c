// cuda_each.c -- the schedule for any formula: a thread for each element, or for a few neighbours that
// are read and written 16 bytes at a time.
#include "cuda.h"

enum { THREADS = 256 };

// Can v's neighbours be computed side by side from whole vectors of n? Guarded loads and loops stay scalar.
static bool by(Out *o, Expr *e, Expr *v, int64_t n) {
    if (!e || !touches(e, v)) return true;
    if (e->is_index || e->op == K_INSIDE || e->op == K_INDEX || e->op == K_RANDOM || expr_is_reduce(e)) return false;
    if (e->op == K_LOAD) return contiguous(o->k, e->a, v, n) && n * dtypes[e->buf->type].bytes <= 16;
    return by(o, e->a, v, n) && by(o, e->b, v, n) && by(o, e->c, v, n);
}

static int vector_of(Out *o, Expr *v) {
    Kernel *k = o->k;
    if (!v || var_is_open(k, v)) return 1;
    for (int n = 16; n > 1; n /= 2) {
        bool fits = k->extent[v->i] % n == 0;
        for (int i = 0; fits && i < k->nout; i++)
            fits = contiguous(k, ix_view(k, k->outs[i], k->axis), v, n) && n * dtypes[k->outs[i]->type].bytes <= 16 && by(o, k->bodies[i], v, n);
        if (fits) return n;
    }
    return 1;
}

// The loads that move with v, as vectors; element e of each is named.
static void load_vectors(Out *o, Expr *x, Expr *v, int n) {
    if (!x || x->is_index || x->as || !touches(x, v)) return;
    if (x->op != K_LOAD) {
        load_vectors(o, x->a, v, n), load_vectors(o, x->b, v, n), load_vectors(o, x->c, v, n);
        return;
    }
    int i = o->nname++;
    const char *type = cx_fmt(o->cx, "%sx%d", memory_type(x->buf->type), n);
    line(o, "const %s l%d = *(const %s *)(b%d + %s);", type, i, type, buf_number(o->k, x->buf), index_text(o->cx, x->a));
    name_expr(o, x, from_memory(o, x->buf->type, cx_fmt(o->cx, "l%d.x[e]", i)));
}

static void vectors(Out *o, Expr *v, int n) {
    Kernel *k = o->k;
    for (int i = 0; i < k->nout; i++) load_vectors(o, k->bodies[i], v, n);
    for (int i = 0; i < k->nout; i++) line(o, "%sx%d y%d;", memory_type(k->outs[i]->type), n, i);
    line(o, "#pragma unroll");
    begin(o, "for (int e = 0; e < %d; e++) {", n);
    for (int i = 0; i < k->nout; i++) {
        const char *x = value_text(o, k->bodies[i]);
        line(o, "y%d.x[e] = %s;", i, to_memory(o, k->outs[i]->type, x));
    }
    end(o);
    for (int i = 0; i < k->nout; i++) line(o, "*(%sx%d *)(b%d + %s) = y%d;", memory_type(k->outs[i]->type), n, i, out_index(o, i), i);
}

bool cuda_each(Out *o, Launch *l, const CudaOptions *options) {
    (void)options;
    Expr *v[MAXDIM];
    int n = cuda_axes(o, v), vec = vector_of(o, n ? v[n - 1] : NULL);
    int64_t size = vars_size(o->k, v, n);
    bool grows = vars_grow(o->k, v, n);
    l->threads = THREADS;
    l->grid[0].items = size, l->grid[0].per_block = THREADS * vec, l->grid[0].grows = grows;
    line(o, "const %s u = ((%s)blockIdx.x * %d + (%s)threadIdx.x) * %d;", o->index, o->index, THREADS, o->index, vec);
    line(o, "if (u >= %s) return;", size_text(o, size, grows));
    unflatten(o, v, n, "u");
    if (vec > 1) vectors(o, v[n - 1], vec);
    else for (int i = 0; i < o->k->nout; i++) store(o, i, o->k->bodies[i]);
    return true;
}
