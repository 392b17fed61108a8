// evaluate.h -- a model judged on examples, as inference.
#ifndef TVC_EVALUATE_H
#define TVC_EVALUATE_H
#include "../codegen/compile.h"
#include "../data/loader.h"
#include "../data/pixels.h"
#include "../frontend/import.h"
#include "../runtime/exec.h"
#include "looking.h"
#include "metrics.h"

typedef struct EvaluateOptions {
    const Dataset *data;              // its `val`
    const Preparer *prepare;
    Loss loss;
    int batch, workers;
    ImportOptions import;             // max_batch is filled in
    CompileOptions compile;
    SessionOptions session;
    Looking looking;
} EvaluateOptions;

typedef struct Evaluation {
    int nclass;
    Judged judged;
    int nbad;                         // pictures that cannot be read
    const BadExample *bad;
} Evaluation;

// Fails with E_DATASET where the data has not as many classes (or numbers) as the model gives scores.
Evaluation evaluate(Model *m, const EvaluateOptions *o);

#endif
