// compile.c -- tvc compile.
#include "commands.h"

Err run_compile(const Args *a) { fail(a->cx, E_UNSUPPORTED, "tvc compile is not there yet"); }
