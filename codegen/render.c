// render.c -- which schedule prints a kernel: the first that fits.
#include "codegen.h"

static const struct { const char *name; Schedule *fn; } schedules[] = {
    {"unroll", schedule_unroll},
    {"slices", schedule_slices},
    {"tile", schedule_tile},
    {"dot", schedule_dot},
    {"taps", schedule_taps},
    {"shifts", schedule_shifts},
    {"lanes", schedule_lanes},
    {"plain", schedule_plain},
};

static void forget_names(Kernel *k) {
    for (int i = 0; i < k->nexpr; i++) k->expr[i]->as = NULL;
}

Text render(Cx *cx, Kernel *k, int lanes, int isa) {
    Out o = {0};
    int i = 0;
    if (numel(k->out->shape) == 0) return (Text){.s = "KERNEL($) {}\n", .schedule = "empty"};
    for (;; i++) {
        forget_names(k);
        o = (Out){.cx = cx,
                  .k = k,
                  .lanes = lanes,
                  .isa = isa,
                  .index = "long",
                  .before = "",
                  .text = "",
                  .depth = 1,
                  .units = 1};
        locals(&o);
        if (schedules[i].fn(&o)) break;
    }
    const char *s = cx_fmt(cx, "%sKERNEL($) {\n%s}\n", o.before, o.text);
    return (Text){.s = s, .units = o.units, .per_batch = o.per_batch, .schedule = schedules[i].name};
}
