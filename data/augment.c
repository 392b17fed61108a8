// augment.c -- lists of random steps: what is drawn, and in which order.
#include "augment.h"
#include "transform.h"

enum { SMALL_INPUT = 64, RESIZED_CROP_TRIES = 10 };

// ---- lists ----

static const struct StepForm {
    const char *name;
    int least, most;                   // numbers in brackets
    double otherwise[STEP_NUMBERS], lo, hi;
    bool ranges;                       // "a-b" stands for two numbers
} forms[STEP_KINDS] = {
    [STEP_RESIZED_CROP] = {"resized-crop", 0, 4, {0.08, 1, 3.0 / 4, 4.0 / 3}, 1e-6, 1e6, true},
    [STEP_RESIZE] = {"resize", 1, 1, {0}, 1, RECIPE_MAX_SIDE, false},
    [STEP_CENTER_CROP] = {"center-crop", 0, 0, {0}, 0, 0, false},
    [STEP_CROP] = {"crop", 0, 0, {0}, 0, 0, false},
    [STEP_PAD] = {"pad", 1, 1, {0}, 0, 4096, false},
    [STEP_HFLIP] = {"hflip", 0, 1, {0.5}, 0, 1, false},
    [STEP_VFLIP] = {"vflip", 0, 1, {0.5}, 0, 1, false},
    [STEP_ROTATE] = {"rotate", 1, 1, {0}, 0, 180, false},
    [STEP_JITTER] = {"jitter", 1, 4, {0}, 0, 100, false},
};

typedef struct Reader { Cx *cx; const char *all, *at; } Reader;

static _Noreturn void bad_list(const Reader *r, const char *why) {
    fail(r->cx, E_USAGE, "--augment '%s': %s", cx_show(r->cx, r->all), why);
}

static ChangeKind read_name(Reader *r) {
    size_t len = strcspn(r->at, "(, ");
    for (int k = 0; k < STEP_KINDS; k++)
        if (strlen(forms[k].name) == len && !memcmp(forms[k].name, r->at, len)) {
            r->at += len;
            return (ChangeKind)k;
        }
    bad_list(r, "wants none, basic or steps such as "
                "resized-crop(0.08-1),hflip(0.5),rotate(15),jitter(0.4,0.4,0.4,0.1),pad(4)");
}

static int read_numbers(Reader *r, const struct StepForm *form, double *v) {
    int n = 0;
    if (*r->at != '(') return 0;
    do {
        char *end;
        if (n == STEP_NUMBERS) bad_list(r, cx_fmt(r->cx, "too many numbers for %s", form->name));
        v[n] = strtod(++r->at, &end);
        if (end == r->at || !(v[n] >= form->lo && v[n] <= form->hi))
            bad_list(r, cx_fmt(r->cx, "%s wants numbers from %g to %g", form->name, form->lo, form->hi));
        r->at = end + strspn(end, " ");
        n++;
    } while (*r->at == ',' || (form->ranges && n % 2 && *r->at == '-'));
    if (*r->at++ != ')') bad_list(r, "a bracket is not closed");
    return n;
}

static void check_step(const Reader *r, const Change *s, int n, const ImageInput *in) {
    const struct StepForm *form = &forms[s->kind];
    if (n < form->least || n > form->most) bad_list(r, cx_fmt(r->cx, "%d numbers for %s", n, form->name));
    bool whole = s->kind == STEP_PAD || s->kind == STEP_RESIZE;
    if (whole && s->v[0] != floor(s->v[0])) bad_list(r, "pixels are whole numbers");
    if (s->kind == STEP_RESIZE && (s->v[0] < in->width || s->v[0] < in->height))
        bad_list(r, cx_fmt(r->cx, "resize to less than the model's %d x %d pixels", in->height, in->width));
    if (s->kind == STEP_RESIZED_CROP && (n % 2 || s->v[0] > s->v[1] || s->v[1] > 1 || s->v[2] > s->v[3]))
        bad_list(r, "resized-crop wants shares of the area such as 0.08-1, and perhaps proportions such as 0.75-1.33");
    if (s->kind == STEP_JITTER && s->v[3] > 0.5) bad_list(r, "the hue turns by 0.5 at most");
}

static Change read_step(Reader *r, const ImageInput *in) {
    Change s = {.kind = read_name(r)};
    const struct StepForm *form = &forms[s.kind];
    memcpy(s.v, form->otherwise, sizeof s.v);
    check_step(r, &s, read_numbers(r, form, s.v), in);
    return s;
}

Augment augment_parse(Cx *cx, const char *text, const ImageInput *in) {
    Augment a = {0};
    bool small = in->width <= SMALL_INPUT && in->height <= SMALL_INPUT;
    if (!strcmp(text, "none")) return a;
    if (!strcmp(text, "basic")) text = small ? "pad(4),crop,hflip(0.5)" : "resized-crop(0.5-1),hflip(0.5)";
    Reader r = {cx, text, text};
    for (;; r.at++) {
        r.at += strspn(r.at, " ");
        if (a.n == AUGMENT_STEPS) bad_list(&r, "too many steps");
        Change s = a.step[a.n++] = read_step(&r, in);
        a.sizes = a.sizes || s.kind == STEP_RESIZED_CROP || s.kind == STEP_RESIZE;
        r.at += strspn(r.at, " ");
        if (!*r.at) return a;
        if (*r.at != ',') bad_list(&r, "a comma is missing between steps");
    }
}

