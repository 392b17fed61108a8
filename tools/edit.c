// edit.c -- tvc edit: read, change, write back as ONNX.
#include "asked.h"
#include "commands.h"
#include "report.h"

// What became of the head.
static void tell(const Args *a, const SurgeryResult *r) {
    Cx *cx = a->cx;
    const char *classes = arg_text(a, OPT_REPLACE_HEAD, NULL);
    if (!classes) return;
    if (r->appended)
        cx_note(cx, "no head to replace (%s): a new one for %s classes is appended", r->heads.why_none, classes);
    for (int i = 0; i < r->heads.n && !r->appended; i++) {
        const Head *h = &r->heads.head[i];
        bool gone = i > 0 && arg_given(a, OPT_DROP_AUX);
        cx_note(cx, "head %s%s: %s", node_label(cx, h->node), gone ? ", dropped" : i > 0 ? ", auxiliary" : "", h->why);
    }
}

Err run_edit(const Args *a) {
    arg_count(a, 1, 1);
    const char *out = arg_text(a, OPT_OUT, NULL);
    if (!out) fail(a->cx, E_USAGE, "where to? -o OUT.onnx is missing");
    asked_onnx_out(a, out);
    Model *m = asked_model(a, a->pos[0]);
    SurgeryResult r = asked_edits(a, m);
    tell(a, &r);
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
