// export.h -- what was learned, back into the document it came from.
#ifndef TVC_EXPORT_H
#define TVC_EXPORT_H
#include "../data/labels.h"
#include "../data/recipe.h"
#include "learner.h"

typedef struct Weight { const char *name; TensorDesc desc; const void *data; } Weight;
typedef struct Weights { int n; Weight *at; } Weights;    // trained parameters and running statistics

Weights weights_copy(Learner *l);                         // as they are now; memory from malloc, freed with the Cx
void weights_again(Weights *w, Learner *l);               // the same copy, newer values

// Into the document's initializers, in the type they have there. The values are borrowed.
void weights_to_model(Model *m, const Weights *w);

typedef struct Export {
    const Weights *weights;
    const Weights *origin;            // all of the document's initializers before training
    const Labels *labels;             // NULL: leave those of the document
    TargetKind target;                // what it tells of a picture
    const Recipe *recipe;
    const ImageInput *input;
} Export;

Weights weights_of_model(Model *m);                       // borrowed
uint64_t weights_hash(const Weights *w);                  // of names, types and bytes

// Writes the document with these weights, in inference form, to `path`, whole or not at all; then
// reads it back and compares every initializer that was not trained with its origin, byte for byte.
void export_model(Model *m, const Export *e, const char *path);

#endif
