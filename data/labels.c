// labels.c -- reading and writing class names: lines, JSON, Python literals.
//
// Everything read here may come from a stranger: sizes are bounded, nothing recurses, and a
// class number never decides more than LABELS_MAX pointers.
#include "labels.h"
#include "../ir/file.h"
#include "sidecar.h"
#include <jansson.h>
#include <strings.h>

static void put(Cx *cx, Labels *l, int64_t index, const char *s, size_t n) {
    if (index >= l->n) {
        int old = l->n, want = (int)index + 1;
        int had = old ? 1 << (32 - __builtin_clz((unsigned)old)) : 0, need = 1 << (32 - __builtin_clz((unsigned)want));
        if (need > had)                                          // capacities are the next power of two
            l->name = cx_grow(cx, l->name, sizeof *l->name * (size_t)old, sizeof *l->name * (size_t)need);
        for (int i = old; i < want; i++) l->name[i] = "";
        l->n = want;
    }
    l->name[index] = cx_str(cx, s, n);
}

const char *label_name(const Labels *l, int64_t index) {
    return index >= 0 && index < l->n && *l->name[index] ? l->name[index] : NULL;
}

// ---- Python literals ----
// {0: 'cat', 1: "dog"} or ['cat', 'dog'], as str() of a dict or list writes them.

typedef struct Literal { const char *p, *end; char *buffer; size_t n; } Literal;

static void skip_space(Literal *t) {
    while (t->p < t->end && strchr(" \t\r\n", *t->p)) t->p++;
}

static bool take(Literal *t, char c) {
    skip_space(t);
    if (t->p == t->end || *t->p != c) return false;
    t->p++;
    return true;
}

static void put_utf8(Literal *t, uint32_t u) {
    char *b = t->buffer + t->n;
    if (u < 0x80) t->n += 1, b[0] = (char)u;
    else if (u < 0x800) t->n += 2, b[0] = (char)(0xc0 | u >> 6), b[1] = (char)(0x80 | (u & 63));
    else if (u < 0x10000)
        t->n += 3, b[0] = (char)(0xe0 | u >> 12), b[1] = (char)(0x80 | (u >> 6 & 63)), b[2] = (char)(0x80 | (u & 63));
    else
        t->n += 4, b[0] = (char)(0xf0 | u >> 18), b[1] = (char)(0x80 | (u >> 12 & 63)),
        b[2] = (char)(0x80 | (u >> 6 & 63)), b[3] = (char)(0x80 | (u & 63));
}

