// folder.c -- a dataset that is a folder: splits of class folders, or class folders.
#include "draft.h"
#include <sys/stat.h>

static bool is_folder(const char *path) {
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static const char *inside(const Draft *d, const char *folder, const char *name) {
    return cx_fmt(d->cx, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/", name);
}

// The folder of this split, if it has class folders.
static const char *split_folder(const Draft *d, const char *name) {
    const char *path = inside(d, d->path, name);
    return is_folder(path) && gather_folders(d->cx, path).n ? path : NULL;
}

static const char *validation_name(const Draft *d) {
    static const char *const names[] = {"val", "valid", "validation", "test"};
    for (int i = 0; i < 4; i++)
        if (split_folder(d, names[i])) return names[i];
    return NULL;
}

static void expect_same_classes(Draft *d, const char *set, const Names *found) {
    for (int i = 0; i < found->n; i++)
        if (class_find(&d->classes, found->at[i]) < 0)
            draft_problem(d, "the class folders of '%s' differ: '%s' is in %s, but not in %s", cx_show(d->cx, d->path),
                          cx_show(d->cx, found->at[i]), set, d->set[0].name);
    Labels there = {.n = found->n, .name = found->at};
    for (int i = 0; i < d->classes.n; i++)
        if (class_find(&there, d->classes.name[i]) < 0)
            draft_problem(d, "the class folders of '%s' differ: '%s' is in %s, but not in %s", cx_show(d->cx, d->path),
                          cx_show(d->cx, d->classes.name[i]), d->set[0].name, set);
}

static void read_set(Draft *d, const char *name, const char *folder) {
    Names found = gather_folders(d->cx, folder);
    Examples *set = draft_set(d, name);
    if (d->nset == 1) d->classes = (Labels){found.n, found.at, "class folders"}, d->ntarget = found.n;
    else expect_same_classes(d, name, &found);
    for (int i = 0; i < found.n; i++) {
        int label = class_find(&d->classes, found.at[i]);
        Pictures p = gather_folder(d->cx, inside(d, folder, found.at[i]));
        for (int k = 0; k < p.n && label >= 0; k++) draft_add(d, set, (Example){p.at[k], label, NULL});
    }
}

// Splits, of which `train` is not needed.
static bool only_splits(const Draft *d) {
    Names all = gather_folders(d->cx, d->path);
    for (int i = 0; i < all.n; i++)
        if (!is_validation(all.at[i]) && strcmp(all.at[i], "test") && strcmp(all.at[i], "train")) return false;
    return true;
}

// The one split to be read, or NULL.
static const char *single_split(const Draft *d, const char *val, bool has_train) {
    const char *split = d->o->split;
    if (!split) return val && (has_train || only_splits(d)) ? val : NULL;
    if (val && is_validation(split) && is_validation(val)) return val;
    bool plain = *split && *split != '.' && !strchr(split, '/');
    return plain && split_folder(d, split) ? split : NULL;
}

void folder_read(Draft *d) {
    const char *val = validation_name(d), *train = split_folder(d, "train");
    const char *single = d->training ? NULL : single_split(d, val, train);
    if (!single && !d->training && d->o->split && (train || val))
        fail(d->cx, E_DATASET, "'%s' has no split '%s': it has %s%s%s", cx_show(d->cx, d->path),
             cx_show(d->cx, d->o->split), train ? "train" : "", train && val ? " and " : "", val ? val : "");
    if (single) {
        read_set(d, single, split_folder(d, single));
    } else if (d->training && train && val) {
        read_set(d, "train", train);
        read_set(d, val, split_folder(d, val));
    } else if (train && gather_folders(d->cx, d->path).n == 1) {
        read_set(d, "", train);                                  // nothing but train/: to be divided
    } else {
        read_set(d, "", d->path);
    }
}
