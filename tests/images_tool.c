// images_tool.c -- lets tests/images.py drive data/: a command a line on stdin, answers on stdout.
//   decode CHANNELS apply|ignore FILE
//   resize FILTER fx fy fw fh WIDTH HEIGHT px py pw ph FILE
// An answer is "WIDTH HEIGHT CHANNELS BYTES\n" and the bytes, or "error CODE reason\n".
#include "data/resize.h"

typedef struct Tool { Image image, resized; Resizer resizer; } Tool;

static void answer(const Image *im) {
    size_t bytes = (size_t)im->width * (size_t)im->height * (size_t)im->channels;
    printf("%d %d %d %zu\n", im->width, im->height, im->channels, bytes);
    fwrite(im->pixel, 1, bytes, stdout);
}

static Err do_decode(Tool *t, const char *args, Fault *f) {
    int channels, at = 0;
    char exif[16];
    if (sscanf(args, "%d %15s %n", &channels, exif, &at) != 2) return fault(f, E_USAGE, "bad command");
    ImageOptions o = {channels, !strcmp(exif, "ignore")};
    if (image_load(args + at, &o, &t->image, f)) return f->code;
    answer(&t->image);
    return E_OK;
}

static Err do_resize(Tool *t, const char *args, Fault *f) {
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
    answer(&t->resized);
    return E_OK;
}

int main(void) {
    Tool t = {0};
    static char line[8192];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        Fault f = {0};
        Err e = !strncmp(line, "decode ", 7)   ? do_decode(&t, line + 7, &f)
                : !strncmp(line, "resize ", 7) ? do_resize(&t, line + 7, &f)
                                               : fault(&f, E_USAGE, "unknown command");
        if (e) printf("error %d %s\n", (int)f.code, f.text);
        fflush(stdout);
    }
    image_free(&t.image);
    image_free(&t.resized);
    resizer_free(&t.resizer);
    return 0;
}
