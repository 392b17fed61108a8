// target_cuda.c -- see target_cuda.h. A few kernels make a program, programs are compiled side by side;
// each is kept in the cache under a hash of everything that went in: text, options, architecture and
// NVRTC's version. What ptxas says of registers is kept before it: the log, a NUL, the cubin.
#define _GNU_SOURCE                   // sched_getaffinity
#include "target_cuda.h"
#include "cache.h"
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <xxhash.h>

extern const char scalar_prelude[], cuda_prelude[], cuda_vectors[], cuda_tiles[];

enum { PER_PART = 8, MAXTHREADS = 16, OLDEST = 12, MAXARCHS = 64, NSIGNALS = 3 };

static const char *const headers[] = {scalar_prelude, cuda_prelude, cuda_vectors, cuda_tiles};
static const char *const header_names[] = {"scalar_prelude.h", "cuda_prelude.h", "cuda_vectors.h", "cuda_tiles.h"};
enum { NHEADERS = sizeof headers / sizeof *headers };

// ---- the library ----

typedef struct Nvrtc {                // as in nvrtc.h; 0 is success everywhere
    int (*Version)(int *major, int *minor);
    int (*GetNumSupportedArchs)(int *n);
    int (*GetSupportedArchs)(int *archs);
    int (*CreateProgram)(void **p, const char *text, const char *name, int n, const char *const *header,
                         const char *const *header_name);
    int (*CompileProgram)(void *p, int n, const char *const *options);
    int (*GetProgramLogSize)(void *p, size_t *n);
    int (*GetProgramLog)(void *p, char *log);
    int (*GetCUBINSize)(void *p, size_t *n);
    int (*GetCUBIN)(void *p, char *cubin);
    int (*GetPTXSize)(void *p, size_t *n);
    int (*GetPTX)(void *p, char *ptx);
    int (*DestroyProgram)(void **p);
} Nvrtc;

static bool version_of(void *lib, int *major, int *minor) {
    int (*version)(int *, int *);
    *(void **)&version = dlsym(lib, "nvrtcVersion");
    return version && !version(major, minor);
}

// The newest one, or the newest of at most CUDA `most`; TVC_NVRTC= : none.
static void *nvrtc_library(int most) {
    const char *own = getenv("TVC_NVRTC");
    const char *names[] = {own ? own : "libnvrtc.so.13", "libnvrtc.so.12", "/usr/local/cuda/lib64/libnvrtc.so"};
    int major = 0, minor;
    for (size_t i = 0; i < (own ? 1 : sizeof names / sizeof *names); i++) {
        void *lib = *names[i] ? dlopen(names[i], RTLD_NOW | RTLD_LOCAL) : NULL;
        if (lib && (!most || (version_of(lib, &major, &minor) && major <= most))) return lib;
        if (lib) dlclose(lib);
    }
    return NULL;
}

bool nvrtc_found(void) { return nvrtc_library(0) != NULL; }

Err nvrtc_version(int *major, int *minor, Fault *f) {
    void *lib = nvrtc_library(0);
    if (!lib)
        return fault(f, E_DEVICE, "no CUDA compiler library was found (libnvrtc.so.%d or newer, or TVC_NVRTC)", OLDEST);
    if (!version_of(lib, major, minor) || *major < OLDEST)
        return fault(f, E_DEVICE, "the CUDA compiler library is too old: CUDA %d or newer is needed", OLDEST);
    return E_OK;
}

// The newest architecture that NVRTC knows and that runs on `arch`; 0: none.
static int known_arch(void *lib, int arch) {
    int (*count)(int *), (*list)(int *), n = 0, a[MAXARCHS], best = 0;
    *(void **)&count = dlsym(lib, "nvrtcGetNumSupportedArchs"), *(void **)&list = dlsym(lib, "nvrtcGetSupportedArchs");
    if (!count || !list || count(&n) || n < 1 || n > MAXARCHS || list(a)) return 0;
    for (int i = 0; i < n; i++)
        if (a[i] <= arch && a[i] > best) best = a[i];
    return best;
}

