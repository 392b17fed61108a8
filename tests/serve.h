// serve.h -- programs that a script drives: a command a line on stdin, an answer on stdout each:
// "WIDTH HEIGHT CHANNELS BYTES\n" and the bytes, or "error CODE reason\n".
#ifndef TVC_TESTS_SERVE_H
#define TVC_TESTS_SERVE_H
#include "data/image.h"

#include <stdio.h>
#include <string.h>

static void answer(int width, int height, int channels, const void *data, size_t bytes) {
    printf("%d %d %d %zu\n", width, height, channels, bytes);
    fwrite(data, 1, bytes, stdout);
}

static void answer_image(const Image *im) {
    answer(im->width, im->height, im->channels, im->pixel,
           (size_t)im->width * (size_t)im->height * (size_t)im->channels);
}

// Each line goes to the first command whose name it begins with; "" is every line's. It gets the line, or what
// follows a name.
typedef struct Command { const char *name; Err (*run)(void *tool, char *args, Fault *f); } Command;

static void serve(void *tool, const Command *command) {
    static char line[8192];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        Fault f = {0};
        const Command *c = command;
        while (strncmp(line, c->name, strlen(c->name))) c++;
        if (c->run(tool, line + strlen(c->name), &f)) printf("error %d %s\n", (int)f.code, f.text);
        fflush(stdout);
    }
}

#endif
