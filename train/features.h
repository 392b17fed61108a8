// features.h -- what the frozen part of a model makes of every example, computed once and kept.
//
// A view is one way an example is augmented: that of the epoch of the same number. Without
// augmentation there is one. Features do not depend on the batch they were computed in.
// They lie in memory, or where there is too little of it in a file without a name; those of earlier runs come out of
// a store (store.h), by the contents of the pictures.
#ifndef TVC_FEATURES_H
#define TVC_FEATURES_H
#include "../data/loader.h"
#include "learner.h"
#include "looking.h"
#include "portion.h"
#include "store.h"

typedef struct FeatureOptions {
    int views;                        // 0: keep none
    bool spill;                       // in a file
    Store store;
    Looking looking;                  // while they are computed
} FeatureOptions;

typedef struct Features {
    int n, views;
    size_t each;                      // bytes of an example's features
    char *at;                         // [views][n][each]
    bool *have;                       // [views][n]: false where the picture cannot be read
    size_t mapped;                    // bytes of the file without a name; 0: `at` is memory
    int nbad;
    BadExample *bad;                  // in the Cx
} Features;

// Bytes that this takes; 0: the learner has no features, or they do not belong to one example each.
size_t features_bytes(const Learner *l, int n, int views);
// What features are made by, besides the pictures: code, frozen weights, preparation, augmentation.
Key features_key(const Learner *l, const LoaderOptions *o);

// Those of the examples of `o` (its order, epochs and batch do not count). False when `o->stop` was set. Fails with
// E_DATASET if too many cannot be read.
bool features_compute(Features *f, Learner *l, const LoaderOptions *o, const FeatureOptions *fo);
void features_free(Features *f);

// The features of n examples, into the learner's slots; all of them are there.
void features_load(const Features *f, Learner *l, int view, int n, const int64_t *sample);

#endif
