// recipe.c -- recipes from the command line, how they combine, and what is assumed.
#include "recipe.h"
#include <strings.h>

// ---- the model's input ----

static bool is_channels(const Dim *d) { return d->value == 1 || d->value == 3; }

static int side(const Dim *d) { return d->value > 0 && d->value <= RECIPE_MAX_SIDE ? (int)d->value : 0; }

bool image_input(const ValueInfo *v, ImageInput *out, const char **why) {
    *why = "its rank is not stated, or is not 3 or 4";
    if (v->rank != 3 && v->rank != 4) return false;
    const Dim *d = v->dim + (v->rank - 3);
    *why = "it has neither 1 nor 3 channels";
    bool first = is_channels(&d[0]), last = is_channels(&d[2]);
    if (!first && !last && d[0].value >= 0 && d[2].value >= 0) return false;
    bool nhwc = last && !first;
    if (first && last) nhwc = d[2].value == 3 && d[0].value == 1 && d[1].value != 3;
    const Dim *channels = &d[nhwc ? 2 : 0], *height = &d[nhwc ? 0 : 1], *width = &d[nhwc ? 1 : 2];
    if (channels->value >= 0 && !is_channels(channels)) return false;
    *why = "its sides are too long for a picture";
    if ((height->value >= 0 && !side(height)) || (width->value >= 0 && !side(width))) return false;
    *out = (ImageInput){channels->value > 0 ? (int)channels->value : 3, side(height), side(width), nhwc};
    *why = NULL;
    return true;
}

// ---- options ----

static const char WANTS_SIZE[] = "wants pixels: 256, or 320x240 (height x width)";
static const char WANTS_NUMBER[] = "wants a number: 0.0039, or 1/255";
static const char WANTS_NUMBERS[] = "wants numbers: 0.5, or one per channel: 0.485,0.456,0.406";

static _Noreturn void bad_value(Cx *cx, const char *name, const char *value, const char *want) {
    fail(cx, E_USAGE, "--%s '%s': %s", name, cx_show(cx, value), want);
}

static int parse_side(Cx *cx, const char *name, const char *value, const char *s, char **end) {
    long v = strtol(s, end, 10);
    if (*end == s || v < 1 || v > RECIPE_MAX_SIDE) bad_value(cx, name, value, WANTS_SIZE);
    return (int)v;
}

// "256": *width stays 0. "320x240": height x width.
static void parse_size(Cx *cx, const char *name, const char *value, int *height, int *width) {
    char *end;
    *height = parse_side(cx, name, value, value, &end);
    *width = *end == 'x' ? parse_side(cx, name, value, end + 1, &end) : 0;
    if (*end) bad_value(cx, name, value, WANTS_SIZE);
}

static double parse_number(Cx *cx, const char *name, const char *value, const char *s, char **end) {
    double v = strtod(s, end);
    if (*end != s && **end == '/') {                             // a fraction: 1/255
        const char *below = *end + 1;
        double d = strtod(below, end);
        if (*end == below || d == 0) bad_value(cx, name, value, WANTS_NUMBER);
        v /= d;
    }
    if (*end == s || !isfinite(v)) bad_value(cx, name, value, WANTS_NUMBERS);
    return v;
}

static int parse_list(Cx *cx, const char *name, const char *value, double *to) {
    const char *s = value;
    for (int n = 0; n < RECIPE_CHANNELS; n++) {
        char *end;
        to[n] = parse_number(cx, name, value, s, &end);
        if (!*end) return n + 1;
        if (*end != ',') break;
        s = end + 1;
    }
    bad_value(cx, name, value, WANTS_NUMBERS);
}

static bool parse_choice(Cx *cx, const char *name, const char *value, const char *no, const char *yes) {
    if (!strcasecmp(value, yes)) return true;
    if (!strcasecmp(value, no)) return false;
    bad_value(cx, name, value, cx_fmt(cx, "wants %s or %s", no, yes));
}

bool recipe_option(Cx *cx, Recipe *r, const char *name, const char *value) {
    if (!strcmp(name, "preset")) {
        if (strcasecmp(value, "imagenet")) bad_value(cx, name, value, "the only preset is imagenet");
        r->given |= GIVEN_PRESET;
    } else if (!strcmp(name, "resize")) {
        parse_size(cx, name, value, &r->resize_height, &r->resize_width);
        r->resize = r->resize_width ? RESIZE_WARP : RESIZE_SHORTER;
        r->given |= GIVEN_RESIZE;
    } else if (!strcmp(name, "crop")) {
        parse_size(cx, name, value, &r->crop_height, &r->crop_width);
        if (!r->crop_width) r->crop_width = r->crop_height;
        r->given |= GIVEN_CROP;
    } else if (!strcmp(name, "interpolation")) {
        if (!interp_find(value, &r->interp))
            bad_value(cx, name, value, "wants nearest, bilinear, bicubic, lanczos, box or hamming");
        r->given |= GIVEN_INTERP;
    } else if (!strcmp(name, "order")) {
        r->bgr = parse_choice(cx, name, value, "rgb", "bgr");
        r->given |= GIVEN_ORDER;
    } else if (!strcmp(name, "scale")) {
        char *end;
        r->scale = parse_number(cx, name, value, value, &end);
        if (*end) bad_value(cx, name, value, WANTS_NUMBER);
        r->given |= GIVEN_SCALE;
    } else if (!strcmp(name, "mean")) {
        r->nmean = parse_list(cx, name, value, r->mean);
        r->given |= GIVEN_MEAN;
    } else if (!strcmp(name, "std")) {
        r->nstd = parse_list(cx, name, value, r->std);
        for (int i = 0; i < r->nstd; i++)
            if ((float)r->std[i] == 0) bad_value(cx, name, value, "must not be zero: the values are divided by it");
        r->given |= GIVEN_STD;
    } else if (!strcmp(name, "exif")) {
        r->ignore_exif = parse_choice(cx, name, value, "apply", "ignore");
        r->given |= GIVEN_EXIF;
    } else return false;
    return true;
}

