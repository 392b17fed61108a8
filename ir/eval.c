// eval.c -- what a kernel means. Obvious, not fast, and the judge of everything else: sums are
// kept in double precision, every other result is rounded to its type at once.
#include "eval.h"
#include "op.h"
#include "../runtime/arith.h"
#include "../runtime/philox.h"

typedef union { double f; int64_t i; } Val;

typedef struct {           // an index as base + sum of coef * variable, if it is one
    enum { NEW_INDEX, AFFINE, GENERAL } kind;
    int n;
    int64_t base, coef[8];
    int var[8];
} Lin;

typedef struct {
    Kernel *k;
    void *const *buf;      // of k->buf[..]
    int64_t *var, batch;
    Lin *lin;              // by expression id
    int *of;               // by expression id: number of a load's buffer
    struct Kept *kept;     // by expression id: a reduction's last value
    bool bad;
} Env;

// A reduction that stands where variables run that it does not depend on: its value, and that of those it does depend
// on. One is enough: what a reduction depends on changes slowest.
typedef struct Kept {
    bool may, is;
    int n, *var;           // what it depends on, and the values it had
    int64_t *at;
    Val value;
} Kept;

#define safe_div(a, b) int_div(a, b, &v->bad)
#define safe_rem(a, b) int_rem(a, b, &v->bad)
#define safe_mod(a, b) int_mod(a, b, &v->bad)

static Val narrow(DType t, Val v) {
    if (t == DT_F32) v.f = (double)(float)v.f;
    else if (!dtype_is_float(t)) v.i = int_narrow(t, v.i);
    return v;
}

// ---- indices ----

static Val value_of(Env *v, Expr *e);

static bool linear(Lin *l, Expr *e, int64_t by) {
    if (e->op == I_IMM) return l->base += by * e->i, true;
    if (e->op == I_ADD) return linear(l, e->a, by) && linear(l, e->b, by);
    if (e->op == I_MUL && e->b->op == I_IMM) return linear(l, e->a, by * e->b->i);
    if (e->op != I_VAR || l->n == 8) return false;
    l->var[l->n] = (int)e->i, l->coef[l->n++] = by;
    return true;
}

static int64_t index_of(Env *v, Expr *e) {
    Lin *l = &v->lin[e->id];
    if (l->kind == NEW_INDEX) l->kind = linear(l, e, 1) ? AFFINE : GENERAL;
    if (l->kind == AFFINE) {
        int64_t x = l->base;
        for (int i = 0; i < l->n; i++) x += l->coef[i] * v->var[l->var[i]];
        return x;
    }
    if (e->op == I_DATA) {
        int64_t x = value_of(v, e->a).i;
        if (x >= 0 && x < e->i) return x;
        return v->bad = true, 0;
    }
    int64_t a = index_of(v, e->a), b = index_of(v, e->b);
    switch (e->op) {
    case I_ADD: return a + b;
    case I_MUL: return a * b;
    case I_DIV: return a / b;
    default:    return a % b;
    }
}

// ---- values ----

static Val load(Env *v, Expr *e) {
    int *b = &v->of[e->id];
    if (!*b) {
        *b = v->k->nout;
        while (v->k->buf[*b] != e->buf) ++*b;
    }
    DType t = e->buf->type;
    const char *p = (const char *)v->buf[*b] + index_of(v, e->a) * dtypes[t].bytes;
    if (dtype_is_float(t)) return (Val){.f = dtype_get_f(t, p)};
    return (Val){.i = dtype_get_i(t, p)};
}

static bool is_kept(Env *v, Kept *x) {
    bool same = x->is;
    for (int i = 0; i < x->n && same; i++) same = x->at[i] == v->var[x->var[i]];
    for (int i = 0; i < x->n && !same; i++) x->at[i] = v->var[x->var[i]];
    return same;
}

