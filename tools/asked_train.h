// asked_train.h -- the options of tvc train, and what the recipe chooses where they are silent.
#ifndef TVC_ASKED_TRAIN_H
#define TVC_ASKED_TRAIN_H
#include "../train/loop.h"
#include "options.h"

// The loss by the data where it is not said. `classes` for class weights and the check of their number.
Loss asked_loss(const Args *a, const Dataset *d);
TargetKind asked_target(const Args *a);                   // what the loss wants of the data; TARGET_AUTO where it is not said
DatasetOptions asked_dataset(const Args *a);              // --val-split, --seed, --classes, --class-names, --per-class, --split
// Rates, groups, optimizer, schedule, phases, epochs, batch; loss, model and data are the caller's. Of the model it asks
// what the file lists as frozen.
void asked_job(const Args *a, const Model *m, TrainJob *job);
// Without data, for compile and check: the edits, of which freezing is training's and stays out of the document; then
// what a run would begin with.
void asked_train_edits(const Args *a, Model *m);
LearnerOptions asked_learner(const Args *a, Model *m, int which);                    // compiled for the which-th --target
void asked_no_training(const Args *a);                    // fails where an option of training stands without --train
int asked_batch(const Args *a, int pictures);             // --batch, or by the number of pictures to learn from; -1: not known
int asked_workers(const Args *a);                         // --workers, or one per processor
const char *asked_settings(const Args *a);                // the options given that decide what is computed, one a line

#endif
