// expand.c -- operators that are defined by simpler ones become those.
#include "op.h"

static Node *expand(Graph *g, Node *n, void *env) { (void)env; return optab[n->op].expand(g, n); }

void expand_ops(Graph *g) {
    while (graph_map(g, expand, NULL)) {}
}
