// passes.h -- graph to graph. Each pass says in its file what it requires and keeps.
#ifndef TVC_PASSES_H
#define TVC_PASSES_H
#include "../ir/op.h"

void run_passes(Graph *g);            // pipeline.c: all of them, in order, on primitives (expand_ops)

void fold(Graph *g);                  // fold.c
Node *fold_node(Graph *g, Node *n);   // the constant n is, or NULL
void scale(Graph *g);                 // scale.c
void layout(Graph *g);                // layout.c
void moves(Graph *g);                 // moves.c
void stems(Graph *g);                 // stems.c
void sums(Graph *g);                  // sums.c
bool is_channel_sum(const Node *n);   // sums.c: a ReduceSum that leaves of its image axis 1 alone
void keep_images(Graph *g);           // channels.c
bool is_pointwise(const Node *n);     // channels.c: a convolution that is a product of matrices
void lay_channels_last(Graph *g, const bool *plain);      // channels.c: for fuse; plain, by id: must stay row-major
void pad_rows(Graph *g, const bool *plain);           // matrices.c: for fuse; as lay_channels_last
void lay_operand_last(const Node *n, Node *x);        // channels.c: x, which gets a buffer for n to read
void remake(Graph *g);                // remake.c
void fuse(Graph *g);                  // fuse.c: the last one but for those
void mates(Graph *g);                 // mates.c
void precision(Graph *g);             // precision.c
bool *prefix_alone(Graph *g);         // precision.c: by id, of a sorted graph: only g->prefix needs it

#endif
