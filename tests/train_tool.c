// train_tool.c -- lets Python drive a training program:
//
//   train_tool MODEL.onnx BATCH STEPS IN OUT [name=value ...]
//
// IN holds x.npy and target.npy, as many samples as there are, taken in turn. OUT gets, for the loss of
// every step ("loss"), the last step's scores ("scores") and every trained parameter, statistic and
// optimizer state in the end, a line "BYTES TYPE NAME\n" and its elements. Options: what names[] below lists; profile=1
// prints times and kernels, profile=2 times alone. cuda=90 runs on a GPU of sm_90 (as does 1), precision=2 there with bf16
// (compile.h), what is frozen before the first trained parameter with frozen=2. only=fc trains parameters called fc...
// alone; OUT then has the last batch's features, too. scale=1024: of the loss on the way back. cublas=2: all
// products it takes through cuBLASLt, of which there must be one.
#include "codegen/compile.h"
#include "frontend/import.h"
#include "frontend/npy.h"
#include "passes/train.h"
#include "runtime/exec.h"
#include <time.h>

typedef struct Tool {
    Cx *cx;
    char **argv;
    int argc;
    TrainOptions train;
    double lr, momentum, decay, threads, profile, interpret, aux, cuda, precision, frozen, scale, cublas;
    const char *only;
    FILE *out;
} Tool;

static int group_of(void *user, const char *name) {
    const char *only = ((Tool *)user)->only;
    return only && strncmp(name, only, strlen(only)) ? -1 : 0;
}

static bool named(const char *arg, const char *name, const char **value) {
    size_t n = strlen(name);
    bool is = !strncmp(arg, name, n) && arg[n] == '=';
    if (is) *value = arg + n + 1;
    return is;
}

static void kinds(Tool *t, const char *arg) {
    static const char *const optimizers[] = {
#define X(name, text) text,
        TVC_OPTIMIZERS(X)
#undef X
    };
    static const char *const bn[] = {"auto", "train", "stats", "frozen"};
    const char *v;
    if (named(arg, "optimizer", &v))
        for (int i = 0; i < NOPTIMIZERS; i++)
            if (!strcmp(v, optimizers[i]))
                t->train.optimizer = optimizer_default((OptimizerKind)i, &t->lr, &t->momentum, &t->decay);
    if (named(arg, "only", &v)) t->only = v;
    if (named(arg, "bn", &v))
        for (int i = 0; i < 4; i++)
            if (!strcmp(v, bn[i])) t->train.bn = (BnMode)i;
}

static void numbers(Tool *t, const char *arg) {
    Optimizer *o = &t->train.optimizer;
    struct { const char *name; double *to; bool *flag;
    } names[] = {
        {"lr", &t->lr, NULL},
        {"momentum", &t->momentum, &o->has_momentum},
        {"weight_decay", &t->decay, NULL},
        {"dampening", &o->dampening, NULL},
        {"lr_decay", &o->lr_decay, NULL},
        {"alpha", &o->rho, NULL},
        {"eps", &o->eps, NULL},
        {"nesterov", NULL, &o->nesterov},
        {"amsgrad", NULL, &o->amsgrad},
        {"centered", NULL, &o->centered},
        {"threads", &t->threads, NULL},
        {"profile", &t->profile, NULL},
        {"interpret", &t->interpret, NULL},
        {"aux", &t->aux, NULL},
        {"cuda", &t->cuda, NULL},
        {"precision", &t->precision, NULL},
        {"frozen", &t->frozen, NULL},
        {"scale", &t->scale, NULL},
        {"cublas", &t->cublas, NULL},
    };
    const char *v;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!named(arg, names[i].name, &v)) continue;
        if (names[i].to) *names[i].to = atof(v);
        if (names[i].flag) *names[i].flag = atof(v) != 0;
    }
}

static double now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void put(Tool *t, const char *name, DType type, const void *data, int64_t bytes) {
    fprintf(t->out, "%lld %s %s\n", (long long)bytes, dtypes[type].name, name);
    fwrite(data, 1, (size_t)bytes, t->out);
}

static void put_slot(Tool *t, Session *s, const char *name, int slot) {
    TensorDesc d = session_desc(s, slot);
    put(t, name, d.type, session_view(s, slot), desc_bytes(&d));
}

static void set(Session *s, const char *name, double v) {
    int slot = session_slot(s, name);
    if (slot >= 0) session_write(s, slot, &v);
}

// Samples from number `at` of a file on, to a slot.
static void feed(Session *s, int slot, const Tensor *from, int64_t at) {
    TensorDesc d = session_desc(s, slot);
    session_write(s, slot, (const char *)from->data + at * desc_bytes(&d));
}

static void call(Tool *t, Session *s, int fn) {
    Fault f;
    if (session_call(s, fn, &f)) fail(t->cx, f.code, "%s", f.text);
}

static void print_seconds(const char *what, const double *seconds, int64_t n) {
    printf("%s", what);
    for (int64_t i = 0; i < n; i++) printf(" %.6f", seconds[i]);
    printf("\n");
}