static void override(Recipe *r, const Recipe *over) {
    if (over->given & GIVEN_PRESET) *r = (Recipe){0};
    unsigned g = over->given;
    r->given |= g;
    if (g & GIVEN_RESIZE) {
        r->resize = over->resize;
        r->resize_height = over->resize_height, r->resize_width = over->resize_width;
    }
    if (g & GIVEN_CROP) {
        r->crop_height = over->crop_height, r->crop_width = over->crop_width;
        r->crop_floor = over->crop_floor;
    }
    if (g & GIVEN_INTERP) r->interp = over->interp;
    if (g & GIVEN_ORDER) r->bgr = over->bgr;
    if (g & GIVEN_SCALE) r->scale = over->scale;
    if (g & GIVEN_MEAN) r->nmean = over->nmean, memcpy(r->mean, over->mean, sizeof r->mean);
    if (g & GIVEN_STD) r->nstd = over->nstd, memcpy(r->std, over->std, sizeof r->std);
    if (g & GIVEN_EXIF) r->ignore_exif = over->ignore_exif;
}

// ---- completing ----

enum { USUAL_SIDE = 224 };
static const double USUAL_SHARE = 0.875;         // of the resized image that the crop keeps
static const double IMAGENET_MEAN[] = {0.485, 0.456, 0.406}, IMAGENET_STD[] = {0.229, 0.224, 0.225};
// For grey models the average over the colours, which is what a first convolution summed over RGB expects.
static const double GREY_MEAN = 0.449, GREY_STD = 0.226;

static void complete_input_size(Cx *cx, const Recipe *r, ImageInput *in) {
    if (in->height && in->width) return;
    int h = USUAL_SIDE, w = USUAL_SIDE;
    const char *why = "as is usual";
    if (r->given & GIVEN_RESIZE && r->resize == RESIZE_WARP)
        h = r->resize_height, w = r->resize_width, why = "as it is resized";
    if (r->given & GIVEN_CROP && r->crop_height)
        h = r->crop_height, w = r->crop_width, why = "as it is cropped";
    if (!in->height) in->height = h;
    if (!in->width) in->width = w;
    cx_note(cx, "the model takes images of any size: %d x %d is used, %s", in->height, in->width, why);
}

// Sizes that the model's metadata gives are dropped where they do not fit its input (which --shape may have changed).
static void drop_unfitting_sizes(Cx *cx, Recipe *r, const Recipe *options, const ImageInput *in) {
    bool crops = r->given & GIVEN_CROP && r->crop_height;
    int h = crops ? r->crop_height : r->resize == RESIZE_WARP ? r->resize_height : in->height;
    int w = crops ? r->crop_width : r->resize == RESIZE_WARP ? r->resize_width : in->width;
    if (!r->source || (options->given & (GIVEN_CROP | GIVEN_RESIZE)) || (h == in->height && w == in->width)) return;
    cx_note(cx, "%s prepares images of %d x %d, but the input is %d x %d: its resize and crop are not used", r->source,
            h, w, in->height, in->width);
    r->given &= ~(unsigned)(GIVEN_RESIZE | GIVEN_CROP);
}

static void complete_sizes(Cx *cx, Recipe *r, const ImageInput *in) {
    if (!(r->given & GIVEN_CROP)) {
        r->crop_height = in->height, r->crop_width = in->width;
        r->crop_floor = false;
    }
    if (!(r->given & GIVEN_RESIZE)) {
        int longest = r->crop_height > r->crop_width ? r->crop_height : r->crop_width;
        if (!longest) longest = in->height > in->width ? in->height : in->width;
        r->resize = RESIZE_SHORTER;
        r->resize_height = (int)nearbyint(longest / USUAL_SHARE);
        r->resize_width = 0;
    }
    int h = r->crop_height, w = r->crop_width;
    if (!h && r->resize == RESIZE_WARP) h = r->resize_height, w = r->resize_width;
    if (h && (h != in->height || w != in->width))
        fail(cx, E_USAGE, "the recipe makes images of %d x %d, but the model takes %d x %d: say --crop %d%s", h, w,
             in->height, in->width, in->height,
             in->height == in->width ? "" : cx_fmt(cx, "x%d", in->width));
}

