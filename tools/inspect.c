// inspect.c -- tvc inspect.
#include "commands.h"

Err run_inspect(const Args *a) { fail(a->cx, E_UNSUPPORTED, "tvc inspect is not there yet"); }
