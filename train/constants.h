// constants.h -- weights that a document holds in nodes of its own.
#ifndef TVC_CONSTANTS_H
#define TVC_CONSTANTS_H
#include "../frontend/model.h"

// Constant and ConstantOfShape nodes of several floats become initializers of the same name and bytes, so that they can
// be frozen, trained and written like any other.
void constants_to_initializers(Model *m);

#endif
