// optimizers.h -- what a step does to a parameter, as graph: PyTorch's formulas and defaults
// (torch.optim, 1.13 and later). Learning rate, momentum, weight decay and the step's number are run-time
// scalars; everything else is a constant of the program.
#ifndef TVC_OPTIMIZERS_H
#define TVC_OPTIMIZERS_H
#include "../ir/op.h"

#define TVC_OPTIMIZERS(X)                                                                    \
    X(SGD, "sgd") X(ADAM, "adam") X(ADAMW, "adamw") X(ADAMAX, "adamax") X(ADADELTA, "adadelta") \
    X(ADAGRAD, "adagrad") X(RMSPROP, "rmsprop") X(RPROP, "rprop")

typedef enum OptimizerKind {
#define X(name, text) OPT_##name,
    TVC_OPTIMIZERS(X)
#undef X
    NOPTIMIZERS
} OptimizerKind;

typedef struct Optimizer {
    OptimizerKind kind;
    double beta1, beta2;              // Adam, AdamW, Adamax
    double rho;                       // Adadelta's decay, RMSprop's alpha
    double eps, dampening, lr_decay;
    double eta_minus, eta_plus, step_min, step_max;      // Rprop
    bool nesterov, amsgrad, centered;
    bool has_momentum;                // SGD, RMSprop: keep a momentum buffer
} Optimizer;

// PyTorch's defaults for a kind; *lr, *momentum, *decay are those of the run-time scalars.
Optimizer optimizer_default(OptimizerKind kind, double *lr, double *momentum, double *decay);

// The scalars one group of parameters shares: rank 0, of f64.
typedef struct Rates { Node *lr, *momentum, *decay, *step; } Rates;    // step: 1 for the first

// Adds the roots of function fn that replace p (and the state the optimizer keeps beside it, Params
// named STATE/p's name) by their values after a step along gradient d. Where `ok` (a bool scalar)
// is false nothing changes. Returns p's new value.
Node *optimizer_step(Graph *g, const Optimizer *o, const Rates *r, Node *p, Node *d, Node *ok, int fn);

#endif
