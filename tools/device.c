// device.c -- where compiled kernels run: what --device and --target ask for, what this machine has.
#include "../codegen/target_cuda.h"
#include "../runtime/cuda_driver.h"
#include "../runtime/isa.h"
#include "asked.h"

// ---- targets ----
static bool is_gpu(const char *target) { return strncmp(target, "cuda:", 5) == 0; }

// "cuda:sm_90", "cuda:sm_90a", "cuda:compute_90"; whether NVRTC knows the number is its business.
static bool names_arch(const char *target) {
    const char *s = target + 5;
    size_t word = strncmp(s, "sm_", 3) == 0        ? 3
                  : strncmp(s, "compute_", 8) == 0 ? 8
                                                   : 0,
           n = strspn(s + word, "0123456789");
    return word && n >= 2 && n <= 3 && (!s[word + n] || (s[word + n] == 'a' && !s[word + n + 1]));
}

static Precision precision_named(const Args *a, OptionId id) {
    static const char *const name[NPRECISIONS] = {"fp32", "tf32", "bf16", "fp16"};
    const char *asked = arg_text(a, id, "fp32");
    for (int i = 0; i < NPRECISIONS; i++)
        if (strcmp(asked, name[i]) == 0) return (Precision)i;
    fail(a->cx, E_USAGE, "--%s %s: one of fp32, tf32, bf16, fp16", options[id].name, cx_show(a->cx, asked));
}

static void asked_precision(const Args *a, CompileOptions *o) {
    Precision *frozen = NEW(a->cx, Precision, 1);
    o->precision = precision_named(a, OPT_PRECISION);
    *frozen = precision_named(a, OPT_FROZEN_PRECISION);
    if (arg_given(a, OPT_FROZEN_PRECISION)) o->frozen = frozen;
    if (!o->target && (o->precision || *frozen)) cx_note(a->cx, "--precision is a GPU's: the CPU computes in float32");
}

static Cublas asked_cublas(const Args *a) {
    static const char *const name[] = {[CUBLAS_AUTO] = "auto", [CUBLAS_NEVER] = "never", [CUBLAS_ALWAYS] = "always"};
    const char *asked = arg_text(a, OPT_CUBLAS, "auto");
    for (int i = CUBLAS_AUTO; i <= CUBLAS_ALWAYS; i++)
        if (strcmp(asked, name[i]) == 0) return (Cublas)i;
    fail(a->cx, E_USAGE, "--cublas %s: one of auto, never, always", cx_show(a->cx, asked));
}

static CompileOptions target_options(Cx *cx, const char *target) {
    static const char *const name[] = {
        [ISA_GENERIC] = "cpu:generic", [ISA_AVX2] = "cpu:avx2", [ISA_AVX512] = "cpu:avx512"};
    CompileOptions o = {.isa = -1, .target = is_gpu(target) ? target : NULL};
    if (o.target && !names_arch(target))
        fail(cx, E_USAGE, "--target %s: an architecture is named as in cuda:sm_90%s", cx_show(cx, target),
             strchr(target, ',') ? "; for several give --target several times" : "");
    for (int i = ISA_GENERIC; i <= ISA_AVX512; i++)
        if (strcmp(target, name[i]) == 0) o.isa = i;
    return o;
}

static const char *nth(const Args *a, OptionId id, int which) {
    const char *last = NULL, *s;
    for (int at = 0; which >= 0 && (s = arg_next(a, id, &at)); which--) last = s;
    return last;
}

CompileOptions asked_compile(const Args *a, int which) {
    const char *target = nth(a, OPT_TARGET, which);
    CompileOptions o = target_options(a->cx, target ? target : "cpu");
    asked_precision(a, &o);
    return o;
}

int asked_targets(const Args *a, const char *out) {
    int n = arg_times(a, OPT_TARGET);
    if (n > 1 && !out) fail(a->cx, E_USAGE, "--target more than once is for a package: add -o OUT.tvc");
    return n > 0 ? n : 1;
}

// ---- devices ----

typedef struct Held { const CudaDriver *driver; CuDevice gpu; } Held;

static void let_go(void *held) {
    const Held *h = held;
    h->driver->PrimaryCtxRelease(h->gpu);
}

// The GPU stays set up until the request ends, so that sessions that follow each other need not begin with that.
static Err hold(Cx *cx, const CudaDriver *d, int ordinal, Fault *f) {
    Held *h = NEW(cx, Held, 1);
    CuContext unused;
    h->driver = d;
    int e = d->DeviceGet(&h->gpu, ordinal);
    if (!e) e = d->PrimaryCtxRetain(&unused, h->gpu);
    if (e) return cuda_fault(d, e, "the GPU cannot be used", f);
    cx_defer(cx, let_go, h);
    return E_OK;
}

// What to compile for the GPU of that number, in *o; why it cannot be used, in *f. *there: it is there.
static Err use_gpu(Cx *cx, int ordinal, bool compiles, CompileOptions *o, bool *there, Fault *f) {
    char *name = NEW(cx, char, 32);
    CudaInfo info;
    const CudaDriver *d = cuda_driver(f);
    if (!d) return f->code;
    *there = ordinal < cuda_count(d);
    if (!*there) return fault(f, E_DEVICE, "there is no GPU %d: this machine has %d", ordinal, cuda_count(d));
    Err e = cuda_info(d, ordinal, &info, f);
    if (!e) e = cuda_target(info.major * 10 + info.minor, cuda_version(d), compiles, name, f);
    if (!e) e = hold(cx, d, ordinal, f);
    if (!e) o->target = name, o->cuda = cuda_version(d) / 1000;
    return e;
}

// The device by name, and what to compile for it, in o.
static void choose(const Args *a, const char *device, const char *target, EngineOptions *o) {
    Cx *cx = a->cx;
    bool automatic = !device || strcmp(device, "auto") == 0;
    int ordinal = automatic ? 0 : cuda_ordinal(device);
    Fault f = {0};
    if (target) o->compile = target_options(cx, target);
    if (target && automatic) o->session.device = o->compile.target ? "cuda" : "cpu";
    if (target && !automatic && (ordinal >= 0) != is_gpu(target))
        fail(cx, E_USAGE, "--device %s does not run what --target %s makes", device, cx_show(cx, target));
    if (ordinal < 0 && !automatic && strcmp(device, "cpu") != 0)
        fail(cx, E_USAGE, "--device %s: see `tvc devices`", cx_show(cx, device));
    if (!automatic) o->session.device = device;
    if (target || ordinal < 0) return;
    bool compiles = a->npos == 0 || !is_package(a->pos[0]), there = false;
    Err e = use_gpu(cx, ordinal, compiles, &o->compile, &there, &f);
    if (e && !automatic)
        fail(cx, e, "--device %s: %s; `tvc devices` lists what is there, --device cpu runs without", device, f.text);
    if (e && (device || there)) cx_note(cx, "--device auto: %s: the CPU is used", f.text);
}

EngineOptions asked_engine(const Args *a, int which) {
    const char *device = nth(a, OPT_DEVICE, which);
    EngineOptions o = {
        .eval = device && strcmp(device, "eval") == 0,
        .compile = {.isa = -1},
        .session = {.threads = (int)arg_int(a, OPT_THREADS, 0, 1, 4096), .profile = arg_given(a, OPT_PROFILE),
                    .cublas = asked_cublas(a)},
    };
    if (!o.eval) choose(a, device, arg_text(a, OPT_TARGET, NULL), &o);
    asked_precision(a, &o.compile);
    return o;
}
