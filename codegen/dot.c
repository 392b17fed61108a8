// dot.c -- the schedule for a sum of products where both factors lie along the summed axis, as in a
// fully connected layer: jt columns by nt rows at once, a vector of partial sums each, so that the
// larger factor is read once for nt rows.
#include "factors.h"

typedef struct Dot {
    Factors f;                        // a stands still along j, b along n
    Expr *r, *j, *n;                  // n may be NULL
    Expr *outer[MAXDIM];
    int nouter;
    int64_t jt, nt;
} Dot;

static bool analyse(Out *o, Dot *d) {
    Kernel *k = o->k;
    *d = (Dot){0};
    if (!factors_of(k, &d->f) || d->f.nred != 1 || k->out->type != DT_F32) return false;
    d->r = d->f.red[0];
    if (var_is_open(k, d->r) || var_extent(k, d->r) < o->lanes || ix_coef(d->f.a->a, d->r) != 1 ||
        ix_coef(d->f.b->a, d->r) != 1)
        return false;
    for (int i = k->out->shape.n - 1; i >= 0; i--) {
        Expr *v = k->axis[i];
        if (v->op != I_VAR) continue;
        int64_t a = ix_coef(d->f.a->a, v), b = ix_coef(d->f.b->a, v);
        if (a == IX_WILD || b == IX_WILD) return false;
        if (!d->j && a != 0 && b == 0) { Expr *x = d->f.a; d->f.a = d->f.b, d->f.b = x; a = 0, b = 1; }
        if (!d->j && a == 0 && b != 0 && !var_is_open(k, v)) d->j = v;
        else if (d->j && !d->n && a != 0 && b == 0) d->n = v;
        else d->outer[d->nouter++] = v;
    }
    return d->j != NULL;
}

static int64_t divisor(int64_t n, int64_t most) {
    while (n % most) most /= 2;
    return most;
}

static void products(Out *o, Dot *d, int64_t nt) {
    int64_t bj = ix_coef(d->f.b->a, d->j), an = d->n ? ix_coef(d->f.a->a, d->n) : 0, R = var_extent(o->k, d->r),
            whole = R - R % o->lanes;
    int r = (int)d->r->i;
    for (int n = 0; n < nt; n++)
        for (int j = 0; j < d->jt; j++) line(o, "vf a%d_%d = {0};", n, j);
    begin(o, "for (long v%d = 0; v%d < %lldL; v%d += LANES) {", r, r, (long long)whole, r);
    line(o, "const m_f32 *a = b%d + %s, *b = b%d + %s;", buf_number(o->k, d->f.a->buf), index_text(o, d->f.a->a),
         buf_number(o->k, d->f.b->buf), index_text(o, d->f.b->a));
    for (int n = 0; n < nt; n++) line(o, "const vf x%d = LD(a + %lldL);", n, (long long)(n * an));
    for (int j = 0; j < d->jt; j++) {
        line(o, "const vf w%d = LD(b + %lldL);", j, (long long)(j * bj));
        for (int n = 0; n < nt; n++) line(o, "a%d_%d += x%d * w%d;", n, j, n, j);
    }
    end(o);
    for (int n = 0; n < nt; n++)
        for (int j = 0; j < d->jt; j++) line(o, "f32 s%d_%d = hsum(a%d_%d);", n, j, n, j);
    if (whole == R) return;
    begin(o, "for (long v%d = %lldL; v%d < %lldL; v%d++) {", r, (long long)whole, r, (long long)R, r);
    line(o, "const m_f32 *a = b%d + %s, *b = b%d + %s;", buf_number(o->k, d->f.a->buf), index_text(o, d->f.a->a),
         buf_number(o->k, d->f.b->buf), index_text(o, d->f.b->a));
    for (int n = 0; n < nt; n++)
        for (int j = 0; j < d->jt; j++)
            line(o, "s%d_%d += a[%lldL] * b[%lldL];", n, j, (long long)(n * an), (long long)(j * bj));
    end(o);
}

static void results(Out *o, Dot *d, int64_t nt) {
    for (int n = 0; n < nt; n++)
        for (int j = 0; j < d->jt; j++) {
            int mark = open_scope(o);
            begin(o, "{");
            if (d->n) line(o, "const long t = v%d;", (int)d->n->i);
            line(o, "const long s = v%d;", (int)d->j->i);
            begin(o, "{");
            if (d->n) line(o, "const long v%d = t + %d;", (int)d->n->i, n);
            line(o, "const long v%d = s + %d;", (int)d->j->i, j);
            name_expr(o, d->f.sum, cx_fmt(o->cx, "s%d_%d", n, j));
            store(o, 0, o->k->body);
            end(o), end(o);
            close_scope(o, mark);
        }
}

bool schedule_dot(Out *o) {
    Dot d;
    if (!analyse(o, &d)) return false;
    int64_t J = var_extent(o->k, d.j), N = var_extent(o->k, d.n);
    d.nt = N >= 4 ? 4 : 1;
    d.jt = divisor(J, d.nt == 4 && o->isa != ISA_AVX512 ? 2 : d.nt == 4 ? 4 : 8);
    begin(o, "for (long u = lo; u < hi; u++) {");
    o->units = J / d.jt;
    line(o, "const long v%d = u %% %lldL * %lldL;", (int)d.j->i, (long long)o->units, (long long)d.jt);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < d.nouter; i++) {
            Expr *v = d.outer[i];
            if (var_is_open(o->k, v) != pass) continue;
            line(o, "const long v%d = u / %lldL %% %lldL;", (int)v->i, (long long)o->units,
                 (long long)var_extent(o->k, v));
            o->units *= var_extent(o->k, v), o->per_batch |= pass;
        }
    if (d.n) line(o, "long v%d = 0;", (int)d.n->i);
    for (int64_t nt = d.nt; nt; nt = nt == 4 ? 1 : 0) {
        if (d.n)
            begin(o, "for (; v%d + %lldL <= %s; v%d += %lldL) {", (int)d.n->i, (long long)nt, extent_text(o, d.n),
                  (int)d.n->i, (long long)nt);
        else begin(o, "{");
        products(o, &d, nt);
        results(o, &d, nt);
        end(o);
    }
    end(o);
    return true;
}
