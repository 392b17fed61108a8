// cuda_render.c -- which schedule prints a kernel for a grid, and what schedules share.
#include "cuda.h"

static const struct { const char *name; CudaSchedule *fn; } schedules[] = {
    {"tile", cuda_tile},
    {"fold", cuda_fold},
    {"each", cuda_each},
};

// ---- variables ----

int64_t vars_size(const Kernel *k, Expr **v, int n) {
    int64_t size = 1;
    for (int i = 0; i < n; i++) size *= k->extent[v[i]->i];
    return size;
}

bool vars_grow(const Kernel *k, Expr **v, int n) {
    bool grows = false;
    for (int i = 0; i < n; i++) grows |= var_is_open(k, v[i]);
    return grows;
}

const char *size_text(Out *o, int64_t size, bool grows) {
    if (!grows) return cx_fmt(o->cx, "%lld", (long long)size);
    return cx_fmt(o->cx, "(%s)(%lld * ctx->batch)", o->index, (long long)(size / o->k->max_batch));
}

int cuda_axes(Out *o, Expr **v) {
    Kernel *k = o->k;
    int64_t stride[MAXDIM];
    int n = 0;
    for (int d = 0; d < k->out->shape.n; d++) {
        if (k->axis[d]->op != I_VAR) continue;
        int64_t s = var_is_open(k, k->axis[d]) ? INT64_MAX : k->out->view.stride[d];
        int i = n++;
        for (; i && stride[i - 1] < s; i--) stride[i] = stride[i - 1], v[i] = v[i - 1];
        stride[i] = s, v[i] = k->axis[d];
    }
    return n;
}

void unflatten(Out *o, Expr **v, int n, const char *flat) {
    for (int i = n - 1; i >= 0; i--) {
        int x = (int)v[i]->i;
        long long e = o->k->extent[x];
        if (i == 0) { line(o, "const %s v%d = (%s)%s;", o->index, x, o->index, flat); return; }
        const char *rest = cx_fmt(o->cx, "r%d", o->nname++);
        line(o, "const %s v%d = (%s)((unsigned %s)%s %% %lldu);", o->index, x, o->index, o->index, flat, e);
        line(o, "const unsigned %s %s = (unsigned %s)%s / %lldu;", o->index, rest, o->index, flat, e);
        flat = rest;
    }
}

// ---- indices ----

bool touches(const Expr *e, const Expr *v) {
    if (!e) return false;
    if (e->is_index && e->op == I_VAR) return e->i == v->i;
    return touches(e->a, v) || (!expr_is_reduce(e) && touches(e->b, v)) || touches(e->c, v);
}

int64_t index_at_zero(const Expr *e) {
    if (e->op == I_IMM) return e->i;
    if (e->op == I_VAR) return 0;
    return e->op == I_ADD ? index_at_zero(e->a) + index_at_zero(e->b) : index_at_zero(e->a) * index_at_zero(e->b);
}

bool contiguous(Kernel *k, Expr *index, Expr *v, int64_t n) {
    if (index_has_data(index) || ix_coef(index, v) != 1) return false;
    for (int i = 0; i < k->nvar; i++) {
        int64_t c = ix_coef(index, &(Expr){.is_index = true, .op = I_VAR, .i = i});
        if (c == IX_WILD || (i != v->i && c % n)) return false;
    }
    return index_at_zero(index) % n == 0;
}

// ---- a kernel ----

// 32-bit indices are faster; they are enough if every buffer and every index is within them.
static const char *index_type(Kernel *k) {
    bool fits = true;
    for (int i = 0; i < k->nbuf; i++) fits &= k->buf[i]->view.room <= INT32_MAX;
    fits &= numel(k->out->shape) <= INT32_MAX - (1 << 16);    // the last block may reach beyond
    for (int i = 0; i < k->nexpr; i++) {
        int64_t lo, hi;
        if (!k->expr[i]->is_index || k->expr[i]->op == I_DATA) continue;
        ix_range(k, k->expr[i], &lo, &hi);
        bool known = hi < INT64_MAX / 4;              // else a quotient, smaller than what it is made of
        fits &= !known || (lo >= INT32_MIN && hi <= INT32_MAX);
    }
    return fits ? "int" : "long";
}

static const char *parameters(Kernel *k) {
    const char *s = "";
    for (int i = 0; i < k->nbuf; i++) {
        const char *type = memory_type(k->buf[i]->type);
        s = cx_fmt(k->cx, "%s%s%s *__restrict__ b%d, ", s, i < k->nout ? "" : "const ", type, i);
    }
    return cx_fmt(k->cx, "%sconst Ctx run", s);
}

static void forget_names(Kernel *k) {
    for (int i = 0; i < k->nexpr; i++) k->expr[i]->as = NULL;
}

Text render_cuda(Cx *cx, Kernel *k, const CudaOptions *options) {
    Out o = {0};
    Grid l;
    int i = 0;
    for (int r = 0; r < k->nout; r++) assert(padded_from(k->outs[r]) == k->outs[r]->shape.n);
    k = kernel_merged(k);
    const char *index = index_type(k);
    for (;; i++) {
        forget_names(k);
        o = (Out){.cx = cx, .k = k, .index = index, .before = "", .text = "", .depth = 1};
        l = (Grid){.axis = {{.items = 1, .per_block = 1}, {.items = 1, .per_block = 1}, {.items = 1, .per_block = 1}}};
        line(&o, "const Ctx *const ctx = &run;");
        if (schedules[i].fn(&o, &l, options)) break;
    }
    const char *s = cx_fmt(cx, "TVC_KERNEL(%d) $(%s) {\n%s}\n", l.threads, parameters(k), o.text);
    return (Text){.s = s, .units = 1, .schedule = schedules[i].name, .grid = l};
}
