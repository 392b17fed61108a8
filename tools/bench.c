// bench.c -- tvc bench.
#include "commands.h"

Err run_bench(const Args *a) { fail(a->cx, E_UNSUPPORTED, "tvc bench is not there yet"); }
