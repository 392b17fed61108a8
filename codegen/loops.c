// loops.c -- the schedules for any formula: plain loops over the output's axes, the innermost a
// vector at a time where the formula allows it.
#include "codegen.h"

static bool in_units(Expr **v, int n, Expr *e) {
    for (int i = 0; i < n; i++)
        if (v[i] == e) return true;
    return false;
}

static void results(Out *o) {
    int mark = open_scope(o);
    for (int i = 0; i < o->k->nout; i++) store(o, i, o->k->bodies[i]);
    close_scope(o, mark);
}

// How many leading axes make the units: enough of them for all threads, not too small each.
static int enough(Out *o) {
    Kernel *k = o->k;
    int n = 0, rank = k->out->shape.n, limit = rank;
    for (int i = 0; i < k->nout; i++)
        if (padded_from(k->outs[i]) < limit) limit = padded_from(k->outs[i]);
    bool padded = limit < rank;                       // then all that lies before the padding is a unit's
    int64_t units = 1, inner = numel(k->out->shape);
    for (int d = 0; d < limit; d++) {
        if (k->axis[d]->op != I_VAR || k->axis[d] == o->lane) continue;
        int64_t e = k->extent[k->axis[d]->i];
        bool coarse = units >= 64 || (units >= 2 && inner < 4096);
        if (coarse && !padded) break;
        units *= e, inner /= e, n++;
    }
    return n;
}

static bool nest(Out *o) {
    Kernel *k = o->k;
    Expr *v[MAXDIM];
    int n = unit_axes(o, v, enough(o)), opened = 1;
    begin(o, "for (long u = lo; u < hi; u++) {");
    unpack(o, v, n);
    clear_halos(o, v, n);
    for (int d = 0; d < k->out->shape.n; d++) {
        Expr *a = k->axis[d];
        if (a->op != I_VAR || in_units(v, n, a) || a == o->lane) continue;
        loop(o, a), opened++;
    }
    Expr *lane = o->lane;
    if (!lane) results(o);
    else {
        int x = (int)lane->i;                         // the last vector may overlap the one before: every
        long long size = k->extent[x], last = size - o->lanes;      // element is computed the same way
        begin(o, "for (long i = 0; i < %lldL; i += LANES) {", size);
        line(o, "const long v%d = i < %lldL ? i : %lldL;", x, last, last);
        results(o);
        end(o);
    }
    while (opened--) end(o);
    return true;
}

bool schedule_lanes(Out *o) {
    o->lane = lane_of(o);
    return o->lane && nest(o);
}

bool schedule_plain(Out *o) {
    o->lane = NULL;
    return nest(o);
}
