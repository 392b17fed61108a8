// cache.c -- one pointer per image, set once.
#include "cache.h"

struct Kept { int width, height, channels, orientation; uint8_t pixel[]; };

bool cache_init(Cache *c, int n, size_t limit) {
    *c = (Cache){.n = n, .limit = limit};
    if (limit) c->at = calloc((size_t)n + 1, sizeof *c->at);
    return c->at || !limit;
}

void cache_free(Cache *c) {
    for (int i = 0; c->at && i < c->n; i++) free(atomic_load(&c->at[i]));
    free(c->at);
    c->at = NULL;
}

bool cache_get(Cache *c, int i, Image *view) {
    struct Kept *k = c->at ? atomic_load(&c->at[i]) : NULL;
    if (!k) return false;
    *view = (Image){k->width, k->height, k->channels, k->orientation, k->pixel, 0, NULL, 0};
    return true;
}

void cache_put(Cache *c, int i, const Image *im) {
    if (!c->at) return;
    size_t bytes = (size_t)im->width * (size_t)im->height * (size_t)im->channels;
    size_t size = sizeof(struct Kept) + bytes + IMAGE_SLACK, before = atomic_fetch_add(&c->used, size);
    struct Kept *k = before + size <= c->limit ? malloc(size) : NULL, *none = NULL;
    if (k) {
        *k = (struct Kept){im->width, im->height, im->channels, im->orientation};
        memcpy(k->pixel, im->pixel, bytes);
        memset(k->pixel + bytes, 0, IMAGE_SLACK);
        if (atomic_compare_exchange_strong(&c->at[i], &none, k)) return;
        free(k);                                                 // somebody was faster
    }
    atomic_fetch_sub(&c->used, size);
}
