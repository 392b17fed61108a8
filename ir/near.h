// near.h -- "did you mean": the known name most like a mistyped one.
#ifndef TVC_NEAR_H
#define TVC_NEAR_H

// Index of the nearest of n names, or -1 if none is near enough to be meant. Letters exchanged,
// left out or added, neighbours swapped; upper and lower case are alike.
int near_name(const char *wanted, int n, const char *const *name);

#endif
