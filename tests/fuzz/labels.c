// labels.c -- fuzz target: class names as lines, JSON and Python literals.
#include "data/labels.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

typedef struct Text { Cx *cx; const char *s; size_t n; } Text;

static void parse(void *arg) {
    Text *t = arg;
    Labels l;
    if (!labels_parse(t->cx, t->s, t->n, &l)) return;
    for (int i = 0; i < l.n; i++) (void)strlen(l.name[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    Text t = {cx_new(), (const char *)bytes, size};
    if (!t.cx) return 0;
    cx_guard(t.cx, parse, &t);
    cx_free(t.cx);
    return 0;
}