static bool hex_escape(Literal *t, int digits) {
    uint32_t u = 0;
    for (; digits; digits--, t->p++) {
        int c = t->p < t->end ? *t->p : 0, low = c | 0x20;
        if (c >= '0' && c <= '9') u = u * 16 + (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f') u = u * 16 + (uint32_t)(low - 'a') + 10;
        else return false;
    }
    if (!u || u > 0x10ffff || (u >= 0xd800 && u < 0xe000)) return false;
    put_utf8(t, u);
    return true;
}

// What a backslash escapes. The result is never longer than the escape.
static bool escape(Literal *t) {
    static const char from[] = "\\'\"ntr", to[] = "\\'\"\n\t\r";
    if (t->p == t->end) return false;
    char c = *t->p++;
    const char *known = c ? strchr(from, c) : NULL;
    if (known) t->buffer[t->n++] = to[known - from];
    return known || hex_escape(t, c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0);
}

// A quoted string into the buffer, which has room for all of the text.
static bool quoted(Literal *t) {
    skip_space(t);
    if (t->p == t->end || (*t->p != '\'' && *t->p != '"')) return false;
    char quote = *t->p++;
    for (t->n = 0; t->p < t->end && *t->p != quote;) {
        char c = *t->p++;
        if (c == '\\' ? !escape(t) : (t->buffer[t->n++] = c, false)) return false;
    }
    return t->p++ < t->end;
}

static bool class_number(Literal *t, int64_t *out) {
    skip_space(t);
    char quote = t->p < t->end && (*t->p == '\'' || *t->p == '"') ? *t->p++ : 0;
    const char *start = t->p;
    for (*out = 0; t->p < t->end && *t->p >= '0' && *t->p <= '9' && *out < LABELS_MAX; t->p++)
        *out = *out * 10 + (*t->p - '0');
    if (t->p == start || *out >= LABELS_MAX) return false;
    return !quote || (t->p < t->end && *t->p++ == quote);
}

static bool parse_literal(Cx *cx, const char *text, size_t n, Labels *l) {
    Literal t = {text, text + n, cx_alloc(cx, n + 1), 0};
    bool dict = take(&t, '{');
    char close = dict ? '}' : ']';
    if (!dict && !take(&t, '[')) return false;
    for (int64_t next = 0; !take(&t, close); next++) {
        int64_t index = next;
        if (next && !take(&t, ',')) return false;
        if (next && take(&t, close)) break;                      // a trailing comma
        if (dict && !(class_number(&t, &index) && take(&t, ':'))) return false;
        if (index >= LABELS_MAX || !quoted(&t)) return false;
        put(cx, l, index, t.buffer, t.n);
    }
    skip_space(&t);
    return t.p == t.end && l->n > 0;
}

// ---- JSON ----

// A label, or the last of several names: ["n01440764", "tench"].
static const char *json_label(const json_t *v) {
    if (json_is_array(v) && json_array_size(v)) v = json_array_get(v, json_array_size(v) - 1);
    return json_string_value(v);
}

static bool json_pair(Cx *cx, const char *key, json_t *value, Labels *l) {
    const char *name = json_label(value);
    int64_t index = json_is_integer(value) ? json_integer_value(value) : -1;
    if (name) {                                                  // {"0": "cat"}
        char *end;
        index = *key >= '0' && *key <= '9' ? strtoll(key, &end, 10) : -1;
        if (index < 0 || *end) return false;
    } else {
        name = key;                                              // {"cat": 0}
    }
    if (index < 0 || index >= LABELS_MAX) return false;
    put(cx, l, index, name, strlen(name));
    return true;
}

static bool parse_json(Cx *cx, json_t *root, Labels *l) {
    size_t i;
    json_t *value;
    const char *key;
    if (json_array_size(root) > LABELS_MAX) return false;
    json_array_foreach(root, i, value) {
        const char *name = json_label(value);
        if (!name) return false;
        put(cx, l, (int64_t)i, name, strlen(name));
    }
    json_object_foreach(root, key, value)
        if (!json_pair(cx, key, value, l)) return false;
    return l->n > 0;
}

// ---- lines ----

static bool parse_lines(Cx *cx, const char *s, size_t n, Labels *l) {
    const char *end = s + n;
    if (n >= 3 && !memcmp(s, "\xef\xbb\xbf", 3)) s += 3;
    while (end > s && (end[-1] == '\n' || end[-1] == '\r' || end[-1] == ' ')) end--;
    for (int64_t i = 0; s < end; i++) {
        const char *eol = memchr(s, '\n', (size_t)(end - s));
        if (!eol) eol = end;
        size_t len = (size_t)(eol - s);
        while (len && (s[len - 1] == '\r' || s[len - 1] == ' ')) len--;
        if (i >= LABELS_MAX || memchr(s, 0, len)) return false;
        put(cx, l, i, s, len);
        s = eol + (eol < end);
    }
    return l->n > 0;
}

bool labels_parse(Cx *cx, const char *text, size_t n, Labels *out) {
    *out = (Labels){0};
    const char *s = text;
    while (s < text + n && strchr(" \t\r\n", *s)) s++;
    if (s == text + n) return false;
    if (*s != '{' && *s != '[') return parse_lines(cx, text, n, out);
    json_t *root = json_text(cx, text, n);
    if (root) return parse_json(cx, root, out);
    return parse_literal(cx, s, (size_t)(text + n - s), out);
}

Labels labels_read(Cx *cx, const char *path) {
    Labels l;
    Bytes b = file_map(cx, path);
    if (b.n > SIDECAR_MAX) fail(cx, E_LIMIT, "labels '%s': larger than %d MB", cx_show(cx, path), SIDECAR_MAX >> 20);
    if (!labels_parse(cx, (const char *)b.at, b.n, &l))
        fail(cx, E_MALFORMED, "labels '%s': neither one label a line, nor a JSON array or object of labels",
             cx_show(cx, path));
    l.source = cx_str(cx, path, strlen(path));
    return l;
}

// ---- the model ----

Labels labels_of_model(Cx *cx, const Model *m) {
    static const struct { const char *key, *source; } places[] = {
        {"tvc.labels", "tvc.labels"}, {"names", "names (Ultralytics)"}, {"class_names", "class_names (Deepness)"}};
    Labels l;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *text = model_meta(m, places[i].key);
        if (!text || !*text) continue;
        const char *first = text + strspn(text, " \t\r\n");
        if ((*first == '{' || *first == '[') && labels_parse(cx, text, strlen(text), &l)) {
            l.source = places[i].source;
            return l;
        }
        cx_note(cx, "the model's metadata '%s' holds no labels that can be read: ignored", places[i].key);
    }
    json_t *config = sidecar_json(cx, m, "config.json");
    l = (Labels){0};
    if (config && parse_json(cx, json_object_get(config, "id2label"), &l)) {
        l.source = "config.json (id2label)";
        return l;
    }
    return (Labels){0};
}

