// grad.h -- what a line of grads.h means.
#ifndef TVC_GRAD_H
#define TVC_GRAD_H
#include "op.h"

typedef void GradFn(Graph *g, Node *n, Node *dy, Node **dx);
#define GRADIENT(name) void grad_##name(Graph *g, Node *n, Node *dy, Node **dx)

#define GRAD(op, fn) GradFn grad_##fn;
#include "grads.h"

GradFn *grad_of(Op op);               // grad.c; NULL: the operator has none

#endif
