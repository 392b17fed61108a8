// verify.c -- tvc verify: cases and suites against their expected outputs.
#include "asked.h"
#include "commands.h"
#include "print.h"
#include "suite.h"

static const char *const result_names[] = {"passed", "failed", "skipped"};

static json_t *case_json(Cx *cx, const Case *c, CaseResult r, const char *why) {
    json_t *o = json_object();
    json_put(o, "name", text_json(cx, c->name));
    json_put(o, "model", text_json(cx, c->model));
    json_put(o, "result", text_json(cx, result_names[r]));
    json_put(o, "why", why[0] ? text_json(cx, why) : json_null());
    return o;
}

Err run_verify(const Args *a) {
    arg_count(a, 1, -1);
    bool json = arg_given(a, OPT_JSON);
    EngineOptions engine = asked_engine(a, 0);
    Judge judge = {.rtol = arg_float(a, OPT_RTOL, 1e-3),
                   .atol = arg_float(a, OPT_ATOL, 1e-7),
                   .run = case_run_compiled,
                   .user = &engine};
    judge.max_batch = asked_import(a).max_batch;
    if (engine.eval) judge.run = case_run_eval;
    json_t *list = json_array(), *o = json_start(a->cx);
    json_put(o, "cases", list);
    int count[3] = {0};
    for (int i = 0; i < a->npos; i++) {
        Case *cases;
        int n = suite_find(a->cx, a->pos[i], &cases);
        for (int k = 0; k < n; k++) {
            char why[1024];
            CaseResult r = case_check(&cases[k], &judge, why, sizeof why);
            count[r]++;
            if (json) json_array_append_new(list, case_json(a->cx, &cases[k], r, why));
            else if (r != CASE_PASSED) printf("%-8s %s: %s\n", result_names[r], cx_show(a->cx, cases[k].name), why);
            else print_more("passed   %s", cx_show(a->cx, cases[k].name));
        }
    }
    if (count[0] + count[1] + count[2] == 0)
        fail(a->cx, E_USAGE,
             "no case was found: one is a folder with model.onnx and test_data_set_*, or NAME.onnx with "
             "NAME_output_0.pb beside it");
    for (int r = 0; r < 3; r++) json_put(o, result_names[r], json_integer(count[r]));
    if (json) json_print(o);
    else printf("%d passed, %d failed, %d skipped\n", count[0], count[1], count[2]);
    return count[1] ? E_CHECK : E_OK;
}
