// cuda_tool.c -- compiles a model for a GPU and says what came of it:
//
//   cuda_tool MODEL.onnx BATCH TARGET [name=value ...]
//
// TARGET is "cuda:sm_90" and the like. Options: train=1 (a training step instead of inference), cache=1 (use
// it), list=1 (a line for each launch), precision=2 (bf16; compile.h). The last line is JSON; products: the share of FLOPs
// in kernels whose PTX (TARGET cuda:compute_90) has mma.sync, ldmatrix and cp.async;
// families: by schedule, the kernels, the most registers, how many kernels spill and how many bytes at worst.
#include "codegen/compile.h"
#include "codegen/target_cuda.h"
#include "frontend/import.h"
#include "passes/train.h"
#include <sys/resource.h>

typedef struct Tool {
    Cx *cx;
    char **argv;
    int train, cache, list, precision;
} Tool;

static int group_of(void *user, const char *name) { return (void)user, (void)name, 0; }

static void to_training(Graph *g) {
    double lr, momentum, decay;
    TrainOptions t = {.ngroup = 1, .group = group_of, .nscores = 1, .scores = &g->root[0].value};
    t.optimizer = optimizer_default(OPT_SGD, &lr, &momentum, &decay);
    t.optimizer.has_momentum = true;
    Node *scores = g->root[0].value;
    t.scores = &scores;
    g->nroot = 0;
    graph_root(g, "tvc.eval", scores, NULL, FN_FORWARD);
    train_graph(g, &t);
}

typedef struct Sums { int launches, bodies, spilled; double flops, tile, products; } Sums;

// In PTX: does this kernel use tensor cores, fed by asynchronous copies?
static bool has_products(const Program *p, const Step *x) {
    if (strstr(program_text(p, p->target), ":compute_") == NULL) return false;
    const Part *part = &p->parts[p->grids[x->grid].part];
    const char *text = (const char *)p->code + part->offset, *s = text;      // NUL included
    size_t n = strlen(program_text(p, x->entry));
    while ((s = strstr(s, ".entry ")) && strncmp(s + 7, program_text(p, x->entry), n)) s += 7;
    if (!s) return false;
    const char *end = strstr(s + 7, ".entry "), *needs[] = {"mma.sync", "ldmatrix", "cp.async.c"};
    bool all = true;
    for (int i = 0; i < 3; i++) {
        const char *at = strstr(s, needs[i]);
        all &= at && (!end || at < end);
    }
    return all;
}

static Sums sums_of(const Program *p, int fn, bool list) {
    Sums s = {0};
    for (int i = p->functions[fn].from; i < p->functions[fn].to; i++) {
        const Step *x = &p->steps[i];
        const char *label = program_text(p, x->label);
        bool tile = strstr(label, " tile") != NULL;
        const Grid *g = x->kind == STEP_CODE ? &p->grids[x->grid] : NULL;
        s.launches++, s.bodies += x->kind == STEP_BODY, s.flops += x->flops, s.tile += tile ? x->flops : 0;
        s.spilled += g && g->spilled > 0;
        s.products += g && has_products(p, x) ? x->flops : 0;
        if (list)
            printf("%-64s %9.1f MFLOP %9.1f kB  %8lld blocks %3d regs %d spilled\n", label, x->flops * 1e-6,
                   x->bytes * 1e-3,
                   g ? (long long)(grid_blocks(g, 0, p->max_batch, p->max_batch) *
                                   grid_blocks(g, 1, p->max_batch, p->max_batch) *
                                   grid_blocks(g, 2, p->max_batch, p->max_batch))
                     : 0,
                   g ? g->registers : 0, g ? g->spilled : 0);
    }
    return s;
}

// ---- what a schedule's kernels want of registers, each kernel once ----

typedef struct Family { char name[16]; int kernels, registers, spilled, worst; } Family;
enum { MAXFAMILIES = 16 };

