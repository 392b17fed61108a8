// resize.h -- Pillow's Image.resize, bit for bit.
//
// The antialiased filters run in two passes, columns first, with 22-bit fixed-point weights and
// 8 bits between the passes; nearest takes one source pixel. A caller that will crop names the
// part it wants: only that is computed, and it equals the same part of the whole.
#ifndef TVC_RESIZE_H
#define TVC_RESIZE_H
#include "image.h"

typedef enum Interp {                  // Pillow's numbers, as preprocessor_config.json has them
    INTERP_NEAREST, INTERP_LANCZOS, INTERP_BILINEAR, INTERP_BICUBIC, INTERP_BOX, INTERP_HAMMING,
    INTERP_COUNT
} Interp;

const char *interp_name(Interp i);               // "bilinear"
bool interp_find(const char *name, Interp *out); // any case

typedef struct Box { int x, y, width, height; } Box;

typedef struct Resizer {               // memory to be reused from image to image; start with {0}
    uint8_t *rows;                     // between the passes
    void *weights[2];
    size_t rows_capacity, weights_capacity[2];
} Resizer;

void resizer_free(Resizer *r);

// What in->crop(from).resize((width, height), how).crop(part) gives. `from` must lie inside `in`,
// `part` inside width x height. `out` is another image than `in`.
Err image_resize(Resizer *r, const Image *in, Box from, int width, int height, Interp how, Box part, Image *out,
                  Fault *f);

#endif
