// image.h -- image files to 8-bit pixels, bit for bit what Pillow gives.
//
// The format is told by the content, never by the name: JPEG, PNG, WebP, BMP, PBM/PGM/PPM.
// The result is what PIL.Image.open(f).convert("RGB") holds (or convert("L"), when one channel
// is asked for), Pillow's ways included:
//   * alpha and transparency are dropped, colours under them kept;
//   * a CMYK or YCCK JPEG is taken as inverted (Adobe's convention) and converted without a profile;
//   * 16-bit grey is *clipped* at 255, not scaled; 16-bit colour keeps its upper byte;
//   * gamma and colour profiles are not applied; of an animation the first frame is taken;
//   * a truncated file is an error.
// Unlike plain Pillow the EXIF orientation is applied, unless told to ignore it.
//
// Nothing here needs a Cx or calls fail(), so that loader threads can use it: functions return
// the error's number, with the reason in the Fault. image_read() is for requests that have a Cx.
#ifndef TVC_IMAGE_H
#define TVC_IMAGE_H
#include "../ir/base.h"
#include "../runtime/error.h"

enum { IMAGE_MAX_PIXELS = 178956970,   // Pillow's limit against decompression bombs
       IMAGE_SLACK = 16 };             // readable bytes behind the last pixel

typedef struct Image {                 // start with {0}; may be reused, its memory only grows
    int width, height;
    int channels;                      // 1 grey, 3 red green blue
    int orientation;                   // EXIF's, 1..8, as the file had it; 1 where it has none
    uint8_t *pixel;                    // rows top down, packed, channels interleaved
    size_t capacity;                   // bytes at pixel
    uint8_t *file;                     // the undecoded bytes, kept to be reused
    size_t file_capacity;
} Image;

typedef struct ImageOptions {
    int channels;                      // 1 or 3; 0: grey stays one channel, all else becomes three
    bool ignore_exif;
} ImageOptions;

// Both leave `out` valid (to be reused or freed) when they fail. The file must be a regular file.
Err image_decode(const uint8_t *bytes, size_t size, const ImageOptions *o, Image *out, Fault *f);
Err image_load(const char *path, const ImageOptions *o, Image *out, Fault *f);
void image_free(Image *im);

// The same for requests: fails with one line naming the file.
void image_read(Cx *cx, const char *path, const ImageOptions *o, Image *out);

// Make room for width x height x channels and set these; pixels keep no meaning. E_LIMIT: too large.
Err image_reserve(Image *im, int64_t width, int64_t height, int channels, Fault *f);

#endif
