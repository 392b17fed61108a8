// recipe_meta.c -- recipes in the dialects people put into models: read in order of certainty,
// written in every one that can express them.
//
//   tvc.preprocess             our own, complete
//   pretrained_cfg             timm's, in the metadata or in config.json beside the model
//   preprocessor_config.json   Hugging Face's, beside the model
//   task, imgsz                Ultralytics' classifiers: resize and crop to imgsz, values 0..1
//   Image.*                    ONNX's image metadata (WinML): order and range of the values only
//
// The first that is there is taken whole. One that is damaged is passed over with a note. Where a
// dialect has defaults of its own for what it leaves out, these count as said.
#include "recipe.h"
#include "sidecar.h"
#include <strings.h>

// ---- reading JSON values ----

static bool get_number(const json_t *v, double *out) {
    if (!json_is_number(v)) return false;
    *out = json_number_value(v);
    return isfinite(*out);
}

static bool get_side(const json_t *v, int *out) {
    if (!json_is_integer(v) || json_integer_value(v) < 1 || json_integer_value(v) > RECIPE_MAX_SIDE) return false;
    *out = (int)json_integer_value(v);
    return true;
}

// A number, or a list of one to four; n gets how many.
static bool get_numbers(const json_t *v, double *out, int *n) {
    *n = 1;
    if (get_number(v, out)) return true;
    *n = (int)json_array_size(v);
    if (*n < 1 || *n > RECIPE_CHANNELS || json_array_size(v) > RECIPE_CHANNELS) return false;
    for (int i = 0; i < *n; i++)
        if (!get_number(json_array_get(v, (size_t)i), out + i)) return false;
    return true;
}

// 224, [height, width] or {"height": h, "width": w}.
static bool get_size(const json_t *v, int *height, int *width) {
    if (get_side(v, height)) return *width = *height, true;
    if (json_is_array(v))
        return json_array_size(v) == 2 && get_side(json_array_get(v, 0), height) &&
               get_side(json_array_get(v, 1), width);
    return get_side(json_object_get(v, "height"), height) && get_side(json_object_get(v, "width"), width);
}

static bool get_interp(const json_t *v, Interp *out) {
    if (json_is_integer(v)) {
        json_int_t i = json_integer_value(v);
        if (i < 0 || i >= INTERP_COUNT) return false;
        *out = (Interp)i;
        return true;
    }
    return json_is_string(v) && interp_find(json_string_value(v), out);
}

static bool get_values(const json_t *mean, const json_t *std, Recipe *r) {
    if (!get_numbers(mean, r->mean, &r->nmean) || !get_numbers(std, r->std, &r->nstd)) return false;
    for (int i = 0; i < r->nstd; i++)
        if ((float)r->std[i] == 0) return false;
    r->given |= GIVEN_MEAN | GIVEN_STD;
    return true;
}

static void set_resize(Recipe *r, ResizeMode mode, int height, int width) {
    r->resize = mode;
    r->resize_height = height, r->resize_width = mode == RESIZE_WARP ? width : 0;
    r->given |= GIVEN_RESIZE;
}

static void set_crop(Recipe *r, int height, int width, bool floor_margin) {
    r->crop_height = height, r->crop_width = width, r->crop_floor = floor_margin;
    r->given |= GIVEN_CROP;
}

static void set_range(Recipe *r, double scale, double mean, double std) {
    r->scale = scale;
    r->nmean = r->nstd = 1;
    r->mean[0] = mean, r->std[0] = std;
    r->given |= GIVEN_SCALE | GIVEN_MEAN | GIVEN_STD;
}

static const char *text_of(const json_t *o, const char *key, const char *otherwise) {
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : otherwise;
}

// ---- tvc.preprocess ----

