// Any bytes as a graph's text: what can be read is printed, and reads back the same.
#include "ir/graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Try { Cx *cx; const char *text; } Try;

static char *printed(Cx *cx, Graph *g) {
    char *s = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&s, &n);
    if (!f) return NULL;
    graph_sort(g);
    graph_print(g, f);
    fclose(f);
    cx_defer(cx, free, s);
    return s;
}

static void read_and_print(void *arg) {
    Try *t = arg;
    char *first = printed(t->cx, graph_parse(t->cx, t->text));
    char *second = first ? printed(t->cx, graph_parse(t->cx, first)) : NULL;
    if (second && strcmp(first, second) != 0) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Try t = {.cx = cx_new()};
    if (!t.cx) return 0;
    t.text = cx_str(t.cx, (const char *)data, size);
    t.cx->limit = 64 << 20;
    cx_guard(t.cx, read_and_print, &t);
    cx_free(t.cx);
    return 0;
}
