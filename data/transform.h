// transform.h -- changes of a decoded image, each with its parameters given: bit for bit what
// Pillow does, and torchvision on Pillow's images.
//
// Those with `out` write another image than `in`, reusing its memory; the others work in place.
#ifndef TVC_TRANSFORM_H
#define TVC_TRANSFORM_H
#include "resize.h"

// Image.crop: the window may reach beyond the image, where it is black. So crop and pad in one.
Err image_window(const Image *in, Box window, Image *out, Fault *f);
// Image.rotate without expanding: degrees counter-clockwise about the centre, nearest pixel, black outside.
Err image_rotate(const Image *in, double degrees, Image *out, Fault *f);
Err image_copy(const Image *in, Image *out, Fault *f);
void image_flip_across(Image *im);     // left becomes right
void image_flip_down(Image *im);       // top becomes bottom

// torchvision's adjust_...: 1 (0 for hue) changes nothing.
void image_brightness(Image *im, double factor);
void image_contrast(Image *im, double factor);
void image_saturation(Image *im, double factor);
void image_hue(Image *im, double turn);          // -0.5..0.5 of the circle

#endif
