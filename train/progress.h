// progress.h -- where a run stands: all numbers of it besides the slots of its program, and how they
// go into a checkpoint and come back.
#ifndef TVC_PROGRESS_H
#define TVC_PROGRESS_H
#include "checkpoint.h"
#include "export.h"
#include "metrics.h"
#include "scaler.h"
#include "schedule.h"

#define PROGRESS_NUMBERS(X)                                                                              \
    X(I64, epoch)            /* the one under way; `epochs` when all are done */                         \
    X(I64, step)             /* the next within it */                                                    \
    X(I64, number)           /* of steps (batches) done in all */                                        \
    X(I64, updates)          /* made by them: fewer where gradients are accumulated */                   \
    X(F64, group)            /* weight of the batches gathered for the next one */                       \
    X(F64, scaler.scale) X(I64, scaler.good) X(I64, scaler.skipped)                                      \
    X(I64, done)             /* 1: finished, early or not */                                             \
    X(I64, train.count) X(I64, train.top1) X(I64, train.top5) X(F64, train.loss) X(F64, train.weight)    \
    X(F64, plateau.best) X(F64, plateau.factor) X(I64, plateau.bad)                                      \
    X(I64, best_epoch)       /* -1: none yet */                                                          \
    X(F64, best_value) X(F64, best_loss)                                                                 \
    X(F64, seconds)          /* of training so far, over all its parts */

enum { EPOCH_NUMBERS = 9 };

typedef struct EpochRow {             // all numbers are f64, so that the rows are an array
    double epoch, train_loss, train_top1, val_loss, val_top1, val_top5, lr, loss_scale, seconds;
} EpochRow;

typedef struct Progress {
    int64_t epoch, step, number, updates, done;
    Scaler scaler;
    Tally train;                      // of the epoch under way
    Plateau plateau;
    int64_t best_epoch;
    double group, best_value, best_loss, seconds; // value: the more the better; the loss decides between equal ones
    int nrow;
    EpochRow *row;                    // epochs done
    Weights best;                     // weights of the best epoch; n 0: none yet
    const Learner *best_of;           // whose copy `best` is; NULL: it lies in the checkpoint read
    Judged judged;                    // the validation of the best epoch
} Progress;

// What must be the same where a run goes on.
typedef struct Identity {
    uint64_t model, data, seed;
    int64_t batch;
    const char *settings;             // one a line
} Identity;

// Writes everything; false with *f where that failed, and the file there before stays.
bool progress_save(const Progress *p, Learner *l, const Identity *id, const char *path, Fault *f);

// Only the numbers: which epoch, before there is a learner. Fails with E_MALFORMED, naming what differs.
void progress_numbers(Cx *cx, Progress *p, const Checkpoint *c, const Identity *id, const char *path);
// Slots, rows and the best epoch, once there is a learner of the same phase.
void progress_restore(Progress *p, Learner *l, const Checkpoint *c, const char *path);

#endif
