// init.h -- starting from what was learned before: the weights of another file of the same structure.
#ifndef TVC_INIT_H
#define TVC_INIT_H
#include "../frontend/model.h"

// Every initializer of floats of `m` takes the values of the one of that name in `from`. Fails with E_MALFORMED,
// naming the first that is missing there or has another type or shape; what only `from` has does not matter.
void weights_from(Model *m, Model *from);

#endif