Err cuda_target(int arch, int driver, bool compiles, char target[32], Fault *f) {
    int major, minor;
    snprintf(target, 32, "cuda:sm_%d", arch);
    if (!compiles) return E_OK;
    Err e = nvrtc_version(&major, &minor, f);
    if (e) return e;
    void *lib = nvrtc_library(driver / 1000);
    if (!lib)
        return fault(f, E_DEVICE,
                     "the driver is for CUDA %d.%d, the CUDA compiler library of CUDA %d.%d (CUDA 13 needs driver "
                     "580 or newer)",
                     driver / 1000, driver % 1000 / 10, major, minor);
    int known = known_arch(lib, arch);
    if (!version_of(lib, &major, &minor) || !known)
        return fault(f, E_DEVICE, "CUDA %d.%d does not compile for sm_%d any more", major, minor, arch);
    if (known < arch) snprintf(target, 32, "cuda:compute_%d", known);
    return E_OK;
}

static Nvrtc nvrtc_open(Cx *cx, int most) {
    Nvrtc n;
    void *lib = nvrtc_library(most);
    if (!lib)
        fail(cx, E_DEVICE,
             "the CUDA compiler library was not found (libnvrtc.so.%d or newer, or TVC_NVRTC); the CUDA toolkit has it",
             OLDEST);
    static const char *const name[] = {"Version", "GetNumSupportedArchs", "GetSupportedArchs", "CreateProgram",
                                       "CompileProgram", "GetProgramLogSize", "GetProgramLog", "GetCUBINSize",
                                       "GetCUBIN", "GetPTXSize", "GetPTX", "DestroyProgram"};
    void *fn[sizeof name / sizeof *name];
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        if (!(fn[i] = dlsym(lib, cx_fmt(cx, "nvrtc%s", name[i]))))
            fail(cx, E_DEVICE, "the CUDA compiler library is too old (no nvrtc%s): CUDA %d or newer is needed", name[i],
                 OLDEST);
    memcpy(&n, fn, sizeof n);
    return n;
}

static const char *known_archs(Cx *cx, const Nvrtc *v, const char *arch, bool *known) {
    int n = 0, a[MAXARCHS];
    const char *list = "";
    *known = false;
    if (v->GetNumSupportedArchs(&n) || n < 1 || n > MAXARCHS || v->GetSupportedArchs(a)) return "unknown";
    for (int i = 0; i < n; i++) {
        list = cx_fmt(cx, "%s%ssm_%d", list, i ? ", " : "", a[i]);
        *known |= !strcmp(arch, cx_fmt(cx, "sm_%d", a[i])) || !strcmp(arch, cx_fmt(cx, "sm_%da", a[i])) ||
                  !strcmp(arch, cx_fmt(cx, "compute_%d", a[i]));
    }
    return list;
}

static const char *check_version(Cx *cx, const Nvrtc *v, const char *arch) {
    int major = 0, minor = 0;
    bool known;
    if (v->Version(&major, &minor) || major < OLDEST)
        fail(cx, E_DEVICE, "the CUDA compiler library has version %d.%d: %d.0 or newer is needed", major, minor,
             OLDEST);
    const char *list = known_archs(cx, v, arch, &known);
    if (!known)
        fail(cx, E_DEVICE, "CUDA %d.%d has no architecture %s; it has %s", major, minor, cx_show(cx, arch), list);
    return cx_fmt(cx, "%d.%d", major, minor);
}

// ---- programs ----

typedef struct Work {                 // one program
    const char *text, *path;          // path NULL: it is not to be kept
    int error;
    bool cached;                      // log and cubin are the cache's, otherwise malloc's
    char *log, *cubin;
    size_t bytes;
} Work;

typedef struct Crew {
    const Nvrtc *v;
    const char *options[4];
    int noption, nwork;
    bool ptx;                         // not for a real architecture: text for the driver to translate
    Work *work, **largest;            // in the order in which they are begun: the largest first
    atomic_int next;
} Crew;

