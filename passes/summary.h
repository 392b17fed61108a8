// summary.h -- a document counted: the shape, parameters and FLOPs of each of its nodes.
#ifndef TVC_SUMMARY_H
#define TVC_SUMMARY_H
#include "../frontend/import.h"

typedef struct LayerCost {
    bool known;                       // its first output has a shape
    Shape shape;
    DType type;
    int64_t params;                   // of weights it is the first to use; statistics of a BatchNormalization do not count
    double flops;                     // two per multiply-add of convolutions and matrix products, at batch 1
} LayerCost;

typedef struct Summary {
    LayerCost *layer;                 // per node of the document
    int64_t params;
    double flops;
} Summary;

// g: the document, imported with summary_values() kept; NULL: no shapes, no FLOPs.
Summary summary_make(Model *m, const Graph *g);
const char **summary_values(Model *m);            // for ImportOptions.keep: the first output of every node

#endif
