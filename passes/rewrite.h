// rewrite.h -- algebra as text.
//
// A pattern is an operator applied to patterns, or
//     x    any node; the same letter twice must be the same node
//     a!   a constant without data (a literal)
//     1    that constant
// The right side builds nodes of the same letters. Commutative operators match both ways round.
// Nothing else of a node is looked at, so rules are for operators without attributes.
#ifndef TVC_REWRITE_H
#define TVC_REWRITE_H
#include "../ir/op.h"

typedef struct Rule { const char *from, *to; bool floats_only; } Rule;

extern const Rule rules[];
extern const int nrules;

void simplify(Graph *g);              // until no rule matches

#endif
