// zoo.h -- known networks, built as Models with fresh weights: where nothing is pretrained, or to compare with.
//
// Parameters are named as torchvision names them, so that a state dict fits by name. The file says itself how
// pictures are prepared; it has no labels. Opset 13, the batch is free.
#ifndef TVC_ZOO_H
#define TVC_ZOO_H
#include "../frontend/model.h"

typedef struct ZooOptions {           // all zero: as published
    int64_t classes, channels, side;  // 0: the network's own; of the input, which is side x side
    uint64_t seed;                    // of the weights
} ZooOptions;

// Fails with E_USAGE where there is no such network, or no room in it for such an input.
Model *zoo_make(Cx *cx, const char *name, const ZooOptions *o);

// Every network, in the order of the table; NULL behind the last.
const char *zoo_name(int i);

#endif
