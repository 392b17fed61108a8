// surgery_freeze.c -- which parameters training leaves alone, kept in the metadata tvc.frozen as a
// JSON array of initializer names.
#include "surgery_graph.h"

#include <fnmatch.h>
#include <jansson.h>

enum { CHAIN = 32 };

typedef struct Frozen {
    Model *m;
    bool *init;                          // per initializer
} Frozen;

static bool is_param(const Tensor *t) { return dtype_is_float(t->type); }

static int place_of(const Model *m, const Tensor *t) {
    int i = 0;
    while (i < m->ninit && m->init[i] != t) i++;
    return i;
}

static void mark_value(Frozen *f, const char *value, bool frozen) {
    for (int steps = 0; steps < CHAIN; steps++) {
        const Tensor *t = model_init(f->m, value);
        if (t) {
            if (is_param(t)) f->init[place_of(f->m, t)] = frozen;
            return;
        }
        Constant c;
        const DocNode *n = model_producer(f->m, value);
        if (!n || n->nin == 0 || !constant_of(f->m, value, &c)) return;
        value = n->in[0];
    }
}

static void mark_node(Frozen *f, const DocNode *n, bool frozen) {
    for (int k = 0; k < n->nin; k++)
        if (n->in[k][0]) mark_value(f, n->in[k], frozen);
}

static void mark_all(Frozen *f) {
    for (int i = 0; i < f->m->ninit; i++) f->init[i] = is_param(f->m->init[i]);
}

// Everything but the head: what this edit made, or else the heads that were found.
static void mark_backbone(Frozen *f, const Maker *k, const Heads *h) {
    if (!k->s->classes && h->n == 0)
        fail(f->m->cx, E_UNSUPPORTED, "--freeze backbone: there is no head (%s)", h->why_none);
    mark_all(f);
    for (int i = 0; i < k->nmade && k->s->classes; i++) mark_value(f, k->made[i], false);
    for (int i = 0; i < h->n && !k->s->classes; i++) {
        mark_node(f, h->head[i].node, false);
        if (h->head[i].add) mark_node(f, h->head[i].add, false);
    }
}

static void mark_pattern(Frozen *f, const char *pattern) {
    Model *m = f->m;
    bool any = false;
    for (int i = 0; i < m->ninit; i++)
        if (is_param(m->init[i]) && fnmatch(pattern, m->init[i]->name, 0) == 0) any = f->init[i] = true;
    for (int i = 0; i < m->nnode; i++)
        if (m->node[i]->name[0] && fnmatch(pattern, m->node[i]->name, 0) == 0)
            mark_node(f, m->node[i], true), any = true;
    if (!any)
        fail(m->cx, E_USAGE, "'%s' matches no initializer of numbers and no node; `tvc inspect` lists the nodes",
             cx_show(m->cx, pattern));
}

static void free_json(void *json) { json_decref(json); }
static void free_text(void *text) { free(text); }

// What the file itself says; names that it has no longer are those of a head that was replaced.
static void mark_listed(Frozen *f) {
    const char *text = model_meta(f->m, "tvc.frozen");
    json_t *list = json_loads(text ? text : "", 0, NULL);
    if (!json_is_array(list)) {
        json_decref(list);
        fail(f->m->cx, text ? E_MALFORMED : E_USAGE, "--freeze file: %s",
             text ? "the metadata tvc.frozen is no list of names" : "the file has no metadata tvc.frozen");
    }
    cx_defer(f->m->cx, free_json, list);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        const Tensor *t = name ? model_init(f->m, name) : NULL;
        if (t && is_param(t)) f->init[place_of(f->m, t)] = true;
    }
}

static const char *names_json(Frozen *f) {
    Cx *cx = f->m->cx;
    json_t *list = json_array();
    cx_defer(cx, free_json, list);
    for (int i = 0; i < f->m->ninit; i++) {
        if (!f->init[i]) continue;
        json_t *name = json_string(f->m->init[i]->name);
        if (!name)
            fail(cx, E_UNSUPPORTED, "initializer '%s' cannot be listed: its name is no UTF-8",
                 cx_show(cx, f->m->init[i]->name));
        json_array_append_new(list, name);
    }
    char *text = json_dumps(list, JSON_COMPACT);
    if (!text) fail(cx, E_LIMIT, "out of memory");
    cx_defer(cx, free_text, text);
    return text;
}

void freeze_params(Maker *k, const Heads *h) {
    Frozen f = {k->m, NEW(k->m->cx, bool, k->m->ninit)};
    for (const char *p = k->s->freeze; *p;) {
        size_t n = strcspn(p, ",");
        const char *word = cx_str(k->m->cx, p, n);
        if (strcmp(word, "all") == 0) mark_all(&f);
        else if (strcmp(word, "backbone") == 0) mark_backbone(&f, k, h);
        else if (strcmp(word, "file") == 0) mark_listed(&f);
        else if (strcmp(word, "none") == 0) memset(f.init, 0, sizeof *f.init * (size_t)k->m->ninit);
        else if (n) mark_pattern(&f, word);
        p += n + (p[n] == ',');
    }
    model_set_meta(k->m, "tvc.frozen", names_json(&f));
}
