// cuda_each.c -- the schedule for any formula: a thread for each element, or for a few neighbours that
// are read and written 16 bytes at a time.
#include "cuda.h"

enum { THREADS = 256 };

static int vector_of(Out *o, Expr *v) {
    Kernel *k = o->k;
    if (!v || var_is_open(k, v)) return 1;
    for (int n = 16; n > 1; n /= 2) {
        bool fits = k->extent[v->i] % n == 0;
        for (int i = 0; fits && i < k->nout; i++)
            fits = contiguous(k, ix_view(k, k->outs[i], k->axis), v, n) && n * dtypes[k->outs[i]->type].bytes <= 16 &&
                   neighbours(o, k->bodies[i], v, n, 16);
        if (fits) return n;
    }
    return 1;
}

// All is computed before anything is stored: a result may take the place of what another one reads.
static void store_each(Out *o) {
    for (int i = 0; o->k->nout > 1 && i < o->k->nout; i++) {
        const char *x = value_text(o, o->k->bodies[i]), *name = cx_fmt(o->cx, "y%d", i);
        line(o, "const %s %s = %s;", dtypes[o->k->bodies[i]->type].name, name, x);
        name_expr(o, o->k->bodies[i], name);
    }
    for (int i = 0; i < o->k->nout; i++) store(o, i, o->k->bodies[i]);
}

bool cuda_each(Out *o, Grid *l, const CudaOptions *options) {
    (void)options;
    Expr *v[MAXDIM];
    int n = cuda_axes(o, v), vec = vector_of(o, n ? v[n - 1] : NULL);
    int64_t size = vars_size(o->k, v, n);
    bool grows = vars_grow(o->k, v, n);
    l->threads = THREADS;
    l->axis[0].items = size, l->axis[0].per_block = THREADS * vec, l->axis[0].grows = grows;
    if (n <= 1 && !grows && !o->numbers) o->flat = size;
    line(o, "const %s u = ((%s)block * %d + (%s)threadIdx.x) * %d;", o->index, o->index, THREADS, o->index, vec);
    line(o, "if (u >= %s) return;", o->flat ? "size" : size_text(o, v, size, grows));
    unflatten(o, v, n, "u");
    if (vec > 1) store_neighbours(o, v[n - 1], vec);
    else store_each(o);
    return true;
}
