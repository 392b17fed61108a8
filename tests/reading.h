// reading.h -- reads bytes or files as the Model room's readers do, and says how it went.
#ifndef TVC_TESTS_READING_H
#define TVC_TESTS_READING_H
#include "frontend/model.h"
#include "frontend/npy.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>                  // after all that declare something called fail, which is a macro of its

typedef struct Reading {
    Cx *cx;
    const char *path;                // a file, or with bytes.at only a name
    Bytes bytes;
    Model *model;
    Tensor *tensor;
    void (*edit)(Model *m);          // called on the model, guarded
    const char *write_to;            // then written here
} Reading;

static inline void reading_go(void *arg) {
    Reading *r = arg;
    r->model = r->bytes.at ? model_read_bytes(r->cx, r->path, r->bytes) : model_read(r->cx, r->path);
    if (r->edit) r->edit(r->model);
    if (r->write_to) model_write(r->model, r->write_to);
}

static inline void reading_go_npy(void *arg) {
    Reading *r = arg;
    r->tensor = r->bytes.at ? npy_read_bytes(r->cx, r->path, r->bytes) : npy_read(r->cx, r->path);
}

static inline void reading_go_pb(void *arg) {
    Reading *r = arg;
    r->tensor = r->bytes.at ? tensor_read_bytes(r->cx, r->path, r->bytes) : tensor_read_pb(r->cx, r->path);
}

// Runs go(r) with a new Cx, which the caller frees; returns its code.
static inline Err reading_run(Reading *r, void (*go)(void *)) {
    r->cx = cx_new();
    if (!r->path) r->path = "test.onnx";
    return cx_guard(r->cx, go, r) ? E_OK : r->cx->code;
}

// Reads a copy of n bytes whose end is the end of its allocation, as a model; frees all.
static inline Err model_outcome(const void *data, size_t n, char *error, size_t size) {
    uint8_t *copy = malloc(n + !n);
    if (n) memcpy(copy, data, n);
    Reading r = {.bytes = {copy, n}};
    Err e = reading_run(&r, reading_go);
    if (error) snprintf(error, size, "%s", e ? r.cx->error : "");
    cx_free(r.cx);
    free(copy);
    return e;
}

// Whole files, for setting things up and comparing.
static inline uint8_t *slurp(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    uint8_t *p = malloc(*n + 1);
    if (fread(p, 1, *n, f) != *n) abort();
    fclose(f);
    return p;
}

static inline void spill(const char *path, const void *data, size_t n) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, n, f) != n || fclose(f)) abort();
}

// A fresh folder of the test's own, removed by scratch_remove().
static inline char *scratch_make(char *buf, size_t size) {
    const char *tmp = getenv("TMPDIR");
    snprintf(buf, size, "%s/tvc-test-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(buf)) abort();
    return buf;
}

static inline void scratch_remove(const char *folder) {
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command)) abort();
}

// Where the real models are; NULL (after saying so) if they are not here.
static inline const char *test_data(void) {
    static char path[512];
    const char *given = getenv("TVC_TEST_DATA");
    snprintf(path, sizeof path, "%s", given ? given : TVC_SOURCE_DIR "/../shared/data");
    if (!access(path, R_OK)) return path;
    fprintf(stderr, "skipped: no test data at %s\n", path);
    return NULL;
}

// A Python interpreter that has `module`; NULL (after saying so) if there is none.
static inline const char *python_with(const char *module) {
    static char path[512];
    char command[700];
    const char *given = getenv("TVC_PYTHON");
    snprintf(path, sizeof path, "%s", given ? given : TVC_SOURCE_DIR "/.venv/bin/python");
    snprintf(command, sizeof command, "'%s' -c 'import %s' 2>/dev/null", path, module);
    if (!system(command)) return path;
    fprintf(stderr, "skipped: no Python with %s (TVC_PYTHON)\n", module);
    return NULL;
}

#endif
