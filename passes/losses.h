// losses.h -- what training minimises, as graph. All with PyTorch's meaning, averaged over the batch
// in use. `z` are scores [N, classes] before any softmax or sigmoid.
#ifndef TVC_LOSSES_H
#define TVC_LOSSES_H
#include "../ir/op.h"

#define TVC_LOSSES(X)                                                                        \
    X(CROSS_ENTROPY, "cross-entropy")                                                        \
    X(NLL,           "nll")             /* of log-probabilities */                           \
    X(BCE,           "bce")             /* several labels each; on scores (with logits) */   \
    X(MSE,           "mse")                                                                  \
    X(L1,            "l1")

typedef enum LossKind {
#define X(name, text) LOSS_##name,
    TVC_LOSSES(X)
#undef X
    NLOSSES
} LossKind;

typedef struct Loss {
    LossKind kind;
    double smoothing;                 // of labels: 0..1; cross entropy only
    const double *class_weights;      // one per class, or NULL; cross entropy and nll
} Loss;

// target: [N] of i64 class numbers for cross entropy and nll, else [N, classes] of z's type.
// Returns a scalar of z's type.
Node *loss_node(Graph *g, const Loss *l, Node *z, Node *target);

#endif
