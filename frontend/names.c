// names.c -- see names.h. Open addressing, at most half full; names are never removed.
#include "names.h"
#include <pthread.h>
#include <sys/random.h>
#include <xxhash.h>

static XXH64_hash_t seed;

static void draw_seed(void) {
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed) seed = (uintptr_t)&seed;
}

static size_t place(const Names *m, const char *name) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, draw_seed);
    size_t i = (size_t)XXH3_64bits_withSeed(name, strlen(name), seed) & (m->cap - 1);
    while (m->slot[i].name && strcmp(m->slot[i].name, name)) i = (i + 1) & (m->cap - 1);
    return i;
}

void *names_get(const Names *m, const char *name) { return m->cap ? m->slot[place(m, name)].value : NULL; }

static size_t next_cap(const Names *m) { return m->n < m->cap / 2 ? m->cap : m->cap ? 2 * m->cap : 64; }

size_t names_growth(const Names *m) { return next_cap(m) == m->cap ? 0 : next_cap(m) * sizeof(NameSlot); }

void names_put(Cx *cx, Names *m, const char *name, void *value) {
    if (next_cap(m) != m->cap) {
        Names more = {.n = m->n, .cap = next_cap(m)};
        more.slot = NEW(cx, NameSlot, more.cap);
        for (size_t i = 0; i < m->cap; i++)
            if (m->slot[i].name) more.slot[place(&more, m->slot[i].name)] = m->slot[i];
        *m = more;
    }
    m->slot[place(m, name)] = (NameSlot){name, value};
    m->n++;
}
