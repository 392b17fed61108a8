// augment.h -- random changes of training images, with torchvision's meaning.
//
// A list of steps, in this order, between decoding and the recipe's values. A list that makes its
// own sizes (resized-crop, resize) begins with the image as it is; before any other the recipe's
// resize and centre crop are done. What is larger than the model's input in the end is cropped at
// a random place.
//
//   resized-crop(0.08-1, 0.75-1.3333)  RandomResizedCrop: share of the area, proportions
//   resize(S)                          Resize: the shorter side
//   center-crop, crop                  CenterCrop, RandomCrop to the model's input
//   pad(N)                             Pad: N black pixels all around
//   hflip(P), vflip(P)                 RandomHorizontalFlip, RandomVerticalFlip: probability (default 0.5)
//   rotate(D)                          RandomRotation: up to D degrees either way, nearest pixel
//   jitter(B, C, S, H)                 ColorJitter: brightness, contrast, saturation, hue (default 0)
#ifndef TVC_AUGMENT_H
#define TVC_AUGMENT_H
#include "draw.h"
#include "place.h"
#include "recipe.h"

enum { AUGMENT_STEPS = 16, STEP_NUMBERS = 4 };

typedef enum ChangeKind {
    STEP_RESIZED_CROP, STEP_RESIZE, STEP_CENTER_CROP, STEP_CROP, STEP_PAD, STEP_HFLIP, STEP_VFLIP, STEP_ROTATE,
    STEP_JITTER, STEP_KINDS
} ChangeKind;

typedef struct Change { ChangeKind kind; double v[STEP_NUMBERS]; } Change;

typedef struct Augment {               // start with {0}: nothing
    int n;
    Change step[AUGMENT_STEPS];
    bool sizes;                        // makes its own sizes: begins with the image as it is
} Augment;

// "none"; "basic": resized-crop(0.5-1),hflip, for inputs of up to 64 pixels pad(4),crop,hflip (in
// transfer learning the smaller crops of 0.08 cost more than they give); or a list. E_USAGE.
Augment augment_parse(Cx *cx, const char *text, const ImageInput *in);
const char *augment_text(Cx *cx, const Augment *a);              // the list written out, or "none"

typedef struct AugmentScratch { Image a, b; Resizer resizer; } AugmentScratch;      // one per thread; start with {0}
void augment_scratch_free(AugmentScratch *s);

// The steps before number `to`; a->n: all of them. `in` is the decoded image, or for lists that make no sizes the
// recipe's crop. *out gets an image of the input's size: `in` itself or one of the scratch's, good until the next call.
Err augment_apply(const Augment *a, int to, const Preparer *p, Draw *draw, AugmentScratch *s, const Image *in,
                  const Image **out, Fault *f);

// The last steps of a list may only move pixels of an image that has the input's size already (flips, crops,
// padding): from which one on; a->n: not even the last one. They need not be applied: augment_place draws what they
// draw, and says in numbers what they do (down, across), for a device.
int augment_moves(const Augment *a);
void augment_place(const Augment *a, int from, const ImageInput *in, Draw *draw, Place place[2]);

// What RandomResizedCrop draws for a picture of this size.
Box resized_crop_box(Draw *d, const double area[2], const double ratio[2], int width, int height);

#endif
