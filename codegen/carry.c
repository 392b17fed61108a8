// carry.c -- sums over a product's result that the product's kernel makes itself, where its tiles are (cuda_sums.c):
// a normalisation's statistics over a convolution, the two sums of its gradient over the gradient that a convolution
// has just made. A launch less, and one less reading of the tensor. A kernel of sums ("fold") joins a product's if
//
//     it sums over all axes but one, and what it sums is made of the product's result, at the same place, and of
//     tensors that lie as it does or have one number for each of what is left
//     nothing stands between them: no way leads from the product to it through another kernel
//     the product is no library's (cuda_product.c)
//
// and if tiles of that product can do it: one whose factor is computed of many tensors has no registers left. The sums of both see values as they are stored.
#include "group.h"

// ---- formulas ----

typedef struct Carry {
    const Kernel *product, *fold;
    Expr *old[MAXDIM], *load;         // the fold's outermost reductions; its load of the product's result
    int n;
    Expr **to;                        // by the fold's variables: the product's
} Carry;

static bool collect(Carry *c, Expr *e) {
    if (!e || e->is_index) return true;
    if (!expr_is_reduce(e)) return collect(c, e->a) && collect(c, e->b) && collect(c, e->c);
    for (int i = 0; i < c->n; i++)
        if (c->old[i] == e) return true;
    if (c->n == MAXDIM || e->op != K_SUM || e->type != DT_F32) return false;
    c->old[c->n++] = e;
    return true;
}

static Expr *term(Expr *e) {
    while (expr_is_sum(e)) e = e->a;
    return e;
}

// Formulas of elements that can be told from their place alone; the load of the product's result is always the same.
static bool is_plain(Carry *c, Expr *e) {
    if (!e) return true;
    if (e->is_index || expr_is_reduce(e) || e->op == K_INSIDE || e->op == K_INDEX || e->op == K_RANDOM) return false;
    if (e->op != K_LOAD) return is_plain(c, e->a) && is_plain(c, e->b) && is_plain(c, e->c);
    if (index_has_data(e->a)) return false;
    if (e->buf != c->product->out) return owner(e->buf) != owner(c->product->out);
    if (c->load && c->load != e) return false;
    return c->load = e, true;
}

// The product's axis along which its result is walked as by the fold's variable v; -1: none.
static int axis_like(const Carry *c, Kernel *into, Expr *v) {
    const Kernel *f = c->fold;
    Expr *y = ix_view(into, into->out, into->axis);
    for (int d = 0; d < into->out->shape.n; d++) {
        Expr *a = into->axis[d];
        if (a->op == I_VAR && into->extent[a->i] == f->extent[v->i] && into->grows[a->i] == f->grows[v->i] &&
            ix_coef(y, a) == ix_coef(c->load->a, v))
            return d;
    }
    return -1;
}

static int chain(Expr *e, Expr **v) {
    int n = 0;
    for (; expr_is_sum(e) && n < MAXDIM; e = e->a) v[n++] = e->b;
    return n;
}

// Variables of the fold, the summed ones and its single axis, and axes of the product are the same, one to one.
static bool match_axes(Carry *c, Kernel *into) {
    const Kernel *f = c->fold;
    Expr *v[MAXDIM + 1], *other[MAXDIM];
    bool taken[MAXDIM] = {false};
    int n = chain(c->old[0], v), axes = 0, wanted = 0;
    for (int i = 1; i < c->n; i++)
        if (chain(c->old[i], other) != n || memcmp(v, other, sizeof *v * (size_t)n)) return false;
    for (int d = 0; d < f->out->shape.n; d++)
        if (f->axis[d]->op == I_VAR) v[n] = f->axis[d], axes++;
    for (int d = 0; d < into->out->shape.n; d++) wanted += into->axis[d]->op == I_VAR;
    if (axes != 1 || ++n != wanted) return false;
    c->to = NEW(into->cx, Expr *, f->nvar);
    for (int i = 0; i < n; i++) {
        int d = axis_like(c, into, v[i]);
        if (d < 0 || taken[d]) return false;
        taken[d] = true, c->to[v[i]->i] = into->axis[d];
    }
    return true;
}

static bool reads(const Kernel *k, const Node *n) {
    for (int b = k->nout; b < k->nbuf; b++)
        if (k->buf[b] == n) return true;
    return false;
}

// Results of both, then what both read, each once.
static void join_buffers(Kernel *k, const Kernel *fold) {
    Node **old = k->buf, **results = NEW(k->cx, Node *, k->nout + fold->nout);
    int nout = k->nout, nbuf = k->nbuf;
    k->buf = NULL, k->nbuf = 0;
    for (int i = 0; i < nout + fold->nout; i++) {
        results[i] = i < nout ? k->outs[i] : fold->outs[i - nout];
        *VEC_PUSH(k->cx, k->buf, k->nbuf) = results[i];
    }
    k->outs = results, k->nout += fold->nout, k->nsum += fold->nout;
    for (int b = nout; b < nbuf; b++) *VEC_PUSH(k->cx, k->buf, k->nbuf) = old[b];
    for (int b = fold->nout; b < fold->nbuf; b++)
        if (fold->buf[b] != k->out && !reads(k, fold->buf[b])) *VEC_PUSH(k->cx, k->buf, k->nbuf) = fold->buf[b];
}