static bool read_own(const json_t *o, Recipe *r) {
    const char *mode = text_of(o, "resize_mode", ""), *order = text_of(o, "color", "");
    const json_t *scale = json_object_get(o, "scale"), *crop = json_object_get(o, "crop");
    int h = 0, w = 0;
    if (!strcmp(mode, "none")) set_resize(r, RESIZE_NONE, 0, 0);
    else if (!get_size(json_object_get(o, "resize"), &h, &w)) return false;
    else if (!strcmp(mode, "shorter")) set_resize(r, RESIZE_SHORTER, h, 0);
    else if (!strcmp(mode, "warp")) set_resize(r, RESIZE_WARP, h, w);
    else return false;
    set_crop(r, 0, 0, !strcmp(text_of(o, "crop_mode", ""), "center-floor"));
    if (!json_is_null(crop) && !get_size(crop, &r->crop_height, &r->crop_width)) return false;
    r->bgr = !strcmp(order, "bgr");
    r->ignore_exif = !strcmp(text_of(o, "exif", "apply"), "ignore");
    if (json_is_string(scale) && !strcmp(json_string_value(scale), "1/255")) r->scale = 1.0 / 255.0;
    else if (!get_number(scale, &r->scale)) return false;
    r->given |= GIVEN_INTERP | GIVEN_ORDER | GIVEN_SCALE | GIVEN_EXIF;
    return get_interp(json_object_get(o, "interpolation"), &r->interp) &&
           get_values(json_object_get(o, "mean"), json_object_get(o, "std"), r);
}

// ---- timm ----

// timm resizes to floor(side / crop_pct): the shorter side ("center") or both ("squash").
static bool read_timm(const json_t *o, Recipe *r) {
    const json_t *size = json_object_get(o, "input_size"), *pct = json_object_get(o, "crop_pct");
    const json_t *mean = json_object_get(o, "mean"), *std = json_object_get(o, "std");
    const char *mode = text_of(o, "crop_mode", "center");
    double share = 0.875;
    int h, w;
    if (json_array_size(size) != 3 || !get_side(json_array_get(size, 1), &h) || !get_side(json_array_get(size, 2), &w))
        return false;
    if (pct && !json_is_null(pct) && !get_number(pct, &share)) return false;
    if (share < 0.01 || share > 10 || (strcmp(mode, "center") && strcmp(mode, "squash"))) return false;
    double rh = floor(h / share), rw = floor(w / share);
    if (rh < 1 || rw < 1 || rh > RECIPE_MAX_SIDE || rw > RECIPE_MAX_SIDE) return false;
    bool squash = !strcmp(mode, "squash") || h != w;             // timm has no proportional resize to h x w
    set_resize(r, squash ? RESIZE_WARP : RESIZE_SHORTER, (int)rh, (int)rw);
    set_crop(r, h, w, false);
    r->interp = INTERP_BICUBIC;                                  // timm's defaults
    const json_t *interp = json_object_get(o, "interpolation");
    if (interp && !get_interp(interp, &r->interp)) return false;
    r->scale = 1.0 / 255.0;
    r->given |= GIVEN_INTERP | GIVEN_ORDER | GIVEN_SCALE;
    return (!mean && !std) || get_values(mean, std, r);
}

// ---- Hugging Face ----

// ConvNext: below 384 enlarged by crop_pct, then cropped; else warped.
static bool read_convnext(const json_t *o, int side, Recipe *r) {
    double share = 224.0 / 256.0;
    const json_t *pct = json_object_get(o, "crop_pct");
    if (pct && !json_is_null(pct) && !get_number(pct, &share)) return false;
    if (share < 0.01 || share > 10) return false;
    if (side >= 384) set_resize(r, RESIZE_WARP, side, side);
    else set_resize(r, RESIZE_SHORTER, (int)(side / share), 0);
    set_crop(r, side < 384 ? side : 0, side < 384 ? side : 0, true);
    return r->resize_height >= 1;
}

static bool is_true(const json_t *o, const char *key, bool otherwise) {
    const json_t *v = json_object_get(o, key);
    return v ? json_is_true(v) : otherwise;
}

