// suite.h -- models with expected results: finding them, running them by any device, judging.
//
// A case is a folder with model.onnx and test_data_set_*/{input_K,output_K}.pb, or NAME.onnx with NAME_output_0.pb
// beside it, whose inputs are all float32 arange(n) / n. A suite is a folder of these, at any depth.
#ifndef TVC_SUITE_H
#define TVC_SUITE_H
#include "engine.h"

typedef struct Case {
    const char *name;                 // as shown
    const char *model;                // path of the document
    const char *folder;               // holds test_data_set_*; NULL: outputs beside the model
} Case;

// Every case at or under path, by name; path may also be one model's file. Fails with E_IO if there is no such path.
int suite_find(Cx *cx, const char *path, Case **cases);

// Runs the graph of one case with `batch` of g->max_batch in use: inputs have their Node.data (only as many as are in
// use), root i's elements go to result[i], in g->cx. May fail().
typedef void CaseRun(void *user, Graph *g, int64_t batch, void **result);
CaseRun case_run_eval;                // by the evaluator; user is not used
// Compiled; user: an EngineOptions, or NULL. A kernel left to the interpreter fails the case
CaseRun case_run_compiled;

typedef struct Judge {
    double rtol, atol;
    int64_t max_batch;                // 0: graphs are made for the data. Else for up to so many, and run on what the
                                      // data holds; where the inputs have a batch that is free
    CaseRun *run;
    void *user;
} Judge;

typedef enum CaseResult { CASE_PASSED, CASE_FAILED, CASE_SKIPPED } CaseResult;

// In a Cx of its own. What did not pass says why in one line. Skipped: nothing to compare, or only strings.
// Random operators are judged by type and shape alone.
CaseResult case_check(const Case *c, const Judge *j, char *why, size_t size);

#endif
