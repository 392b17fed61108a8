// compare.c -- tvc compare.
#include "commands.h"

Err run_compare(const Args *a) { fail(a->cx, E_UNSUPPORTED, "tvc compare is not there yet"); }
