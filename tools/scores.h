// scores.h -- from a row of a model's first output to what it says of a picture.
#ifndef TVC_SCORES_H
#define TVC_SCORES_H
#include "meta.h"

typedef struct Score { int64_t index; double value; } Score;

// n values at `data`, of type t: probabilities, the most likely class first (of labels each by itself); numbers as they
// are, in their order.
void scores_read(Score *s, int64_t n, DType t, const char *data, const RunMeta *m);
// Of labels: how many are more likely than not.
int64_t scores_likely(const Score *s, int64_t n);

#endif
