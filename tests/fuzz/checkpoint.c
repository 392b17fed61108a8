// checkpoint.c -- fuzz target: the arrays of a checkpoint, behind a checksum that fits.
#include "train/checkpoint.h"
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

typedef struct Text { Cx *cx; Bytes bytes; } Text;

static void parse(void *arg) {
    Text *t = arg;
    Checkpoint c = checkpoint_parse(t->cx, "fuzz", t->bytes);
    volatile unsigned char last = 0;
    for (int i = 0; i < c.n; i++) {
        int64_t n = desc_bytes(&c.at[i].desc);
        assert(checkpoint_find(&c, c.at[i].name) == &c.at[i]);
        if (n) last = ((const unsigned char *)c.at[i].data)[n - 1];
    }
    (void)last;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    uint8_t *whole = malloc(size + 16);
    XXH128_canonical_t sum;
    if (!whole) return 0;
    if (size) memcpy(whole, bytes, size);
    XXH128_canonicalFromHash(&sum, XXH3_128bits(bytes, size));
    memcpy(whole + size, &sum, 16);
    for (int raw = 0; raw < 2; raw++) {
        Text t = {cx_new(), {whole, raw ? size : size + 16}};
        if (!t.cx) break;
        t.cx->limit = 64u << 20;
        cx_guard(t.cx, parse, &t);
        cx_free(t.cx);
    }
    free(whole);
    return 0;
}
