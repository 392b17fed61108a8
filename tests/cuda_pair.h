// cuda_pair.h -- for tests of a GPU without one (tests/standin/): a graph on the CPU and on the stand-ins' GPU, side by
// side, in the driver's three moods.
#ifndef TVC_CUDA_PAIR_H
#define TVC_CUDA_PAIR_H
#include "codegen/compile.h"
#include "ir/op.h"
#include "runtime/exec.h"
#include <setjmp.h>
#include <cmocka.h>
#include <unistd.h>
#undef fail                            // ours gives up on the request

enum { MAX = 20 };

static char cache[] = "/tmp/tvc-test-XXXXXX";
static const char *const orders[] = {"late", "early", "ahead"};
static const struct { const char *variable, *name; } libraries[] = {
    {"TVC_CUDA", "driver"}, {"TVC_NVRTC", "nvrtc"}, {"TVC_CUBLASLT", "cublaslt"}};

// ---- graphs ----

static inline float wave(int64_t i) { return (float)((double)((i * 7919 + 13) % 2003) / 1001.0 - 1.0); }

static inline Node *param(Graph *g, const char *name, Shape s) {
    float *p = NEW(g->cx, float, numel(s));
    for (int64_t i = 0; i < numel(s); i++) p[i] = wave(i + name[0]);
    return graph_param(g, name, DT_F32, s, p);
}

static inline Node *rows(Graph *g, const char *name, DType t, int64_t n) {
    return graph_input(g, name, t, (Shape){.n = 2, .batch = 1, .d = {g->max_batch, n}});
}

typedef void BuildFn(Graph *g);

static inline const Program *program(Cx *cx, BuildFn *build, const char *target, Precision precision) {
    Graph *g = graph_new(cx, MAX);
    build(g);
    return graph_compile(g, &(CompileOptions){.isa = -1, .target = target, .precision = precision})->program;
}

// ---- two sessions side by side ----

typedef struct Wishes {
    bool profile, kernels;            // kernels: beside the GPU's own kernels, not the CPU
    Cublas cublas;
    Precision precision;
    double tolerance;                 // 0: 1e-5
} Wishes;

typedef struct Pair { Cx *cx; Session *s[2]; const Program *p[2]; Wishes w; } Pair;      // the expected, the GPU's

static inline Session *open_session(Cx *cx, const Program *p, SessionOptions o) {
    Fault f;
    Session *s = session_new(p, &o, &f);
    if (!s) fail(cx, f.code, "%s", f.text);
    return s;
}

static inline Pair pair(Cx *cx, BuildFn *build, Wishes w) {
    const char *const target[] = {w.kernels ? "cuda:sm_90" : NULL, "cuda:sm_90"};
    Pair r = {.cx = cx, .w = w};
    for (int i = 0; i < 2; i++) {
        r.p[i] = program(cx, build, target[i], w.precision);
        r.s[i] = open_session(cx, r.p[i], (SessionOptions){.threads = 1, .seed = 5, .profile = w.profile,
                                                           .cublas = i ? w.cublas : CUBLAS_NEVER});
    }
    return r;
}

static inline void close_pair(Pair *r) { session_free(r->s[0]), session_free(r->s[1]); }

static inline void write_both(Pair *r, const char *name, const void *data) {
    for (int i = 0; i < 2; i++) session_write(r->s[i], session_slot(r->s[i], name), data);
}

static inline void call(Cx *cx, Session *s, int fn) {
    Fault f;
    if (session_call(s, fn, &f)) fail(cx, f.code, "%s", f.text);
}

static inline void compare(Pair *r, const char *name) {
    int slot[2] = {session_slot(r->s[0], name), session_slot(r->s[1], name)};
    TensorDesc d = session_desc(r->s[0], slot[0]);
    const char *want = session_view(r->s[0], slot[0]), *got = session_view(r->s[1], slot[1]);
    double tolerance = r->w.tolerance > 0 ? r->w.tolerance : 1e-5;
    if (!want || !got || session_data(r->s[1], slot[1])) fail(r->cx, E_CHECK, "%s cannot be seen", name);
    for (int64_t i = 0; i < desc_elements(&d); i++) {
        int64_t at = i * dtypes[d.type].bytes;
        double a = dtype_get_f(d.type, got + at), b = dtype_get_f(d.type, want + at);
        if (!(fabs(a - b) <= tolerance * fmax(1, fabs(b))))
            fail(r->cx, E_CHECK, "%s[%lld] is %.9g, not %.9g", name, (long long)i, a, b);
    }
}

// ---- the driver in three moods ----

static inline void in_order(void (*fn)(void *), int order) {
    setenv("STANDIN_ORDER", orders[order], 1);
    Cx *cx = cx_new();
    bool ok = cx_guard(cx, fn, cx);
    if (!ok) print_error("%s: %s\n", orders[order], cx->error);
    cx_free(cx);
    assert_true(ok);
}

static inline void in_all_orders(void (*fn)(void *)) {
    for (int i = 0; i < 3; i++) in_order(fn, i);
}

// ---- set-up ----

static inline int use_standins(void **state) {
    (void)state;
    char self[400] = "", path[480];
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0 || !mkdtemp(cache)) return -1;
    *strrchr(self, '/') = 0;
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/libstandin_%s.so", self, libraries[i].name);
        setenv(libraries[i].variable, path, 1);
    }
    return setenv("TVC_CACHE", cache, 1);
}

static inline int clean(void **state) {
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", cache);
    return system(command);
}

#endif
