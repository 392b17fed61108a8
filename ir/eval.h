// eval.h -- running a whole graph on the evaluator: the judge of every other way to run it.
#ifndef TVC_EVAL_H
#define TVC_EVAL_H
#include "graph.h"

// Compute every root, node by node, `batch` in use. Inputs and Params must have their data set
// (Node.data; row-major, room for the maximum batch). Operators without formula are refused:
// expand the graph first. Afterwards root i's elements lie at result[i], row-major at maximum
// batch, in cx. Intermediate values are freed as soon as nothing reads them. `seen`, if not
// NULL, is called with each node's value when it has been made.
typedef void SeenFn(void *user, Node *n, const void *data);
void graph_eval(Graph *g, int64_t batch, void **result, SeenFn *seen, void *user);

#endif