static void report(const Program *p, const double *each) {
    printf("arena_bytes %lld\nkeep_bytes %lld\n", (long long)p->arena_bytes, (long long)p->keep_bytes);
    for (int i = p->functions[FN_TRAIN_STEP].from; each && i < p->functions[FN_TRAIN_STEP].to; i++)
        printf("%9.4f ms %8.1f GFLOP/s %7.1f GB/s  %s\n", 1e3 * each[i], p->steps[i].flops / each[i] * 1e-9,
               p->steps[i].bytes / each[i] * 1e-9, program_text(p, p->steps[i].label));
}

static void work(void *arg) {
    Tool *t = arg;
    Cx *cx = t->cx;
    int64_t batch = atoll(t->argv[2]), steps = atoll(t->argv[3]);
    const char *in = t->argv[4];
    Model *m = model_read(cx, t->argv[1]);
    Graph *g = model_import(m, &(ImportOptions){.max_batch = batch});
    Node *scores[8];
    int n = t->aux > 0 ? g->nroot : 1;
    for (int i = 0; i < n && i < 8; i++) scores[i] = g->root[i].value;
    t->train.nscores = n, t->train.scores = scores, t->train.aux_weight = t->aux;
    Precision frozen = (Precision)t->frozen;
    t->train.scaled = t->scale > 0;
    t->train.ngroup = 1, t->train.group = group_of, t->train.user = t;
    train_graph(g, &t->train);
    Program *p =
        graph_compile(
            g,
            &(CompileOptions){.isa = -1,
                              .no_compiler = t->interpret != 0,
                              .target = t->cuda != 0 ? cx_fmt(cx, "cuda:sm_%d", t->cuda > 1 ? (int)t->cuda : 90) : NULL,
                              .precision = (Precision)t->precision,
                              .frozen = t->frozen < 0 ? NULL : &frozen})
            ->program;
    Fault f;
    Session *s = session_new(p, &(SessionOptions){.threads = (int)t->threads, .profile = t->profile == 1,
                                                  .cublas = (Cublas)t->cublas}, &f);
    if (!s) fail(cx, f.code, "%s", f.text);
    cx_defer(cx, (void (*)(void *))session_free, s);
    if ((Cublas)t->cublas == CUBLAS_ALWAYS && !session_in_library(s))
        fail(cx, E_CHECK, "cuBLASLt: %s", session_note(s));
    model_rest(m);
    const Tensor *x = npy_read(cx, cx_fmt(cx, "%s/x.npy", in)), *y = npy_read(cx, cx_fmt(cx, "%s/target.npy", in));
    double *loss = NEW(cx, double, steps), *seconds = NEW(cx, double, steps), *cpu = NEW(cx, double, steps);
    for (int64_t k = 0; k < steps; k++) {
        feed(s, 0, x, k % (x->dim[0] / batch));
        feed(s, session_slot(s, "tvc.target"), y, k % (y->dim[0] / batch));
        set(s, "tvc.step", (double)k + 1), set(s, "lr.0", t->lr), set(s, "momentum.0", t->momentum),
            set(s, "weight_decay.0", t->decay);
        set(s, "tvc.scale", t->scale);
        session_set_step(s, (uint64_t)k);
        double began = now(CLOCK_MONOTONIC), used = now(CLOCK_PROCESS_CPUTIME_ID);
        call(t, s, FN_FEATURES), call(t, s, FN_TRAIN_STEP);
        seconds[k] = now(CLOCK_MONOTONIC) - began, cpu[k] = now(CLOCK_PROCESS_CPUTIME_ID) - used;
        int slot = session_slot(s, "tvc.loss");
        loss[k] = dtype_get_f(session_desc(s, slot).type, session_view(s, slot));
    }
    put(t, "loss", DT_F64, loss, 8 * steps);
    put_slot(t, s, "scores", session_slot(s, "tvc.scores"));
    for (int i = 0; i < p->nslot; i++) {
        bool feature = !strncmp(program_text(p, p->slots[i].name), "features.", 9);
        if (feature || p->slots[i].role == SLOT_PARAM) put_slot(t, s, program_text(p, p->slots[i].name), i);
    }
    if (t->profile == 0) return;
    print_seconds("seconds", seconds, steps), print_seconds("cpu", cpu, steps);
    report(p, session_seconds(s));
}

int main(int argc, char **argv) {
    Tool t = {.cx = cx_new(), .argv = argv, .argc = argc, .frozen = -1};
    if (argc < 6) return fprintf(stderr, "train_tool MODEL.onnx BATCH STEPS IN OUT [name=value ...]\n"), 2;
    t.train.optimizer = optimizer_default(OPT_SGD, &t.lr, &t.momentum, &t.decay);
    for (int i = 6; i < argc; i++) kinds(&t, argv[i]);
    for (int i = 6; i < argc; i++) numbers(&t, argv[i]);
    if (!(t.out = fopen(argv[5], "wb"))) return perror(argv[5]), 5;
    bool ok = cx_guard(t.cx, work, &t);
    if (!ok) fprintf(stderr, "%s\n", t.cx->error);
    fclose(t.out);
    cx_free(t.cx);
    return ok ? 0 : 1;
}
