// bodies.h -- the hand-written kernels: what is no formula of one output element.
// A line here, a function body_NAME in a file runtime/body_*.c, a case in tests/test_bodies.c.
// The name is the operator's; its attributes and what it computes stand above the function.
#ifndef TVC_BODIES_H
#define TVC_BODIES_H
#include "program.h"

#define TVC_BODIES(X)

#define X(name) BodyFn body_##name;
TVC_BODIES(X)
#undef X

#endif
