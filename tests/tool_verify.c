// For daily work: tool_verify [-q] [-c] [-m SUBSTRING] [-a ATOL] [-b MAX_BATCH] PATH... runs every case under the paths
// on the evaluator; -c: compiled; -b: with a free batch of up to so many.
#include "tools/suite.h"

typedef struct Args { const char *path; Case *cases; int n; Cx *cx; } Args;

static void find(void *arg) {
    Args *a = arg;
    a->n = suite_find(a->cx, a->path, &a->cases);
}

int main(int argc, char **argv) {
    Judge j = {.rtol = 1e-3, .atol = 1e-7, .run = case_run_eval};
    int count[3] = {0}, from = 1;
    const char *only = "";
    bool quiet = false;
    for (; from < argc && argv[from][0] == '-'; from++) {
        if (!strcmp(argv[from], "-q")) quiet = true;
        else if (!strcmp(argv[from], "-c")) j.run = case_run_compiled;
        else if (!strcmp(argv[from], "-b") && from + 1 < argc) j.max_batch = atoi(argv[++from]);
        else if (!strcmp(argv[from], "-a") && from + 1 < argc) j.atol = atof(argv[++from]);
        else if (!strcmp(argv[from], "-m") && from + 1 < argc) only = argv[++from];
    }
    Cx *cx = cx_new();
    for (int i = from; cx && i < argc; i++) {
        Args a = {.path = argv[i], .cx = cx};
        if (!cx_guard(cx, find, &a)) return fprintf(stderr, "%s\n", cx->error), 2;
        for (int k = 0; k < a.n; k++) {
            char why[1024];
            if (!strstr(a.cases[k].name, only)) continue;
            CaseResult r = case_check(&a.cases[k], &j, why, sizeof why);
            count[r]++;
            if (!quiet || r == CASE_FAILED) printf("%s %s %s\n", r == CASE_PASSED ? "pass" : r == CASE_FAILED ? "FAIL" : "skip", a.cases[k].name, why);
            fflush(stdout);
        }
    }
    printf("%d passed, %d failed, %d skipped\n", count[CASE_PASSED], count[CASE_FAILED], count[CASE_SKIPPED]);
    cx_free(cx);
    return count[CASE_FAILED] > 0;
}
