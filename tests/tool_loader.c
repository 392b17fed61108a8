// tool_loader.c -- images per second of the loader, for comparison with others (bench/loader.py).
//
// usage: tool_loader FOLDER AUGMENT WORKERS BATCH CACHE_MB
// Answers every line on stdin with one epoch of the training split, and its seconds on stdout.
#include "data/loader.h"
#include <time.h>

typedef struct Bench { Cx *cx; const char *path, *list; Dataset d; Preparer p; Augment a; } Bench;

static void open_all(void *arg) {
    Bench *b = arg;
    ImageInput in = {3, 224, 224, false};
    Recipe r = {0}, options = {0};
    recipe_option(b->cx, &options, "preset", "imagenet");
    b->d = dataset_open(b->cx, b->path, &(DatasetOptions){0});
    recipe_complete(b->cx, &r, &options, &in);
    preparer_init(&b->p, &r, &in);
    b->a = augment_parse(b->cx, b->list, &in);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static Err run_epoch(Loader *l, int64_t epoch, Fault *f) {
    double start = seconds(), sum = 0;
    int64_t n = 0;
    loader_start(l, epoch, 0);
    for (int64_t i = 0; i < loader_steps(l); i++) {
        const Batch *batch;
        Err e = loader_next(l, &batch, f);
        if (e) return e;
        sum += *(const float *)batch->pixels;
        n += batch->n;
    }
    printf("%.6f %lld %g\n", seconds() - start, (long long)n, sum);
    fflush(stdout);
    return E_OK;
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: %s FOLDER AUGMENT WORKERS BATCH CACHE_MB\n", argv[0]);
        return E_USAGE;
    }
    Bench b = {.cx = cx_new(), .path = argv[1], .list = argv[2]};
    Fault f = {0};
    Loader *l = NULL;
    Err e = cx_guard(b.cx, open_all, &b) ? E_OK : fault(&f, b.cx->code, "%s", b.cx->error);
    LoaderOptions o = {.data = &b.d, .examples = &b.d.train, .prepare = &b.p, .augment = &b.a, .order = ORDER_SHUFFLED,
                       .batch = atoi(argv[4]), .workers = atoi(argv[3]), .cache_bytes = (size_t)atoll(argv[5]) << 20};
    char line[16];
    if (!e) e = loader_new(&o, &l, &f);
    for (int64_t epoch = 0; !e && fgets(line, sizeof line, stdin); epoch++) e = run_epoch(l, epoch, &f);
    if (e) fprintf(stderr, "%s\n", f.text);
    loader_free(l);
    cx_free(b.cx);
    return (int)e;
}
