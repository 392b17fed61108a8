// prepare.c -- a completed recipe applied to an image, with torchvision's exact arithmetic.
//
// Only the part of the resized image that survives the crop is computed. The values come from a
// table per channel, so that float rounding happens once per possible pixel, as torch's ToTensor
// and Normalize would round it.
#include "recipe.h"

bool is_one_255th(double scale) { return fabs(scale * 255.0 - 1.0) < 1e-6; }

void preparer_init(Preparer *p, const Recipe *r, const ImageInput *in) {
    *p = (Preparer){*r, *in, {{0}}};
    for (int c = 0; c < in->channels; c++) {
        float mean = (float)r->mean[r->nmean == 1 ? 0 : c], std = (float)r->std[r->nstd == 1 ? 0 : c];
        for (int i = 0; i < 256; i++) {
            float v = is_one_255th(r->scale) ? (float)i / 255.0f : (float)i * (float)r->scale;
            v = v - mean;
            p->table[c][i] = v / std;
        }
    }
}

size_t preparer_floats(const Preparer *p) {
    return (size_t)p->in.channels * (size_t)p->in.height * (size_t)p->in.width;
}

// Where one axis of the resized image lies in the result: `size` pixels from `from` go to `to`.
// Too small an image is padded, the odd pixel behind; too large a one is cropped.
typedef struct Fit { int from, to, size; } Fit;

static Fit fit(int have, int want, bool floor_margin) {
    if (have < want) return (Fit){0, (want - have) / 2, have};
    int spare = have - want;
    return (Fit){floor_margin ? spare / 2 : (int)nearbyint(spare / 2.0), 0, want};
}

// torchvision: the longer side is int(short * long / short side), computed in doubles.
static int64_t proportional(int shorter, int longer_side, int shorter_side) {
    return (int64_t)((double)((int64_t)shorter * longer_side) / shorter_side);
}

static Err resized_size(const Recipe *r, const Image *im, int *width, int *height, Fault *f) {
    *width = *height = 0;
    int64_t w = im->width, h = im->height;
    if (r->resize == RESIZE_WARP) w = r->resize_width, h = r->resize_height;
    if (r->resize == RESIZE_SHORTER && im->width <= im->height)
        w = r->resize_height, h = proportional(r->resize_height, im->height, im->width);
    else if (r->resize == RESIZE_SHORTER)
        w = proportional(r->resize_height, im->width, im->height), h = r->resize_height;
    if (w > INT32_MAX || h > INT32_MAX)
        return fault(f, E_LIMIT, "an image of %d x %d pixels is out of proportion", im->width, im->height);
    *width = (int)w;
    *height = (int)h;
    return E_OK;
}

// Values of the parts of the result that no pixel covers: Pillow pads with black.
static void fill_black(const Preparer *p, float *out) {
    size_t plane = (size_t)p->in.height * (size_t)p->in.width, channels = (size_t)p->in.channels;
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < plane; i++) out[p->in.nhwc ? i * channels + c : c * plane + i] = p->table[c][0];
}

static void write_values(const Preparer *p, const Image *part, int left, int top, float *out) {
    size_t channels = (size_t)p->in.channels, plane = (size_t)p->in.height * (size_t)p->in.width;
    size_t step = p->in.nhwc ? channels : 1;
    for (size_t c = 0; c < channels; c++) {
        const float *table = p->table[c];
        size_t from = p->recipe.bgr && channels == 3 ? 2 - c : c;
        for (int y = 0; y < part->height; y++) {
            const uint8_t *s = part->pixel + (size_t)y * (size_t)part->width * channels + from;
            size_t at = (size_t)(top + y) * (size_t)p->in.width + (size_t)left;
            float *d = p->in.nhwc ? out + at * channels + c : out + c * plane + at;
            for (int x = 0; x < part->width; x++, s += channels, d += step) *d = table[*s];
        }
    }
}

Err prepare_image(const Preparer *p, Scratch *s, const Image *im, float *out, Fault *f) {
    assert(im->channels == p->in.channels);
    const Recipe *r = &p->recipe;
    int width, height, want_w = r->crop_width, want_h = r->crop_height;
    if (resized_size(r, im, &width, &height, f)) return f->code;
    if (!want_w) want_w = width, want_h = height;
    if (want_w != p->in.width || want_h != p->in.height)
        return fault(f, E_USAGE, "prepared it is %d x %d pixels, but the model takes %d x %d: say --crop or --resize",
                     want_w, want_h, p->in.width, p->in.height);
    Fit x = fit(width, want_w, r->crop_floor), y = fit(height, want_h, r->crop_floor);
    Box from = {0, 0, im->width, im->height}, part = {x.from, y.from, x.size, y.size};
    if (image_resize(&s->resizer, im, from, width, height, r->interp, part, &s->part, f)) return f->code;
    if (x.size < want_w || y.size < want_h) fill_black(p, out);
    write_values(p, &s->part, x.to, y.to, out);
    return E_OK;
}

Err prepare_picture(const Preparer *p, Scratch *s, const Picture *picture, float *out, Fault *f) {
    ImageOptions o = {p->in.channels, p->recipe.ignore_exif};
    Err e = picture_load(picture, &o, &s->image, f);
    return e ? e : prepare_image(p, s, &s->image, out, f);
}

void scratch_free(Scratch *s) {
    image_free(&s->image);
    image_free(&s->part);
    resizer_free(&s->resizer);
}
