// build.h -- phrases that several rows build graphs with. Scalars take the tensor's type.
#ifndef TVC_BUILD_H
#define TVC_BUILD_H
#include "import.h"

static inline Node *scaled(Graph *g, Node *x, double by) { return op2(g, Mul, x, node_like(g, x, by)); }
static inline Node *shifted(Graph *g, Node *x, double by) { return op2(g, Add, x, node_like(g, x, by)); }
static inline Node *less_than(Graph *g, Node *x, double than) { return op2(g, Less, x, node_like(g, x, than)); }
static inline Node *square(Graph *g, Node *x) { return op2(g, Mul, x, x); }

// Limits; NaN stays NaN: the constant comes first (see MAX in kops.h).
static inline Node *at_least(Graph *g, Node *x, double low) { return op2(g, Max, node_like(g, x, low), x); }
static inline Node *at_most(Graph *g, Node *x, double high) { return op2(g, Min, node_like(g, x, high), x); }

Node *mul_sigmoid(Graph *g, Node *x, double alpha);           // x * sigmoid(alpha x)
Node *vector_at(Import *im, Node *v, int axis, int rank);     // a vector, shaped to broadcast along that axis of that rank
Node *spread(Graph *g, Node *x, Shape to);                    // Expand, or x itself
Node *iota_along(Graph *g, Shape s, int axis);                // 0, 1, 2 .. along one axis of s, size 1 along the others
Node *squeezed(Graph *g, Node *x, Attr axes);                 // without those axes, which have size 1
Node *unsqueezed(Graph *g, Node *x, int axis);                // with an axis of size 1 put in there
Node *concat2(Graph *g, Node *a, Node *b, int axis);           // Concat
Attr axes_from(Cx *cx, int first, int end);                   // {first, .. end - 1}
Node *reduced(Graph *g, Op op, Node *x, Attr axes);           // x itself if there are no axes
Node *arg_extreme(Graph *g, Node *x, int axis, bool max, bool last);   // index along axis, kept as size 1, i64

#endif
