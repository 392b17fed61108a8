// loader.h -- batches, decoded ahead of time by threads of their own.
//
// What a batch holds depends on the options, the epoch and the step alone: not on the number of
// workers, nor on the cache, nor on where the loader was started. An image that cannot be read is
// replaced by another one (order_replacement) with the other one's label; in a sequential order it
// is left out, and its batch is shorter.
#ifndef TVC_LOADER_H
#define TVC_LOADER_H
#include "augment.h"
#include "order.h"
#include <stdatomic.h>

typedef struct LoaderOptions {         // everything pointed to is borrowed until loader_free
    const Dataset *data;
    const Examples *examples;          // &data->train, &data->val
    const Preparer *prepare;
    const Augment *augment;            // NULL: none
    bool place;                        // what of it only moves pixels is not done, but said in Batch.place
    OrderKind order;
    uint64_t seed;
    int batch;                         // at least 1
    bool drop_last;                    // leave out an epoch's last batch if it is short
    int64_t epochs;                    // epochs before the end; 0: no end
    int workers;                       // threads; 0: the caller's own, when a batch is asked for
    int prefetch;                      // batches kept ready; 0: 3
    size_t cache_bytes;                // for images as they are before anything random; 0: none
    int among;                         // if not 0: the 5 % that may be unreadable are of so many examples
    const atomic_int *stop;            // if not NULL and not 0, waiting ends
} LoaderOptions;

typedef struct Batch {
    int64_t epoch, step;
    int n;                             // examples in it
    void *pixels;                      // [n][preparer_size()], 64-byte aligned, room for options.batch
    Place (*place)[2];                 // [n] down and across, with options.place; else NULL
    int64_t *label;                    // [n] classes (-1 where the dataset has none)
    float *target;                     // [n,ntarget], unless the dataset is TARGET_CLASS: then NULL
    int64_t *sample;                   // [n] numbers in `examples`
} Batch;

typedef struct Loader Loader;

// Starts at epoch 0, step 0. E_LIMIT: no memory; E_USAGE: options that fit nothing.
Err loader_new(const LoaderOptions *o, Loader **out, Fault *f);
void loader_free(Loader *l);           // NULL is fine; waits for what is being decoded
int64_t loader_steps(const Loader *l); // per epoch
void loader_start(Loader *l, int64_t epoch, int64_t step);       // go on from here

// The next batch, good until the next call; *out is NULL after the last epoch, and when stopped
// (loader_start goes on). E_DATASET: more than 5 % of the examples turned out to be unreadable.
Err loader_next(Loader *l, const Batch **out, Fault *f);

// Examples that could not be read, in the order in which delivered batches met them.
typedef struct BadExample { int64_t sample; const char *why; } BadExample;
int loader_bad(const Loader *l, const BadExample **out);

#endif
