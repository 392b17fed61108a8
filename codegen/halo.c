// halo.c -- writing the padding around a stored tensor. It is rewritten on every run, by the unit
// that holds the first element of the padded axes, because the arena's memory is shared.
#include "codegen.h"

int padded_from(const Node *n) {
    for (int d = 0; d < n->shape.n; d++)
        if (n->halo[d]) return d;
    return n->shape.n;
}

// Everything before axis d is fixed: fill what lies before and behind it, then inside it.
static void fill(Out *o, const Node *n, int b, int d, const char *at) {
    int last = n->shape.n - 1;
    while (last >= 0 && !n->halo[last]) last--;
    if (d > last) return;
    long long s = (long long)n->view.stride[d], h = (long long)n->halo[d], size = (long long)n->shape.d[d];
    long long row = d + 1 < n->shape.n ? s : 1;
    if (h) {
        line(o, "fill_f32(b%d + %s, %lldL, %af);", b, at, h * row, n->halo_value);
        line(o, "fill_f32(b%d + %s + %lldL, %lldL, %af);", b, at, (h + size) * row, h * row, n->halo_value);
    }
    if (d == last) return;
    const char *i = cx_fmt(o->cx, "h%d", o->nname++);
    begin(o, "for (long %s = %lldL; %s < %lldL; %s++) {", i, h, i, h + size, i);
    fill(o, n, b, d + 1, cx_fmt(o->cx, "%s + %s * %lldL", at, i, s));
    end(o);
}

void clear_halo(Out *o, int result, int d0) {
    Node *n = o->k->outs[result];
    if (padded_from(n) == n->shape.n) return;
    // the place of element 0 of the axes from d0 on, less the base the halo adds
    Expr *at[MAXDIM];
    int64_t back = 0;
    for (int d = 0; d < n->shape.n; d++) at[d] = d < d0 ? o->k->axis[d] : ix_imm(o->k, 0);
    for (int d = d0; d < n->shape.n; d++) back += n->halo[d] * n->view.stride[d];
    fill(o, n, result, d0, index_text(o, ix_add(o->k, ix_view(o->k, n, at), -back)));
}

static bool is_among(Expr **v, int n, const Expr *e) {
    for (int i = 0; i < n; i++)
        if (v[i] == e) return true;
    return false;
}

void clear_halos(Out *o, Expr **v, int n) {
    Kernel *k = o->k;
    for (int i = 0; i < k->nout; i++) {
        int from = padded_from(k->outs[i]);
        if (from == k->outs[i]->shape.n) continue;
        const char *first = "1";
        for (int d = from; d < k->outs[i]->shape.n; d++)
            if (is_among(v, n, k->axis[d])) first = cx_fmt(o->cx, "%s && v%d == 0", first, (int)k->axis[d]->i);
        begin(o, "if (%s) {", first);
        clear_halo(o, i, from);
        end(o);
    }
}
