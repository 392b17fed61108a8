// feed.h -- what goes into a model when it is no picture: arrays from files, or a ramp.
#ifndef TVC_FEED_H
#define TVC_FEED_H
#include "engine.h"
#include "options.h"

typedef struct Feed { const char *name; const Tensor *value; const char *file; } Feed;
typedef struct Feeds { int n; Feed *at; } Feeds;

Feeds feeds_read(const Args *a);                                  // every --input NAME=FILE.npy|.pb
// Sizes that the model leaves open are those of the arrays; so is the batch.
void feeds_shape(Cx *cx, const Feeds *f, const Model *m, ImportOptions *o);
// The same, with a ramp arange(n)/n (zeros for integers) for every input that has no array.
Feeds feeds_with_ramps(const Feeds *f, const Engine *e);
// Write every input but number `but` (or -1): before every run. What does not fit or is missing fails.
void feeds_write(const Feeds *f, Engine *e, int but);
Tensor tensor_of(const char *name, const TensorDesc *d, const void *data);       // borrows both

#endif