static bool read_hf_sizes(const json_t *o, Recipe *r) {
    const json_t *size = json_object_get(o, "size"), *crop = json_object_get(o, "crop_size");
    const char *type = text_of(o, "image_processor_type", text_of(o, "feature_extractor_type", ""));
    bool crops = is_true(o, "do_center_crop", false), resizes = is_true(o, "do_resize", true);
    int h, w, shortest = 0;
    get_side(json_object_get(size, "shortest_edge"), &shortest);
    if (resizes && !strncmp(type, "ConvNext", 8))
        return (shortest || get_side(size, &shortest)) && read_convnext(o, shortest, r);
    set_crop(r, 0, 0, true);
    if (crops && !get_size(crop ? crop : size, &r->crop_height, &r->crop_width)) return false;
    if (!resizes) set_resize(r, RESIZE_NONE, 0, 0);
    else if (shortest) set_resize(r, RESIZE_SHORTER, shortest, 0);
    else if (!get_size(size, &h, &w)) return false;
    else if (crops && json_is_integer(size)) set_resize(r, RESIZE_SHORTER, h, 0);
    else set_resize(r, RESIZE_WARP, h, w);
    return true;
}

static bool read_hf(const json_t *o, Recipe *r) {
    if (!read_hf_sizes(o, r)) return false;
    const json_t *resample = json_object_get(o, "resample"), *factor = json_object_get(o, "rescale_factor");
    r->interp = INTERP_BILINEAR;
    if (resample && !get_interp(resample, &r->interp)) return false;
    r->given |= GIVEN_INTERP | GIVEN_ORDER | GIVEN_SCALE;
    r->bgr = is_true(o, "do_flip_channel_order", false);
    r->scale = is_true(o, "do_rescale", true) ? 1.0 / 255.0 : 1.0;
    if (factor && r->scale != 1.0 && !get_number(factor, &r->scale)) return false;
    if (is_true(o, "do_normalize", true))
        return get_values(json_object_get(o, "image_mean"), json_object_get(o, "image_std"), r);
    set_range(r, r->scale, 0, 1);
    return true;
}

// ---- Ultralytics and ONNX's own ----

static bool read_ultralytics(const Model *m, Recipe *r) {
    const char *size = model_meta(m, "imgsz");
    int h, w, n = sscanf(size, " [%d , %d ]", &h, &w);
    if (n != 2) n = sscanf(size, "%d", &h), w = h;
    if (n < 1 || h != w || h < 1 || h > RECIPE_MAX_SIDE) return false;
    set_resize(r, RESIZE_SHORTER, h, 0);
    set_crop(r, h, h, false);
    set_range(r, 1.0 / 255.0, 0, 1);
    r->interp = INTERP_BILINEAR;
    r->given |= GIVEN_INTERP | GIVEN_ORDER;
    return true;
}

typedef struct Range { const char *name; double scale, mean, std; } Range;
static const Range ranges[] = {
    {"NominalRange_0_255", 1, 0, 1}, {"Normalized_0_1", 1.0 / 255.0, 0, 1}, {"Normalized_1_1", 1.0 / 255.0, 0.5, 0.5}};

static bool read_image_keys(const Model *m, Recipe *r) {
    const char *format = model_meta(m, "Image.BitmapPixelFormat"), *range = model_meta(m, "Image.NominalPixelRange");
    if (format) {
        r->bgr = !strncasecmp(format, "bgr", 3);
        if (!r->bgr && strncasecmp(format, "rgb", 3) && strncasecmp(format, "gray", 4)) return false;
        r->given |= GIVEN_ORDER;
    }
    if (!range) return true;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (!strcasecmp(range, ranges[i].name)) {
            set_range(r, ranges[i].scale, ranges[i].mean, ranges[i].std);
            return true;
        }
    return false;
}

// ---- the order ----

typedef bool JsonReader(const json_t *o, Recipe *r);

static bool try_json(Cx *cx, const char *source, const json_t *o, JsonReader *read, Recipe *r) {
    if (read(o, r)) return r->source = source, true;
    *r = (Recipe){0};
    cx_note(cx, "how images are prepared cannot be read from the model's %s: ignored", source);
    return false;
}

