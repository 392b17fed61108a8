// autodiff.h -- reverse-mode differentiation on the graph.
#ifndef TVC_AUTODIFF_H
#define TVC_AUTODIFF_H
#include "../ir/grad.h"

// d loss / d of[i] for a loss of one element, as nodes of of[i]'s shape; zeros where the loss does
// not depend on it. Only what lies between is differentiated. Requires expanded operators. Fails
// with E_UNSUPPORTED naming an operator in between that has no gradient.
void gradients(Graph *g, Node *loss, int n, Node *const *of, Node **d);

// What gradients() would meet, without failing.
typedef struct Gaps {
    int n;
    Node **node;                      // operators in between that have no gradient
    bool *behind, *reached;           // of each of[i]: one of them depends on it; some flow comes to it (if n == 0)
} Gaps;
Gaps gradient_gaps(Graph *g, Node *loss, int n, Node *const *of);

#endif
