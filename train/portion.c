// portion.c -- see portion.h.
#include "portion.h"

Portion portion_new(Cx *cx, int batch, const Dataset *d) {
    Portion p = {.label = NEW(cx, int64_t, batch), .sample = NEW(cx, int64_t, batch)};
    if (d->kind != TARGET_CLASS) p.target = NEW(cx, float, (int64_t)batch * d->ntarget);
    return p;
}

void portion_take(Portion *p, const Batch *b, const Dataset *d) {
    size_t n = (size_t)b->n;
    p->epoch = b->epoch, p->step = b->step, p->n = b->n;
    memcpy(p->label, b->label, n * sizeof *p->label);
    memcpy(p->sample, b->sample, n * sizeof *p->sample);
    if (p->target) memcpy(p->target, b->target, n * (size_t)d->ntarget * sizeof *p->target);
}
