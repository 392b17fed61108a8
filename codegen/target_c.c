// target_c.c -- machine code for the CPU through the system's C compiler.
//
// The distinct kernels are written into a few C files, compiled side by side, and linked into one
// shared object whose name is a hash of everything that went in: text, flags and the compiler
// itself. Found under that name, nothing is compiled. The compiler is started without a shell.
// The object ends with the cache's seal, which a loader does not look at, kept or not: the same bytes.
#define _GNU_SOURCE                   // sched_getaffinity
#include "cache.h"
#include "link.h"
#include "../ir/leftover.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

extern const char scalar_prelude[], kernel_prelude[];
extern char **environ;

enum { MAXFLAGS = 40, MAXPARTS = 8, PART = 24 << 10 };   // bytes of C worth a process of their own

// What matters: contraction on (gcc -std=c11 would turn it off), no vectorizer (it spills the
// register tiles), no errno. Never -ffast-math: linking it changes the host's floating point.
static const char *const common[] = {"-std=gnu11",
                                     "-O2",
                                     "-fPIC",
                                     "-w",
                                     "-ffp-contract=fast",
                                     "-fno-math-errno",
                                     "-fno-trapping-math",
                                     "-fno-tree-vectorize",
                                     "-fno-tree-slp-vectorize",
                                     "-fno-stack-protector",
                                     "-fvisibility=hidden",
                                     NULL};
static const char *const avx2[] = {"-mavx2", "-mfma", "-mf16c", "-mbmi2", NULL};
static const char *const avx512[] = {"-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512",
                                     NULL};

static int flags(int isa, const char **to) {
    int n = 0;
    for (int i = 0; common[i]; i++) to[n++] = common[i];
    for (int i = 0; isa >= ISA_AVX2 && avx2[i]; i++) to[n++] = avx2[i];
    for (int i = 0; isa >= ISA_AVX512 && avx512[i]; i++) to[n++] = avx512[i];
    return n;
}

// ---- the compiler ----

static const char *in_path(Cx *cx, const char *name) {
    if (strchr(name, '/')) return access(name, X_OK) == 0 ? name : NULL;
    const char *p = getenv("PATH");
    for (p = p ? p : "/usr/bin:/bin"; *p;) {
        size_t n = strcspn(p, ":");
        const char *path = cx_fmt(cx, "%.*s/%s", (int)n, p, name);
        if (n && access(path, X_OK) == 0) return path;
        p += n + (p[n] == ':');
    }
    return NULL;
}

const char *find_compiler(Cx *cx) {
    const char *names[] = {getenv("TVC_CC"), "cc", "gcc", "clang"}, *path;
    if (names[0] && !*names[0]) return NULL;               // TVC_CC= : as if there were none
    for (int i = 0; i < 4; i++)
        if (names[i] && (path = in_path(cx, names[i]))) return path;
    return NULL;
}

static pid_t start(Cx *cx, const char *const *argv) {
    posix_spawn_file_actions_t fa;
    pid_t pid = -1;
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_adddup2(&fa, 2, 1);           // its complaints are messages, not data
    int e = posix_spawn(&pid, argv[0], &fa, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&fa);
    if (e) fail(cx, E_IO, "cannot start the C compiler %s: %s", cx_show(cx, argv[0]), strerror(e));
    return pid;
}

static void finish(Cx *cx, pid_t pid, const char *cc) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        fail(cx, E_INTERNAL, "the C compiler %s failed on a generated kernel (TVC_KEEP=1 keeps its files)",
             cx_show(cx, cc));
}

// ---- the key ----

static void hash_text(XXH3_state_t *h, const char *s) { XXH3_128bits_update(h, s, strlen(s) + 1); }

static const char *path_of(Graph *g, const Unit *u, int n, const char *cc, const char *folder) {
    XXH3_state_t *h = XXH3_createState();
    if (!h) fail(g->cx, E_LIMIT, "out of memory");
    const char *f[MAXFLAGS];
    struct stat st;
    XXH3_128bits_reset(h);
    hash_text(h, scalar_prelude), hash_text(h, kernel_prelude);
    hash_text(h, cx_fmt(g->cx, "%d", g->lanes));
    for (int i = 0, m = flags(g->isa, f); i < m; i++) hash_text(h, f[i]);
    hash_text(h, cc);
    if (stat(cc, &st) == 0) hash_text(h, cx_fmt(g->cx, "%lld %lld", (long long)st.st_size, (long long)st.st_mtime));
    for (int i = 0; i < n; i++)
        if (!u[i].again && !u[i].k->hand) hash_text(h, u[i].name);
    XXH128_hash_t r = XXH3_128bits_digest(h);
    XXH3_freeState(h);
    return cache_path(g->cx, folder, r.high64, r.low64);
}

// ---- files ----

typedef struct Work {                 // a folder that goes away with the request
    int n;
    Leftover name[2 * MAXPARTS + 2];  // the folder, then its files
} Work;

static const char *work_add(Work *w, const char *path) {
    w->name[w->n] = (Leftover){.folder = AT_FDCWD, .name = path};
    leftover_add(&w->name[w->n++]);
    return path;
}

static void work_remove(void *arg) {
    Work *w = arg;
    while (w->n) {
        Leftover *l = &w->name[--w->n];
        if (!getenv("TVC_KEEP")) remove(l->name);
        leftover_drop(l);
    }
}

static Work *work_new(Cx *cx, const char *under) {
    Work *w = NEW(cx, Work, 1);
    char *path = cx_fmt(cx, "%s/tvc-XXXXXX", under);
    if (!mkdtemp(path)) fail(cx, E_IO, "cannot make a folder in %s: %s", cx_show(cx, under), strerror(errno));
    cx_defer(cx, work_remove, w);
    work_add(w, path);
    return w;
}

