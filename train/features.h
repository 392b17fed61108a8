// features.h -- what the frozen part of a model makes of every example, computed once and kept.
//
// A view is one way an example is augmented: that of the epoch of the same number. Without
// augmentation there is one. Features do not depend on the batch they were computed in.
#ifndef TVC_FEATURES_H
#define TVC_FEATURES_H
#include "../data/loader.h"
#include "learner.h"

typedef struct Features {
    int n, views;
    size_t each;                      // bytes of an example's features
    char *at;                         // [views][n][each]
    bool *have;                       // [views][n]: false where the picture cannot be read
} Features;

// Bytes that this takes; 0: the learner has no features, or they do not belong to one example each.
size_t features_bytes(const Learner *l, int n, int views);

// Goes over the examples of `o` (its order, epochs and batch do not count), and calls `bad` once behind them, for
// those that cannot be read. False when `o->stop` was set. Fails with E_DATASET if they are too many.
typedef void BadFn(void *user, const Loader *loader);
bool features_compute(Features *f, Learner *l, const LoaderOptions *o, int views, BadFn *bad, void *user);
void features_free(Features *f);

// The features of n examples, into the learner's slots; all of them are there.
void features_load(const Features *f, Learner *l, int view, int n, const int64_t *sample);

#endif
