// classes.c -- the classes of a draft: found by name, selected, numbered as somebody else does.
#include "draft.h"

int class_find(const Labels *l, const char *name) {
    int lo = 0, hi = l->n;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2, c = strcmp(l->name[mid], name);
        if (c == 0) return mid;
        if (c < 0) lo = mid + 1;
        else hi = mid;
    }
    return -1;
}

typedef struct Named { const char *name; int number; } Named;

static int by_name(const void *a, const void *b) {
    const Named *x = a, *y = b;
    int c = strcmp(x->name, y->name);
    return c ? c : x->number - y->number;
}

static const Named *names_sorted(Cx *cx, const Labels *l) {
    Named *v = NEW(cx, Named, l->n + 1);
    for (int i = 0; i < l->n; i++) v[i] = (Named){l->name[i], i};
    qsort(v, (size_t)l->n, sizeof *v, by_name);
    return v;
}

// The first class of this name, or -1.
static int named_find(const Named *v, int n, const char *name) {
    int lo = 0, hi = n;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (strcmp(v[mid].name, name) < 0) lo = mid + 1;
        else hi = mid;
    }
    return lo < n && !strcmp(v[lo].name, name) ? v[lo].number : -1;
}

static const float *moved_target(Draft *d, const float *old, const int *to, int n) {
    float *v = NEW(d->cx, float, n + 1);
    for (int i = 0; i < d->classes.n; i++)
        if (to[i] >= 0 && old[i] > 0) v[to[i]] = 1;
    return v;
}

// Give every example the new number of its class, to[old] of n; -1 leaves it out.
static void renumber(Draft *d, const int *to, int n) {
    for (int s = 0; s < d->nset; s++) {
        Examples *e = &d->set[s];
        int kept = 0;
        for (int i = 0; i < e->n; i++) {
            Example x = e->at[i];
            if (x.target) x.target = moved_target(d, x.target, to, n);
            else x.label = to[x.label];
            if (x.target || x.label >= 0) e->at[kept++] = x;
        }
        e->n = kept;
    }
}

// "5,6,7": these classes only, numbered in this order.
void classes_select(Draft *d) {
    Cx *cx = d->cx;
    if (d->kind != TARGET_CLASS)
        fail(cx, E_USAGE, "'%s': classes can be selected where each example has one", cx_show(cx, d->path));
    const Named *index = names_sorted(cx, &d->classes);
    int *to = NEW(cx, int, d->classes.n + 1);
    for (int i = 0; i < d->classes.n; i++) to[i] = -1;
    Labels chosen = {.source = d->classes.source};
    for (const char *s = d->o->classes;; s++) {
        size_t len = strcspn(s, ",");
        const char *name = cx_str(cx, s, len);
        int old = named_find(index, d->classes.n, name);
        if (old < 0) fail(cx, E_DATASET, "'%s' has no class '%s'", cx_show(cx, d->path), cx_show(cx, name));
        if (to[old] >= 0) fail(cx, E_USAGE, "class '%s' is named twice", cx_show(cx, name));
        to[old] = chosen.n;
        *VEC_PUSH(cx, chosen.name, chosen.n) = name;
        s += len;
        if (!*s) break;
    }
    renumber(d, to, chosen.n);
    d->classes = chosen;
    d->ntarget = chosen.n;
}

// A label that is no name may still be a class's number: -1 if it is none, -2 if it is too large.
static int class_number(const char *label, int classes) {
    size_t digits = strspn(label, "0123456789");
    if (label[digits] || digits < 1) return -1;
    return digits <= 9 && atoi(label) < classes ? atoi(label) : -2;
}

// "3" becomes what names[3] says.
void classes_name(Draft *d) {
    Cx *cx = d->cx;
    const Labels *names = d->o->names;
    if (!d->numbered)
        fail(cx, E_USAGE, "'%s' names its classes itself: names are for classes that are only numbered",
             cx_show(cx, d->path));
    for (int i = 0; i < d->classes.n; i++) {
        const char *name = label_name(names, class_number(d->classes.name[i], names->n));
        if (!name)
            fail(cx, E_DATASET, "label '%s' of '%s' is none of the %d classes that %s names",
                 cx_show(cx, d->classes.name[i]), cx_show(cx, d->path), names->n, cx_show(cx, names->source));
        d->classes.name[i] = name;
    }
}

// Number the classes as somebody else does, who knows them by the same names.
void classes_match(Draft *d) {
    Cx *cx = d->cx;
    const Labels *match = d->o->match;
    if (d->kind == TARGET_NUMBERS) return;                       // nothing has a name
    const Named *index = names_sorted(cx, match);
    int *to = NEW(cx, int, d->classes.n + 1), known = 0;
    for (int i = 0; i < d->classes.n; i++) known += (to[i] = named_find(index, match->n, d->classes.name[i])) >= 0;
    for (int i = 0; i < d->classes.n; i++) {
        const char *name = d->classes.name[i];
        if (known == 0 && d->numbered) to[i] = class_number(name, match->n);
        if (to[i] == -2)
            draft_problem(d, "label %s of '%s' is out of range: the model has %d classes", name,
                          cx_show(cx, d->path), match->n);
        else if (to[i] < 0)
            draft_problem(d, "class '%s' of '%s' is none of the model's %d classes; --classes takes only some",
                          cx_show(cx, name), cx_show(cx, d->path), match->n);
    }
    renumber(d, to, match->n);
    d->classes = *match;
    d->ntarget = match->n;
}
