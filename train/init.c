// init.c -- see init.h.
#include "init.h"

static const char *shape_text(Cx *cx, const Tensor *t) {
    const char *s = dtypes[t->type].name;
    for (int i = 0; i < t->rank; i++) s = cx_fmt(cx, "%s%s%lld", s, i ? "x" : " ", (long long)t->dim[i]);
    return s;
}

static bool same_kind(const Tensor *a, const Tensor *b) {
    bool same = a->type == b->type && a->rank == b->rank;
    for (int i = 0; same && i < a->rank; i++) same = a->dim[i] == b->dim[i];
    return same;
}

void weights_from(Model *m, Model *from) {
    Cx *cx = m->cx;
    for (int i = 0; i < m->ninit; i++) {
        Tensor mine = *m->init[i];
        if (!dtype_is_float(mine.type)) continue;
        const Tensor *t = model_init(from, mine.name);
        if (!t)
            fail(cx, E_MALFORMED, "%s has no '%s', which %s has", cx_show(cx, from->path), cx_show(cx, mine.name),
                 cx_show(cx, m->path));
        if (!same_kind(&mine, t))
            fail(cx, E_MALFORMED, "'%s' is %s in %s, and %s here", cx_show(cx, mine.name), shape_text(cx, t),
                 cx_show(cx, from->path), shape_text(cx, &mine));
        mine.data = t->data;
        model_set_init(m, mine.name, &mine);
    }
}
