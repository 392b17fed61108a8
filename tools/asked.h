// asked.h -- what several commands read off the command line: the model, its edits, its inputs' sizes.
#ifndef TVC_ASKED_H
#define TVC_ASKED_H
#include "../data/labels.h"
#include "../frontend/import.h"
#include "../passes/surgery.h"
#include "options.h"

Model *asked_model(const Args *a, const char *path);              // read, with a line when verbose
ImportOptions asked_import(const Args *a);                        // --shape, --batch N or 1..N
Surgery asked_surgery(const Args *a);
// The edits, done, labels of a head that is gone removed; notes tell what was done.
SurgeryResult asked_edits(const Args *a, Model *m);
Labels asked_labels(const Args *a, const Model *m);               // --labels, else the model's

#endif
