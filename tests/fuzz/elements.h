// elements.h -- for fuzz targets that read one tensor: every element of what is read must be there.
#ifndef TVC_FUZZ_ELEMENTS_H
#define TVC_FUZZ_ELEMENTS_H
#include "frontend/model.h"

typedef Tensor *ReadFn(Cx *cx, const char *name, Bytes bytes);

typedef struct Try {
    Cx *cx;
    Bytes bytes;
    ReadFn *read;
    uint64_t sum;
} Try;

static void read_elements(void *arg) {
    Try *t = arg;
    const Tensor *got = t->read(t->cx, "fuzz", t->bytes);
    const uint8_t *p = got->data;
    for (size_t i = 0, n = tensor_bytes(got); i < n; i++) t->sum += p[i];
}

static int try_reading(const uint8_t *data, size_t size, ReadFn *read) {
    Try t = {.cx = cx_new(), .bytes = {data, size}, .read = read};
    if (!t.cx) return 0;
    if (!cx_guard(t.cx, read_elements, &t) && !t.cx->error[0]) abort();
    cx_free(t.cx);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
