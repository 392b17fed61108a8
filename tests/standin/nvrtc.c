// nvrtc.c -- a stand-in for libnvrtc: takes generated CUDA, makes a shared object for the emulator (standin.h).
// TVC_NVRTC names the library that this becomes.
#define _GNU_SOURCE
#include "standin.h"
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OUT_OF_MEMORY = 1, INVALID_INPUT = 3, INVALID_OPTION = 5, COMPILATION = 6 };
static const int archs[] = {75, 80, 86, 89, 90, 100, 120};
enum { NARCHS = sizeof archs / sizeof *archs };

typedef struct Prog {
    char *text, *log;
    Image image;
    char *code;                       // image.bytes of them
} Prog;

// As its name ends, libnvrtc.so.12. No real version: what the cache keeps must not be taken for NVRTC's.
int nvrtcVersion(int *major, int *minor) {
    const char *own = getenv("STANDIN_NVRTC"), *end = NULL;
    Dl_info me;
    if (dladdr((void *)(uintptr_t)nvrtcVersion, &me)) end = strstr(me.dli_fname, ".so.");
    return *major = own ? atoi(own) : end ? atoi(end + 4) : 13, *minor = 99, 0;
}

int nvrtcGetNumSupportedArchs(int *n) { return *n = NARCHS, 0; }

int nvrtcGetSupportedArchs(int *a) { return memcpy(a, archs, sizeof archs), 0; }

int nvrtcCreateProgram(Prog **p, const char *text, const char *name, int n, const char *const *header,
                       const char *const *header_name) {
    (void)name, (void)n, (void)header, (void)header_name;
    *p = calloc(1, sizeof **p);
    if (!*p || !((*p)->text = strdup(text)) || !((*p)->log = strdup(""))) return OUT_OF_MEMORY;
    return 0;
}

int nvrtcDestroyProgram(Prog **p) {
    free((*p)->text), free((*p)->log), free((*p)->code), free(*p);
    return *p = NULL, 0;
}

// ---- what the kernels of a text are called, and what they take ----

typedef struct Name { int threads, buffers; bool numbers; char name[96]; } Name;

// The kernel at or after `s`; where to go on, or NULL.
static const char *next_kernel(const char *s, Name *k) {
    static const char mark[] = "\nTVC_KERNEL(";
    if (!(s = strstr(s, mark))) return NULL;
    if (sscanf(s + sizeof mark - 1, "%d) %95[^(]", &k->threads, k->name) != 2) return NULL;
    const char *end = strchr(strchr(s + sizeof mark - 1, ')'), '{');
    const char *numbers = strstr(s, "_numbers numbers");
    k->buffers = 0, k->numbers = numbers && numbers < end;
    for (const char *b = s; end && (b = strchr(b, '*')) && b < end; b++) k->buffers++;
    return end;
}

static void write_entries(FILE *f, const char *text) {
    Name k;
    for (const char *s = text; (s = next_kernel(s, &k));) {
        fprintf(f, "const int buffers_%s = %d, threads_%s = %d, ", k.name, k.buffers, k.name, k.threads);
        fprintf(f, k.numbers ? "numbers_%s = sizeof(%s_numbers);\n" : "numbers_%s = 0;\n", k.name, k.name);
        fprintf(f, "static void call_%s(void **b, Ctx ctx) { %s(", k.name, k.name);
        for (int i = 0; i < k.buffers; i++) fprintf(f, "b[%d], ", i);
        fprintf(f, k.numbers ? "ctx, *(const %s_numbers *)ctx.numbers" : "ctx", k.name);
        fprintf(f, "); }\nvoid run_%s(const int64_t *grid, int threads, int mode, void **b, Ctx ctx)\n"
                   "{ launch(grid, threads, mode, call_%s, b, ctx); }\n", k.name, k.name);
    }
}

