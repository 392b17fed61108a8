// draw.h -- random decisions that depend on the seed, the epoch and the sample alone, so that
// neither the order of work nor the number of threads changes them.
#ifndef TVC_DRAW_H
#define TVC_DRAW_H
#include "../runtime/philox.h"

typedef enum DrawPurpose {             // no two purposes share a number
    DRAW_SPLIT = 1, DRAW_ORDER, DRAW_GROUP, DRAW_MEMBER, DRAW_REPLACEMENT, DRAW_AUGMENT, DRAW_FEW
} DrawPurpose;

typedef struct Draw { uint64_t key, stream, at; } Draw;

static inline uint64_t draw_stream(DrawPurpose purpose, uint64_t epoch) { return (uint64_t)purpose << 56 | epoch; }

// A source of up to 2^24 numbers for each of 2^40 samples.
static inline Draw draw_from(uint64_t seed, DrawPurpose purpose, uint64_t epoch, uint64_t sample) {
    return (Draw){seed, draw_stream(purpose, epoch), sample << 24};
}

static inline uint64_t draw_word(Draw *d) {
    uint32_t r[4];
    philox(d->key, d->stream, d->at++, r);
    return (uint64_t)r[1] << 32 | r[0];
}

static inline double draw_between(Draw *d, double lo, double hi) {      // uniform in [lo, hi)
    return lo + (hi - lo) * ((double)(draw_word(d) >> 11) * 0x1p-53);
}

static inline int64_t draw_below(Draw *d, int64_t n) {                  // uniform in 0..n-1, n < 2^31
    return (int64_t)((draw_word(d) >> 32) * (uint64_t)n >> 32);
}

#endif