static bool try_key(Cx *cx, const Model *m, const char *key, JsonReader *read, Recipe *r) {
    const char *text = model_meta(m, key);
    return text && try_json(cx, key, json_text(cx, text, strlen(text)), read, r);
}

typedef bool MetaReader(const Model *m, Recipe *r);

static bool try_meta(Cx *cx, const Model *m, const char *source, MetaReader *read, Recipe *r) {
    if (read(m, r)) return r->source = source, true;
    *r = (Recipe){0};
    cx_note(cx, "how images are prepared cannot be read from the model's %s: ignored", source);
    return false;
}

Recipe recipe_of_model(Cx *cx, const Model *m) {
    Recipe r = {0};
    if (try_key(cx, m, "tvc.preprocess", read_own, &r) || try_key(cx, m, "pretrained_cfg", read_timm, &r)) return r;
    const json_t *timm = json_object_get(sidecar_json(cx, m, "config.json"), "pretrained_cfg");
    if (timm && try_json(cx, "config.json (pretrained_cfg)", timm, read_timm, &r)) return r;
    const json_t *hf = sidecar_json(cx, m, "preprocessor_config.json");
    if (hf && try_json(cx, "preprocessor_config.json", hf, read_hf, &r)) return r;
    const char *task = model_meta(m, "task");
    if (task && !strcmp(task, "classify") && model_meta(m, "imgsz") &&
        try_meta(cx, m, "imgsz (Ultralytics)", read_ultralytics, &r))
        return r;
    if (model_meta(m, "Image.BitmapPixelFormat") || model_meta(m, "Image.NominalPixelRange"))
        try_meta(cx, m, "Image.* (ONNX image metadata)", read_image_keys, &r);
    return r;
}

// ---- writing ----

static const char *json_numbers(Cx *cx, const double *v, int n) { return cx_fmt(cx, "[%s]", numbers_text(cx, v, n)); }

const char *recipe_json(Cx *cx, const Recipe *r, const ImageInput *in) {
    static const char *const modes[] = {"none", "shorter", "warp"};
    const char *resize = r->resize == RESIZE_NONE      ? "null"
                         : r->resize == RESIZE_SHORTER ? cx_fmt(cx, "%d", r->resize_height)
                                                       : cx_fmt(cx, "[%d,%d]", r->resize_height, r->resize_width);
    const char *crop = r->crop_height ? cx_fmt(cx, "[%d,%d]", r->crop_height, r->crop_width) : "null";
    return cx_fmt(cx,
                  "{\"version\":1,\"resize\":%s,\"resize_mode\":\"%s\",\"interpolation\":\"%s\",\"antialias\":true,"
                  "\"crop\":%s,\"crop_mode\":\"%s\",\"color\":\"%s\",\"layout\":\"%s\",\"scale\":%s,\"mean\":%s,"
                  "\"std\":%s,\"exif\":\"%s\"}",
                  resize, modes[r->resize], interp_name(r->interp), crop, r->crop_floor ? "center-floor" : "center",
                  in->channels == 1 ? "grey" : r->bgr ? "bgr" : "rgb", in->nhwc ? "nhwc" : "nchw",
                  is_one_255th(r->scale) ? "\"1/255\"" : number_text(cx, r->scale), json_numbers(cx, r->mean, r->nmean),
                  json_numbers(cx, r->std, r->nstd), r->ignore_exif ? "ignore" : "apply");
}

// A mean or std as it is of pixels scaled to 0..1: with a scale of 1, 127.5 is 0.5.
static double of_unit(double scale, double v) { return is_one_255th(scale) ? v : v / (255 * scale); }

static bool all_are(double scale, const double *v, int n, double want) {
    for (int i = 0; i < n; i++)
        if (of_unit(scale, v[i]) != want) return false;
    return true;
}

static bool plain_values(const Recipe *r, double scale, double mean, double std) {
    return all_are(r->scale, r->mean, r->nmean, of_unit(scale, mean)) &&
           all_are(r->scale, r->std, r->nstd, of_unit(scale, std));
}

