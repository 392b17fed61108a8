// Any bytes as a package whose length and hash are right: all that the hash does not catch. What
// is accepted must be good enough to open a session on and call its functions.
#include "runtime/exec.h"
#include "runtime/package.h"
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_MEMORY = 1 << 20 };

// Formulas may ask for any amount of work: tests/test_interp.c damages those.
static bool has_formula(const Program *p) {
    for (int i = 0; i < p->nstep; i++)
        if (p->steps[i].kind == STEP_FORMULA) return true;
    return false;
}

static void try_package(const void *bytes, int64_t n, const char *device) {
    Package p;
    Fault f;
    if (!package_read(&p, bytes, n, device, &f) && p.program.arena_bytes + p.program.keep_bytes < MOST_MEMORY &&
        (device || !p.program.code) && !has_formula(&p.program)) {
        Session *s = device ? NULL : session_new(&p.program, &(SessionOptions){.device = "cpu", .threads = 1}, &f);
        if (!s) s = session_new(&p.program, &(SessionOptions){.device = "null"}, &f);
        for (int i = 0; s && i < p.program.nfunction; i++) session_call(s, i, &f);
        session_free(s);
    }
    package_close(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    void *bytes = NULL;
    if (size < PACKAGE_HASH_BYTES || posix_memalign(&bytes, TVC_ALIGN, size)) return 0;
    memcpy(bytes, data, size);
    int64_t n = (int64_t)size;
    if (size >= sizeof(PackageHeader)) memcpy((char *)bytes + offsetof(PackageHeader, file_bytes), &n, sizeof n);
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits(bytes, size - PACKAGE_HASH_BYTES));
    memcpy((char *)bytes + size - PACKAGE_HASH_BYTES, hash.digest, PACKAGE_HASH_BYTES);
    try_package(bytes, n, NULL);
    try_package(bytes, n, "cuda:sm_90");
    free(bytes);
    return 0;
}