static Val run_reduce(Env *v, Expr *e) {
    bool flt = dtype_is_float(e->type), first = true;
    Val acc = {.i = 0};
    if (flt) acc.f = e->op == K_SUM ? 0 : e->op == K_PROD ? 1 : e->op == K_MAXIMUM ? -INFINITY : INFINITY;
    else if (e->op == K_PROD) acc.i = 1;
    int64_t n = v->k->grows[e->b->i] ? e->i / v->k->max_batch * v->batch : e->i, *i = &v->var[e->b->i], outer = *i;
    for (*i = 0; *i < n; ++*i, first = false) {
        Val x = value_of(v, e->a);
        if (e->op == K_SUM && flt) acc.f += x.f;
        else if (e->op == K_SUM) acc.i = wrap_add(acc.i, x.i);
        else if (e->op == K_PROD && flt) acc.f *= x.f;
        else if (e->op == K_PROD) acc.i = wrap_mul(acc.i, x.i);
        else if (flt) acc.f = (e->op == K_MAXIMUM ? acc.f > x.f : acc.f < x.f) ? acc.f : x.f;
        else if (first) acc = x;
        else if (e->type == DT_U64)
            u64_op(e->op == K_MAXIMUM ? ARITH_MAX : ARITH_MIN, (uint64_t)acc.i, (uint64_t)x.i, &acc.i, &v->bad);
        else acc.i = (e->op == K_MAXIMUM ? acc.i > x.i : acc.i < x.i) ? acc.i : x.i;
    }
    *i = outer;                                       // a loop around this one may have the same variable (kernel.h)
    return narrow(e->type, acc);
}

static Val reduce(Env *v, Expr *e) {
    Kept *x = &v->kept[e->id];
    if (!x->may) return run_reduce(v, e);
    if (!is_kept(v, x)) x->value = run_reduce(v, e), x->is = true;
    return x->value;
}

// ---- reductions to be kept ----

// By expression id, as bits: the variables it depends on. Operands come before their users.
static uint64_t *variables_of(const Kernel *k) {
    uint64_t *of = NEW(k->cx, uint64_t, k->nexpr);
    for (int i = 0; i < k->nexpr; i++) {
        const Expr *e = k->expr[i], *in[] = {e->a, expr_is_reduce(e) ? NULL : e->b, e->c};
        for (int j = 0; j < 3; j++)
            if (in[j]) of[i] |= of[in[j]->id];
        if (e->is_index && e->op == I_VAR) of[i] = 1ull << e->i;
        if (expr_is_reduce(e)) of[i] &= ~(1ull << e->b->i);
    }
    return of;
}

// By expression id: the variables that run where it stands.
static uint64_t *scopes_of(const Kernel *k) {
    uint64_t *of = NEW(k->cx, uint64_t, k->nexpr);
    for (int i = 0; i < k->nout; i++) of[k->bodies[i]->id] = (1ull << k->naxis) - 1;
    for (int i = k->nexpr - 1; i >= 0; i--) {
        const Expr *e = k->expr[i], *in[] = {e->a, expr_is_reduce(e) ? NULL : e->b, e->c};
        for (int j = 0; j < 3; j++)
            if (in[j]) of[in[j]->id] |= of[i] | (expr_is_reduce(e) ? 1ull << e->b->i : 0);
    }
    return of;
}

static Kept *find_kept(const Kernel *k) {
    Kept *kept = NEW(k->cx, Kept, k->nexpr);
    if (k->nvar > 63) return kept;
    uint64_t *on = variables_of(k), *in = scopes_of(k);
    for (int i = 0; i < k->nexpr; i++) {
        Kept *x = &kept[i];
        if (!expr_is_reduce(k->expr[i]) || !(in[i] & ~on[i])) continue;
        *x = (Kept){.may = true, .var = NEW(k->cx, int, k->nvar), .at = NEW(k->cx, int64_t, k->nvar)};
        for (int j = 0; j < k->nvar; j++)
            if (on[i] >> j & 1) x->var[x->n++] = j;
    }
    return kept;
}

// ---- kernels ----

static Val cast(DType from, DType to, Val x) {
    bool f = dtype_is_float(from), t = dtype_is_float(to);
    if (to == DT_BOOL) return (Val){.i = f ? x.f != 0 : x.i != 0};
    if (f && t) return narrow(to, x);
    if (!f && t) return narrow(to, (Val){.f = from == DT_U64 ? (double)(uint64_t)x.i : (double)x.i});
    if (f) {                                          // as a store to that type would: towards zero, saturating
        char b[8];
        dtype_set_f(to, b, x.f);
        return (Val){.i = dtype_get_i(to, b)};
    }
    return narrow(to, x);
}

