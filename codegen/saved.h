// saved.h -- what lasts of a function's scratch.
#ifndef TVC_SAVED_H
#define TVC_SAVED_H
#include "ir/base.h"
#include "runtime/program.h"

// Bytes of scratch of function `fn`, at maximum batch, that steps write of which the slot is made, and others read:
// of a training step with its loss, what is kept from the way forward for the gradients. 0 if there is no such slot.
int64_t program_saved_bytes(Cx *cx, const Program *p, int fn, const char *slot);

#endif
