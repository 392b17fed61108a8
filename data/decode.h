// decode.h -- what image.c knows of each format. Private to data/.
//
// A decoder gets the whole file, leaves 1 or 3 channels in `out` as Pillow's convert would give
// them, sets out->orientation where the file has EXIF data, and returns the error, its reason in *f.
#ifndef TVC_DECODE_H
#define TVC_DECODE_H
#include "image.h"

Err jpeg_decode(const uint8_t *p, size_t n, Image *out, Fault *f);      // jpeg.c
Err png_decode(const uint8_t *p, size_t n, Image *out, Fault *f);       // png.c
Err webp_decode(const uint8_t *p, size_t n, Image *out, Fault *f);      // webp.c
Err bmp_decode(const uint8_t *p, size_t n, Image *out, Fault *f);       // bmp.c
Err pnm_decode(const uint8_t *p, size_t n, Image *out, Fault *f);       // pnm.c

// The orientation, 1..8, in EXIF data ("Exif\0\0" in front or not); 1 where there is none. (exif.c)
int exif_orientation(const uint8_t *p, size_t n);
// Turn the pixels so that the image stands upright. (exif.c)
Err image_orient(Image *im, int orientation, Fault *f);

static inline uint32_t be16(const uint8_t *p) { return (uint32_t)p[0] << 8 | p[1]; }
static inline uint32_t be32(const uint8_t *p) { return be16(p) << 16 | be16(p + 2); }
static inline uint32_t le16(const uint8_t *p) { return (uint32_t)p[1] << 8 | p[0]; }
static inline uint32_t le32(const uint8_t *p) { return le16(p + 2) << 16 | le16(p); }

#endif
