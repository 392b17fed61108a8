// devices.c -- tvc devices: what this machine has to compile for and to run on, and what it lacks.
#include "../codegen/link.h"
#include "../codegen/target_cuda.h"
#include "../runtime/cublaslt.h"
#include "../runtime/isa.h"
#include "../runtime/pool.h"
#include "commands.h"
#include "print.h"

#include <unistd.h>

static const char *version_text(Cx *cx, int major, int minor) { return cx_fmt(cx, "%d.%d", major, minor); }

// The kernel module's own number, "580.82.07"; NULL where it does not say.
static const char *module_version(Cx *cx) {
    FILE *f = fopen("/proc/driver/nvidia/version", "r");
    char line[256] = "";
    int major, minor, patch;
    if (!f) return NULL;
    if (!fgets(line, sizeof line, f)) *line = 0;
    fclose(f);
    for (const char *s = line; *s; s++)
        if (sscanf(s, " %d.%d.%d", &major, &minor, &patch) == 3) return cx_fmt(cx, "%d.%02d.%02d", major, minor, patch);
    return NULL;
}

// ---- the processor ----
static const struct { const char *name; int id; } caches[] = {
    {"l1d", _SC_LEVEL1_DCACHE_SIZE}, {"l2", _SC_LEVEL2_CACHE_SIZE}, {"l3", _SC_LEVEL3_CACHE_SIZE}};
enum { NCACHES = sizeof caches / sizeof *caches };

static json_t *cpu_json(Cx *cx) {
    json_t *o = json_object(), *sizes = json_object();
    for (int i = 0; i < NCACHES; i++) {
        long n = sysconf(caches[i].id);
        json_put(sizes, caches[i].name, n > 0 ? json_integer(n) : json_null());
    }
    json_put(o, "machine", text_json(cx, machine_name(machine_host())));
    json_put(o, "isa", text_json(cx, isa_name(isa_host())));
    json_put(o, "threads", json_integer(pool_processors()));
    json_put(o, "cache_bytes", sizes);
    json_put(o, "compiler", text_json(cx, find_compiler(cx)));
    return o;
}

static void print_cpu(Cx *cx) {
    const char *cc = find_compiler(cx);
    printf("cpu       %s, %s, %d threads, caches", machine_name(machine_host()), isa_name(isa_host()),
           pool_processors());
    for (int i = 0; i < NCACHES; i++)
        if (sysconf(caches[i].id) > 0) printf(" %s %ld kB", caches[i].name, sysconf(caches[i].id) >> 10);
    printf("\ncompiler  %s\n", cc ? cc : "none (cc, gcc or clang in PATH): generic kernels run instead, slower");
}

// ---- GPUs ----
typedef struct Gpus {
    const CudaDriver *driver;         // NULL: *why says so
    int n, version;
    const char *why, *nvrtc, *nvrtc_why, *cublaslt, *cublaslt_why, *module;
} Gpus;

static Gpus gpus_find(Cx *cx) {
    Fault f;
    int major, minor;
    Gpus g = {.driver = cuda_driver(&f), .module = module_version(cx)};
    if (!g.driver) g.why = cx_fmt(cx, "%s", f.text);
    else g.n = cuda_count(g.driver), g.version = cuda_version(g.driver);
    if (g.driver && !g.n) g.why = "the driver sees no GPU";
    if (nvrtc_version(&major, &minor, &f)) g.nvrtc_why = cx_fmt(cx, "%s", f.text);
    else g.nvrtc = version_text(cx, major, minor);
    if (cublaslt_version(&major, &minor, &f)) g.cublaslt_why = cx_fmt(cx, "%s", f.text);
    else g.cublaslt = version_text(cx, major, minor);
    return g;
}

static const char *target_of(Cx *cx, const Gpus *g, const CudaInfo *i, Fault *f) {
    char target[32];
    return cuda_target(i->major * 10 + i->minor, g->version, true, target, f) ? NULL : cx_fmt(cx, "%s", target);
}

static void print_gpus(Cx *cx, const Gpus *g) {
    for (int k = 0; k < g->n; k++) {
        CudaInfo i;
        Fault f;
        if (cuda_info(g->driver, k, &i, &f)) {
            printf("cuda:%d    cannot be asked: %s\n", k, f.text);
            continue;
        }
        const char *target = target_of(cx, g, &i, &f);
        printf("cuda:%d    %s, sm_%d%d, %.1f GB, %d multiprocessors; %s%s\n", k, cx_show(cx, i.name), i.major, i.minor,
               (double)i.memory / (1 << 30), i.multiprocessors, target ? "compiles to " : "", target ? target : f.text);
    }
    if (g->why) printf("gpu       none: %s\n", g->why);
    if (g->driver)
        printf("driver    for CUDA %d.%d%s%s\n", g->version / 1000, g->version % 1000 / 10, g->module ? ", " : "",
               g->module ? g->module : "");
    printf("nvrtc     %s%s\n", g->nvrtc ? "" : "none: ", g->nvrtc ? g->nvrtc : g->nvrtc_why);
    printf("cublaslt  %s%s\n", g->cublaslt ? "" : "none: ", g->cublaslt ? g->cublaslt : g->cublaslt_why);
}

static json_t *gpus_json(Cx *cx, const Gpus *g) {
    json_t *list = json_array();
    for (int k = 0; k < g->n; k++) {
        CudaInfo i;
        Fault f;
        json_t *o = json_object();
        json_put(o, "device", text_json(cx, cx_fmt(cx, "cuda:%d", k)));
        json_array_append_new(list, o);
        if (cuda_info(g->driver, k, &i, &f)) {
            json_put(o, "why_not", text_json(cx, f.text));
            continue;
        }
        const char *target = target_of(cx, g, &i, &f);
        json_put(o, "name", text_json(cx, i.name));
        json_put(o, "architecture", text_json(cx, cx_fmt(cx, "sm_%d%d", i.major, i.minor)));
        json_put(o, "memory_bytes", json_integer(i.memory));
        json_put(o, "multiprocessors", json_integer(i.multiprocessors));
        json_put(o, "target", text_json(cx, target));
        json_put(o, "why_not", text_json(cx, target ? NULL : f.text));
    }
    return list;
}

static void print_all_json(Cx *cx, const Gpus *g) {
    json_t *o = json_start(cx);
    json_put(o, "cpu", cpu_json(cx));
    json_put(o, "gpus", gpus_json(cx, g));
    json_put(o, "gpus_why_none", text_json(cx, g->why));
    json_put(o, "driver_cuda",
             text_json(cx, g->driver ? version_text(cx, g->version / 1000, g->version % 1000 / 10) : NULL));
    json_put(o, "driver", text_json(cx, g->module));
    json_put(o, "nvrtc", text_json(cx, g->nvrtc));
    json_put(o, "nvrtc_why_none", text_json(cx, g->nvrtc_why));
    json_put(o, "cublaslt", text_json(cx, g->cublaslt));
    json_put(o, "cublaslt_why_none", text_json(cx, g->cublaslt_why));
    json_print(o);
}

Err run_devices(const Args *a) {
    arg_count(a, 0, 0);
    Gpus g = gpus_find(a->cx);
    if (arg_given(a, OPT_JSON)) {
        print_all_json(a->cx, &g);
        return E_OK;
    }
    print_cpu(a->cx);
    print_gpus(a->cx, &g);
    return E_OK;
}
