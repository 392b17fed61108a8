// edit.c -- tvc edit: read, change, write back as ONNX.
#include "asked.h"
#include "commands.h"
#include "report.h"

Err run_edit(const Args *a) {
    arg_count(a, 1, 1);
    const char *out = arg_text(a, OPT_OUT, NULL);
    if (!out) fail(a->cx, E_USAGE, "where to? -o OUT.onnx is missing");
    Model *m = asked_model(a, a->pos[0]);
    SurgeryResult r = asked_edits(a, m);
    model_write(m, out);
    if (arg_given(a, OPT_JSON)) {
        json_t *o = json_start(a->cx);
        json_put(o, "output", text_json(a->cx, out));
        report_heads(m, o, &r.heads);
        json_put(o, "appended", json_boolean(r.appended));
        json_print(o);
    } else {
        printf("%s\n", cx_show(a->cx, out));
    }
    print_next("tvc inspect %s", cx_show(a->cx, out));
    return E_OK;
}
