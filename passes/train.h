// train.h -- an inference graph becomes a training program: more roots, nothing else.
//
// Functions of the program:
//   init        what depends on frozen parameters and constants alone
//   forward     the model's own outputs, by running statistics, without Dropout; from the features
//   train_step  loss and gradients of a batch, then the update of every trained parameter, of the
//               optimizer's state and of running statistics; nothing is updated unless loss and
//               gradients are finite
//   features    from the inputs to where the first trained parameter stands; what it finds is kept in
//               the slots features.0 ..., where forward and train_step begin. Empty if nothing is
//               frozen before the first trained parameter.
//   apply       only with `accumulate`: train_step then only adds a batch's gradients, times tvc.weight, to sums
//               (state acc/NAME, of which tvc.keep is 0 for the first batch of a group, else 1), and apply updates
//               by these sums divided by tvc.total
// With `scaled` gradients are those of the loss times tvc.scale, divided by it in f32 before anything is done with them.
//
// Inputs (slots) besides the model's: tvc.target, and f64 scalars tvc.step (1 for the first),
// lr.K, momentum.K, weight_decay.K for each group K. Outputs of train_step: tvc.loss, tvc.finite (1 or
// 0), tvc.scores (the scores of the batch as trained on).
#ifndef TVC_TRAIN_H
#define TVC_TRAIN_H
#include "autodiff.h"
#include "losses.h"
#include "optimizers.h"

enum { FN_INIT, FN_FORWARD, FN_TRAIN_STEP, FN_FEATURES, FN_APPLY };

typedef enum BnMode {
    BN_AUTO,                          // fully frozen where its scale or shift is frozen; else trained
    BN_TRAIN,                         // normalise by the batch, move the running statistics
    BN_STATS,                         // frozen statistics, trainable scale and shift
    BN_FROZEN,                        // as inference, scale and shift too
} BnMode;

typedef struct TrainOptions {
    Loss loss;
    Optimizer optimizer;
    BnMode bn;
    int ngroup;
    // Which group of rates a parameter (an initializer's name) belongs to; negative: frozen.
    int (*group)(void *user, const char *name);
    void *user;
    int nscores;                      // main scores first, then auxiliary heads
    Node *const *scores;              // of the imported graph: what the loss is taken of, before softmax
    double aux_weight;
    Node *picture;                    // made of an input, stands for one: no part of the frozen prefix; or NULL
    double clip;                      // > 0: of the norm of all gradients together
    double ema;                       // > 0: an average of each parameter, kept as ema/NAME
    bool accumulate;                  // gradients of several batches make one update
    bool bare;                        // no update: a step has its gradients as outputs, grad/NAME
    bool scaled;                      // the loss is multiplied by tvc.scale on the way back
} TrainOptions;

typedef struct TrainGraph {
    int nparam;                       // trained parameters
    Node **param;
    int nfeature;                     // boundary slots
    Node **feature;                   // the Inputs features.0 ...
} TrainGraph;

// g as imported (not expanded), with the model's outputs as roots of FN_FORWARD.
TrainGraph *train_graph(Graph *g, const TrainOptions *o);

// The same up to the gradients, of which it finds what stands in their way.
typedef struct TrainGaps {
    int nparam;                       // that would be trained
    Node **param;
    Gaps gaps;                        // of these
} TrainGaps;
TrainGaps train_gaps(Graph *g, const TrainOptions *o);

#endif
