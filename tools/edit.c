// edit.c -- tvc edit.
#include "commands.h"

Err run_edit(const Args *a) { fail(a->cx, E_UNSUPPORTED, "tvc edit is not there yet"); }
