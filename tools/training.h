// training.h -- a job of training put together from the command line: model, head, data, preparation. What tvc train
// turns and tvc lr-find tries.
#ifndef TVC_TRAINING_H
#define TVC_TRAINING_H
#include "../train/loop.h"
#include "../train/report.h"
#include "line.h"
#include "pictures.h"

typedef struct Training {
    const Args *a;
    Cx *cx;
    Model *m;
    Dataset data;
    PicturePlan plan;
    Augment augment;
    Labels labels;
    Weights origin;
    TrainJob job;                     // borrows from the others; its folder and `resume` are the caller's
    int nbad;                         // pictures that cannot be read
    LeftOut *bad;
    Line line;                        // how far it has come
} Training;

// For the arguments MODEL and PHOTOS of t->a.
void training_open(Training *t);
void training_tell(const Training *t);                    // notes: how much data, what the recipe chose
void training_tell_bad(Training *t, const char *picture, const char *why);        // of the first few

#endif