static Val arithmetic(Env *v, Expr *e) {
    Val x = value_of(v, e->a), y = e->b ? value_of(v, e->b) : (Val){0}, r = {0};
    bool truth = e->type == DT_BOOL;
    if (dtype_is_float(e->a->type)) {
        double a = x.f, b = y.f;
        (void)b;
        switch ((KOp)e->op) {
#define KOP(name, n, class, infix, flt, integer) case K_##name: if (truth) r.i = (int64_t)(flt); else r.f = (double)(flt); break;
#include "../runtime/kops.h"
        default: break;
        }
    } else if (e->a->type != DT_U64 || !u64_op((Arith)e->op, (uint64_t)x.i, (uint64_t)y.i, &r.i, &v->bad)) {
        int64_t a = x.i, b = y.i;
        (void)b;
        switch ((KOp)e->op) {
#define KOP(name, n, class, infix, flt, integer) case K_##name: r.i = (integer); break;
#include "../runtime/kops.h"
        default: break;
        }
    }
    return narrow(e->type, r);
}

static Val value_of(Env *v, Expr *e) {
    if (e->op < NKOPS) return arithmetic(v, e);
    switch (e->op) {
    case K_IMM: return dtype_is_float(e->type) ? (Val){.f = e->f} : (Val){.i = e->i};
    case K_LOAD: return load(v, e);
    case K_INSIDE: {
        int64_t i = index_of(v, e->b);
        return value_of(v, 0 <= i && i < e->i ? e->a : e->c);
    }
    case K_SELECT: return value_of(v, value_of(v, e->a).i ? e->b : e->c);
    case K_CAST: return cast(e->a->type, e->type, value_of(v, e->a));
    case K_INDEX: return (Val){.i = index_of(v, e->a)};
    case K_BATCH: return (Val){.i = e->i * v->batch};
    case K_RANDOM:
        return (Val){.f = (double)philox_uniform(philox_key(0, 0), (uint64_t)e->i, (uint64_t)index_of(v, e->a))};
    default: return reduce(v, e);
    }
}

static int64_t axis_size(const Kernel *k, Shape s, int d, int64_t batch) {
    return s.batch == d + 1 ? s.d[d] / k->max_batch * batch : s.d[d];
}

// One element of every result, and on to the next place; false after the last.
static bool step(const Kernel *k, Shape s, int64_t *at, int64_t batch) {
    for (int d = s.n - 1; d >= 0; d--) {
        if (++at[d] < axis_size(k, s, d, batch)) return true;
        at[d] = 0;
    }
    return false;
}

static bool formula_eval(Kernel *k, void *const *buf, int64_t batch) {
    Env v = {.k = k,
             .buf = buf,
             .var = NEW(k->cx, int64_t, k->nvar + 1),
             .batch = batch,
             .lin = NEW(k->cx, Lin, k->nexpr),
             .of = NEW(k->cx, int, k->nexpr),
             .kept = find_kept(k)};
    Shape s = k->out->shape;
    int64_t at[MAXDIM] = {0};
    for (int d = 0; d < s.n; d++)
        if (axis_size(k, s, d, batch) == 0) return true;
    do {
        for (int d = 0; d < s.n; d++)
            if (k->axis[d]->op == I_VAR) v.var[k->axis[d]->i] = at[d];
        for (int i = 0; i < k->nout; i++) {
            Node *out = k->outs[i];
            int64_t to = out->view.base;
            for (int d = 0; d < s.n; d++) to += at[d] * out->view.stride[d];
            char *p = (char *)buf[i] + to * dtypes[out->type].bytes;
            Val x = value_of(&v, k->bodies[i]);
            if (dtype_is_float(out->type)) dtype_set_f(out->type, p, x.f);
            else dtype_set_i(out->type, p, x.i);
        }
    } while (step(k, s, at, batch));
    return !v.bad;
}

