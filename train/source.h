// source.h -- batches put into a learner: decoded and sent through the frozen part, or out of the
// features kept. Which examples a batch holds depends on the seed, the epoch and the step alone.
#ifndef TVC_SOURCE_H
#define TVC_SOURCE_H
#include "features.h"

typedef struct Source Source;

typedef struct SourceOptions {
    LoaderOptions loader;
    FeatureOptions features;
} SourceOptions;

// Computes the features, if they are to be kept. NULL: loader.stop was set meanwhile.
Source *source_open(Learner *l, const SourceOptions *o);
void source_close(Source *s);                             // also by the Cx; NULL is fine
bool source_keeps(const Source *s);                       // features are kept
int64_t source_steps(const Source *s);                    // per epoch
void source_start(Source *s, int64_t epoch, int64_t step);
// The next batch of this epoch lies in the learner, with its labels; *p until the next call. False after its last one,
// and when stopped.
bool source_next(Source *s, const Portion **p);
// While the learner computes on that batch: the one after it is decoded, and sent to devices that work on their own.
void source_ahead(Source *s);
int source_bad(const Source *s, const BadExample **out);  // pictures met that cannot be read

#endif
