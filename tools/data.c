// data.c -- tvc data check: what is wrong with a dataset, before hours are spent on it.
#include "../data/check.h"
#include "asked.h"
#include "asked_train.h"
#include "commands.h"
#include "print.h"

enum { SHOWN = 20, TINY = 32, NOTABLE_IMBALANCE = 10 };

typedef struct Report {
    Cx *cx;
    DataCheck c;
    int smallest, largest;            // examples of a class in train
    int tiny;                         // pixels
} Report;

static const char *name_at(const Report *r, Spot s) { return check_example(&r->c, s)->picture.name; }

static void measure_balance(Report *r) {
    int n = r->c.data.classes.n, *count = r->c.count[0];
    for (int i = 0; i < n && count; i++) {
        if (i == 0 || count[i] < r->smallest) r->smallest = count[i];
        if (count[i] > r->largest) r->largest = count[i];
    }
}

// ---- JSON ----
static json_t *classes_json(const Report *r) {
    json_t *list = json_array();
    for (int i = 0; i < r->c.data.classes.n; i++) {
        json_t *o = json_object();
        json_put(o, "name", text_json(r->cx, r->c.data.classes.name[i]));
        json_put(o, "train", json_integer(r->c.count[0][i]));
        json_put(o, "val", json_integer(r->c.count[1][i]));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *bad_json(const Report *r) {
    json_t *list = json_array();
    for (int i = 0; i < r->c.nbad; i++) {
        json_t *o = json_object();
        json_put(o, "path", text_json(r->cx, name_at(r, r->c.bad[i].at)));
        json_put(o, "reason", text_json(r->cx, r->c.bad[i].why));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *twins_json(const Report *r) {
    json_t *list = json_array();
    for (int i = 0; i < r->c.ntwins; i++) {
        const Twins *t = &r->c.twins[i];
        json_t *o = json_object();
        json_put(o, "first", text_json(r->cx, name_at(r, t->first)));
        json_put(o, "second", text_json(r->cx, name_at(r, t->second)));
        json_put(o, "between_train_and_val", json_boolean(t->first.val != t->second.val));
        json_array_append_new(list, o);
    }
    return list;
}

static void print_json(const Report *r) {
    const DataCheck *c = &r->c;
    json_t *o = json_start(r->cx), *problems = json_array(), *tiny = json_array();
    for (int i = 0; i < c->data.nproblem; i++) json_array_append_new(problems, text_json(r->cx, c->data.problem[i]));
    for (int i = 0; i < c->ntiny; i++) json_array_append_new(tiny, text_json(r->cx, name_at(r, c->tiny[i])));
    json_put(o, "path", text_json(r->cx, c->data.path));
    json_put(o, "train", json_integer(c->data.train.n));
    json_put(o, "val", json_integer(c->data.val.n));
    json_put(o, "classes", classes_json(r));
    json_put(o, "problems", problems);
    json_put(o, "unreadable", bad_json(r));
    json_put(o, "duplicates", twins_json(r));
    json_put(o, "duplicates_between_train_and_val", json_integer(c->nleak));
    json_put(o, "duplicates_with_different_labels", json_integer(c->nconflict));
    json_put(o, "tiny", tiny);
    json_put(o, "exif_rotated", json_integer(c->rotated));
    json_put(o, "grey", json_integer(c->grey));
    json_put(o, "colour", json_integer(c->colour));
    json_print(o);
}

// ---- text ----
static void print_rest(int n) {
    if (n > SHOWN) printf("  ... and %d more (--json has all)\n", n - SHOWN);
}

static void print_classes(const Report *r) {
    const Dataset *d = &r->c.data;
    printf("%-24s %8s %8s\n", "", "train", "val");
    printf("%-24s %8d %8d\n", "images", d->train.n, d->val.n);
    for (int i = 0; i < d->classes.n && i < SHOWN; i++)
        printf("  %-22s %8d %8d\n", cx_show(r->cx, d->classes.name[i]), r->c.count[0][i], r->c.count[1][i]);
    print_rest(d->classes.n);
    if (r->largest > NOTABLE_IMBALANCE * r->smallest)
        printf("unbalanced: from %d to %d images a class; --balance samples them evenly\n", r->smallest, r->largest);
}

// Where all pictures are small, none of them is worth naming.
static void print_tiny(const Report *r) {
    const DataCheck *c = &r->c;
    bool all = c->ntiny && c->ntiny == c->data.train.n + c->data.val.n;
    printf("tiny (below %d pixels): %s%d\n", r->tiny, all ? "all " : "", c->ntiny);
    for (int i = 0; i < c->ntiny && i < SHOWN && !all; i++) printf("  %s\n", cx_show(r->cx, name_at(r, c->tiny[i])));
    if (!all) print_rest(c->ntiny);
}

static void print_text(const Report *r) {
    const DataCheck *c = &r->c;
    print_classes(r);
    for (int i = 0; i < c->data.nproblem; i++) printf("problem: %s\n", c->data.problem[i]);
    printf("unreadable: %d\n", c->nbad);
    for (int i = 0; i < c->nbad && i < SHOWN; i++)
        printf("  %s: %s\n", cx_show(r->cx, name_at(r, c->bad[i].at)), c->bad[i].why);
    print_rest(c->nbad);
    printf("duplicates: %d, between train and val %d, with different labels %d\n", c->ntwins, c->nleak, c->nconflict);
    for (int i = 0; i < c->ntwins && i < SHOWN; i++)
        printf("  %s = %s\n", cx_show(r->cx, name_at(r, c->twins[i].first)),
               cx_show(r->cx, name_at(r, c->twins[i].second)));
    print_rest(c->ntwins);
    print_tiny(r);
    printf("turned by EXIF: %d\ngrey: %d, colour: %d\n", c->rotated, c->grey, c->colour);
}

static CheckOptions options_asked(const Args *a) {
    Recipe r = asked_recipe(a);
    CheckOptions o = {.ignore_exif = r.ignore_exif, .tiny = TINY, .threads = (int)arg_int(a, OPT_THREADS, 0, 1, 256)};
    if (r.crop_height) o.tiny = r.crop_height < r.crop_width ? r.crop_height : r.crop_width;
    o.dataset = asked_dataset(a);
    return o;
}

Err run_data(const Args *a) {
    arg_count(a, 2, 2);
    if (strcmp(a->pos[0], "check"))
        fail(a->cx, E_USAGE, "tvc data %s: the only thing to do with data is `check`", cx_show(a->cx, a->pos[0]));
    CheckOptions o = options_asked(a);
    Report r = {.cx = a->cx, .c = data_check(a->cx, a->pos[1], &o), .tiny = o.tiny};
    measure_balance(&r);
    if (arg_given(a, OPT_JSON)) print_json(&r);
    else print_text(&r);
    return r.c.data.nproblem || r.c.nbad || r.c.nleak ? E_CHECK : E_OK;
}
