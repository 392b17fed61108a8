// Fuzz target: any bytes as a .npy file; every element of what is read must be there.
#include "frontend/npy.h"

typedef struct Try {
    Cx *cx;
    Bytes bytes;
    uint64_t sum;
} Try;

static void go(void *arg) {
    Try *t = arg;
    const Tensor *got = npy_read_bytes(t->cx, "fuzz", t->bytes);
    const uint8_t *p = got->data;
    for (size_t i = 0, n = tensor_bytes(got); i < n; i++) t->sum += p[i];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Try t = {.cx = cx_new(), .bytes = {data, size}};
    if (!t.cx) return 0;
    if (!cx_guard(t.cx, go, &t) && !t.cx->error[0]) abort();
    cx_free(t.cx);
    return 0;
}
