// schedule.h -- how the learning rate moves, with the numbers of PyTorch's schedulers.
//
//   constant
//   step:SIZE[,GAMMA]            StepLR: times GAMMA (0.1) every SIZE epochs
//   multi-step:E1,E2,...[,gamma=G]   MultiStepLR: times G (0.1) at each of these epochs
//   exponential:GAMMA            ExponentialLR: times GAMMA every epoch
//   cosine[:LEAST]               CosineAnnealingLR over the run, down to LEAST (0) of the rate
//   one-cycle[:MOST]             OneCycleLR with its defaults, step by step, momentum too: the rate
//                                given is the greatest, or MOST times it
//   plateau[:FACTOR[,PATIENCE]]  ReduceLROnPlateau of the validation loss: times 0.1 after 10 epochs
//   formula:TEXT                 LambdaLR: times the value of a formula of epoch and epochs
//
// Before any but one-cycle: a linear warm-up (LinearLR, from 1/100, step by step); the others count their
// epochs from its end.
#ifndef TVC_SCHEDULE_H
#define TVC_SCHEDULE_H
#include "../ir/base.h"

typedef enum ScheduleKind {
    SCHEDULE_CONSTANT, SCHEDULE_STEP, SCHEDULE_MULTI_STEP, SCHEDULE_EXPONENTIAL, SCHEDULE_COSINE, SCHEDULE_ONE_CYCLE,
    SCHEDULE_PLATEAU, SCHEDULE_FORMULA
} ScheduleKind;

enum { SCHEDULE_MARKS = 32 };

typedef struct Schedule {
    ScheduleKind kind;
    double size, gamma;               // step's size; gamma, factor, least or most
    int nmark;
    double mark[SCHEDULE_MARKS];      // epochs of multi-step, ascending
    const char *formula;
    int64_t epochs, warmup, steps;    // of the run; of these, warm-up; steps per epoch
} Schedule;

typedef struct Plateau { double best, factor; int64_t bad; } Plateau;     // start with {INFINITY, 1, 0}

// Fails with E_USAGE. epochs, warmup and steps are the caller's to fill in.
Schedule schedule_parse(Cx *cx, const char *text);

// What the rates of a step are multiplied with; *momentum becomes the momentum, or negative: as given.
double schedule_factor(Cx *cx, const Schedule *s, const Plateau *p, int64_t epoch, int64_t step, double *momentum);

void schedule_epoch_done(const Schedule *s, Plateau *p, double loss);

#endif
