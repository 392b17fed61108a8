// pixels.h -- pictures that go to a device as bytes, and become what the model wants to see there.
//
// The graph's first input, which takes prepared values, is replaced by one of bytes, [N,height,width,channels] as
// decoders leave them: a quarter of what values take on the way, and in memory. What prepare_values() does becomes
// nodes of the graph: values, by the preparer's own table, so that they are the same bit for bit; order of channels;
// layout.
#ifndef TVC_PIXELS_H
#define TVC_PIXELS_H
#include "../ir/op.h"
#include "place.h"
#include "recipe.h"

// Can an input of this type and rank be replaced? It must take floats, and pictures in batches.
bool pixels_possible(DType type, int rank);
bool pixels_placeable(const Preparer *p);        // are pictures small enough for places?

// The node that stands for the picture now. With `placed`, a second input "tvc.place" of int32 [N,2,4] says for each
// picture where its pixels come from: a Place down and one across.
Node *pixels_input(Graph *g, const Preparer *p, bool placed);

#endif
