// dataset.c -- from a draft of sets to a Dataset: which sets are used, how an undivided one is
// divided, and whether all that can be learned from.
#include "dataset.h"
#include "draft.h"
#include "draw.h"
#include "order.h"
#include <sys/stat.h>
#include <xxhash.h>

static const double DEFAULT_VAL_SPLIT = 0.2;

// ---- drafts ----

Examples *draft_set(Draft *d, const char *name) {
    for (int i = 0; i < d->nset; i++)
        if (!strcmp(d->set[i].name, name)) return &d->set[i];
    Examples *e = VEC_PUSH(d->cx, d->set, d->nset);
    *e = (Examples){.name = name};
    return e;
}

void draft_add(Draft *d, Examples *set, Example e) { *VEC_PUSH(d->cx, set->at, set->n) = e; }

void draft_problem(Draft *d, const char *fmt, ...) {
    char line[sizeof d->cx->error];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (!d->o->lenient) fail(d->cx, E_DATASET, "%s", line);
    *VEC_PUSH(d->cx, d->problem, d->nproblem) = cx_str(d->cx, line, strlen(line));
}

bool is_validation(const char *name) {
    return !strcmp(name, "val") || !strcmp(name, "valid") || !strcmp(name, "validation");
}

bool draft_wants(const Draft *d, const char *name) {
    bool val = is_validation(name) || !strcmp(name, "test");
    if (d->training) return val || !strcmp(name, "train");
    return d->o->split ? !strcmp(name, d->o->split) : val;
}

// ---- sets ----

static Examples *existing(const Draft *d, const char *name) {
    for (int i = 0; i < d->nset; i++)
        if (!strcmp(d->set[i].name, name)) return &d->set[i];
    return NULL;
}

static Examples *validation_set(const Draft *d) {
    for (int i = 0; i < d->nset; i++)
        if (is_validation(d->set[i].name)) return &d->set[i];
    return existing(d, "test");
}

// The set to be divided, if nobody has divided it: the only one there is, whatever its name.
static Examples *undivided_set(const Draft *d) { return d->nset == 1 ? &d->set[0] : existing(d, ""); }

// Some of each class are taken, chosen by the seed: a share, at least one and not all where there are two or more;
// or as many as there are up to `most`.
typedef struct Division {
    Cx *cx;
    uint64_t seed;
    DrawPurpose purpose;
    double share;
    int most;
    Examples rest, taken;
} Division;

static int part_of(const Division *v, int n) {
    if (v->most) return n < v->most ? n : v->most;
    int take = (int)nearbyint(n * v->share);
    if (take < 1) take = 1;
    return take > n - 1 ? n - 1 : take;
}

static void mark_taken(const Division *v, uint64_t group, const int *member, int n, bool *is_taken) {
    int take = part_of(v, n);
    for (int i = 0; i < take; i++)
        is_taken[member[permute(v->seed, draw_stream(v->purpose, group), (uint64_t)n, (uint64_t)i)]] = true;
}

static int by_label(const void *a, const void *b) {
    const Example *x = *(const Example *const *)a, *y = *(const Example *const *)b;
    if (x->label != y->label) return x->label < y->label ? -1 : 1;
    return (x > y) - (x < y);
}

// Class by class, so that both parts have the proportions of the whole; each keeps the order.
static void divide(Division *v, const Examples *all) {
    const Example **sorted = NEW(v->cx, const Example *, all->n + 1);
    int *member = NEW(v->cx, int, all->n + 1);
    bool *is_taken = NEW(v->cx, bool, all->n + 1);
    for (int i = 0; i < all->n; i++) sorted[i] = &all->at[i];
    qsort(sorted, (size_t)all->n, sizeof *sorted, by_label);
    for (int i = 0; i < all->n; i++) member[i] = (int)(sorted[i] - all->at);
    for (int from = 0, to; from < all->n; from = to) {
        for (to = from; to < all->n && sorted[to]->label == sorted[from]->label;) to++;
        mark_taken(v, (uint64_t)(sorted[from]->label + 1), member + from, to - from, is_taken);
    }
    for (int i = 0; i < all->n; i++) {
        Examples *e = is_taken[i] ? &v->taken : &v->rest;
        *VEC_PUSH(v->cx, e->at, e->n) = all->at[i];
    }
}

