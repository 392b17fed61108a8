// loop.h -- a whole training run: epochs in phases, validation, the best weights, checkpoints, the end.
//
// What a run computes depends on its job alone, never on threads, workers, kept features, or where it
// was stopped and went on.
#ifndef TVC_LOOP_H
#define TVC_LOOP_H
#include "progress.h"
#include "rundir.h"
#include "source.h"

typedef struct Phase {                // from this epoch on; the rest as in LearnerOptions
    int64_t from;
    const char *freeze, *thaw;
    bool by_depth;
} Phase;

enum { FEATURES_AUTO = -1, FEATURES_OFF = 0, FEATURES_MOST = 1000 };

typedef struct TrainJob {
    Model *model;                     // with its new head; changed by training
    const Weights *origin;            // all its initializers, before training
    const Dataset *data;
    const Preparer *prepare;
    const Augment *augment;           // NULL: none
    LearnerOptions learner;           // freeze, thaw and by_depth are the phases'
    Schedule schedule;                // epochs and warmup are filled in; its steps are updates
    int nphase;
    const Phase *phase;               // the first one from epoch 0
    int64_t accumulate;               // batches that make one update together; at least 1
    uint64_t seed;
    int workers;
    bool balance;
    int features;                     // views to keep, or FEATURES_AUTO: one where nothing is random
    int64_t patience;                 // epochs without a better one before the end; 0: any number
    double save_every;                // seconds between checkpoints; 0: after every step
    int64_t stop_at;                  // > 0: stop after so many steps in all, as if a signal had come
    uint64_t settings;                // changes with everything else that decides what is computed
    RunDir dir;
    bool resume;                      // go on where last.ckpt stands
} TrainJob;

typedef struct Tick {                 // how things stand, for somebody who watches
    int64_t epoch, epochs, step, steps;
    bool validating;
    int64_t done;                     // of images in this epoch, training and validation
    double loss, top1, lr;            // of the epoch so far
    double seconds, left;             // of this process; until the end, estimated
    double rate;                      // images per second
} Tick;

typedef struct Watch {                // any may be NULL
    void *user;
    void (*tick)(void *user, const Tick *t);
    void (*epoch)(void *user, const EpochRow *row, bool best);
    void (*bad)(void *user, const char *picture, const char *why);
} Watch;

typedef struct TrainResult {
    int stopped;                      // the signal that ended it; 0: it came to its end; -1: stop_at
    int64_t epochs;                   // done
    int64_t nbad;                     // pictures that cannot be read
    const Progress *progress;
    const Learner *learner;           // of the last phase
} TrainResult;

// Fails with E_DIVERGED where loss or gradients are not finite, naming step and tensor; the last good
// weights are in the checkpoint then. The best weights are in progress->best; the caller exports them.
TrainResult train_run(Cx *cx, const TrainJob *job, const Watch *watch);

#endif
