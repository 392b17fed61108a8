// looking.h -- pictures go by, and somebody may want to know how far it has come.
#ifndef TVC_LOOKING_H
#define TVC_LOOKING_H
#include <stdint.h>
#include <time.h>

typedef struct Looked { const char *set; int64_t done, all; double seconds; } Looked;      // pictures of this set so far
typedef struct Looking { void *user; void (*tick)(void *user, const Looked *k); } Looking; // tick may be NULL

static inline double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline void looked(const Looking *l, Looked *k, double began, int64_t more) {
    k->done += more, k->seconds = seconds_now() - began;
    if (l->tick) l->tick(l->user, k);
}

#endif
