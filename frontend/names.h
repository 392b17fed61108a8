// names.h -- a map from strings to pointers. Hashed under a seed drawn once per process, so that
// no file can be made to collide.
#ifndef TVC_NAMES_H
#define TVC_NAMES_H
#include "../ir/base.h"

typedef struct NameSlot { const char *name; void *value; } NameSlot;
typedef struct Names { NameSlot *slot; size_t n, cap; } Names;     // zero-initialised: empty

void *names_get(const Names *m, const char *name);                 // NULL if absent
size_t names_growth(const Names *m);                                // bytes the next names_put() takes
void names_put(Cx *cx, Names *m, const char *name, void *value);   // name borrowed, not yet in the map

#endif