static int numbers_shown(const Change *s) { return s->kind == STEP_RESIZED_CROP ? 4 : forms[s->kind].most; }

const char *augment_text(Cx *cx, const Augment *a) {
    const char *all = "";
    for (int i = 0; i < a->n; i++) {
        const Change *s = &a->step[i];
        all = cx_fmt(cx, "%s%s%s", all, i ? "," : "", forms[s->kind].name);
        int n = numbers_shown(s);
        for (int k = 0; k < n; k++) {
            const char *before = k == 0 ? "(" : forms[s->kind].ranges && k % 2 ? "-" : ",";
            all = cx_fmt(cx, "%s%s%s%s", all, before, number_text(cx, s->v[k]), k + 1 == n ? ")" : "");
        }
    }
    return a->n ? all : "none";
}

// ---- drawing ----

Box resized_crop_box(Draw *d, const double area[2], const double ratio[2], int width, int height) {
    double log_lo = log(ratio[0]), log_hi = log(ratio[1]), whole = (double)width * height;
    for (int i = 0; i < RESIZED_CROP_TRIES; i++) {
        double target = whole * draw_between(d, area[0], area[1]), aspect = exp(draw_between(d, log_lo, log_hi));
        double w = nearbyint(sqrt(target * aspect)), h = nearbyint(sqrt(target / aspect));
        if (w < 1 || h < 1 || w > width || h > height) continue;
        int top = (int)draw_below(d, height - (int)h + 1), left = (int)draw_below(d, width - (int)w + 1);
        return (Box){left, top, (int)w, (int)h};
    }
    double have = (double)width / height;                        // too long an image: the most of its middle
    int w = have > ratio[1] ? (int)nearbyint(height * ratio[1]) : width;
    int h = have < ratio[0] ? (int)nearbyint(width / ratio[0]) : height;
    if (w < 1) w = 1;
    if (h < 1) h = 1;
    return (Box){(width - w) / 2, (height - h) / 2, w, h};
}

// ---- doing ----

typedef struct Work {
    const Preparer *p;
    Draw *draw;
    AugmentScratch *s;
    const Image *now;
    Fault *f;
} Work;

static Image *other(const Work *w) { return w->now == &w->s->a ? &w->s->b : &w->s->a; }

// The image to be changed in place: never the caller's.
static Image *own(Work *w) {
    Image *to = other(w);
    if (w->now == &w->s->a || w->now == &w->s->b) return (Image *)w->now;
    if (image_copy(w->now, to, w->f)) return NULL;
    w->now = to;
    return to;
}

static Err resized(Work *w, Box from, int width, int height) {
    Image *to = other(w);
    Box all = {0, 0, width, height};
    Err e = image_resize(&w->s->resizer, w->now, from, width, height, w->p->recipe.interp, all, to, w->f);
    w->now = to;
    return e;
}

static Err windowed(Work *w, Box window) {
    Image *to = other(w);
    Err e = image_window(w->now, window, to, w->f);
    w->now = to;
    return e;
}

static Err do_resized_crop(Work *w, const Change *s) {
    Box box = resized_crop_box(w->draw, s->v, s->v + 2, w->now->width, w->now->height);
    return resized(w, box, w->p->in.width, w->p->in.height);
}

static Err do_resize(Work *w, const Change *s) {
    int width, height;
    Recipe shorter = {.resize = RESIZE_SHORTER, .resize_height = (int)s->v[0]};
    if (resized_size(&shorter, w->now, &width, &height, w->f)) return w->f->code;
    return resized(w, (Box){0, 0, w->now->width, w->now->height}, width, height);
}

static Err do_center_crop(Work *w, const Change *s) {
    (void)s;
    return windowed(w, center_box(w->now->width, w->now->height, w->p->in.width, w->p->in.height, false));
}

static Box crop_box(Draw *draw, int width, int height, const ImageInput *in) {
    int down = height - in->height, across = width - in->width;
    int top = down > 0 ? (int)draw_below(draw, down + 1) : down / 2;             // too small: black around it
    int left = across > 0 ? (int)draw_below(draw, across + 1) : across / 2;
    return (Box){left, top, in->width, in->height};
}

static Err do_crop(Work *w, const Change *s) {
    (void)s;
    return windowed(w, crop_box(w->draw, w->now->width, w->now->height, &w->p->in));
}

static Box pad_box(int width, int height, const Change *s) {
    int n = (int)s->v[0];
    return (Box){-n, -n, width + 2 * n, height + 2 * n};
}

static Err do_pad(Work *w, const Change *s) { return windowed(w, pad_box(w->now->width, w->now->height, s)); }

static bool flips(Draw *draw, const Change *s) { return draw_between(draw, 0, 1) < s->v[0]; }

