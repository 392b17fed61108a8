// run.c -- tvc run.
#include "commands.h"

Err run_run(const Args *a) { fail(a->cx, E_UNSUPPORTED, "tvc run is not there yet"); }