// The crop_pct with which timm's floor(side / crop_pct) gives this resize; 0: there is none.
static double timm_share(int crop, int resize) {
    double share = (double)crop / resize;
    for (int i = 0; i < 4; i++, share = nextafter(share, 0))
        if (floor(crop / share) == resize) return share;
    return 0;
}

static const char *timm_text(Cx *cx, const Model *m, const Recipe *r, const ImageInput *in) {
    bool squash = r->resize == RESIZE_WARP;
    int crop = r->crop_height ? r->crop_height : squash ? r->resize_height : 0;
    bool square = crop && r->crop_height == r->crop_width && (!squash || r->resize_height == r->resize_width);
    bool bgr = r->bgr && in->channels == 3;
    if (r->resize == RESIZE_NONE || !square || in->nhwc || bgr || !(r->scale > 0)) return NULL;
    double share = timm_share(crop, r->resize_height);
    if (!share || r->interp == INTERP_BOX || (r->crop_floor && crop != r->resize_height)) return NULL;
    const char *old = model_meta(m, "pretrained_cfg");           // it may hold more than the preparation
    json_t *o = old ? json_text(cx, old, strlen(old)) : NULL;
    if (!json_is_object(o)) o = json_own(cx, json_object());
    json_object_set_new(o, "input_size", json_pack("[iii]", in->channels, crop, crop));
    json_object_set_new(o, "interpolation", json_string(interp_name(r->interp)));
    json_object_set_new(o, "crop_pct", json_real(share));
    json_object_set_new(o, "crop_mode", json_string(squash ? "squash" : "center"));
    json_t *mean = json_array(), *std = json_array();
    for (int c = 0; c < in->channels; c++) {
        json_array_append_new(mean, json_real(of_unit(r->scale, r->mean[r->nmean == 1 ? 0 : c])));
        json_array_append_new(std, json_real(of_unit(r->scale, r->std[r->nstd == 1 ? 0 : c])));
    }
    json_object_set_new(o, "mean", mean);
    json_object_set_new(o, "std", std);
    return json_dump(cx, o);
}

static void write_ultralytics(Model *m, const Recipe *r, const ImageInput *in) {
    bool fits = r->resize == RESIZE_SHORTER && r->interp == INTERP_BILINEAR && r->crop_height == r->resize_height &&
                r->crop_width == r->resize_height && !r->crop_floor && !in->nhwc && in->channels == 3 && !r->bgr &&
                plain_values(r, 1.0 / 255.0, 0, 1);
    model_set_meta(m, "task", fits ? "classify" : NULL);
    model_set_meta(m, "imgsz", fits ? cx_fmt(m->cx, "[%d, %d]", in->height, in->width) : NULL);
    model_set_meta(m, "channels", fits ? "3" : NULL);
    model_set_meta(m, "stride", fits ? "1" : NULL);              // its reader wants these two, whatever they say
    model_set_meta(m, "batch", fits ? "1" : NULL);
}

// Only ranges that need no per-channel values have a name; without one the rest would mean 0..255.
static void write_image_keys(Model *m, const Recipe *r, const ImageInput *in) {
    const char *range = NULL;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (plain_values(r, ranges[i].scale, ranges[i].mean, ranges[i].std)) range = ranges[i].name;
    const char *format = in->channels == 1 ? "Gray8" : r->bgr ? "Bgr8" : "Rgb8";
    model_set_meta(m, "Image.BitmapPixelFormat", range ? format : NULL);
    model_set_meta(m, "Image.ColorSpaceGamma", range ? "SRGB" : NULL);
    model_set_meta(m, "Image.NominalPixelRange", range);
}

void recipe_to_model(Model *m, const Recipe *r, const ImageInput *in) {
    model_set_meta(m, "tvc.preprocess", recipe_json(m->cx, r, in));
    model_set_meta(m, "pretrained_cfg", timm_text(m->cx, m, r, in));
    write_ultralytics(m, r, in);
    write_image_keys(m, r, in);
}
