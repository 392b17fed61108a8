// export.c -- see export.h.
#include "export.h"
#include <xxhash.h>

// ---- weights ----

// The optimizer's memory and averages are kept slots too, but no initializers.
static bool is_weight(const Learner *l, int slot) { return model_init(l->model, slot_name(l, slot)) != NULL; }

static void free_block(void *p) { free(p); }

Weights weights_copy(Learner *l) {
    Weights w = {0};
    size_t all = 0;
    for (int i = 0; i < l->nkept; i++)
        if (is_weight(l, l->kept[i])) all = ck_add(l->cx, all, (size_t)slot_bytes(l, l->kept[i]));
    char *at = malloc(all + 1);
    if (!at) fail(l->cx, E_LIMIT, "no memory for a copy of the weights (%zu MB)", all >> 20);
    cx_defer(l->cx, free_block, at);
    for (int i = 0; i < l->nkept; i++) {
        int slot = l->kept[i];
        if (!is_weight(l, slot)) continue;
        *VEC_PUSH(l->cx, w.at, w.n) = (Weight){slot_name(l, slot), l->program->slots[slot].desc, at};
        at += slot_bytes(l, slot);
    }
    weights_again(&w, l);
    return w;
}

void weights_again(Weights *w, Learner *l) {
    for (int i = 0; i < w->n; i++)
        slot_read(l, session_slot(l->session, w->at[i].name), (void *)w->at[i].data);
}

Weights weights_of_model(Model *m) {
    Weights w = {0};
    for (int i = 0; i < m->ninit; i++) {
        const Tensor *t = m->init[i];
        Weight one = {.name = t->name, .desc = {.type = t->type, .rank = 1, .dim = {t->count}}, .data = t->data};
        if (t->type) *VEC_PUSH(m->cx, w.at, w.n) = one;
    }
    return w;
}

uint64_t weights_hash(const Weights *w) {
    uint64_t h = 0;
    for (int i = 0; i < w->n; i++) {
        h = XXH3_64bits_withSeed(w->at[i].name, strlen(w->at[i].name) + 1, h + (uint64_t)w->at[i].desc.type);
        h = XXH3_64bits_withSeed(w->at[i].data, (size_t)desc_bytes(&w->at[i].desc), h);
    }
    return h;
}

void weights_to_model(Model *m, const Weights *w) {
    for (int i = 0; i < w->n; i++) {
        const Weight *from = &w->at[i];
        Tensor t = *model_init(m, from->name);
        int64_t from_size = dtypes[from->desc.type].bytes, size = dtypes[t.type].bytes;
        assert(t.count == desc_elements(&from->desc));
        char *data = NEW(m->cx, char, t.count * size);
        for (int64_t k = 0; k < t.count && t.type != from->desc.type; k++)
            dtype_set_f(t.type, data + k * size,
                        dtype_get_f(from->desc.type, (const char *)from->data + k * from_size));
        if (t.type == from->desc.type) memcpy(data, from->data, tensor_bytes(&t));
        t.data = data;
        model_set_init(m, from->name, &t);
    }
}

// ---- the file ----

static bool was_trained(const Weights *w, const char *name) {
    for (int i = 0; i < w->n; i++)
        if (strcmp(w->at[i].name, name) == 0) return true;
    return false;
}

static void check_frozen(Cx *cx, const Export *e, const char *path) {
    Model *m = model_read(cx, path);
    for (int i = 0; i < e->origin->n; i++) {
        const Weight *w = &e->origin->at[i];
        const Tensor *t = model_init(m, w->name);
        if (!t || was_trained(e->weights, w->name)) continue;
        if (t->type != w->desc.type || t->count != w->desc.dim[0] ||
            (t->count && memcmp(t->data, w->data, tensor_bytes(t)) != 0))
            fail(cx, E_INTERNAL, "%s: initializer '%s' was frozen, yet it changed", cx_show(cx, path),
                 cx_show(cx, w->name));
    }
}

void export_model(Model *m, const Export *e, const char *path) {
    weights_to_model(m, e->weights);
    if (e->recipe) recipe_to_model(m, e->recipe, e->input);
    if (e->labels) labels_to_model(m, e->labels);                 // after the recipe, whose dialects may name classes, too
    target_to_model(m, e->target);
    surgery_apply(m, &(Surgery){.eval = true});
    model_write(m, path);
    check_frozen(m->cx, e, path);
}
