// lists.c -- a dataset that is a list of paths and labels.
//
// Classes are the labels that occur, sorted by their bytes. Paths are relative to the list's
// folder and may not lead out of it.
#include "../ir/file.h"
#include "draft.h"
#include "rows.h"

enum { MAX_TARGETS = 1 << 28 };        // numbers kept for all examples together
static const size_t MAX_LIST = (size_t)1 << 30;

static const char *list_folder(const Draft *d) {
    const char *slash = strrchr(d->path, '/');
    return slash ? cx_str(d->cx, d->path, (size_t)(slash - d->path) + 1) : "";
}

static bool has_parent(const char *path) {
    for (const char *s = path; s; s = strchr(s, '/')) {
        s += *s == '/';
        if (s[0] == '.' && s[1] == '.' && (!s[2] || s[2] == '/')) return true;
    }
    return false;
}

static const char *row_path(Draft *d, const Row *r, const char *folder) {
    bool within = *folder == '/' && !strncmp(r->path, folder, strlen(folder));
    if (has_parent(r->path) || (*r->path == '/' && !within))
        fail(d->cx, E_DATASET, "list '%s', line %d: '%s' leads out of the list's folder", cx_show(d->cx, d->path),
             r->line, cx_show(d->cx, r->path));
    return *r->path == '/' ? r->path : cx_fmt(d->cx, "%s%s", folder, r->path);
}

// ---- what is to be learned ----

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static void name_classes(Draft *d, const Rows *rows) {
    int n = 0;
    const char **all = NULL;
    for (int i = 0; i < rows->n; i++)
        for (int k = 0; k < rows->at[i].nlabel; k++) *VEC_PUSH(d->cx, all, n) = rows->at[i].label[k];
    if (n) qsort(all, (size_t)n, sizeof *all, by_text);
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (!kept || strcmp(all[kept - 1], all[i])) all[kept++] = all[i];
    if (kept > LABELS_MAX) fail(d->cx, E_LIMIT, "list '%s': more than %d classes", cx_show(d->cx, d->path), LABELS_MAX);
    d->classes = (Labels){kept, all, "list"};
    d->ntarget = kept;
}

static void choose_kind(Draft *d, const Rows *rows) {
    d->kind = d->o->target;
    if (d->kind == TARGET_AUTO) {
        d->kind = TARGET_CLASS;
        for (int i = 0; i < rows->n; i++)
            if (rows->at[i].several) d->kind = TARGET_LABELS;
    }
    if (d->kind == TARGET_NUMBERS) d->ntarget = rows->n ? rows->at[0].nlabel : 0;
    else name_classes(d, rows);
    if (d->kind != TARGET_CLASS && (int64_t)rows->n * d->ntarget > MAX_TARGETS)
        fail(d->cx, E_LIMIT, "list '%s': %d rows of %d numbers", cx_show(d->cx, d->path), rows->n, d->ntarget);
}

static const float *row_numbers(Draft *d, const Row *r) {
    Cx *cx = d->cx;
    float *v = NEW(cx, float, d->ntarget + 1);
    if (r->nlabel != d->ntarget || !r->nlabel)
        fail(cx, E_DATASET, "list '%s', line %d: %d numbers where others have %d", cx_show(cx, d->path), r->line,
             r->nlabel, d->ntarget);
    for (int i = 0; i < r->nlabel; i++) {
        char *end;
        v[i] = strtof(r->label[i], &end);
        if (end == r->label[i] || *end || !isfinite(v[i]))
            fail(cx, E_DATASET, "list '%s', line %d: '%s' is no number", cx_show(cx, d->path), r->line,
                 cx_show(cx, r->label[i]));
    }
    return v;
}

static const float *row_classes(Draft *d, const Row *r) {
    float *v = NEW(d->cx, float, d->ntarget + 1);
    for (int i = 0; i < r->nlabel; i++) v[class_find(&d->classes, r->label[i])] = 1;
    return v;
}

static Example row_example(Draft *d, const Row *r, const char *folder) {
    const char *path = row_path(d, r, folder);
    Example e = {{.name = path, .path = path}, -1, NULL};
    if (d->kind == TARGET_NUMBERS) e.target = row_numbers(d, r);
    else if (d->kind == TARGET_LABELS) e.target = row_classes(d, r);
    else if (r->nlabel == 1) e.label = class_find(&d->classes, r->label[0]);
    else
        fail(d->cx, E_DATASET, "list '%s', line %d: %d labels where one is wanted", cx_show(d->cx, d->path), r->line,
             r->nlabel);
    return e;
}

// ---- sets ----

static const char *row_split(Draft *d, const Row *r, bool divided) {
    if (!divided) return "";
    if (r->split && *r->split) return r->split;
    fail(d->cx, E_DATASET, "list '%s', line %d: no split, where other rows have one", cx_show(d->cx, d->path), r->line);
}

void list_parse(Draft *d, const char *text, size_t n, bool json) {
    Rows rows = json ? rows_of_jsonl(d->cx, d->path, text, n) : rows_of_csv(d->cx, d->path, text, n);
    const char *folder = list_folder(d);
    bool divided = false;
    for (int i = 0; i < rows.n; i++) divided = divided || (rows.at[i].split && *rows.at[i].split);
    d->numbered = true;
    choose_kind(d, &rows);
    for (int i = 0; i < rows.n; i++) {
        Examples *set = draft_set(d, row_split(d, &rows.at[i], divided));
        draft_add(d, set, row_example(d, &rows.at[i], folder));
    }
}

void list_read(Draft *d) {
    Bytes b = file_map(d->cx, d->path);
    if (b.n > MAX_LIST) fail(d->cx, E_LIMIT, "list '%s': larger than 1 GiB", cx_show(d->cx, d->path));
    size_t len = strlen(d->path);
    list_parse(d, (const char *)b.at, b.n, len > 6 && !strcmp(d->path + len - 6, ".jsonl"));
}
