// pictures.c -- see pictures.h.
#include "pictures.h"
#include "../data/pixels.h"
#include "print.h"

PicturePlan pictures_plan(const Args *a, const Recipe *recipe, const ValueInfo *v) {
    PicturePlan p = {.recipe = *recipe};
    const char *why;
    if (!image_input(v, &p.in, &why))
        fail(a->cx, E_USAGE, "input '%s' takes no pictures: %s", cx_show(a->cx, v->name), why);
    Recipe wishes = asked_recipe(a);
    recipe_complete(a->cx, &p.recipe, &wishes, &p.in);
    preparer_init(&p.prepare, &p.recipe, &p.in);
    print_more("pictures: %s", recipe_text(a->cx, &p.recipe, &p.in));
    return p;
}

static ValueInfo with_choice(Cx *cx, const ValueInfo *v, const ImportOptions *o) {
    ValueInfo r = *v;
    for (int i = 0; i < o->nshape; i++) {
        if (strcmp(o->shape[i].input, v->name) != 0 || (v->rank >= 0 && v->rank != o->shape[i].rank)) continue;
        r.rank = o->shape[i].rank;
        r.dim = NEW(cx, Dim, r.rank);
        for (int d = 0; d < r.rank; d++) r.dim[d] = (Dim){.value = o->shape[i].dim[d]};
    }
    return r;
}

static bool as_bytes(const Args *a, const ValueInfo *v, const char *target) {
    const char *asked = arg_text(a, OPT_PIXELS, "auto");
    bool can = pixels_possible(v->type, v->rank), want = strcmp(asked, "bytes") == 0;
    if (want && !can)
        fail(a->cx, E_USAGE, "--pixels bytes: input '%s' is %s of rank %d; it must take floats, in batches",
             cx_show(a->cx, v->name), dtypes[v->type].name, v->rank);
    return want || (can && target && strcmp(asked, "auto") == 0);
}

// Where the model leaves height and width open, they are the recipe's.
PicturePlan pictures_choose(const Args *a, const Recipe *recipe, const ValueInfo *v, const char *target,
                            ImportOptions *o) {
    ValueInfo known = with_choice(a->cx, v, o);
    PicturePlan p = pictures_plan(a, recipe, &known);
    p.prepare.bytes = as_bytes(a, &known, target);
    print_more("pictures: sent to the device as %s", p.prepare.bytes ? "bytes, prepared there" : "prepared values");
    int first = known.rank - 3, h = first + (p.in.nhwc ? 0 : 1);
    ShapeChoice *c = NEW(a->cx, ShapeChoice, o->nshape + 1);
    for (int i = 0; i < o->nshape; i++) c[i] = o->shape[i];
    ShapeChoice *mine = &c[o->nshape];
    *mine = (ShapeChoice){.input = v->name, .rank = known.rank};
    for (int d = 0; d < known.rank; d++) mine->dim[d] = known.dim[d].value > 0 ? known.dim[d].value : -1;
    mine->dim[h] = p.in.height, mine->dim[h + 1] = p.in.width, mine->dim[first + (p.in.nhwc ? 2 : 0)] = p.in.channels;
    o->shape = c, o->nshape++;
    return p;
}
