// range.h -- the learning-rate range test (Smith 2015): a few steps at rates that grow exponentially, the loss of each
// batch before its update; where it falls fastest is a rate to train with.
//
// Losses are smoothed as fastai and PyTorch Lightning do: an average that keeps 0.98 of itself a step, divided by
// 1 - 0.98^steps. The test ends where that is four times the least it was, or a loss is not finite.
#ifndef TVC_RANGE_H
#define TVC_RANGE_H
#include "job.h"

typedef struct RangeOptions {
    double from, to;                  // rates, 0 < from < to
    int steps;                        // at least RANGE_LEAST
    void *user;
    void (*step)(void *user, int done, int steps, double rate, double loss);      // may be NULL
} RangeOptions;

enum { RANGE_LEAST = 20 };

typedef struct Range {
    int n;                            // steps made
    double *rate, *loss, *smooth;     // [n]
    bool diverged;                    // it ended early
    int stopped;                      // the signal that ended it, or 0
    // Suggestions, as places in rate; -1: too few steps. The first tenth and the last five steps do not count.
    int valley;                       // the middle of the longest stretch in which the loss falls (fastai's)
    int steepest;                     // where the smoothed loss falls fastest over the rate's logarithm
    int least;                        // of the smoothed loss
} Range;

// By the job's first phase, from the model's weights, which stay as they are. Fails as train_run does, but a loss that
// is not finite is an end as any.
Range range_test(Cx *cx, const TrainJob *job, const RangeOptions *o);

// Fills in smooth and the suggestions from n, rate and loss.
void range_judge(Cx *cx, Range *r, int steps);

#endif