static Err flip(Work *w, const Change *s, void (*how)(Image *)) {
    if (!flips(w->draw, s)) return E_OK;
    Image *im = own(w);
    if (im) how(im);
    return im ? E_OK : w->f->code;
}

static Err do_hflip(Work *w, const Change *s) { return flip(w, s, image_flip_across); }
static Err do_vflip(Work *w, const Change *s) { return flip(w, s, image_flip_down); }

static Err do_rotate(Work *w, const Change *s) {
    Image *to = other(w);
    Err e = image_rotate(w->now, draw_between(w->draw, -s->v[0], s->v[0]), to, w->f);
    w->now = to;
    return e;
}

// All four are drawn whatever their strengths, then done in a random order.
static Err do_jitter(Work *w, const Change *s) {
    static void (*const change[])(Image *, double) = {image_brightness, image_contrast, image_saturation, image_hue};
    int order[4] = {0, 1, 2, 3};
    double by[4];
    for (int i = 3; i > 0; i--) {
        int k = (int)draw_below(w->draw, i + 1), t = order[i];
        order[i] = order[k], order[k] = t;
    }
    for (int i = 0; i < 4; i++) {
        double lo = i == 3 ? -s->v[i] : fmax(0, 1 - s->v[i]), hi = i == 3 ? s->v[i] : 1 + s->v[i];
        by[i] = draw_between(w->draw, lo, hi);
    }
    Image *im = own(w);
    for (int i = 0; i < 4 && im; i++)
        if (s->v[order[i]] > 0) change[order[i]](im, by[order[i]]);
    return im ? E_OK : w->f->code;
}

Err augment_apply(const Augment *a, int to, const Preparer *p, Draw *draw, AugmentScratch *s, const Image *in,
                  const Image **out, Fault *f) {
    static Err (*const doing[STEP_KINDS])(Work *, const Change *) = {
        [STEP_RESIZED_CROP] = do_resized_crop, [STEP_RESIZE] = do_resize, [STEP_CENTER_CROP] = do_center_crop,
        [STEP_CROP] = do_crop, [STEP_PAD] = do_pad, [STEP_HFLIP] = do_hflip, [STEP_VFLIP] = do_vflip,
        [STEP_ROTATE] = do_rotate, [STEP_JITTER] = do_jitter};
    Work w = {p, draw, s, in, f};
    for (int i = 0; i < to; i++) {
        Err e = doing[a->step[i].kind](&w, &a->step[i]);
        if (e) return e;
    }
    Err e = w.now->width != p->in.width || w.now->height != p->in.height ? do_crop(&w, NULL) : E_OK;
    *out = w.now;
    return e;
}

// ---- saying it ----

static bool only_moves(const Change *s) {
    switch (s->kind) {
    case STEP_CENTER_CROP: case STEP_CROP: case STEP_PAD: case STEP_HFLIP: case STEP_VFLIP: return true;
    default: return false;
    }
}

int augment_moves(const Augment *a) {
    bool fits = !a->sizes;                                       // has the image the input's size?
    int from = fits ? 0 : a->n;
    for (int i = 0; i < a->n; i++) {
        const Change *s = &a->step[i];
        if (s->kind == STEP_RESIZED_CROP || s->kind == STEP_CENTER_CROP || s->kind == STEP_CROP) fits = true;
        if (s->kind == STEP_RESIZE || (s->kind == STEP_PAD && s->v[0] > 0)) fits = false;
        if (from > i || !only_moves(s)) from = fits ? i + 1 : a->n;
    }
    return from;
}

typedef struct Moved { Place *down, *across; int width, height; } Moved;

static void window(Moved *m, Box box) {
    *m->down = place_window(*m->down, box.y, box.height), *m->across = place_window(*m->across, box.x, box.width);
    m->width = box.width, m->height = box.height;
}

static void move(Moved *m, const Change *s, const ImageInput *in, Draw *draw) {
    switch (s->kind) {
    case STEP_CROP: window(m, crop_box(draw, m->width, m->height, in)); break;
    case STEP_CENTER_CROP: window(m, center_box(m->width, m->height, in->width, in->height, false)); break;
    case STEP_PAD: window(m, pad_box(m->width, m->height, s)); break;
    case STEP_HFLIP:
        if (flips(draw, s)) *m->across = place_flip(*m->across, m->width);
        break;
    case STEP_VFLIP:
        if (flips(draw, s)) *m->down = place_flip(*m->down, m->height);
        break;
    default: assert(false);
    }
}

void augment_place(const Augment *a, int from, const ImageInput *in, Draw *draw, Place place[2]) {
    Moved m = {&place[0], &place[1], in->width, in->height};
    place[0] = place_whole(in->height), place[1] = place_whole(in->width);
    for (int i = from; i < a->n; i++) move(&m, &a->step[i], in, draw);
    if (m.width != in->width || m.height != in->height) window(&m, crop_box(draw, m.width, m.height, in));
}

void augment_scratch_free(AugmentScratch *s) {
    image_free(&s->a);
    image_free(&s->b);
    resizer_free(&s->resizer);
}
