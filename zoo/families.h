// families.h -- what zoo.c knows of each family: how its members differ, and how one is built.
#ifndef TVC_FAMILIES_H
#define TVC_FAMILIES_H
#include "net.h"

typedef struct ResNet {
    const char *name;
    bool small, bottleneck;           // small: for 32 x 32, a 3x3 stem that keeps the size
    int width, nstage, blocks[4];     // channels of the first stage, doubled in each; blocks of each
} ResNet;

int64_t resnet_least_side(const ResNet *r);
void resnet_build(Net *n, const ResNet *r, int64_t classes);

#endif
