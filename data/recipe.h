// recipe.h -- how an image becomes what a model wants to see: the recipe, where it comes from,
// and what is assumed where nobody says.
//
//   image -> resize -> centre crop -> (pixel * scale - mean) / std, in float32
//
// A recipe is gathered from the most to the least certain: what the user said on the command
// line, else what the model's metadata says, else the usual preparation for ImageNet, with a note.
#ifndef TVC_RECIPE_H
#define TVC_RECIPE_H
#include "../frontend/model.h"
#include "gather.h"
#include "resize.h"

typedef enum ResizeMode {
    RESIZE_NONE,                       // the image as it is
    RESIZE_SHORTER,                    // the shorter side to `resize_height`, the longer in proportion
    RESIZE_WARP,                       // to resize_height x resize_width, whatever the proportions
} ResizeMode;

enum {                                 // bits of Recipe.given
    GIVEN_RESIZE = 1, GIVEN_CROP = 2, GIVEN_INTERP = 4, GIVEN_ORDER = 8, GIVEN_SCALE = 16, GIVEN_MEAN = 32,
    GIVEN_STD = 64, GIVEN_EXIF = 128,
    GIVEN_PRESET = 256,                // the usual preparation, asked for: whatever the model says counts for nothing
};

enum { RECIPE_CHANNELS = 4, RECIPE_MAX_SIDE = 1 << 16 };

typedef struct Recipe {                // start with {0}: nothing given
    unsigned given;                    // which of the following are set
    ResizeMode resize;
    int resize_height, resize_width;
    int crop_height, crop_width;       // 0: no crop
    bool crop_floor;                   // odd margins: rounded down (Hugging Face), not half to even (torchvision)
    Interp interp;
    bool bgr;                          // of three channels the first is blue
    double scale;                      // 1/255, given in whatever decimals, is a division by 255
    int nmean, nstd;                   // 1, or one per channel in the order of the model's input
    double mean[RECIPE_CHANNELS], std[RECIPE_CHANNELS];
    bool ignore_exif;
    const char *source;                // the metadata it came from, for people: "tvc.preprocess"; or NULL
} Recipe;

typedef struct ImageInput {            // a model's input as a picture
    int channels;                      // 1 or 3
    int height, width;                 // 0: any
    bool nhwc;                         // channels last
} ImageInput;

// Look at an input as a picture: [N,C,H,W], [N,H,W,C], or the same without N. False, with the
// reason in *why, if it cannot be one of one or three channels.
bool image_input(const ValueInfo *v, ImageInput *out, const char **why);

// One option of the command line: "resize" "256", "mean" "0.5,0.5,0.5", "preset" "imagenet" ...
// False if `name` is no option of a recipe; a bad value fails with E_USAGE.
bool recipe_option(Cx *cx, Recipe *r, const char *name, const char *value);
// What the model's metadata or the Hugging Face files beside it say; nothing given if they are silent.
// (recipe_meta.c)
Recipe recipe_of_model(Cx *cx, const Model *m);
// Let the options replace what `r` says, and fill in the rest for this input, with a note on what
// was assumed. Afterwards everything is given and fits the input; what contradicts it fails with
// E_USAGE. An unknown height or width becomes known: the crop's, or 224.
void recipe_complete(Cx *cx, Recipe *r, const Recipe *options, ImageInput *in);
// One line for people.
const char *recipe_text(Cx *cx, const Recipe *r, const ImageInput *in);

// The JSON of `tvc.preprocess`. (recipe_meta.c)
const char *recipe_json(Cx *cx, const Recipe *r, const ImageInput *in);
// Write a completed recipe into the metadata in every dialect that can express it exactly (numbers of
// pixels 0..255 and of 0..1 say the same), and remove those that cannot, since they would contradict it. (recipe_meta.c)
void recipe_to_model(Model *m, const Recipe *r, const ImageInput *in);

bool is_one_255th(double scale);                 // in whatever decimals (prepare.c)
const char *number_text(Cx *cx, double v);       // the shortest decimals that give v back
const char *numbers_text(Cx *cx, const double *v, int n);        // with commas between

// ---- doing it (prepare.c) ----

typedef struct Preparer {              // made once; read only afterwards, may be shared by threads
    Recipe recipe;
    ImageInput in;
    bool bytes;                        // pictures stay bytes [H,W,C]: the graph makes values of them (pixels.h)
    float table[RECIPE_CHANNELS][256]; // per channel of the input: pixel to value
} Preparer;

void preparer_init(Preparer *p, const Recipe *completed, const ImageInput *in);
size_t preparer_numbers(const Preparer *p);      // of a picture: channels * height * width
size_t preparer_size(const Preparer *p);         // bytes that they take: a float each, or a byte each

typedef struct Scratch { Image image, part, padded; Resizer resizer; } Scratch;   // one per thread; start with {0}
void scratch_free(Scratch *s);

// Load a picture and prepare it, or prepare an image already decoded to as many channels as the
// input has; `out` gets preparer_size() bytes: floats [C,H,W] or [H,W,C], or pixels. The reason of a failure does
// not name the picture.
Err prepare_picture(const Preparer *p, Scratch *s, const Picture *picture, void *out, Fault *f);
Err prepare_image(const Preparer *p, Scratch *s, const Image *im, void *out, Fault *f);

// The two halves of that: resized and cropped, *out one of the scratch's until the next call; and
// pixels of the input's size to values.
Err prepare_crop(const Preparer *p, Scratch *s, const Image *im, const Image **out, Fault *f);
void prepare_values(const Preparer *p, const Image *im, void *out);
// What an image becomes before it is cropped, and where the crop from its centre lies.
Err resized_size(const Recipe *r, const Image *im, int *width, int *height, Fault *f);
Box center_box(int width, int height, int want_width, int want_height, bool floor_margin);

#endif
