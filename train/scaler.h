// scaler.h -- the factor of the loss in a step of 16-bit gradients, which would lose what is small otherwise
// (Micikevicius 2018), found as torch.cuda.amp.GradScaler does: twice as large after 2000 good steps in a row, half as
// large after one whose gradients were not finite. Powers of two change no bit of what does not leave its range.
//
// The factor is a number of the run, no constant of the program; it goes into checkpoints.
#ifndef TVC_SCALER_H
#define TVC_SCALER_H
#include <stdbool.h>
#include <stdint.h>

typedef struct ScaleOptions {
    bool on, fixed;
    double first;                     // > 0
} ScaleOptions;

extern const ScaleOptions scale_usual;                    // 65536 at first
extern const double scale_least;                          // 2^-13

typedef struct Scaler {
    double scale;                     // of the next step; 1 where nothing is scaled
    int64_t good;                     // steps since it changed
    int64_t skipped;                  // steps in all that were not finite
} Scaler;

Scaler scaler_new(const ScaleOptions *o);

// After a step. False: it was not finite, and no smaller factor is left to try.
bool scaler_next(Scaler *s, const ScaleOptions *o, bool finite);

#endif
