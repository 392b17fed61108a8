// list.c -- fuzz target: lists of examples, as CSV and as JSON lines, for each kind of target.
#include "data/draft.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

typedef struct Text { Cx *cx; const char *s; size_t n; TargetKind target; bool json; } Text;

static void parse(void *arg) {
    Text *t = arg;
    DatasetOptions o = {.target = t->target};
    Draft d = {.cx = t->cx, .path = "folder/list", .o = &o, .training = true};
    list_parse(&d, t->s, t->n, t->json);
    for (int s = 0; s < d.nset; s++)
        for (int i = 0; i < d.set[s].n; i++) {
            const Example *e = &d.set[s].at[i];
            assert(!strncmp(e->picture.path, "folder/", 7) && !strstr(e->picture.path, "/../"));
            assert(d.kind != TARGET_CLASS || (e->label >= 0 && e->label < d.classes.n));
            for (int k = 0; e->target && k < d.ntarget; k++) assert(isfinite(e->target[k]));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    for (int i = 0; i < 8; i++) {
        Text t = {cx_new(), (const char *)bytes, size, (TargetKind)(i / 2), i % 2};
        if (!t.cx) return 0;
        t.cx->limit = 256u << 20;
        cx_guard(t.cx, parse, &t);
        cx_free(t.cx);
    }
    return 0;
}