static bool seen(const Program *p, int i) {
    for (int j = 0; j < i; j++)
        if (p->steps[j].kind == STEP_CODE &&
            !strcmp(program_text(p, p->steps[j].entry), program_text(p, p->steps[i].entry)))
            return true;
    return false;
}

static Family *family_of(Family *f, const char *label) {
    const char *name = strrchr(label, ' ') ? strrchr(label, ' ') + 1 : label;
    int i = 0;
    while (i < MAXFAMILIES - 1 && *f[i].name && strcmp(f[i].name, name)) i++;
    snprintf(f[i].name, sizeof f[i].name, "%s", name);
    return &f[i];
}

static void print_families(const Program *p) {
    Family f[MAXFAMILIES] = {{{0}, 0, 0, 0, 0}};
    for (int i = 0; i < p->nstep; i++) {
        const Step *x = &p->steps[i];
        if (x->kind != STEP_CODE || seen(p, i)) continue;
        const Grid *g = &p->grids[x->grid];
        Family *y = family_of(f, program_text(p, x->label));
        y->kernels++, y->spilled += g->spilled > 0;
        if (g->registers > y->registers) y->registers = g->registers;
        if (g->spilled > y->worst) y->worst = g->spilled;
    }
    printf("\"families\": {");
    for (int i = 0; i < MAXFAMILIES && *f[i].name; i++)
        printf("%s\"%s\": {\"kernels\": %d, \"registers\": %d, \"spilled\": %d, \"worst\": %d}", i ? ", " : "",
               f[i].name, f[i].kernels, f[i].registers, f[i].spilled, f[i].worst);
    printf("}}\n");
}

static void work(void *arg) {
    Tool *t = arg;
    Graph *g = model_import(model_read(t->cx, t->argv[1]), &(ImportOptions){.max_batch = atoll(t->argv[2])});
    if (t->train) to_training(g);
    Compiled *c = graph_compile(g, &(CompileOptions){.isa = -1, .target = t->argv[3], .no_cache = !t->cache,
                                                   .precision = (Precision)t->precision});
    const Program *p = c->program;
    Sums init = sums_of(p, 0, t->list), run = sums_of(p, t->train ? FN_TRAIN_STEP : 1, t->list);
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    printf(
        "{\"launches\": %d, \"bodies\": %d, \"init\": %d, \"distinct\": %d, \"spilled\": %d, \"spilled_launches\": %d, "
        "\"flops\": %.6g, \"tile\": %.4f, \"products\": %.4f, \"arena_mb\": %.1f, \"keep_mb\": %.1f, \"seconds\": "
        "%.2f, \"nvrtc_seconds\": %.2f, "
        "\"cpu_seconds\": %.2f, \"cubin_kb\": %.0f, ",
        run.launches, run.bodies, init.launches, c->distinct, c->spilled, run.spilled + init.spilled, run.flops,
        run.flops > 0 ? run.tile / run.flops : 0, run.flops > 0 ? run.products / run.flops : 0,
        (double)p->arena_bytes * 1e-6, (double)p->keep_bytes * 1e-6, c->seconds, c->cc_seconds,
        (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + 1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec),
        (double)p->code_bytes * 1e-3);
    print_families(p);
}

int main(int argc, char **argv) {
    Tool t = {.cx = cx_new(), .argv = argv};
    if (argc < 4) return fprintf(stderr, "cuda_tool MODEL.onnx BATCH TARGET [name=value ...]\n"), 2;
    struct { const char *name; int *to; } options[] = {{"train=", &t.train}, {"cache=", &t.cache}, {"list=", &t.list},
                                                        {"precision=", &t.precision}};
    for (int i = 4; i < argc; i++)
        for (size_t k = 0; k < sizeof options / sizeof *options; k++)
            if (!strncmp(argv[i], options[k].name, strlen(options[k].name)))
                *options[k].to = atoi(strchr(argv[i], '=') + 1);
    bool ok = cx_guard(t.cx, work, &t);
    if (!ok) fprintf(stderr, "%s\n", t.cx->error);
    cx_free(t.cx);
    return ok ? 0 : 1;
}
