// scaler.c -- see scaler.h.
#include "scaler.h"

enum { GROWS_AFTER = 2000 };

const double scale_least = 0x1p-13;
const ScaleOptions scale_usual = {.on = true, .first = 65536};

Scaler scaler_new(const ScaleOptions *o) { return (Scaler){.scale = o->on ? o->first : 1}; }

bool scaler_next(Scaler *s, const ScaleOptions *o, bool finite) {
    bool moves = o->on && !o->fixed;
    if (!finite && (!moves || s->scale / 2 < scale_least)) return false;
    if (!finite) s->skipped++, s->scale /= 2, s->good = 0;
    else if (moves && ++s->good == GROWS_AFTER) s->scale *= 2, s->good = 0;
    return true;
}
