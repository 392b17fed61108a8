// surgery.h -- edits of the user's document: a new head, other input channels, a cut, a freeze.
//
// What a model means is read off its structure; names are only hints. Edits touch the document
// through frontend/model.h, in the document's own opset, and leave everything else as it was.
// What cannot be done fails with E_UNSUPPORTED (the model) or E_USAGE (the wish), naming the node.
#ifndef TVC_SURGERY_H
#define TVC_SURGERY_H
#include "../frontend/import.h"
#include "../frontend/model.h"

// ---- the head: the layer that tells classes apart (surgery_find.c) ----
typedef struct Head {
    const char *kind;                 // "Gemm", "MatMul" or "Conv" (1x1): how it was written
    DocNode *node;
    DocNode *add;                     // that adds its bias where the layer itself has none; or NULL
    const char *weight, *bias;        // values as the layer names them; bias NULL: none
    int bias_at;                      // which input of `add` (if any) or `node` the bias is
    int64_t in_features, classes;
    const char *output;               // graph output it leads to; NULL if named by the user
    const char *why;                  // one line
} Head;

typedef struct Heads {
    int n;                            // the first is the main one, the rest auxiliary
    Head *head;
    const char *why_none;             // n == 0: one line
} Heads;

// `name`: the node, value or weight the user says is the head, or NULL.
Heads heads_find(Model *m, const char *name);

// What a graph output holds, by the operator it ends in.
typedef enum Scores { SCORES_LOGITS, SCORES_PROBABILITIES, SCORES_LOG } Scores;
Scores output_scores(Model *m, const char *output);

// ---- what is wanted ----
typedef enum InputInit { INPUT_MEAN, INPUT_ZERO, INPUT_FRESH } InputInit;

typedef struct Surgery {              // all zero: nothing
    int64_t classes;                  // > 0: replace the head
    const char *head;                 // --head, or NULL
    bool whole_module;                // every layer back to the features
    int nhidden;
    const int64_t *hidden;
    double dropout;                   // 0: none
    bool drop_aux;
    uint64_t seed;
    int64_t channels;                 // > 0: of the input
    InputInit input_init;
    const char *cut;                  // value or node that becomes the output; or NULL
    bool eval, free_batch;
    const char *freeze;               // or NULL
    ImportOptions import;             // sizes of open inputs, where shapes must be known
} Surgery;

bool surgery_asked(const Surgery *s);

typedef struct SurgeryResult {
    bool appended;                    // a head where there was none
    Heads heads;                      // as found before the edit
} SurgeryResult;

// Labels in the metadata stay: what they name is the caller's to say.
SurgeryResult surgery_apply(Model *m, const Surgery *s);

#endif