static bool body_eval(Kernel *k, void *const *buf, int64_t batch) {
    TensorDesc *desc = NEW(k->cx, TensorDesc, k->nbuf);
    int32_t bad = 0;
    for (int i = 0; i < k->nbuf; i++) {
        desc[i] = node_desc(k->buf[i]);
        int axis = desc[i].batch - 1;
        if (axis >= 0) desc[i].dim[axis] = desc[i].dim[axis] / k->max_batch * batch;
    }
    KernelCtx ctx = {.batch = batch, .error = &bad};
    Attr a = k->out->attr;
    BodyArgs args = {
        .buf = buf, .desc = desc, .nbuf = k->nbuf, .nattr = a.n, .attr = a.i, .f = a.f, .f2 = a.f2, .ctx = &ctx};
    BodyFn *fn = body_find(k->hand);
    if (!fn) fail(k->cx, E_UNSUPPORTED, "%s has no implementation", k->hand);
    fn(&args);
    return !bad;
}

bool kernel_eval(Kernel *k, void *const *buf, int64_t batch) {
    return k->hand ? body_eval(k, buf, batch) : formula_eval(k, buf, batch);
}

// ---- whole graphs ----

// Every node gets a plain buffer: nothing is fused while judging.
static void plain(Graph *g) {
    graph_sort(g);
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        n->stored = !op_is_splat(n);
        n->home = n->head = n->mate = NULL;
        memset(n->halo, 0, sizeof n->halo);
        view_set(n);
    }
}

static size_t node_bytes(Graph *g, const Node *n) {
    return ck_mul(g->cx, (size_t)n->view.room, (size_t)dtypes[n->type].bytes);
}

typedef struct { void **of; int n; } Values;

static void values_free(void *arg) {
    Values *v = arg;
    for (int i = 0; i < v->n; i++) free(v->of[i]);
}

static const void *data_of(Graph *g, Values *v, Node *x) {
    const void *p = op_is_leaf(x) ? x->data : v->of[x->id];
    if (!p) fail(g->cx, E_USAGE, "input '%s' has no data", cx_show(g->cx, x->name));
    return p;
}

static void make_value(Graph *g, Node *n, Values *v, int64_t batch) {
    Cx *cx = g->cx;
    size_t bytes = node_bytes(g, n);
    if (!(v->of[n->id] = calloc(1, bytes + 1)))
        fail(cx, E_LIMIT, "%s '%s' needs %zu bytes of memory", optab[n->op].name, cx_show(cx, n->name), bytes);
    CxMark mark = cx_mark(cx);                           // the formulas leave nothing behind
    Kernel *k = kernel_of(cx, g, n, optab[n->op].name);
    void **buf = NEW(cx, void *, k->nbuf);
    buf[0] = v->of[n->id];
    for (int i = 1; i < k->nbuf; i++) buf[i] = (void *)(uintptr_t)data_of(g, v, k->buf[i]);
    if (!kernel_eval(k, buf, batch))
        fail(cx, E_MALFORMED, "%s '%s': an index or divisor in the data is out of range", optab[n->op].name,
             cx_show(cx, n->name));
    cx_release(cx, mark);
}

void graph_eval(Graph *g, int64_t batch, void **result, SeenFn *seen, void *user) {
    plain(g);
    Values *v = NEW(g->cx, Values, 1);
    *v = (Values){NEW(g->cx, void *, g->norder), g->norder};
    cx_defer(g->cx, values_free, v);
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        if (op_is_leaf(n)) continue;
        make_value(g, n, v, batch);
        if (seen) seen(user, n, v->of[i]);
        for (int k = 0; k < n->nin; k++) {                // roots count as uses: they stay
            Node *x = n->in[k];
            if (--x->uses == 0) free(v->of[x->id]), v->of[x->id] = NULL;
        }
    }
    for (int i = 0; i < g->nroot; i++) {
        Node *n = g->root[i].value;
        result[i] = op_is_splat(n) ? splat_data(g->cx, n) : (void *)(uintptr_t)data_of(g, v, n);
    }
}
