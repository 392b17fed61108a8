// asked.h -- what several commands read off the command line: the model, its edits, its inputs' sizes.
#ifndef TVC_ASKED_H
#define TVC_ASKED_H
#include "../data/labels.h"
#include "../data/recipe.h"
#include "../frontend/import.h"
#include "../passes/surgery.h"
#include "engine.h"
#include "options.h"

Model *asked_model(const Args *a, const char *path);              // read, with a line when verbose
// Fail where a file would be called what it is not; NULL is fine.
void asked_onnx_out(const Args *a, const char *out);
void asked_package_out(const Args *a, const char *out);
ImportOptions asked_import(const Args *a);                        // --shape, --batch N or 1..N
Surgery asked_surgery(const Args *a);
// The edits, done; the labels of a head that is gone are gone too.
SurgeryResult asked_edits(const Args *a, Model *m);
CompileOptions asked_compile(const Args *a, int which);            // the which-th --target; this processor without any
int asked_targets(const Args *a, const char *out);                 // how many of them, at least 1; several are for a package
// By the which-th --device (the last counts on) and --target. Without --device: a GPU if there is one, else the CPU.
EngineOptions asked_engine(const Args *a, int which);
Recipe asked_recipe(const Args *a);                               // what the options say of the preparation of pictures
Labels asked_labels(const Args *a, const Model *m);               // --labels, else the model's

#endif
