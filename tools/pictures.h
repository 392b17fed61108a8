// pictures.h -- a model's input as a picture: its size, and how pictures become what it wants.
#ifndef TVC_PICTURES_H
#define TVC_PICTURES_H
#include "../data/recipe.h"
#include "asked.h"
#include "meta.h"

typedef struct PicturePlan {
    Recipe recipe;                    // complete
    ImageInput in;
    Preparer prepare;
} PicturePlan;

// What the options say, else `recipe` (the model's), else the usual, for the input v. Fails with
// E_USAGE if v takes no pictures.
PicturePlan pictures_plan(const Args *a, const Recipe *recipe, const ValueInfo *v);
// The same for a model that is to be compiled for `target`. Sizes may be open: those that --shape or the recipe choose
// are put into *o. Where prepare.bytes is set, pixels_input() must make an input of bytes of v: as --pixels says, else
// for a GPU.
PicturePlan pictures_choose(const Args *a, const Recipe *recipe, const ValueInfo *v, const char *target,
                            ImportOptions *o);

#endif
