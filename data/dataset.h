// dataset.h -- examples to learn from: pictures with what they show, in splits.
//
// Sources:
//   a folder     train/CLASS/* with val|valid|validation/CLASS/* (or test/ if there is none of these),
//                or CLASS/* to be divided; classes are the folders' names, sorted by their bytes
//   idx files    a folder of (train|t10k|...)-images-idx3-ubyte[.gz] with their labels, or one such file
//   a list       .csv or .jsonl with path, label and perhaps split in each row; paths lie in the list's folder
// Images are not opened yet: one that cannot be read is found by the loader, or by check.h.
#ifndef TVC_DATASET_H
#define TVC_DATASET_H
#include "gather.h"
#include "labels.h"

typedef struct Example {
    Picture picture;
    int64_t label;                     // its class; -1 where it has none or several
    const float *target;               // [ntarget] of the Dataset, or NULL: a class
} Example;

typedef struct Examples {
    const char *name;                  // "train", "val" ...; "" where nobody named it
    int n;
    Example *at;
} Examples;

typedef struct Dataset {               // lives in the Cx's arena
    const char *path;
    TargetKind kind;                   // never AUTO
    int ntarget;                       // classes, or numbers per example
    Labels classes;                    // names by number; none for TARGET_NUMBERS
    Examples train, val;
    bool undivided;                    // the source has no splits: divided here, or taken whole
    int nproblem;                      // what would have failed, with options.lenient
    const char **problem;
} Dataset;

typedef struct DatasetOptions {        // start with {0}
    TargetKind target;
    double val_split;                  // share of an undivided set that validates; 0: 0.2
    uint64_t seed;                     // of what is chosen by chance
    const char *classes;               // "5,6,7": only these classes, in this order; NULL: all
    const char *split;                 // for dataset_open_split; NULL: the validation split
    const Labels *names;               // of classes that the source only numbers; NULL or none: the numbers
    int per_class;                     // at most so many examples of each to learn from, chosen by the seed; 0: all
    const Labels *match;               // number the classes as here, by name; NULL or none: by the data
    bool lenient;                      // collect problems of the data instead of failing
} DatasetOptions;

// For training: both splits. Everything wrong with the data fails with E_DATASET.
Dataset dataset_open(Cx *cx, const char *path, const DatasetOptions *o);

// For evaluation: the examples are in `val`, `train` is empty. Taken is the split asked for, else
// the validation split, else all of an undivided set. (Of an undivided set "train" and "val" are
// the parts that val_split and seed make.) Classes missing in the data are fine.
Dataset dataset_open_split(Cx *cx, const char *path, const DatasetOptions *o);

// Changes with any path, size of a file, label or class name, and with nothing else.
uint64_t dataset_hash(const Dataset *d);

#endif
