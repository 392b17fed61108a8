// order.h -- which example comes when: pure functions of seed, epoch and position, with no state
// to be saved, so that a run can go on from any step.
#ifndef TVC_ORDER_H
#define TVC_ORDER_H
#include "dataset.h"

typedef enum OrderKind {
    ORDER_SEQUENTIAL,                  // as they are, for evaluation
    ORDER_SHUFFLED,                    // every example once an epoch
    ORDER_BALANCED,                    // every class equally often; within a class, every example once a round
} OrderKind;

typedef struct Order {                 // read only once made
    OrderKind kind;
    uint64_t seed;
    int n;                             // examples, which is also the length of an epoch
    int nclass;                        // of those that have examples, for ORDER_BALANCED
    int *first;                        // [nclass + 1] where a class begins in `member`
    int *member;                       // [n] examples, class by class
} Order;

// E_LIMIT: no memory; E_USAGE: balance without classes.
Err order_init(Order *o, OrderKind kind, uint64_t seed, const Examples *examples, Fault *f);
void order_free(Order *o);

// The example at this position of this epoch.
int order_sample(const Order *o, int64_t epoch, int64_t position);

// The example to be tried for it instead: the `attempt`-th (from 1) where those before could not be
// read. Of the same class when balanced. Not for ORDER_SEQUENTIAL.
int order_replacement(const Order *o, int64_t epoch, int64_t position, int attempt);

// A permutation of 0..n-1 that needs no memory: where `i` goes.
uint64_t permute(uint64_t seed, uint64_t stream, uint64_t n, uint64_t i);

#endif
