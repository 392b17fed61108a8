// cache.h -- decoded images kept in memory, up to a bound. Nothing is ever thrown out: a small
// dataset fits, and of a large one the part that fits is read only once.
#ifndef TVC_CACHE_H
#define TVC_CACHE_H
#include "image.h"
#include <stdatomic.h>

typedef struct Cache {                 // threads may get and put at the same time
    int n;
    size_t limit;                      // bytes
    _Atomic size_t used;
    _Atomic(struct Kept *) *at;        // [n]; NULL: no cache
} Cache;

bool cache_init(Cache *c, int n, size_t limit);                  // false: no memory
void cache_free(Cache *c);
bool cache_get(Cache *c, int i, Image *view);                    // *view: to be read, not changed or freed
void cache_put(Cache *c, int i, const Image *im);                // nothing, if full

#endif
