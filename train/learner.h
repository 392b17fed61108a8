// learner.h -- a Model compiled for training, with a Session open: what the loop turns.
//
// Everything lives in the Cx; the Session is closed with it, or by learner_close.
#ifndef TVC_LEARNER_H
#define TVC_LEARNER_H
#include "../codegen/compile.h"
#include "../data/pixels.h"
#include "../frontend/import.h"
#include "../passes/surgery.h"
#include "../passes/train.h"
#include "../runtime/exec.h"
#include "scaler.h"

typedef struct ParamGroup {           // parameters with rates of their own
    const char *pattern;              // as of freeze
    double lr, momentum, decay;       // NAN: as those of no group
} ParamGroup;

typedef struct LearnerOptions {
    int batch;                        // at most so many examples at once
    const char *freeze;               // as surgery's: all|backbone|file|none|GLOB,...; NULL: none
    const char *thaw;                 // what learns although `freeze` names it; or NULL
    const char *head;                 // the head by name, or NULL
    Loss loss;
    Optimizer optimizer;
    ParamGroup rates;                 // of what no group matches; no NAN here
    int ngroup;
    const ParamGroup *group;          // the first that matches counts
    bool by_depth;                    // the backbone learns slower the earlier a layer stands
    BnMode bn;
    double clip, ema;                 // 0: none
    bool bare;                        // a step keeps its gradients as grad/NAME, and changes nothing
    bool accumulate;                  // batches in groups: learner_gather and learner_apply instead of learner_step
    ScaleOptions scale;               // of the loss
    double aux_weight;                // negative: 0.4 for one auxiliary head, 0.3 for more
    const Preparer *pixels;           // pictures are put in as bytes, which this prepares; NULL: as values
    bool place;                       // with the bytes, where they go: of each picture a Place down and one across
    ImportOptions import;
    CompileOptions compile;
    SessionOptions session;
} LearnerOptions;

typedef struct Learner {
    Cx *cx;
    Model *model;
    LearnerOptions o;
    Compiled *compiled;
    const Program *program;
    const TrainGraph *graph;
    Session *session;
    int nclass;                       // scores per example
    int ngroup;
    ParamGroup *group;                // the rates of every group of the program
    int input, target, step, loss, finite, scores, eval;          // slots
    int place;                        // slot; -1: none
    int keep, weight, total;          // slots, with accumulation
    int scale;                        // slot, where the loss is scaled
    double loss_scale;                // of the steps to come; the caller's to change
    int *lr, *momentum, *decay;       // slots, per group
    int nfeature, *feature;           // slots; none: there is no frozen prefix
    int nkept, *kept;                 // slots of all that steps change
    int n;                            // examples of the batch at hand
    int64_t number;                   // of the last step
    double *scored;                   // [batch][nclass], what the functions below return
    void *typed;                      // room for a batch of inputs or targets in their types
} Learner;

// The scores of an imported graph that a loss is taken of: those of the head (by name, or NULL), then those of auxiliary
// heads; before a final Softmax, LogSoftmax or Sigmoid where the loss contains it. At least one.
Node **scores_find(Model *m, Graph *g, const char *head, LossKind loss, int *count);

// Fails with E_USAGE where one of these patterns, as of freeze, matches nothing.
void learner_expect(Model *m, const char *patterns, const char *head);

// Compile the document as it is. Fails with E_USAGE if nothing is left to train.
Learner *learner_new(Model *m, const LearnerOptions *o);
Learner *learner_compile(Model *m, const LearnerOptions *o);      // the program alone: no session, no slots
TrainGaps learner_gaps(Model *m, const LearnerOptions *o);        // not even that: what learner_new would fail at
void learner_close(Learner *l);                           // the session; the rest goes with the Cx

// One batch: pictures (or features, where there is a frozen prefix) have been put in before.
void learner_batch(Learner *l, int n);
bool learner_ahead(const Learner *l);                     // may the next, of that size, be put in during a step?
void learner_pixels(Learner *l, const void *pixels, Place (*place)[2]);       // as the preparer leaves them
// Started, and waited for: in between a device computes. Of the pictures; nothing where there is no frozen prefix.
void learner_features(Learner *l);
void learner_wait(Learner *l);
void learner_labels(Learner *l, const int64_t *label, const float *target);   // target: for losses of numbers
typedef struct StepResult { double loss; bool finite; const double *scores; } StepResult;
typedef struct Pace {
    int64_t update;                   // its number, 1 for the first
    double lr_factor, momentum;       // times every group's own rate; instead of its own, negative: leave it
} Pace;
// Started, and its result waited for: in between a device computes. `number`: of the batch, for random numbers.
void learner_step(Learner *l, int64_t number, const Pace *pace);
StepResult learner_result(Learner *l);
// A group of batches as if it were one: each weighs as much as its loss's divisor, `total` is their sum.
void learner_gather(Learner *l, int64_t number, double weight, bool first);       // learner_result() then
void learner_apply(Learner *l, double total, const Pace *pace);
// The same of inference.
void learner_infer(Learner *l);
const double *learner_scores(Learner *l);                 // of the batch
const char *learner_blame(Learner *l);                    // after a step that was not finite: what is not (blame.c)

// Averages take the place of weights, and back again.
void learner_swap_ema(Learner *l);

const char *slot_name(const Learner *l, int slot);
int64_t slot_bytes(const Learner *l, int slot);
// What a slot holds. Both fail where the device does: what could not be read is never taken for weights.
void slot_read(Learner *l, int slot, void *to);
const void *slot_peek(Learner *l, int slot);              // where it lies, or from a device a copy in the arena

#endif
