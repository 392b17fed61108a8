// rows.c -- CSV and JSON lines to rows.
#include "rows.h"
#include <jansson.h>

enum { MAX_ROWS = 1 << 26, MAX_FIELDS = 1024 };

typedef enum Column { PATH, LABEL, SPLIT, NCOLUMN } Column;
static const char *const column_name[NCOLUMN] = {"path", "label", "split"};

typedef struct Text { Cx *cx; const char *shown, *p, *end; int line; } Text;

static _Noreturn void damaged(const Text *t, const char *what) {
    fail(t->cx, E_MALFORMED, "list '%s', line %d: %s", cx_show(t->cx, t->shown), t->line, what);
}

static Text text_open(Cx *cx, const char *shown, const char *text, size_t n) {
    Text t = {cx, shown, text, text + n, 1};
    if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) t.p += 3;
    if (n && memchr(text, 0, n)) damaged(&t, "a zero byte: this is no text");
    return t;
}

static Row *add_row(Text *t, Rows *rows, Row r) {
    if (!r.path || !*r.path) damaged(t, "no path");
    if (rows->n == MAX_ROWS) fail(t->cx, E_LIMIT, "list '%s': more than %d rows", cx_show(t->cx, t->shown), MAX_ROWS);
    Row *to = VEC_PUSH(t->cx, rows->at, rows->n);
    *to = r;
    return to;
}

// ---- CSV ----

// A quoted field ends at a quote that is not doubled; the field keeps its line breaks.
static char *quoted_field(Text *t) {
    const char *from = ++t->p;
    size_t n = 0;
    char *out = NULL;
    for (int pass = 0; pass < 2; pass++) {                       // measure, then copy
        const char *p = from;
        if (pass) out = cx_alloc(t->cx, n + 1);
        for (n = 0; p < t->end && (*p != '"' || (p + 1 < t->end && p[1] == '"')); p++, n++) {
            if (*p == '"') p++;
            if (out) out[n] = *p;
        }
        t->p = p;
    }
    if (t->p == t->end) damaged(t, "a quote is not closed");
    t->p++;
    for (const char *p = out; *p; p++) t->line += *p == '\n';
    return out;
}

static char *plain_field(Text *t) {
    const char *from = t->p;
    while (t->p < t->end && !strchr(",\r\n", *t->p)) t->p++;
    return cx_str(t->cx, from, (size_t)(t->p - from));
}

// The fields of one record, up to and with its line break. 0: an empty line.
static int csv_record(Text *t, char **field) {
    int n = 0;
    for (;;) {
        if (n == MAX_FIELDS) damaged(t, "too many columns");
        field[n++] = t->p < t->end && *t->p == '"' ? quoted_field(t) : plain_field(t);
        if (t->p < t->end && *t->p == ',') { t->p++; continue; }
        if (t->p < t->end && *t->p == '\r') t->p++;
        if (t->p < t->end && *t->p != '\n') damaged(t, "something behind a closing quote");
        t->p += t->p < t->end;
        return n == 1 && !*field[0] ? 0 : n;
    }
}

static void csv_columns(Text *t, char **field, int *at) {
    int n = csv_record(t, field);
    for (int c = 0; c < NCOLUMN; c++) {
        at[c] = -1;
        for (int i = 0; i < n; i++)
            if (!strcmp(field[i], column_name[c])) at[c] = i;
    }
    if (at[PATH] < 0 || at[LABEL] < 0)
        damaged(t, "the first line must name the columns: path,label or path,label,split");
}

static void csv_labels(Text *t, Row *r, char *cell) {
    for (char *s = cell; s && *s;) {
        char *semicolon = strchr(s, ';');
        if (semicolon) *semicolon = 0, r->several = true;
        if (*s) *VEC_PUSH(t->cx, r->label, r->nlabel) = s;
        s = semicolon ? semicolon + 1 : NULL;
    }
}

Rows rows_of_csv(Cx *cx, const char *shown, const char *text, size_t n) {
    Rows rows = {0};
    Text t = text_open(cx, shown, text, n);
    char **field = NEW(cx, char *, MAX_FIELDS);
    int at[NCOLUMN];
    csv_columns(&t, field, at);
    for (t.line++; t.p < t.end; t.line++) {
        int line = t.line, have = csv_record(&t, field);
        if (!have) continue;
        if (have <= at[PATH] || have <= at[LABEL]) damaged(&t, "columns are missing");
        Row r = {.line = line, .path = field[at[PATH]]};
        if (at[SPLIT] >= 0) r.split = at[SPLIT] < have ? field[at[SPLIT]] : "";
        csv_labels(&t, &r, field[at[LABEL]]);
        add_row(&t, &rows, r);
    }
    return rows;
}

// ---- JSON lines ----

static const char *json_label(Text *t, const json_t *v) {
    if (json_is_string(v)) return cx_str(t->cx, json_string_value(v), json_string_length(v));
    if (json_is_integer(v)) return cx_fmt(t->cx, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    if (json_is_real(v)) return cx_fmt(t->cx, "%.17g", json_real_value(v));
    damaged(t, "a label is text or a number, or an array of these");
}

static const char *json_member(Text *t, const json_t *o, Column c) {
    const json_t *v = json_object_get(o, column_name[c]);
    if (!v || json_is_null(v)) return NULL;
    if (!json_is_string(v)) damaged(t, "path and split are text");
    return cx_str(t->cx, json_string_value(v), json_string_length(v));
}

static void json_labels(Text *t, Row *r, const json_t *v) {
    if (!v) damaged(t, "no label");
    r->several = json_is_array(v);
    if (!r->several) {
        *VEC_PUSH(t->cx, r->label, r->nlabel) = json_label(t, v);
        return;
    }
    for (size_t i = 0; i < json_array_size(v); i++)
        *VEC_PUSH(t->cx, r->label, r->nlabel) = json_label(t, json_array_get(v, i));
}

static void release_json(void *slot) {
    json_decref(*(json_t **)slot);
    *(json_t **)slot = NULL;
}

Rows rows_of_jsonl(Cx *cx, const char *shown, const char *text, size_t n) {
    Rows rows = {0};
    Text t = text_open(cx, shown, text, n);
    json_t **slot = NEW(cx, json_t *, 1);
    cx_defer(cx, release_json, slot);                            // of the line at hand, should it fail
    for (; t.p < t.end; t.line++) {
        const char *eol = memchr(t.p, '\n', (size_t)(t.end - t.p)), *from = t.p;
        size_t len = (size_t)((eol ? eol : t.end) - from);
        t.p = eol ? eol + 1 : t.end;
        while (len && strchr(" \t\r", from[len - 1])) len--;
        if (!len) continue;
        *slot = json_loadb(from, len, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(*slot)) damaged(&t, "not a JSON object");
        Row r = {.line = t.line, .path = json_member(&t, *slot, PATH), .split = json_member(&t, *slot, SPLIT)};
        json_labels(&t, &r, json_object_get(*slot, column_name[LABEL]));
        add_row(&t, &rows, r);
        release_json(slot);
    }
    return rows;
}
