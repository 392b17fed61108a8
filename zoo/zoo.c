// zoo.c -- see zoo.h: the networks by name, and what is common to building one.
#include "zoo.h"
#include "../data/recipe.h"
#include "families.h"

enum { MOST = 65536 };                // of classes, channels and side

static const ResNet nets[] = {
    {"resnet8", true, false, 16, 3, {1, 1, 1}},
    {"resnet20", true, false, 16, 3, {3, 3, 3}},
    {"resnet32", true, false, 16, 3, {5, 5, 5}},
    {"resnet44", true, false, 16, 3, {7, 7, 7}},
    {"resnet56", true, false, 16, 3, {9, 9, 9}},
    {"resnet18", false, false, 64, 4, {2, 2, 2, 2}},
    {"resnet34", false, false, 64, 4, {3, 4, 6, 3}},
    {"resnet50", false, true, 64, 4, {3, 4, 6, 3}},
    {"resnet101", false, true, 64, 4, {3, 4, 23, 3}},
    {"resnet152", false, true, 64, 4, {3, 8, 36, 3}},
};
enum { NNETS = sizeof nets / sizeof *nets };

const char *zoo_name(int i) { return i < NNETS ? nets[i].name : NULL; }

static const ResNet *find(Cx *cx, const char *name) {
    const char *all = "";
    for (int i = 0; i < NNETS; i++) {
        if (strcmp(nets[i].name, name) == 0) return &nets[i];
        all = cx_fmt(cx, "%s%s%s", all, i == 0 ? "" : i + 1 < NNETS ? ", " : " and ", nets[i].name);
    }
    fail(cx, E_USAGE, "no network '%s': there are %s", cx_show(cx, name), all);
}

static int64_t number(Cx *cx, const char *what, int64_t given, int64_t otherwise, int64_t least) {
    int64_t v = given ? given : otherwise;
    if (v < least || v > MOST)
        fail(cx, E_USAGE, "%s: %lld is not within %lld to %d", what, (long long)v, (long long)least, MOST);
    return v;
}

// Small pictures are taken whole, others as is usual for ImageNet.
static void say_preparation(Model *m, const ResNet *r) {
    ImageInput in;
    const char *why;
    Recipe recipe = {0}, wishes = {0};
    bool picture = image_input(m->input[0], &in, &why);
    if (!picture) return;
    recipe_option(m->cx, &wishes, "preset", "imagenet");
    if (r->small) recipe_option(m->cx, &wishes, "resize", cx_fmt(m->cx, "%d", in.height));
    recipe_complete(m->cx, &recipe, &wishes, &in);
    recipe_to_model(m, &recipe, &in);
}

Model *zoo_make(Cx *cx, const char *name, const ZooOptions *o) {
    const ResNet *r = find(cx, name);
    int64_t classes = number(cx, "classes", o->classes, r->small ? 10 : 1000, 1);
    int64_t channels = number(cx, "channels", o->channels, 3, 1);
    int64_t side = number(cx, cx_fmt(cx, "the side of %s's pictures", r->name), o->side, r->small ? 32 : 224,
                          resnet_least_side(r));
    Surgery *s = NEW(cx, Surgery, 1);
    s->seed = o->seed;
    Net n = net_begin(cx, r->name, s, channels, side);
    resnet_build(&n, r, classes);
    say_preparation(n.k.m, r);
    return n.k.m;
}
