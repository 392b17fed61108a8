// metrics.h -- how good scores are: loss and hits, example by example, in double precision.
#ifndef TVC_METRICS_H
#define TVC_METRICS_H
#include "../data/dataset.h"
#include "../passes/losses.h"

typedef struct Tally {                // over examples; all sums, so two may be added
    int64_t count, top1, top5;
    double loss;                      // sum; of class-weighted losses divided by the sum of `weight`
    double weight;
} Tally;

typedef struct LabelTally {           // of a class, where an example may have several; said: its score is above zero
    int64_t count, said, right;       // examples that have it; of which it is said; both
} LabelTally;

typedef struct Judged {               // of each example of a set; -1 / NaN where it was not met
    int n, nlabel;
    int64_t *predicted;
    double *loss;
    LabelTally *label;                // [nlabel]; nlabel 0: examples have one class, or numbers
    Tally tally;
} Judged;

Judged judged_new(Cx *cx, const Dataset *d);              // for the examples of d->val
void judged_copy(Judged *to, const Judged *from);         // of the same data
void judged_clear(Judged *j);

// One row of `nclass` scores (before any softmax or sigmoid) against its class, or its numbers. An
// example of several labels is a hit if all of them are right; one of numbers never is.
typedef struct Verdict { double loss, weight; bool top1, top5; int64_t predicted; } Verdict;
Verdict judge(const Loss *l, const double *z, int nclass, int64_t label, const float *target);

void tally_add(Tally *t, const Verdict *v);
// A row of scores judged, and counted as that example's.
void judged_add(Judged *j, int64_t sample, const Loss *l, const double *z, int nclass, int64_t label,
                const float *target);
// What a hit is called: "top1", "exact" (all labels of an example); NULL: of numbers there is none.
const char *hit_name(TargetKind kind);
double tally_loss(const Tally *t);                        // means; 0 of nothing
double tally_top1(const Tally *t);
double tally_top5(const Tally *t);

#endif
