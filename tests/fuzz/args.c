// args.c -- fuzz target: any bytes as a command line, a word a line, and what the options say to the library.
#include "tools/asked.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { MOST_WORDS = 64 };

typedef struct Line { Cx *cx; int n; char *word[MOST_WORDS + 1]; } Line;

static void ask(void *arg) {
    Line *l = arg;
    const Args *a = args_parse(l->cx, l->n, l->word);
    asked_import(a), asked_surgery(a), asked_engine(a, 0), asked_recipe(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    Line l = {.cx = cx_new(), .n = 1, .word = {"tvc"}};
    if (!l.cx) return 0;
    char *text = cx_str(l.cx, (const char *)bytes, size);
    for (char *s = strtok(text, "\n"); s && l.n < MOST_WORDS; s = strtok(NULL, "\n")) l.word[l.n++] = s;
    cx_guard(l.cx, ask, &l);
    cx_free(l.cx);
    return 0;
}