static bool write_log(Prog *p) {
    Name k;
    size_t n = 0;
    free(p->log);
    FILE *f = open_memstream(&p->log, &n);
    for (const char *s = p->text; f && (s = next_kernel(s, &k));)
        fprintf(
            f,
            "ptxas info    : Compiling entry function '%s' for 'sm_%d'\n    0 bytes stack frame, 0 bytes spill stores, "
            "0 bytes spill loads\nptxas info    : Used 32 registers, 384 bytes cmem[0]\n",
            k.name, p->image.arch);
    return f && !fclose(f);
}

// ---- compiling ----

static bool write_source(const Prog *p, const char *path) {
    static const char prelude[] = "#include \"cuda_prelude.h\"";
    FILE *f = fopen(path, "w");
    if (!f || strncmp(p->text, prelude, sizeof prelude - 1)) return false;
    fprintf(f, "#include \"%s/tests/cuda_emulator.h\"%s", TVC_SOURCE_DIR, p->text + sizeof prelude - 1);
    write_entries(f, p->text);
    return fclose(f) == 0;
}

static bool read_code(Prog *p, const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END)) return false;
    p->image.bytes = ftell(f);
    rewind(f);
    p->code = malloc((size_t)p->image.bytes);
    bool whole = p->code && fread(p->code, 1, (size_t)p->image.bytes, f) == (size_t)p->image.bytes;
    return !fclose(f) && whole;
}

static bool compile_in(Prog *p, const char *folder) {
    static const char flags[] =
        "-O1 -std=gnu11 -w -fno-strict-aliasing -fPIC -shared -fsanitize=alignment -fsanitize-undefined-trap-on-error";
    char source[96], object[96], command[1024];
    snprintf(source, sizeof source, "%s/k.c", folder), snprintf(object, sizeof object, "%s/k.so", folder);
    snprintf(command, sizeof command, "${STANDIN_CC:-cc} %s -I%s/codegen -o %s %s -lm", flags, TVC_SOURCE_DIR, object,
             source);
    bool ok = write_source(p, source) && system(command) == 0 && read_code(p, object);
    if (getenv("STANDIN_KEEP")) return ok;
    unlink(source), unlink(object);
    return ok;
}

// As NVRTC does: what ends the process when it is stopped is its own meanwhile, and is put back without its flags.
static void take_signals(void) { signal(SIGINT, signal(SIGINT, SIG_DFL)); }

int nvrtcCompileProgram(Prog *p, int n, const char *const *option) {
    take_signals();
    char folder[] = "/tmp/standin-XXXXXX";
    p->image = (Image){.magic = STANDIN_MAGIC, .arch = -1};
    for (int i = 0; i < n; i++) {
        if (sscanf(option[i], "--gpu-architecture=sm_%d", &p->image.arch) == 1) p->image.ptx = 0;
        if (sscanf(option[i], "--gpu-architecture=compute_%d", &p->image.arch) == 1) p->image.ptx = 1;
    }
    if (p->image.arch < 0) return INVALID_OPTION;
    if (!mkdtemp(folder)) return OUT_OF_MEMORY;
    bool ok = compile_in(p, folder) && write_log(p);
    rmdir(folder);
    return ok ? 0 : COMPILATION;
}

int nvrtcGetProgramLogSize(Prog *p, size_t *n) { return *n = strlen(p->log) + 1, 0; }

int nvrtcGetProgramLog(Prog *p, char *to) { return strcpy(to, p->log), 0; }

static size_t image_bytes(const Prog *p) { return sizeof p->image + (size_t)p->image.bytes; }

static int get(const Prog *p, char *to) {
    memcpy(to, &p->image, sizeof p->image);
    memcpy(to + sizeof p->image, p->code, (size_t)p->image.bytes);
    return 0;
}

int nvrtcGetCUBINSize(Prog *p, size_t *n) { return *n = p->image.ptx ? 0 : image_bytes(p), 0; }

int nvrtcGetCUBIN(Prog *p, char *to) { return p->image.ptx ? INVALID_INPUT : get(p, to); }

int nvrtcGetPTXSize(Prog *p, size_t *n) { return *n = image_bytes(p) + 1, 0; }     // ends in NUL, as text does

int nvrtcGetPTX(Prog *p, char *to) { return to[image_bytes(p)] = 0, get(p, to); }
