// loop.h -- a whole training run: epochs in phases, validation, the best weights, checkpoints, the end.
//
// What a run computes depends on its job alone, never on threads, workers, kept features, or where it
// was stopped and went on.
#ifndef TVC_LOOP_H
#define TVC_LOOP_H
#include "job.h"
#include "progress.h"

typedef struct Tick {                 // how things stand, for somebody who watches
    int64_t epoch, epochs, step, steps;
    bool validating;
    int64_t done;                     // of images in this epoch, training and validation
    double loss, top1, lr;            // of the epoch so far; lr while validating: that of its last step
    double loss_scale;                // 0: the loss is not scaled
    double rate, left;                // images per second; seconds until the end, estimated: both of this phase
} Tick;

typedef struct Watch {                // any may be NULL
    void *user;
    void (*tick)(void *user, const Tick *t);
    void (*epoch)(void *user, const EpochRow *row, bool best);
    void (*bad)(void *user, const char *picture, const char *why);
    void (*saved)(void *user, const Progress *p);          // a checkpoint was written
} Watch;

typedef struct TrainResult {
    int stopped;                      // the signal that ended it; 0: it came to its end; -1: stop_at, or it diverged
    const char *diverged;             // the step, and what of loss or gradients was not finite; NULL: all were
    int64_t epochs;                   // done
    int64_t nbad;                     // pictures that cannot be read
    const Progress *progress;
    const Learner *learner;           // of the last phase
} TrainResult;

// Where it diverges the last good weights are in the checkpoint. The best weights are in progress->best; the caller exports them.
TrainResult train_run(Cx *cx, const TrainJob *job, const Watch *watch);

#endif