static Division divided(Draft *d, const Examples *all) {
    double share = d->o->val_split > 0 ? d->o->val_split : DEFAULT_VAL_SPLIT;
    if (!(share < 1)) fail(d->cx, E_USAGE, "a validation split of %g: wants a share between 0 and 1", share);
    Division v = {d->cx, d->o->seed, DRAW_SPLIT, share, 0, {.name = "train"}, {.name = "val"}};
    divide(&v, all);
    return v;
}

static const char *set_names(const Draft *d) {
    const char *names = "";
    if (d->nset == 1 && !*d->set[0].name) return "is undivided";
    for (int i = 0; i < d->nset; i++) names = cx_fmt(d->cx, "%s, '%s'", names, cx_show(d->cx, d->set[i].name));
    return *names ? cx_fmt(d->cx, "has %s", names + 2) : "is empty";
}

static void choose_training(Draft *d, Dataset *out) {
    Examples *val = validation_set(d), *train = existing(d, "train"), *all = undivided_set(d);
    if (train && val && d->nset > 1) {
        out->train = *train;
        out->val = *val;
    } else if (all && all != val) {
        Division v = divided(d, all);
        out->train = v.rest;
        out->val = v.taken;
        out->undivided = true;
    } else {
        draft_problem(d, "'%s' has no split 'train' to learn from: it %s", cx_show(d->cx, d->path), set_names(d));
    }
}

// No more of each class than are wanted.
static void take_few(const Draft *d, Examples *train) {
    if (d->kind != TARGET_CLASS)
        fail(d->cx, E_USAGE, "'%s': examples are counted by class where each has one", cx_show(d->cx, d->path));
    Division v = {
        .cx = d->cx, .seed = d->o->seed, .purpose = DRAW_FEW, .most = d->o->per_class, .taken = {.name = train->name}};
    divide(&v, train);
    *train = v.taken;
}

static void choose_one(Draft *d, Dataset *out) {
    const char *split = d->o->split;
    Examples *all = existing(d, ""), *named = split ? existing(d, split) : validation_set(d);
    if (!named && split && is_validation(split)) named = validation_set(d);      // by whichever of its names
    if (named) {
        out->val = *named;
    } else if (all && !split) {
        out->val = *all;
        out->undivided = true;
    } else if (all && (is_validation(split) || !strcmp(split, "train"))) {
        Division v = divided(d, all);
        out->val = is_validation(split) ? v.taken : v.rest;
    } else {
        fail(d->cx, E_DATASET, "'%s' has no split '%s': it %s", cx_show(d->cx, d->path),
             cx_show(d->cx, split ? split : "val"), set_names(d));
    }
}

// ---- putting it together ----

static void check_classes(Draft *d, const Dataset *out, const Examples *set) {
    if (d->kind == TARGET_NUMBERS) return;
    int *count = NEW(d->cx, int, d->classes.n + 1);
    for (int i = 0; i < set->n; i++)
        if (set->at[i].label >= 0) count[set->at[i].label]++;
    for (int c = 0; c < d->classes.n && d->kind == TARGET_CLASS; c++)
        if (!count[c])
            draft_problem(d, "class '%s' of '%s' has no images%s%s", cx_show(d->cx, d->classes.name[c]),
                          cx_show(d->cx, out->path), *set->name ? " in " : "", set->name);
}

static void read_source(Draft *d) {
    Cx *cx = d->cx;
    struct stat st;
    const char *dot = strrchr(d->path, '.');
    if (stat(d->path, &st)) fail(cx, E_IO, "'%s': no such folder or file", cx_show(cx, d->path));
    if (pairs_read(d)) return;
    if (S_ISDIR(st.st_mode)) folder_read(d);
    else if (dot && (!strcmp(dot, ".csv") || !strcmp(dot, ".jsonl"))) list_read(d);
    else
        fail(cx, E_DATASET, "'%s' is neither a folder of class folders, nor idx images, nor a list (.csv, .jsonl)",
             cx_show(cx, d->path));
}

static void check_kind(const Draft *d) {
    TargetKind want = d->o->target;
    if (want == TARGET_NUMBERS && d->kind != TARGET_NUMBERS)
        fail(d->cx, E_DATASET, "'%s' names classes, but numbers are to be learned: a list with numbers as labels "
             "is needed", cx_show(d->cx, d->path));
    if (want == TARGET_CLASS && d->kind != TARGET_CLASS)
        fail(d->cx, E_DATASET, "'%s' has examples of several classes, but one each is to be learned",
             cx_show(d->cx, d->path));
}