static void compile(const Crew *c, Work *w) {
    const Nvrtc *v = c->v;
    void *p = NULL;
    size_t n = 0;
    if ((w->error = v->CreateProgram(&p, w->text, "kernels.cu", NHEADERS, headers, header_names))) return;
    w->error = v->CompileProgram(p, c->noption, c->options);
    if (!v->GetProgramLogSize(p, &n) && (w->log = calloc(1, n + 1))) v->GetProgramLog(p, w->log);
    if (!w->error && !(w->error = (c->ptx ? v->GetPTXSize : v->GetCUBINSize)(p, &w->bytes)) &&
        (w->cubin = malloc(w->bytes + 1)))
        w->error = (c->ptx ? v->GetPTX : v->GetCUBIN)(p, w->cubin);
    v->DestroyProgram(&p);
    if (!w->error && (!w->log || !w->cubin)) w->error = -1;
}

static void *help(void *arg) {
    Crew *c = arg;
    for (int i; (i = atomic_fetch_add(&c->next, 1)) < c->nwork;)
        if (!c->largest[i]->cached) compile(c, c->largest[i]);
    return NULL;
}

static int by_size(const void *a, const void *b) {
    size_t x = strlen((*(Work *const *)a)->text), y = strlen((*(Work *const *)b)->text);
    return (x < y) - (x > y);
}

// NVRTC has signal handlers of its own while it compiles. Several at once may put back each other's: ours are here again
// after it.
static void keep_handlers(struct sigaction *kept, bool back) {
    static const int signals[NSIGNALS] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < NSIGNALS; i++) sigaction(signals[i], back ? &kept[i] : NULL, back ? NULL : &kept[i]);
}

static void compile_all(Crew *c) {
    pthread_t thread[MAXTHREADS];
    struct sigaction handlers[NSIGNALS];
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1, started = 0;
    if (n > c->nwork) n = c->nwork;
    keep_handlers(handlers, false);
    for (; started < n - 1 && started < MAXTHREADS; started++)
        if (pthread_create(&thread[started], NULL, help, c)) break;
    help(c);
    for (int i = 0; i < started; i++) pthread_join(thread[i], NULL);
    keep_handlers(handlers, true);
}

static void work_free(void *arg) {
    Crew *c = arg;
    for (int i = 0; i < c->nwork; i++)
        if (!c->work[i].cached) free(c->work[i].log), free(c->work[i].cubin);
}

static const char *program_text_of(Cx *cx, const CudaUnit *u, int n) {
    char *s = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&s, &len);
    if (!f) fail(cx, E_LIMIT, "out of memory");
    fputs("#include \"cuda_prelude.h\"\n", f);
    for (int i = 0; i < n; i++)
        for (const char *c = u[i].text; *c; c++) *c == '$' ? fputs(u[i].name, f) : fputc(*c, f);
    bool bad = ferror(f) != 0;
    bad |= fclose(f) != 0;
    if (bad) free(s), fail(cx, E_LIMIT, "out of memory");
    const char *text = cx_str(cx, s, len);
    free(s);
    return text;
}

// ---- what ptxas says ----

static int number_before(const char *from, const char *to, const char *what) {
    const char *s = strstr(from, what);
    if (!s || s >= to) return 0;
    while (s > from && s[-1] >= '0' && s[-1] <= '9') s--;
    return atoi(s);
}

// The log has a paragraph for each kernel.
static void read_log(Cx *cx, const char *log, CudaUnit *u) {
    const char *s = strstr(log, cx_fmt(cx, "entry function '%s'", u->name));
    if (!s) return;
    const char *next = strstr(s + 1, "entry function '"), *to = next ? next : s + strlen(s);
    u->registers = number_before(s, to, " registers");
    u->spilled = number_before(s, to, " bytes spill stores") + number_before(s, to, " bytes stack frame");
    u->shared = number_before(s, to, " bytes smem");
}

