// sidecar.c -- jansson's values with the lifetime of a Cx.
#include "sidecar.h"
#include "../ir/file.h"
#include <sys/stat.h>

static void release(void *v) { json_decref(v); }

json_t *json_own(Cx *cx, json_t *v) {
    if (!v) fail(cx, E_LIMIT, "out of memory");
    cx_defer(cx, release, v);
    return v;
}

json_t *json_text(Cx *cx, const char *text, size_t n) {
    json_t *v = n <= SIDECAR_MAX ? json_loadb(text, n, 0, NULL) : NULL;
    return v ? json_own(cx, v) : NULL;
}

json_t *sidecar_json(Cx *cx, const Model *m, const char *name) {
    const char *slash = strrchr(m->path, '/');
    const char *path = cx_fmt(cx, "%.*s%s", slash ? (int)(slash + 1 - m->path) : 0, m->path, name);
    struct stat st;
    if (stat(path, &st) || !S_ISREG(st.st_mode) || st.st_size > SIDECAR_MAX) return NULL;
    Bytes b = file_map(cx, path);
    json_t *v = b.n ? json_text(cx, (const char *)b.at, b.n) : NULL;
    if (json_is_object(v)) return v;
    cx_note(cx, "'%s' is no JSON object: ignored", cx_show(cx, path));
    return NULL;
}

json_t *json_text_value(Cx *cx, const char *s) {
    json_t *v = json_string(s);
    return v ? v : json_string(cx_show(cx, s));
}

const char *json_dump(Cx *cx, const json_t *v) {
    for (size_t digits = 15;; digits++) {
        char *s = json_dumps(v, JSON_COMPACT | JSON_REAL_PRECISION(digits));
        if (!s) fail(cx, E_LIMIT, "out of memory");
        cx_defer(cx, free, s);
        json_t *back = json_loads(s, 0, NULL);
        bool same = digits == 17 || json_equal(v, back);
        json_decref(back);
        if (same) return s;
    }
}
