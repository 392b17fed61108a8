// hand_program.h -- a small Program written by hand, for tests of what loads and runs Programs.
// compile_code and remove_code are its group set-up and tear-down: they need a C compiler.
#ifndef TVC_HAND_PROGRAM_H
#define TVC_HAND_PROGRAM_H
#include "runtime/program.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// y = x * folded + bias, one sample of 4 per unit; folded = 2 * weight, made by init.
// step: bias' = bias + x[0] (of the first sample), through an update buffer.
static const char source_text[] =
    "typedef long long i64;\n"
    "typedef struct { i64 batch; int *error; unsigned long long seed, step; } Ctx;\n"
    "int calls;\n"
    "#define K(name) __attribute__((visibility(\"default\"))) void name(i64 lo, i64 hi, void *const *b, const Ctx *c)\n"
    "K(fold) { float *o = b[0]; const float *w = b[1]; (void)c; for (i64 i = lo; i < hi; i++) o[i] = 2 * w[i]; }\n"
    "K(apply) { float *y = b[0]; const float *x = b[1], *f = b[2], *s = b[3]; (void)c;\n"
    "  for (i64 n = lo; n < hi; n++) for (int i = 0; i < 4; i++) y[4 * n + i] = x[4 * n + i] * f[i] + s[i]; }\n"
    "K(learn) { float *o = b[0]; const float *x = b[1], *s = b[2]; (void)c;\n"
    "  for (i64 i = lo; i < hi; i++) o[i] = s[i] + x[0]; }\n"
    "K(pick) { float *y = b[0]; const float *x = b[1]; (void)lo, (void)hi;\n"
    "  int i = (int)x[0]; if (i < 0 || i > 3) *c->error = 1, i = 0; y[0] = x[i]; }\n"
    "K(count) { i64 *y = b[0]; (void)lo, (void)hi; y[0] = ++calls; y[1] = c->batch; y[2] = c->seed; y[3] = c->step; }\n";

enum { BATCH = 6 };
enum { X, Y, FOLDED, WEIGHT, BIAS, BIAS_NEXT, COUNTS, NBUFFERS };
static char text[] = "\0fold\0apply\0learn\0pick\0count\0init\0forward\0train\0odd\0x\0y\0w\0bias\0counts"
                     "\0cuda:sm_80\0cuda:sm_90\0cuda:compute_75";
static int32_t at(const char *word) {
    for (int i = 1; i < (int)sizeof text; i += (int)strlen(text + i) + 1)
        if (!strcmp(text + i, word)) return i;
    abort();
}

static char folder[] = "/tmp/tvc-test-XXXXXX", library[64];
static float weight[4] = {1, 2, 3, 4}, bias[4] = {10, 20, 30, 40};

typedef struct Fixture {
    Program p;
    Buffer buffers[NBUFFERS];
    int32_t refs[20];
    TensorDesc descs[20];
    Step steps[5];
    Slot slots[5];
    Function functions[4];
    const void *weights[5];
} Fixture;

static TensorDesc floats(int64_t batch, int64_t n) {
    return batch ? (TensorDesc){.type = DT_F32, .rank = 2, .batch = 1, .dim = {batch, n}}
                 : (TensorDesc){.type = DT_F32, .rank = 1, .dim = {n}};
}

static void add_step(Fixture *f, const char *name, int64_t units, int per_batch, int nref, const int *refs) {
    Program *p = &f->p;
    p->steps[p->nstep++] = (Step){.kind = STEP_CODE, .entry = at(name), .label = at(name), .units = units,
                                  .per_batch = per_batch, .ref = p->nref, .nref = nref, .nwritten = 1};
    for (int i = 0; i < nref; i++) p->refs[p->nref++] = refs[i];
}
#define STEP(f, name, units, per_batch, ...) \
    add_step(f, name, units, per_batch, sizeof((int[]){__VA_ARGS__}) / sizeof(int), (int[]){__VA_ARGS__})

static void add_slot(Fixture *f, const char *name, SlotRole role, int buffer, int update, TensorDesc d, const void *bytes) {
    Program *p = &f->p;
    f->weights[p->nslot] = bytes;
    p->slots[p->nslot++] = (Slot){.name = at(name), .role = role, .buffer = buffer, .update = update, .desc = d, .weight = -1};
}

static void make_program(Fixture *f) {
    *f = (Fixture){0};
    int64_t sample = 4 * sizeof(float) * BATCH;
    f->buffers[X] = (Buffer){.offset = 0, .bytes = sample, .space = SPACE_ARENA};
    f->buffers[Y] = (Buffer){.offset = 128, .bytes = sample, .space = SPACE_ARENA};
    f->buffers[BIAS_NEXT] = (Buffer){.offset = 256, .bytes = 16, .space = SPACE_ARENA};
    f->buffers[COUNTS] = (Buffer){.offset = 320, .bytes = 32, .space = SPACE_ARENA};
    f->buffers[FOLDED] = (Buffer){.offset = 0, .bytes = 16, .space = SPACE_KEEP};
    f->buffers[BIAS] = (Buffer){.offset = 64, .bytes = 16, .space = SPACE_KEEP};
    f->buffers[WEIGHT] = (Buffer){.offset = 2, .bytes = 16, .space = SPACE_WEIGHT};
    f->p = (Program){
        .arena_bytes = 352, .keep_bytes = 80, .max_batch = BATCH, .nbuffer = NBUFFERS, .nfunction = 4,
        .ntext = sizeof text, .text = text, .code_path = library, .buffers = f->buffers, .refs = f->refs,
        .descs = f->descs, .steps = f->steps, .slots = f->slots, .functions = f->functions, .weights = f->weights,
    };
    STEP(f, "fold", 4, 0, FOLDED, WEIGHT);
    STEP(f, "apply", BATCH, 1, Y, X, FOLDED, BIAS);
    STEP(f, "count", 1, 0, COUNTS);
    STEP(f, "learn", 4, 0, BIAS_NEXT, X, BIAS);
    STEP(f, "pick", 1, 0, Y, X);
    add_slot(f, "x", SLOT_INPUT, X, -1, floats(BATCH, 4), NULL);
    add_slot(f, "y", SLOT_OUTPUT, Y, -1, floats(BATCH, 4), NULL);
    add_slot(f, "w", SLOT_WEIGHT, WEIGHT, -1, floats(0, 4), weight);
    add_slot(f, "bias", SLOT_PARAM, BIAS, BIAS_NEXT, floats(0, 4), bias);
    add_slot(f, "counts", SLOT_VALUE, COUNTS, -1, (TensorDesc){.type = DT_I64, .rank = 1, .dim = {4}}, NULL);
    f->functions[0] = (Function){.name = at("init"), .from = 0, .to = 1};
    f->functions[1] = (Function){.name = at("forward"), .from = 1, .to = 3};
    f->functions[2] = (Function){.name = at("train"), .from = 3, .to = 4};
    f->functions[3] = (Function){.name = at("odd"), .from = 4, .to = 5};
}

static int compile_code(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    char source[64], command[256];
    snprintf(source, sizeof source, "%s/code.c", folder);
    snprintf(library, sizeof library, "%s/code.so", folder);
    snprintf(command, sizeof command, "cc -shared -fPIC -O1 -o %s %s", library, source);
    FILE *file = fopen(source, "w");
    return !file || fputs(source_text, file) < 0 || fclose(file) || system(command);
}

static int remove_code(void **state) {
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

#endif
