// classifier.c -- how an application looks at pictures with libtvcrt: no compiler, no ONNX file, no Python.
//
//     tvc compile mine.onnx -o mine.tvc
//     cc classifier.c -I/usr/include/tvc -ltvcrt -o classifier && ./classifier mine.tvc 0.449 0.226 picture.pgm ...
//
// Pictures are grey, of the model's size, as binary PGM; a value is (pixel / 255 - MEAN) / STD. For each the class with
// the highest score is printed, and the score as the model gives it.
#include "runtime/exec.h"
#include "runtime/package.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct Classifier {
    Package package;                                  // all zero: closed
    Session *session;
    int input, output, forward;                       // slots, and a function
    int64_t height, width, classes;
    float *values, *scores;                           // [height][width]; [classes]
} Classifier;

static void close_classifier(Classifier *c) {
    session_free(c->session);
    package_close(&c->package);
    free(c->values), free(c->scores);
}

static int slot_of(const Program *p, SlotRole role) {
    int i = 0;
    while (i < p->nslot && p->slots[i].role != (int32_t)role) i++;
    return i < p->nslot ? i : -1;
}

static Err open_classifier(Classifier *c, const char *path, Fault *f) {
    Err e = package_open(&c->package, path, "cpu", f);
    if (e) return e;
    const Program *p = &c->package.program;
    c->session = session_new(p, NULL, f);
    if (!c->session) return f->code;
    if ((e = session_set_batch(c->session, 1, f))) return e;
    c->input = slot_of(p, SLOT_INPUT), c->output = slot_of(p, SLOT_OUTPUT), c->forward = program_function(p, "forward");
    TensorDesc in = session_desc(c->session, c->input), out = session_desc(c->session, c->output);
    if (in.rank != 4 || in.dim[1] != 1 || in.type != DT_F32 || out.type != DT_F32)
        return fault(f, E_UNSUPPORTED, "the model's input is not [N, 1, height, width] of floats");
    c->height = in.dim[2], c->width = in.dim[3], c->classes = desc_elements(&out);
    c->values = malloc((size_t)desc_bytes(&in)), c->scores = malloc((size_t)desc_bytes(&out));
    return c->values && c->scores ? E_OK : fault(f, E_LIMIT, "out of memory");
}

static Err read_pgm(const Classifier *c, const char *path, float mean, float std, Fault *f) {
    FILE *file = fopen(path, "rb");
    int width, height, most, got = 0;
    bool fits = file && fscanf(file, "P5 %d %d %d", &width, &height, &most) == 3 && fgetc(file) != EOF && most == 255 &&
                width == c->width && height == c->height;
    for (int64_t i = 0; fits && got != EOF && i < c->width * c->height; i++) {
        got = fgetc(file);
        c->values[i] = ((float)got / 255 - mean) / std;
    }
    if (file) fclose(file);
    if (fits && got != EOF) return E_OK;
    return fault(f, E_IO, "%s: is no PGM of %d x %d grey pixels", path, (int)c->width, (int)c->height);
}

static Err classify(const Classifier *c, const char *path, Fault *f) {
    session_write(c->session, c->input, c->values);
    Err e = session_call(c->session, c->forward, f);
    if (!e) e = session_read(c->session, c->output, c->scores, f);
    if (e) return e;
    int64_t best = 0;
    for (int64_t i = 1; i < c->classes; i++)
        if (c->scores[i] > c->scores[best]) best = i;
    printf("%s: class %d, score %.5f\n", path, (int)best, (double)c->scores[best]);
    return E_OK;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: %s PACKAGE.tvc MEAN STD PICTURE.pgm ...\n", argv[0]);
        return E_USAGE;
    }
    Classifier c = {0};
    Fault f;
    Err e = open_classifier(&c, argv[1], &f);
    for (int i = 4; !e && i < argc; i++) {
        e = read_pgm(&c, argv[i], strtof(argv[2], NULL), strtof(argv[3], NULL), &f);
        if (!e) e = classify(&c, argv[i], &f);
    }
    if (e) fprintf(stderr, "%s\n", f.text);
    close_classifier(&c);
    return (int)e;
}