static const char *work_file(Cx *cx, Work *w, const char *name) {
    return work_add(w, cx_fmt(cx, "%s/%s", w->name[0].name, name));
}

static void put_named(FILE *f, const char *text, const char *name) {
    for (const char *d; (d = strchr(text, '$')); text = d + 1) {
        fwrite(text, 1, (size_t)(d - text), f);
        fputs(name, f);
    }
    fputs(text, f);
}

// Every nparts-th distinct unit, by falling size, so that the parts take about as long.
static const char *write_part(Graph *g, Work *w, Unit *const *u, int n, int part, int nparts) {
    const char *path = work_file(g->cx, w, cx_fmt(g->cx, "%d.c", part));
    FILE *f = fopen(path, "w");
    if (!f) fail(g->cx, E_IO, "cannot write %s: %s", cx_show(g->cx, path), strerror(errno));
    fprintf(f, "#define LANES %d\n%s%s", g->lanes, scalar_prelude, kernel_prelude);
    for (int i = part; i < n; i += nparts) fputc('\n', f), put_named(f, u[i]->text.s, u[i]->name);
    bool bad = ferror(f) != 0;
    if (fclose(f) || bad) fail(g->cx, E_IO, "cannot write %s: %s", cx_show(g->cx, path), strerror(errno));
    return path;
}

static int longer(const void *a, const void *b) {
    const Unit *u = *(Unit *const *)a, *v = *(Unit *const *)b;
    size_t x = strlen(u->text.s), y = strlen(v->text.s);
    return x != y ? (x < y) - (x > y) : strcmp(u->name, v->name);
}

static int processors(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static const char *compile(Graph *g, Work *w, Unit *const *u, int n, const char *cc, int threads) {
    Cx *cx = g->cx;
    size_t bytes = 0;
    for (int i = 0; i < n; i++) bytes += strlen(u[i]->text.s);
    int parts = bytes / PART < MAXPARTS ? (int)(bytes / PART) + 1 : MAXPARTS, cpus = threads ? threads : processors();
    const char *argv[MAXFLAGS + MAXPARTS + 8], *object[MAXPARTS];
    pid_t pid[MAXPARTS];
    argv[0] = cc;
    int nf = 1 + flags(g->isa, argv + 1);
    for (int i = 0; i < parts; i++) {            // as many as the text asks for, whoever compiles it: the same bytes
        if (i >= cpus) finish(cx, pid[i - cpus], cc);
        const char *src = write_part(g, w, u, n, i, parts);
        object[i] = work_file(cx, w, cx_fmt(cx, "%d.o", i));
        argv[nf] = "-c", argv[nf + 1] = src, argv[nf + 2] = "-o", argv[nf + 3] = object[i], argv[nf + 4] = NULL;
        pid[i] = start(cx, argv);
    }
    for (int i = parts > cpus ? parts - cpus : 0; i < parts; i++) finish(cx, pid[i], cc);
    const char *so = work_file(cx, w, "program.so");
    nf = 1;
    argv[nf++] = "-shared", argv[nf++] = "-o", argv[nf++] = so;
    for (int i = 0; i < parts; i++) argv[nf++] = object[i];
    argv[nf++] = "-lm", argv[nf] = NULL;
    finish(cx, start(cx, argv), cc);
    return so;
}

// ---- all of it ----

static bool keep(Cx *cx, const char *so, const char *path) {
    Bytes code = file_map(cx, so);
    const char *slash = strrchr(path, '/');
    if (!cache_keep(cx, path, &code, 1)) return false;
    cache_trim_code(cx, cx_str(cx, path, (size_t)(slash - path)));
    return true;
}

static void append_seal(Cx *cx, const char *so) {
    uint8_t seal[CACHE_SEAL];
    Bytes code = file_map(cx, so);
    cache_seal(cx, &code, 1, seal);
    FILE *f = fopen(so, "ab");
    bool bad = !f || fwrite(seal, 1, sizeof seal, f) != sizeof seal;
    if ((f && fclose(f)) || bad) fail(cx, E_IO, "cannot write %s: %s", cx_show(cx, so), strerror(errno));
}

Built build_c(Graph *g, Unit *u, int nunit, const CompileOptions *o) {
    Cx *cx = g->cx;
    Unit **distinct = NEW(cx, Unit *, nunit + 1);
    int n = 0;
    for (int i = 0; i < nunit; i++)
        if (!u[i].again && !u[i].k->hand) distinct[n++] = &u[i];
    const char *cc = find_compiler(cx), *cache = o->no_cache ? NULL : cache_folder(cx);
    if (!cc) fail(cx, E_DEVICE, "no C compiler was found (cc, gcc or clang in PATH, or TVC_CC)");
    const char *path = cache ? path_of(g, u, nunit, cc, cache) : NULL;
    struct timespec a, b;
    if (n == 0) return (Built){.compiler = cc};
    if (path && cache_take(cx, path).n) return (Built){path, cc, true, 0};
    qsort(distinct, (size_t)n, sizeof *distinct, longer);
    clock_gettime(CLOCK_MONOTONIC, &a);
    const char *tmp = getenv("TMPDIR");
    const char *so = compile(g, work_new(cx, tmp && *tmp ? tmp : "/tmp"), distinct, n, cc, o->threads);
    if (!path || !keep(cx, so, path)) append_seal(cx, path = so);
    clock_gettime(CLOCK_MONOTONIC, &b);
    return (Built){path, cc, false, (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec)};
}
