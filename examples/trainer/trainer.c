// trainer.c -- how an application trains with libtvcrt: no compiler, no ONNX file, no Python, one memory allocation.
//
//     tvc compile resnet50.onnx --train --replace-head 10 --batch 16 -o learner.tvc
//     cc trainer.c -I/usr/include/tvc -ltvcrt -o trainer && ./trainer learner.tvc
//
// The package holds four functions over one set of slots. `features` takes the pictures to where the first trained
// parameter stands, `train_step` computes loss and gradients and updates the parameters, `forward` gives scores as
// inference does, `init` has run when the session is open. Pictures here are made up: every class is a brightness.
#include "runtime/exec.h"
#include "runtime/package.h"

#include <stdio.h>
#include <stdlib.h>

enum { STEPS = 40, CLASSES = 2 };

typedef struct Learner {
    Session *session;
    int pictures, target, loss, finite, scores;       // slots
    int features, train_step, forward;                // functions
    int64_t batch, pixels;                            // pixels: values of one picture
} Learner;

static int failed(const Fault *f) {
    fprintf(stderr, "%s\n", f->text);
    return 1;
}

static void set(const Learner *l, const char *slot, double value) {
    int i = session_slot(l->session, slot);
    if (i >= 0) session_write(l->session, i, &value);
}

static int find(Learner *l, const Program *p) {
    l->pictures = 0;                                  // the model's first input is the first slot
    l->target = session_slot(l->session, "tvc.target"), l->loss = session_slot(l->session, "tvc.loss");
    l->finite = session_slot(l->session, "tvc.finite"), l->scores = session_slot(l->session, "tvc.eval");
    l->features = program_function(p, "features"), l->train_step = program_function(p, "train_step");
    l->forward = program_function(p, "forward");
    TensorDesc d = session_desc(l->session, l->pictures);
    l->batch = p->max_batch, l->pixels = desc_elements(&d) / p->max_batch;
    return l->target >= 0 && l->loss >= 0 && l->finite >= 0 && l->scores >= 0 && l->train_step >= 0;
}

// What is written and read below has room for nothing else.
static int fits(const Learner *l) {
    TensorDesc pictures = session_desc(l->session, l->pictures), target = session_desc(l->session, l->target),
               scores = session_desc(l->session, l->scores);
    return pictures.type == DT_F32 && target.type == DT_I64 && desc_elements(&target) == l->batch &&
           scores.type == DT_F32 && desc_elements(&scores) == CLASSES * l->batch;
}

// A batch of pictures, with the class of each.
static void draw(const Learner *l, float *pictures, int64_t *target, unsigned *seed) {
    for (int64_t i = 0; i < l->batch; i++) {
        target[i] = i % CLASSES;
        for (int64_t k = 0; k < l->pixels; k++) {
            *seed = *seed * 1664525u + 1013904223u;
            pictures[i * l->pixels + k] = 0.2f * (float)(*seed >> 8) / (1 << 24) + (float)target[i];
        }
    }
    session_write(l->session, l->pictures, pictures);
    session_write(l->session, l->target, target);
}

// Rates stand in slots: they may change from step to step. `scale` is for a package made with --precision fp16: its loss
// is multiplied by it on the way back.
static Err step(const Learner *l, int number, double scale, Fault *f) {
    set(l, "tvc.step", number), set(l, "lr.0", 1e-2), set(l, "momentum.0", 0.9), set(l, "weight_decay.0", 0);
    set(l, "tvc.scale", scale);
    session_set_step(l->session, (uint64_t)number);                      // for Dropout
    Err e = session_call(l->session, l->features, f);
    return e ? e : session_call(l->session, l->train_step, f);
}

static int train(const Learner *l, float *pictures, int64_t *target) {
    unsigned seed = 1;
    double scale = 65536;
    bool scaled = session_slot(l->session, "tvc.scale") >= 0;
    for (int i = 1; i <= STEPS; i++) {
        Fault f;
        float loss, finite;
        draw(l, pictures, target, &seed);
        if (step(l, i, scale, &f)) return failed(&f);
        if (session_read(l->session, l->loss, &loss, &f) || session_read(l->session, l->finite, &finite, &f))
            return failed(&f);
        printf("step %d loss %.4f\n", i, (double)loss);
        if (finite == 0 && scaled && scale > 1) scale /= 2;              // nothing was updated: too large a scale
        else if (finite == 0) return fprintf(stderr, "the loss is no number: nothing was updated\n"), 1;
    }
    return 0;
}

// How many pictures of a new batch are named right, as inference goes.
static int try_out(const Learner *l, float *pictures, int64_t *target, float *scores) {
    Fault f;
    unsigned seed = 2;
    int right = 0;
    draw(l, pictures, target, &seed);
    if (session_call(l->session, l->features, &f) || session_call(l->session, l->forward, &f) ||
        session_read(l->session, l->scores, scores, &f))
        return failed(&f);
    for (int64_t i = 0; i < l->batch; i++) right += (scores[CLASSES * i + 1] > scores[CLASSES * i]) == (target[i] == 1);
    printf("right %d of %lld\n", right, (long long)l->batch);
    return 0;
}

int main(int argc, char **argv) {
    Package package;
    Fault f;
    if (argc != 2) return fprintf(stderr, "usage: trainer LEARNER.tvc (of two classes)\n"), 2;
    if (package_open(&package, argv[1], NULL, &f)) return failed(&f);
    Learner l = {.session = session_new(&package.program, NULL, &f)};
    if (!l.session) return failed(&f);
    if (!find(&l, &package.program)) return fprintf(stderr, "%s: was not compiled with --train\n", argv[1]), 1;
    if (!fits(&l)) return fprintf(stderr, "%s: is not for pictures of float32 in two classes\n", argv[1]), 1;
    float *pictures = malloc(sizeof *pictures * (size_t)(l.batch * l.pixels)),
          *scores = malloc(sizeof *scores * CLASSES * (size_t)l.batch);
    int64_t *target = malloc(sizeof *target * (size_t)l.batch);
    int bad = !pictures || !scores || !target || train(&l, pictures, target) || try_out(&l, pictures, target, scores);
    free(pictures), free(scores), free(target);
    session_free(l.session);
    package_close(&package);
    return bad;
}
