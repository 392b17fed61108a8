// blocked.h -- what layout.c and winograd.c share; private to passes/.
#ifndef TVC_BLOCKED_H
#define TVC_BLOCKED_H
#include "passes.h"

Node *reshape_batch(Graph *g, Node *x, int batch, Shape s);   // to s with axis batch - 1 growing; 0: none
Node *block(Graph *g, Node *x, int64_t b);                // [N,C,H,W] -> [N,C/b,H,W,b], channels padded by zeros
Node *unblock(Graph *g, Node *z, int64_t channels);       // and back, padding cut off
Node *blocked(Graph *g, Node *n);                         // z, if n is unblock(z) of g->lanes; else NULL

bool winograd_pays(Graph *g, const Node *conv);
Node *winograd(Graph *g, Node *conv, Node *x, Node *f);   // x and weights f blocked; the result, blocked

#endif
