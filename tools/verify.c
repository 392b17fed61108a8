// verify.c -- tvc verify.
#include "commands.h"

Err run_verify(const Args *a) { fail(a->cx, E_UNSUPPORTED, "tvc verify is not there yet"); }
