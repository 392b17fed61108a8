// images_tool.c -- lets tests/images.py drive data/.
//   decode CHANNELS apply|ignore FILE
//   prepare CHANNELS HEIGHT WIDTH nchw|nhwc [name=value ...] FILE     (answers with float32, as if H x W x C)
//   resize FILTER fx fy fw fh WIDTH HEIGHT px py pw ph FILE
#include "data/recipe.h"
#include "serve.h"

typedef struct Tool { Image image, resized; Resizer resizer; Scratch scratch; } Tool;

static Err do_decode(void *tool, char *args, Fault *f) {
    Tool *t = tool;
    int channels, at = 0;
    char exif[16];
    if (sscanf(args, "%d %15s %n", &channels, exif, &at) != 2) return fault(f, E_USAGE, "bad command");
    ImageOptions o = {channels, !strcmp(exif, "ignore")};
    if (image_load(args + at, &o, &t->image, f)) return f->code;
    answer_image(&t->image);
    return E_OK;
}

static Err do_resize(void *tool, char *args, Fault *f) {
    Tool *t = tool;
    char filter[16];
    Box from, part;
    int width, height, at = 0;
    Interp how;
    if (sscanf(args, "%15s %d %d %d %d %d %d %d %d %d %d %n", filter, &from.x, &from.y, &from.width, &from.height,
               &width, &height, &part.x, &part.y, &part.width, &part.height, &at) != 11 || !interp_find(filter, &how))
        return fault(f, E_USAGE, "bad command");
    ImageOptions o = {0, true};
    if (image_load(args + at, &o, &t->image, f)) return f->code;
    if (image_resize(&t->resizer, &t->image, from, width, height, how, part, &t->resized, f)) return f->code;
    answer_image(&t->resized);
    return E_OK;
}

// Options between brackets, as the command line would have given them.
typedef struct Job { Cx *cx; char *options; ImageInput in; Preparer prepared; } Job;

static void complete(void *arg) {
    Job *j = arg;
    Recipe r = {0}, options = {0};
    for (char *s = strtok(j->options, " "); s; s = strtok(NULL, " ")) {
        char *value = strchr(s, '=');
        if (!value) fail(j->cx, E_USAGE, "no value for %s", s);
        *value = 0;
        if (!recipe_option(j->cx, &options, s, value + 1)) fail(j->cx, E_USAGE, "no option %s", s);
    }
    recipe_complete(j->cx, &r, &options, &j->in);
    preparer_init(&j->prepared, &r, &j->in);
}

static Err do_prepare(void *tool, char *args, Fault *f) {
    Tool *t = tool;
    Job j = {0};
    char layout[8], *close = strchr(args, ']');
    int at = 0;
    if (!close || sscanf(args, "%d %d %d %7s [%n", &j.in.channels, &j.in.height, &j.in.width, layout, &at) != 4)
        return fault(f, E_USAGE, "bad command");
    *close = 0;
    j.options = args + at;
    j.in.nhwc = !strcmp(layout, "nhwc");
    j.cx = cx_new();
    Err e = cx_guard(j.cx, complete, &j) ? E_OK : fault(f, j.cx->code, "%s", j.cx->error);
    cx_free(j.cx);
    if (e) return e;
    size_t bytes = preparer_size(&j.prepared);
    float *out = malloc(bytes);
    e = prepare_picture(&j.prepared, &t->scratch, &(Picture){.path = close + 2}, out, f);
    if (!e) answer(j.in.width, j.in.height, j.in.channels, out, bytes);
    free(out);
    return e;
}

static Err bad_command(void *tool, char *args, Fault *f) {
    (void)tool;
    return fault(f, E_USAGE, "unknown command %s", args);
}

int main(void) {
    static const Command commands[] = {
        {"prepare ", do_prepare}, {"decode ", do_decode}, {"resize ", do_resize}, {"", bad_command}};
    Tool t = {0};
    serve(&t, commands);
    image_free(&t.image);
    image_free(&t.resized);
    resizer_free(&t.resizer);
    scratch_free(&t.scratch);
    return 0;
}
