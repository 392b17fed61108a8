// bodies.c -- hand-written kernels by name.
#include "bodies.h"
#include <string.h>

BodyFn *body_find(const char *name) {
#define X(body) if (!strcmp(name, #body)) return body_##body;
    TVC_BODIES(X)
#undef X
    return NULL;
}
