// bench.c -- tvc bench: how long an inference takes.
#include "../frontend/npy.h"
#include "asked.h"
#include "commands.h"
#include "feed.h"
#include "print.h"
#include <time.h>

typedef struct Bench {
    const Args *a;
    Engine *e;
    Feeds feeds;
    double *ms, opened;               // of each inference; seconds until there was an engine, compiling included
    int n;
} Bench;

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

// One inference: milliseconds from the inputs' arrays to the outputs.
static double once(Bench *b) {
    double start = now_ms();
    feeds_write(&b->feeds, b->e, -1);
    engine_run(b->e);
    return now_ms() - start;
}

static Engine *open_engine(Bench *b) {
    const Args *a = b->a;
    EngineOptions o = asked_engine(a, 0);
    ImportOptions import = asked_import(a);
    const Package *p = package_of_file(a->cx, a->pos[0], &o);
    if (p) {
        Engine *e = engine_of_package(a->cx, p, a->pos[0], &o);
        if (import.max_batch > e->max_batch)
            fail(a->cx, E_USAGE, "--batch %lld: the package was compiled for at most %lld", (long long)import.max_batch,
                 (long long)e->max_batch);
        if (import.max_batch) engine_set_batch(e, import.max_batch);
        return e;
    }
    Model *m = asked_model(a, a->pos[0]);
    feeds_shape(a->cx, &b->feeds, m, &import);
    return engine_of_graph(model_import(m, &import), &o);
}

static void dump_output(const Bench *b) {
    const char *path = arg_text(b->a, OPT_DUMP_OUTPUT, NULL);
    if (!path) return;
    TensorDesc d = engine_output(b->e, 0);
    Tensor t = tensor_of(engine_output_name(b->e, 0), &d, engine_read(b->e, 0));
    npy_write(b->a->cx, path, &t);
}

static void serve(Bench *b) {
    char line[64];
    for (bool first = true; fgets(line, sizeof line, stdin); first = false) {
        line[strcspn(line, "\r\n")] = 0;
        if (strcmp(line, "quit") == 0) return;
        if (strcmp(line, "run") != 0)
            fail(b->a->cx, E_USAGE, "'%s' is not understood: `run` or `quit`", cx_show(b->a->cx, line));
        double ms = once(b);
        if (first) dump_output(b);
        printf("%.6f\n", ms);
        fflush(stdout);
    }
}

// ---- what it took ----
static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const Bench *b, double q) { return b->ms[(int)(q * (b->n - 1) + 0.5)]; }

static int64_t images(const Bench *b) {
    TensorDesc d = b->e->ninput ? engine_input(b->e, 0) : (TensorDesc){0};
    return d.batch ? d.dim[d.batch - 1] : d.rank == 4 ? d.dim[0] : 1;
}

static json_t *profile_json(const Bench *b) {
    const double *s = b->e->session ? session_seconds(b->e->session) : NULL;
    json_t *list = json_array();
    const Program *p = b->e->program;
    if (!s) return list;
    for (int i = p->functions[1].from; i < p->functions[1].to; i++) {
        json_t *o = json_object();
        json_put(o, "kernel", text_json(b->a->cx, program_text(p, p->steps[i].label)));
        json_put(o, "ms", json_real(1e3 * s[i]));
        json_put(o, "gflops", json_real(s[i] > 0 ? p->steps[i].flops / s[i] * 1e-9 : 0));
        json_put(o, "gbytes", json_real(s[i] > 0 ? p->steps[i].bytes / s[i] * 1e-9 : 0));
        json_array_append_new(list, o);
    }
    return list;
}

static void print_profile(const Bench *b) {
    const double *s = b->e->session ? session_seconds(b->e->session) : NULL;
    const Program *p = b->e->program;
    if (!s) return;
    printf("%9s %9s %9s  %s\n", "ms", "GFLOP/s", "GB/s", "kernel");
    for (int i = p->functions[1].from; i < p->functions[1].to; i++)
        printf("%9.4f %9.1f %9.1f  %s\n", 1e3 * s[i], s[i] > 0 ? p->steps[i].flops / s[i] * 1e-9 : 0,
               s[i] > 0 ? p->steps[i].bytes / s[i] * 1e-9 : 0, cx_show(b->a->cx, program_text(p, p->steps[i].label)));
}

static void print_result(const Bench *b) {
    double median = quantile(b, 0.5), rate = 1e3 * (double)images(b) / median;
    if (!arg_given(b->a, OPT_JSON)) {
        if (arg_given(b->a, OPT_PROFILE)) print_profile(b);
        printf("median %.3f ms, min %.3f ms, p90 %.3f ms, p99 %.3f ms, %.1f images/s\n", median, b->ms[0],
               quantile(b, 0.9), quantile(b, 0.99), rate);
        return;
    }
    json_t *o = json_start(b->a->cx);
    json_put(o, "median_ms", json_real(median));
    json_put(o, "min_ms", json_real(b->ms[0]));
    json_put(o, "p90_ms", json_real(quantile(b, 0.9)));
    json_put(o, "p99_ms", json_real(quantile(b, 0.99)));
    json_put(o, "images_per_second", json_real(rate));
    json_put(o, "batch", json_integer(images(b)));
    json_put(o, "iterations", json_integer(b->n));
    json_put(o, "open_seconds", json_real(b->opened));
    json_put(o, "cublas_kernels", json_integer(b->e->session ? session_in_library(b->e->session) : 0));
    if (arg_given(b->a, OPT_PROFILE)) json_put(o, "profile", profile_json(b));
    json_print(o);
}

Err run_bench(const Args *a) {
    arg_count(a, 1, 1);
    Bench b = {.a = a};
    int warmup = (int)arg_int(a, OPT_WARMUP, 5, 0, 1 << 20);
    int iterations = (int)arg_int(a, OPT_ITERATIONS, 50, 1, 1 << 20);
    b.feeds = feeds_read(a);
    double start = now_ms();
    b.e = open_engine(&b);
    b.opened = 1e-3 * (now_ms() - start);
    b.feeds = feeds_with_ramps(&b.feeds, b.e);
    if (arg_given(a, OPT_SERVE)) {
        serve(&b);
        return E_OK;
    }
    for (int i = 0; i < warmup; i++) once(&b);
    b.ms = NEW(a->cx, double, iterations);
    for (; b.n < iterations; b.n++) {
        b.ms[b.n] = once(&b);
        if (b.n == 0) dump_output(&b);
    }
    qsort(b.ms, (size_t)b.n, sizeof *b.ms, by_value);
    print_result(&b);
    return E_OK;
}