// A result where the product still reads, or over what the sums read at other places.
static bool is_apart(const Kernel *product, const Kernel *fold) {
    for (int i = 0; i < fold->nout; i++)
        for (int b = 0; b < product->nbuf; b++)
            if (owner(product->buf[b]) == owner(fold->outs[i])) return false;
    return true;
}

Kernel *kernel_with_sums(const Kernel *product, const Kernel *fold) {
    Carry c = {.product = product, .fold = fold};
    if (fold->hand || fold->npart || fold->nsum || !is_apart(product, fold)) return NULL;
    for (int i = 0; i < fold->nout; i++)
        if (!collect(&c, fold->bodies[i])) return NULL;
    for (int i = 0; i < c.n; i++)
        if (!is_plain(&c, term(c.old[i]))) return NULL;
    Kernel *k = kernel_copy(product);
    if (!c.load || index_at_zero(c.load->a) != index_at_zero(ix_view(k, k->out, k->axis)) || !match_axes(&c, k))
        return NULL;
    Expr *total[MAXDIM], *rows = k_var(k, 2, false), **bodies = NEW(k->cx, Expr *, k->nout + fold->nout);
    for (int i = 0; i < c.n; i++)
        total[i] = k_reduce(k, K_SUM, rows, expr_import(k, term(c.old[i]), c.to, 0, NULL, NULL));
    for (int i = 0; i < k->nout; i++) bodies[i] = k->bodies[i];
    for (int i = 0; i < fold->nout; i++) bodies[k->nout + i] = expr_import(k, fold->bodies[i], c.to, c.n, c.old, total);
    k->bodies = bodies;
    join_buffers(k, fold);
    return k;
}

// ---- which ----

typedef struct Carriers {
    const Plan *p;
    int *by;                          // by unit: that whose kernel makes its results, itself where none carries it
    bool *seen;
    int *todo;
} Carriers;

static bool waits_for(const Plan *p, int unit, int on) {
    for (int e = 0; e < p->nnext[on]; e++)
        if (p->next[on][e] == unit) return true;
    return false;
}

// What waits for the kernel of unit i, but for fold f: how many were added to the list.
static int followers(Carriers *c, int i, int f, int *list) {
    const Plan *p = c->p;
    int n = 0;
    for (int j = 0; j < p->n; j++)
        for (int e = 0; c->by[j] == i && e < p->nnext[j]; e++) {
            int next = c->by[p->next[j][e]];
            if (next != f && next != i && !c->seen[next]) c->seen[next] = true, list[n++] = next;
        }
    return n;
}

// Does a way lead from the kernel of unit i to fold f that is more than f's reading of what i makes?
static bool way_between(Carriers *c, int i, int f) {
    memset(c->seen, 0, sizeof *c->seen * (size_t)c->p->n);
    for (int n = followers(c, i, f, c->todo); n;) {
        int x = c->todo[--n];
        n += followers(c, x, f, c->todo + n);
    }
    for (int j = 0; j < c->p->n; j++)
        if (j != i && (c->seen[c->by[j]] || c->by[j] == i) && waits_for(c->p, f, j)) return true;
    return false;
}

static Kernel *carried_by(Carriers *c, int i, int f, const CudaOptions *options) {
    const Plan *p = c->p;
    Kernel *product = p->u[i].k;
    if (!is_product(&p->u[i]) || product->hand || way_between(c, i, f)) return NULL;
    Kernel *k = kernel_with_sums(product, p->u[f].k);
    if (!k || cuda_form(p->cx, product, options).library) return NULL;
    return cuda_form(p->cx, k, options).tile ? k : NULL;
}

int carry_sums(const Plan *p, const CudaOptions *options) {
    Carriers c = {.p = p, .by = NEW(p->cx, int, p->n), .seen = NEW(p->cx, bool, p->n), .todo = NEW(p->cx, int, p->n)};
    int left = 0;
    for (int i = 0; i < p->n; i++) c.by[i] = i;
    for (int f = 0; f < p->n; f++) {
        if (is_product(&p->u[f]) || p->early[f]) continue;
        for (int i = p->n - 1; i >= 0 && c.by[f] == f; i--) {
            Kernel *k = waits_for(p, f, i) ? carried_by(&c, i, f, options) : NULL;
            if (k) p->u[i].k = k, c.by[f] = i;
        }
    }
    for (int i = 0; i < p->n; i++)
        if (c.by[i] == i) p->u[left++] = p->u[i];
    return left;
}