static const char *python_quoted(Cx *cx, const char *s) {
    char *out = cx_alloc(cx, 4 * strlen(s) + 3), *p = out;
    *p++ = '\'';
    for (; *s; s++) {
        if (*s == '\'' || *s == '\\') *p++ = '\\', *p++ = *s;
        else if ((unsigned char)*s < 0x20 || *s == 0x7f) p += sprintf(p, "\\x%02x", (unsigned char)*s);
        else *p++ = *s;
    }
    *p = '\'';
    return out;
}

// Text growing at its end; its room doubles.
typedef struct Text { char *s; size_t n, room; } Text;

static void append(Cx *cx, Text *t, const char *s) {
    size_t len = strlen(s);
    if (t->n + len + 1 > t->room) {
        size_t room = 2 * (t->n + len + 1);
        t->s = cx_grow(cx, t->s, t->n, room);
        t->room = room;
    }
    memcpy(t->s + t->n, s, len + 1);
    t->n += len;
}

static const char *python_dict(Cx *cx, const Labels *l) {
    Text t = {0};
    for (int i = 0; i < l->n; i++) {
        append(cx, &t, cx_fmt(cx, "%s%d: ", i ? ", " : "{", i));
        append(cx, &t, python_quoted(cx, l->name[i]));
    }
    append(cx, &t, "}");
    return t.s;
}

static json_t *json_list(Cx *cx, const Labels *l) {
    json_t *list = json_array();
    for (int i = 0; i < l->n; i++) json_array_append_new(list, json_text_value(cx, l->name[i]));
    return list;
}

static const char *json_dict(Cx *cx, const Labels *l) {
    json_t *o = json_own(cx, json_object());
    for (int i = 0; i < l->n; i++) json_object_set_new(o, cx_fmt(cx, "%d", i), json_text_value(cx, l->name[i]));
    return json_dump(cx, o);
}

// timm's configuration, where there is one: it may still speak of other classes.
static void write_timm(Model *m, const Labels *l) {
    const char *text = model_meta(m, "pretrained_cfg");
    json_t *o = text ? json_text(m->cx, text, strlen(text)) : NULL;
    if (!json_is_object(o)) return;
    if (l->n)
        json_object_set_new(o, "num_classes", json_integer(l->n)),
            json_object_set_new(o, "label_names", json_list(m->cx, l));
    else if (json_object_del(o, "num_classes") + json_object_del(o, "label_names") == -2) return;
    json_object_del(o, "label_descriptions");
    model_set_meta(m, "pretrained_cfg", json_dump(m->cx, o));
}

void labels_to_model(Model *m, const Labels *l) {
    model_set_meta(m, "tvc.labels", l->n ? json_dump(m->cx, json_own(m->cx, json_list(m->cx, l))) : NULL);
    model_set_meta(m, "names", l->n ? python_dict(m->cx, l) : NULL);
    model_set_meta(m, "class_names", l->n ? json_dict(m->cx, l) : NULL);
    write_timm(m, l);
}

// ---- one class, several, numbers ----

const char *target_name(TargetKind kind) {
    return kind == TARGET_LABELS ? "labels" : kind == TARGET_NUMBERS ? "numbers" : NULL;
}

TargetKind target_named(const char *name) {
    return name && !strcmp(name, "labels")    ? TARGET_LABELS
           : name && !strcmp(name, "numbers") ? TARGET_NUMBERS
                                              : TARGET_AUTO;
}

TargetKind target_of_model(const Model *m) { return target_named(model_meta(m, "tvc.target")); }

void target_to_model(Model *m, TargetKind kind) { model_set_meta(m, "tvc.target", target_name(kind)); }
