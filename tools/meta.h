// meta.h -- what `run` must know of a model besides its program: how pictures are prepared, what
// the classes are called, what the scores are. A package carries it as JSON.
#ifndef TVC_META_H
#define TVC_META_H
#include "../data/labels.h"
#include "../data/recipe.h"
#include "../passes/surgery.h"
#include "../runtime/package.h"

typedef struct RunMeta {
    Recipe recipe;                    // nothing given: the model is silent
    Labels labels;
    Scores scores;                    // of the first output
    TargetKind target;                // what these are scores of
} RunMeta;

RunMeta meta_of_model(Cx *cx, Model *m);
RunMeta meta_of_package(Cx *cx, const Package *p, const char *path);
const char *meta_json(Cx *cx, const Model *m, const RunMeta *r);          // for a package

const ValueInfo *picture_input(const Model *m);           // the first true input; NULL: there is none

#endif