// ---- the cache ----

static const char *path_of(Cx *cx, const Crew *c, const Work *w, const char *version, const char *folder) {
    XXH3_state_t *h = XXH3_createState();
    if (!h) fail(cx, E_LIMIT, "out of memory");
    XXH3_128bits_reset(h);
    for (int i = 0; i < NHEADERS; i++) XXH3_128bits_update(h, headers[i], strlen(headers[i]) + 1);
    for (int i = 0; i < c->noption; i++) XXH3_128bits_update(h, c->options[i], strlen(c->options[i]) + 1);
    XXH3_128bits_update(h, version, strlen(version) + 1);
    XXH3_128bits_update(h, w->text, strlen(w->text));
    XXH128_hash_t r = XXH3_128bits_digest(h);
    XXH3_freeState(h);
    return cache_path(cx, folder, r.high64, r.low64);
}

static void take(Cx *cx, Work *w) {
    Bytes b = w->path ? cache_take(cx, w->path) : (Bytes){NULL, 0};
    char *log = (char *)(uintptr_t)b.at, *end = b.n ? memchr(log, 0, b.n) : NULL;
    if (!end || end + 1 == log + b.n) return;
    w->log = log, w->cubin = end + 1, w->cached = true;
    w->bytes = b.n - (size_t)(w->cubin - log);
}

// What cannot be kept is told once.
static void keep_all(Cx *cx, const Crew *c, const char *folder) {
    bool ok = true;
    int kept = 0;
    for (int i = 0; i < c->nwork && ok; i++) {
        const Work *w = &c->work[i];
        if (w->cached) continue;
        Bytes piece[] = {{(const uint8_t *)w->log, strlen(w->log) + 1}, {(const uint8_t *)w->cubin, w->bytes}};
        ok = cache_keep(cx, w->path, piece, 2), kept++;
    }
    if (kept) cache_trim_code(cx, folder);
}

// ---- all of it ----

CudaBuilt build_cuda(Cx *cx, const char *arch, int most, CudaUnit *u, int n, bool no_cache) {
    Nvrtc v = nvrtc_open(cx, most);
    const char *version = check_version(cx, &v, arch), *folder = no_cache ? NULL : cache_folder(cx);
    CudaBuilt b = {.npart = (n + PER_PART - 1) / PER_PART};
    Crew *c = NEW(cx, Crew, 1);
    *c = (Crew){.v = &v,
                .options = {cx_fmt(cx, "--gpu-architecture=%s", arch), "--ptxas-options=-v", "--disable-warnings"},
                .noption = 3,
                .ptx = !strncmp(arch, "compute_", 8)};
    c->work = NEW(cx, Work, b.npart), c->largest = NEW(cx, Work *, b.npart), c->nwork = b.npart;
    cx_defer(cx, work_free, c);
    for (int i = 0; i < b.npart; i++) {
        Work *w = &c->work[i];
        int from = i * PER_PART;
        w->text = program_text_of(cx, u + from, n - from < PER_PART ? n - from : PER_PART);
        w->path = folder ? path_of(cx, c, w, version, folder) : NULL;
        take(cx, w);
        b.ncached += w->cached;
        c->largest[i] = w;
    }
    qsort(c->largest, (size_t)b.npart, sizeof *c->largest, by_size);
    compile_all(c);
    b.part = NEW(cx, CudaPart, b.npart);
    for (int i = 0; i < b.npart; i++) {
        Work *w = &c->work[i];
        if (w->error)
            fail(cx, E_INTERNAL, "NVRTC %s failed on a generated kernel: %.400s", version,
                 cx_show(cx, w->log ? w->log : ""));
        b.part[i] = (CudaPart){memcpy(cx_alloc(cx, w->bytes), w->cubin, w->bytes), w->bytes};
    }
    if (folder) keep_all(cx, c, folder);
    for (int i = 0; i < n; i++) u[i].part = i / PER_PART, read_log(cx, c->work[u[i].part].log, &u[i]);
    return b;
}
