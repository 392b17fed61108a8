// split.c -- split-K. A sum that is long for the few tiles its result has becomes two kernels:
//
//     part[s, ..] = the sum over the s-th stretch of one of its variables       (f32, workspace)
//     out[..]     = f(sum over s of part[s, ..])                                 (in a fixed order)
//
// Both are ordinary kernels: to the schedule for products s is one more axis that moves both factors.
#include "cuda.h"


static bool contiguous_along(Expr *e, Expr *v) {
    if (!e || e->is_index) return false;
    if (e->op == K_LOAD) return ix_coef(e->a, v) == 1;
    return contiguous_along(e->a, v) || (!expr_is_reduce(e) && contiguous_along(e->b, v)) || contiguous_along(e->c, v);
}

// The longest variable of the sum along which nothing is contiguous; not one that grows.
static Expr *longest(Kernel *k, Expr *sum) {
    Expr *term = sum, *best = NULL;
    while (expr_is_sum(term)) term = term->a;
    for (Expr *e = sum; expr_is_sum(e); e = e->a)
        if (!var_is_open(k, e->b) && !contiguous_along(term, e->b) &&
            (!best || k->extent[e->b->i] > k->extent[best->i]))
            best = e->b;
    return best;
}

static void find_reads(Kernel *k, Expr *e, bool *seen) {
    if (!e || seen[e->id]) return;
    seen[e->id] = true;
    find_reads(k, e->a, seen), find_reads(k, e->c, seen);
    if (!expr_is_reduce(e)) find_reads(k, e->b, seen);
    if (e->is_index || e->op != K_LOAD) return;
    for (int i = k->nout; i < k->nbuf; i++)
        if (k->buf[i] == e->buf) return;
    *VEC_PUSH(k->cx, k->buf, k->nbuf) = e->buf;
}

static void finish_kernel(Kernel *k, Node *out, Expr *body) {
    k->out = k->outs[0] = out, k->body = k->bodies[0] = body;
    k->buf = NULL, k->nbuf = 0;
    *VEC_PUSH(k->cx, k->buf, k->nbuf) = out;
    find_reads(k, body, NEW(k->cx, bool, k->nexpr));
}

static Node *workspace(Kernel *k, int64_t parts) {
    Node *y = k->out, *ws = NEW(k->cx, Node, 1);
    Shape s = {.n = y->shape.n + 1, .batch = y->shape.batch ? y->shape.batch + 1 : 0, .d = {parts}};
    *ws = (Node){.op = OP_Keep, .type = DT_F32, .stored = true, .shape = s};
    ws->view = (View){.stride = {y->view.room}, .base = y->view.base, .room = y->view.room * parts};
    for (int d = 0; d < y->shape.n; d++) ws->shape.d[d + 1] = y->shape.d[d], ws->view.stride[d + 1] = y->view.stride[d];
    return ws;
}

// The sum over a stretch: v = s * chunk + r. Beyond the last stretch there is nothing.
static Expr *stretch(Kernel *p, Expr *sum, Expr *v, Expr *s, int64_t chunk) {
    Expr *var[MAXDIM * 2], *e = sum, *r = k_var(p, chunk, false), *at = ix(p, I_ADD, ix_mul(p, s, chunk), r);
    int n = 0;
    for (; expr_is_sum(e); e = e->a) var[n++] = e->b == v ? r : e->b;
    Expr **to = NEW(p->cx, Expr *, p->nvar);
    to[v->i] = at;
    e = k_inside(p, at, p->extent[v->i], expr_subst(p, e, to), k_imm(p, e->type, 0));
    while (n--) e = k_reduce(p, K_SUM, var[n], e);
    return e;
}

bool kernel_split(Kernel *k, int64_t parts, Kernel **part, Kernel **finish) {
    Expr *sum = k->nout == 1 ? expr_find(k->body, expr_is_sum) : NULL, *v = sum ? longest(k, sum) : NULL;
    if (!v || sum->type != DT_F32 || k->out->shape.n == MAXDIM) return false;
    int64_t chunk = (k->extent[v->i] + parts - 1) / parts;
    Node *ws = workspace(k, parts);
    Kernel *p = *part = kernel_copy(k), *f = *finish = kernel_copy(k);
    p->axis[0] = k_var(p, parts, false);
    for (int d = 0; d < k->out->shape.n; d++) p->axis[d + 1] = k->axis[d];
    finish_kernel(p, ws, stretch(p, sum, v, p->axis[0], chunk));

    Expr *at[MAXDIM] = {k_var(f, parts, false)};
    for (int d = 0; d < k->out->shape.n; d++) at[d + 1] = k->axis[d];
    Expr *load = expr_intern(f, (Expr){.op = K_LOAD, .type = DT_F32, .buf = ws, .a = ix_view(f, ws, at)});
    finish_kernel(f, k->out, expr_put(f, k->body, sum, k_reduce(f, K_SUM, at[0], load)));
    return true;
}
