// job.h -- what is to be trained, on what, how: the parts of a run that are put together anew for each of its phases.
#ifndef TVC_JOB_H
#define TVC_JOB_H
#include "rundir.h"
#include "schedule.h"
#include "export.h"
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
    uint64_t cache_bytes;             // of features on disk, of all runs together; 0: none
    Looking looking;                  // while features are computed
    int64_t patience;                 // epochs without a better one before the end; 0: any number
    double save_every;                // seconds between checkpoints; 0: after every step
    int64_t stop_at;                  // > 0: stop after so many steps in all, as if a signal had come
    const char *settings;             // everything else that decides what is computed, one a line; for comparing and for people
    RunDir dir;
    bool resume;                      // go on where last.ckpt stands
} TrainJob;

LearnerOptions job_options(const TrainJob *job, int phase);
// Compiles the phase. Fails with E_DATASET where the model has not as many scores as the data has classes or numbers.
Learner *job_learner(const TrainJob *job, int phase);
// Batches of the job's training or validation examples for that learner; what of their features is kept is taken
// from *room (bytes). NULL: stopped meanwhile.
Source *job_source(const TrainJob *job, Learner *l, bool training, const atomic_int *stop, size_t *room);
size_t job_room(void);                                    // for features kept in memory, on this machine
// The weight of a batch in its group: what the mean of its loss was divided by.
double job_weight(const TrainJob *job, const Portion *b);

#endif