static void tell_empty(Draft *d) {
    struct stat st;
    bool loose = !stat(d->path, &st) && S_ISDIR(st.st_mode) && gather_folder(d->cx, d->path).n;
    draft_problem(d, "'%s' has no images%s: expected train/CLASS/*.jpg and val/CLASS/*.jpg, or CLASS/*.jpg",
                  cx_show(d->cx, d->path), loose ? " in class folders" : "");
}

static Draft draft_of(Cx *cx, const char *path, const DatasetOptions *o, bool training) {
    Draft d = {.cx = cx, .path = path, .o = o, .training = training, .kind = TARGET_CLASS};
    read_source(&d);
    check_kind(&d);
    int total = 0;
    for (int i = 0; i < d.nset; i++) total += d.set[i].n;
    if (!total) tell_empty(&d);
    if (o->names && o->names->n) classes_name(&d);
    if (o->classes) classes_select(&d);
    return d;
}

static Dataset finish(Draft *d, Dataset out) {
    bool one_hot = d->kind == TARGET_CLASS && d->o->target == TARGET_LABELS;     // the loader writes it out
    out.path = d->path;
    out.kind = one_hot ? TARGET_LABELS : d->kind;
    out.ntarget = d->ntarget;
    out.classes = d->classes;
    out.problem = d->problem;
    out.nproblem = d->nproblem;
    return out;
}

Dataset dataset_open(Cx *cx, const char *path, const DatasetOptions *o) {
    Draft d = draft_of(cx, path, o, true);
    Dataset out = {.path = path};
    if (d.kind != TARGET_NUMBERS && d.classes.n == 1)
        draft_problem(&d, "'%s' has one class, '%s': at least two are needed", cx_show(cx, path),
                      cx_show(cx, d.classes.name[0]));
    bool match = o->match && o->match->n;
    if (match) classes_match(&d);
    choose_training(&d, &out);
    if (o->per_class) take_few(&d, &out.train);
    if (!match) check_classes(&d, &out, &out.train);
    if (!match && validation_set(&d)) check_classes(&d, &out, &out.val);
    if (!out.train.n || !out.val.n)
        draft_problem(
            &d, "'%s' has %d images to learn from and %d to validate with: both are needed, two of a class at least",
            cx_show(cx, path), out.train.n, out.val.n);
    return finish(&d, out);
}

Dataset dataset_open_split(Cx *cx, const char *path, const DatasetOptions *o) {
    Draft d = draft_of(cx, path, o, false);
    Dataset out = {.path = path};
    if (o->match && o->match->n) classes_match(&d);
    choose_one(&d, &out);
    if (!out.val.n) draft_problem(&d, "'%s' has no images to evaluate with", cx_show(cx, path));
    return finish(&d, out);
}

// ---- hash ----

static uint64_t hash_text(uint64_t h, const char *s) { return XXH3_64bits_withSeed(s, strlen(s) + 1, h); }

static uint64_t hash_example(uint64_t h, const Dataset *d, const Example *e) {
    struct stat st = {0};
    const char *name = e->picture.name;
    size_t root = strlen(d->path);
    if (!strncmp(name, d->path, root)) name += root;             // where the folder lies does not matter
    while (*name == '/') name++;
    int64_t fixed[4] = {e->picture.height, e->picture.width, e->label, e->target ? d->ntarget : 0};
    if (e->picture.path && !stat(e->picture.path, &st)) fixed[0] = st.st_size;
    h = XXH3_64bits_withSeed(fixed, sizeof fixed, hash_text(h, name));
    if (e->picture.grey)
        h = XXH3_64bits_withSeed(e->picture.grey, (size_t)e->picture.height * (size_t)e->picture.width, h);
    return e->target ? XXH3_64bits_withSeed(e->target, (size_t)d->ntarget * sizeof *e->target, h) : h;
}

uint64_t dataset_hash(const Dataset *d) {
    uint64_t h = 0;
    for (int i = 0; i < d->classes.n; i++) h = hash_text(h, d->classes.name[i]);
    const Examples *sets[] = {&d->train, &d->val};
    for (int s = 0; s < 2; s++) {
        h = XXH3_64bits_withSeed(&sets[s]->n, sizeof sets[s]->n, h);
        for (int i = 0; i < sets[s]->n; i++) h = hash_example(h, d, &sets[s]->at[i]);
    }
    return h;
}
