// formula.h -- a kernel as bytecode for the interpreter (runtime/interp.h).
#ifndef TVC_FORMULA_H
#define TVC_FORMULA_H
#include "ir/kernel.h"

typedef struct Formula {
    int64_t *code;                    // in cx
    int n;
    int64_t units;                    // of the step that runs it, at maximum batch
    bool per_batch;
} Formula;

// For any kernel but hand-written ones. Buffers are numbered as in k->buf.
Formula formula_of(Cx *cx, Kernel *k);

#endif
