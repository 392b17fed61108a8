// check.h -- looking over a dataset before anything is learned from it: every picture is decoded once.
#ifndef TVC_CHECK_H
#define TVC_CHECK_H
#include "dataset.h"

typedef struct Spot { bool val; int index; } Spot;               // data.train.at[index], data.val.at[index]

typedef struct Unreadable { Spot at; const char *why; } Unreadable;
typedef struct Twins { Spot first, second; } Twins;              // the same pixels

typedef struct DataCheck {             // lives in the Cx's arena
    Dataset data;                      // data.problem: what makes it unfit for training
    int *count[2];                     // [classes] examples in train and in val; NULL for numbers
    int nbad, ntwins, ntiny;
    Unreadable *bad;
    Twins *twins;                      // those between train and val first
    int nleak;                         // of these, between train and val
    int nconflict;                     // of all twins, how many have different labels
    Spot *tiny;                        // shorter side below options.tiny
    int rotated;                       // with an EXIF orientation other than upright
    int grey, colour;
} DataCheck;

typedef struct CheckOptions {
    DatasetOptions dataset;            // lenient is implied
    bool ignore_exif;
    int tiny;                          // pixels
    int threads;                       // 0: one per processor
} CheckOptions;

DataCheck data_check(Cx *cx, const char *path, const CheckOptions *o);

const Example *check_example(const DataCheck *c, Spot s);

#endif
