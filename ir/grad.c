// grad.c -- the table of gradients, made of the lines of grads.h.
#include "grad.h"

static GradFn *const table[NOPS] = {
#define GRAD(op, fn) [OP_##op] = grad_##fn,
#include "grads.h"
};

GradFn *grad_of(Op op) { return table[op]; }
