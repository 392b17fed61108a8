// portion.h -- what is known of a batch besides its pictures: kept while the loader is already at the next one.
#ifndef TVC_PORTION_H
#define TVC_PORTION_H
#include "../data/loader.h"

typedef struct Portion {
    int64_t epoch, step;
    int n;
    int64_t *label, *sample;          // [n] as in Batch
    float *target;                    // [n, ntarget]; NULL: classes
} Portion;

Portion portion_new(Cx *cx, int batch, const Dataset *d);         // room for so many examples
void portion_take(Portion *p, const Batch *b, const Dataset *d);

#endif
