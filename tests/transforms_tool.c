// transforms_tool.c -- lets tests/transforms.py drive data/.
//   NAME CHANNELS NUMBER FILE                         rotate, brightness, contrast, saturation, hue, hflip, vflip
//   window CHANNELS X Y WIDTH HEIGHT FILE
//   augment CHANNELS HEIGHT WIDTH SEED EPOCH SAMPLE LIST FILE     (recipe: shorter side to HEIGHT, centre crop)
#include "data/augment.h"
#include "data/transform.h"
#include "serve.h"

typedef struct Tool { Image in, out; Scratch scratch; AugmentScratch augment; } Tool;

static Err load(Tool *t, int channels, const char *path, Fault *f) {
    return image_load(path, &(ImageOptions){channels, true}, &t->in, f);
}

static Err do_plain(void *tool, char *line, Fault *f) {
    Tool *t = tool;
    static const struct { const char *name; void (*change)(Image *, double);
    } colour[] = {{"brightness", image_brightness},
                  {"contrast", image_contrast},
                  {"saturation", image_saturation},
                  {"hue", image_hue}};
    char name[16];
    int channels, at = 0;
    double v;
    if (sscanf(line, "%15s %d %lf %n", name, &channels, &v, &at) != 3) return fault(f, E_USAGE, "bad command");
    if (load(t, channels, line + at, f)) return f->code;
    if (!strcmp(name, "rotate")) {
        if (image_rotate(&t->in, v, &t->out, f)) return f->code;
        answer_image(&t->out);
        return E_OK;
    }
    for (int i = 0; i < 4; i++)
        if (!strcmp(name, colour[i].name)) colour[i].change(&t->in, v);
    if (!strcmp(name, "hflip")) image_flip_across(&t->in);
    if (!strcmp(name, "vflip")) image_flip_down(&t->in);
    answer_image(&t->in);
    return E_OK;
}

static Err do_window(void *tool, char *args, Fault *f) {
    Tool *t = tool;
    Box b;
    int channels, at = 0;
    if (sscanf(args, "%d %d %d %d %d %n", &channels, &b.x, &b.y, &b.width, &b.height, &at) != 5)
        return fault(f, E_USAGE, "bad command");
    if (load(t, channels, args + at, f) || image_window(&t->in, b, &t->out, f)) return f->code;
    answer_image(&t->out);
    return E_OK;
}

typedef struct Job { Cx *cx; const char *list; ImageInput in; Augment a; Preparer p; } Job;

static void parse(void *arg) {
    Job *j = arg;
    j->a = augment_parse(j->cx, j->list, &j->in);
    Augment again = augment_parse(j->cx, augment_text(j->cx, &j->a), &j->in);
    assert(!memcmp(&again, &j->a, sizeof again));
    Recipe r = {0}, options = {0};
    recipe_option(j->cx, &options, "resize", cx_fmt(j->cx, "%d", j->in.height));
    recipe_complete(j->cx, &r, &options, &j->in);
    preparer_init(&j->p, &r, &j->in);
}

static Err do_augment(void *tool, char *args, Fault *f) {
    Tool *t = tool;
    Job j = {.cx = cx_new()};
    char list[256];
    unsigned long long seed, epoch, sample;
    int at = 0;
    const Image *im = &t->in;
    if (sscanf(args, "%d %d %d %llu %llu %llu %255s %n", &j.in.channels, &j.in.height, &j.in.width, &seed, &epoch,
               &sample, list, &at) != 7)
        return fault(f, E_USAGE, "bad command");
    j.list = list;
    Err e = cx_guard(j.cx, parse, &j) ? E_OK : fault(f, j.cx->code, "%s", j.cx->error);
    cx_free(j.cx);
    if (!e) e = load(t, j.in.channels, args + at, f);
    if (!e && !j.a.sizes) e = prepare_crop(&j.p, &t->scratch, &t->in, &im, f);
    Draw d = draw_from(seed, DRAW_AUGMENT, epoch, sample);
    if (!e) e = augment_apply(&j.a, j.a.n, &j.p, &d, &t->augment, im, &im, f);
    if (!e) answer_image(im);
    return e;
}

int main(void) {
    static const Command commands[] = {{"augment ", do_augment}, {"window ", do_window}, {"", do_plain}};
    Tool t = {0};
    serve(&t, commands);
    image_free(&t.in);
    image_free(&t.out);
    scratch_free(&t.scratch);
    augment_scratch_free(&t.augment);
    return 0;
}
