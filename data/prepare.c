// prepare.c -- a completed recipe applied to an image, with torchvision's exact arithmetic.
//
// Only the part of the resized image that survives the crop is computed. The values come from a
// table per channel, so that float rounding happens once per possible pixel, as torch's ToTensor
// and Normalize would round it.
#include "recipe.h"
#include "transform.h"

bool is_one_255th(double scale) { return fabs(scale * 255.0 - 1.0) < 1e-6; }

void preparer_init(Preparer *p, const Recipe *r, const ImageInput *in) {
    *p = (Preparer){.recipe = *r, .in = *in};
    for (int c = 0; c < in->channels; c++) {
        float mean = (float)r->mean[r->nmean == 1 ? 0 : c], std = (float)r->std[r->nstd == 1 ? 0 : c];
        for (int i = 0; i < 256; i++) {
            float v = is_one_255th(r->scale) ? (float)i / 255.0f : (float)i * (float)r->scale;
            v = v - mean;
            p->table[c][i] = v / std;
        }
    }
}

size_t preparer_numbers(const Preparer *p) {
    return (size_t)p->in.channels * (size_t)p->in.height * (size_t)p->in.width;
}

size_t preparer_size(const Preparer *p) { return preparer_numbers(p) * (p->bytes ? 1 : sizeof(float)); }

// Where along an axis a crop to `want` begins; negative, with black before, where there is less than that.
static int center(int have, int want, bool floor_margin) {
    if (have < want) return -((want - have) / 2);                // the odd pixel is padded behind
    int spare = have - want;
    return floor_margin ? spare / 2 : (int)nearbyint(spare / 2.0);
}

Box center_box(int width, int height, int want_width, int want_height, bool floor_margin) {
    int left = center(width, want_width, floor_margin), top = center(height, want_height, floor_margin);
    return (Box){left, top, want_width, want_height};
}

// torchvision: the longer side is int(short * long / short side), computed in doubles.
static int64_t proportional(int shorter, int longer_side, int shorter_side) {
    return (int64_t)((double)((int64_t)shorter * longer_side) / shorter_side);
}

Err resized_size(const Recipe *r, const Image *im, int *width, int *height, Fault *f) {
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

// The part of `box` that lies inside width x height.
static Box covered(Box box, int width, int height) {
    int left = box.x < 0 ? 0 : box.x, top = box.y < 0 ? 0 : box.y;
    int right = box.x + box.width > width ? width : box.x + box.width;
    int bottom = box.y + box.height > height ? height : box.y + box.height;
    return (Box){left, top, right - left, bottom - top};
}

Err prepare_crop(const Preparer *p, Scratch *s, const Image *im, const Image **out, Fault *f) {
    assert(im->channels == p->in.channels);
    const Recipe *r = &p->recipe;
    int width, height, want_w = r->crop_width, want_h = r->crop_height;
    if (resized_size(r, im, &width, &height, f)) return f->code;
    if (!want_w) want_w = width, want_h = height;
    if (want_w != p->in.width || want_h != p->in.height)
        return fault(f, E_USAGE, "prepared it is %d x %d pixels, but the model takes %d x %d: say --crop or --resize",
                     want_w, want_h, p->in.width, p->in.height);
    Box from = {0, 0, im->width, im->height}, crop = center_box(width, height, want_w, want_h, r->crop_floor);
    Box part = covered(crop, width, height);
    *out = &s->part;
    if (image_resize(&s->resizer, im, from, width, height, r->interp, part, &s->part, f)) return f->code;
    if (part.width == want_w && part.height == want_h) return E_OK;
    *out = &s->padded;                                           // with black, as Pillow does
    return image_window(&s->part, (Box){crop.x - part.x, crop.y - part.y, want_w, want_h}, &s->padded, f);
}

static void look_up(const Preparer *p, const Image *im, float *out) {
    size_t channels = (size_t)p->in.channels, plane = (size_t)p->in.height * (size_t)p->in.width;
    for (size_t c = 0; c < channels; c++) {
        const float *table = p->table[c];
        const uint8_t *s = im->pixel + (p->recipe.bgr && channels == 3 ? 2 - c : c);
        float *d = p->in.nhwc ? out + c : out + c * plane;
        for (size_t i = 0, step = p->in.nhwc ? channels : 1; i < plane; i++, s += channels, d += step) *d = table[*s];
    }
}

void prepare_values(const Preparer *p, const Image *im, void *out) {
    assert(im->channels == p->in.channels && im->width == p->in.width && im->height == p->in.height);
    if (p->bytes) memcpy(out, im->pixel, preparer_numbers(p));
    else look_up(p, im, out);
}

Err prepare_image(const Preparer *p, Scratch *s, const Image *im, void *out, Fault *f) {
    const Image *crop;
    if (prepare_crop(p, s, im, &crop, f)) return f->code;
    prepare_values(p, crop, out);
    return E_OK;
}

Err prepare_picture(const Preparer *p, Scratch *s, const Picture *picture, void *out, Fault *f) {
    ImageOptions o = {p->in.channels, p->recipe.ignore_exif};
    Err e = picture_load(picture, &o, &s->image, f);
    return e ? e : prepare_image(p, s, &s->image, out, f);
}

void scratch_free(Scratch *s) {
    image_free(&s->image);
    image_free(&s->part);
    image_free(&s->padded);
    resizer_free(&s->resizer);
}