// One value per channel, or one for all; a grey model's is the average over the colours.
static void fit_values(Cx *cx, const char *name, double *v, int *n, int channels) {
    if (*n == 1 || *n == channels) return;
    if (channels != 1 || *n != 3) fail(cx, E_USAGE, "%d values of --%s for a model of %d channels", *n, name, channels);
    v[0] = (v[0] + v[1] + v[2]) / 3;
    *n = 1;
    cx_note(cx, "the model takes grey images: the average of the three values of %s is used", name);
}

static void complete_values(Recipe *r, int channels) {
    if (!(r->given & GIVEN_INTERP)) r->interp = INTERP_BILINEAR;
    if (!(r->given & GIVEN_ORDER)) r->bgr = false;
    if (!(r->given & GIVEN_SCALE)) r->scale = 1.0 / 255.0;
    if (!(r->given & GIVEN_EXIF)) r->ignore_exif = false;
    if (!(r->given & GIVEN_MEAN)) r->nmean = channels;
    if (!(r->given & GIVEN_STD)) r->nstd = channels;
    for (int c = 0; c < channels; c++) {
        int k = r->bgr ? 2 - c : c;
        if (!(r->given & GIVEN_MEAN)) r->mean[c] = channels == 1 ? GREY_MEAN : IMAGENET_MEAN[k];
        if (!(r->given & GIVEN_STD)) r->std[c] = channels == 1 ? GREY_STD : IMAGENET_STD[k];
    }
}

// What nobody had said, for people.
static void note_assumptions(Cx *cx, const Recipe *r, unsigned given, const ImageInput *in) {
    if (given & GIVEN_PRESET) return;
    const char *what = "";
    if (!(given & GIVEN_RESIZE)) what = cx_fmt(cx, "%s, shorter side to %d", what, r->resize_height);
    if (!(given & GIVEN_CROP)) what = cx_fmt(cx, "%s, centre crop %d x %d", what, r->crop_height, r->crop_width);
    if (!(given & GIVEN_INTERP)) what = cx_fmt(cx, "%s, bilinear", what);
    if (!(given & GIVEN_ORDER) && in->channels == 3) what = cx_fmt(cx, "%s, RGB", what);
    if (!(given & GIVEN_SCALE)) what = cx_fmt(cx, "%s, scale 1/255", what);
    const char *grey = in->channels == 1 ? " (its average, for grey)" : "";
    if (!(given & GIVEN_MEAN)) what = cx_fmt(cx, "%s, ImageNet's mean%s", what, grey);
    if (!(given & GIVEN_STD)) what = cx_fmt(cx, "%s, ImageNet's std%s", what, grey);
    if (*what) cx_note(cx, "image preparation assumed, since neither model nor options say: %s", what + 2);
}

void recipe_complete(Cx *cx, Recipe *r, const Recipe *options, ImageInput *in) {
    override(r, options);
    complete_input_size(cx, r, in);
    drop_unfitting_sizes(cx, r, options, in);
    unsigned given = r->given;
    complete_sizes(cx, r, in);
    fit_values(cx, "mean", r->mean, given & GIVEN_MEAN ? &r->nmean : &(int){1}, in->channels);
    fit_values(cx, "std", r->std, given & GIVEN_STD ? &r->nstd : &(int){1}, in->channels);
    complete_values(r, in->channels);
    note_assumptions(cx, r, given, in);
    r->given = ~0u;
}

// ---- showing ----

const char *number_text(Cx *cx, double v) {
    for (int digits = 6; digits < 17; digits++) {
        char *s = cx_fmt(cx, "%.*g", digits, v);
        if (strtod(s, NULL) == v) return s;
    }
    return cx_fmt(cx, "%.17g", v);
}

const char *numbers_text(Cx *cx, const double *v, int n) {
    const char *s = number_text(cx, v[0]);
    for (int i = 1; i < n; i++) s = cx_fmt(cx, "%s,%s", s, number_text(cx, v[i]));
    return s;
}

const char *recipe_text(Cx *cx, const Recipe *r, const ImageInput *in) {
    const char *resize = r->resize == RESIZE_NONE      ? "as is"
                         : r->resize == RESIZE_SHORTER ? cx_fmt(cx, "resize %d", r->resize_height)
                                                       : cx_fmt(cx, "resize %dx%d", r->resize_height, r->resize_width);
    const char *crop = r->crop_height ? cx_fmt(cx, ", crop %dx%d", r->crop_height, r->crop_width) : "";
    const char *scale = is_one_255th(r->scale) ? "1/255" : number_text(cx, r->scale);
    return cx_fmt(cx, "%s %s%s, %s, scale %s, mean %s, std %s%s", resize, interp_name(r->interp), crop,
                  in->channels == 1 ? "grey"
                  : r->bgr          ? "bgr"
                                    : "rgb",
                  scale, numbers_text(cx, r->mean, r->nmean), numbers_text(cx, r->std, r->nstd),
                  r->ignore_exif ? ", exif ignored" : "");
}
