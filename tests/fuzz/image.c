// image.c -- fuzz target: the image decoders, and the resizer on whatever they return.
#include "data/resize.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    Image im = {0}, small = {0};
    Resizer r = {0};
    Fault f;
    ImageOptions o = {size % 2 ? 3 : 1, size % 5 == 0};
    if (!image_decode(bytes, size, &o, &im, &f) && (int64_t)im.width * im.height < 1 << 22) {
        Box from = {0, 0, im.width, im.height}, part = {3, 2, 8, 9};
        image_resize(&r, &im, from, 13, 11, (Interp)(size % INTERP_COUNT), part, &small, &f);
    }
    image_free(&im);
    image_free(&small);
    resizer_free(&r);
    return 0;
}
