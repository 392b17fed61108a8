// new.c -- tvc new: a network with fresh weights, where there is nothing pretrained to begin with.
#include "../zoo/zoo.h"
#include "asked.h"
#include "commands.h"
#include "print.h"

Err run_new(const Args *a) {
    enum { MOST = 65536 };
    arg_count(a, 1, 1);
    const char *out = arg_text(a, OPT_OUT, NULL);
    if (!out) fail(a->cx, E_USAGE, "where to? -o OUT.onnx is missing");
    asked_onnx_out(a, out);
    ZooOptions o = {.classes = arg_int(a, OPT_REPLACE_HEAD, 0, 1, MOST),
                    .channels = arg_int(a, OPT_INPUT_CHANNELS, 0, 1, MOST),
                    .side = arg_int(a, OPT_SIZE, 0, 1, MOST),
                    .seed = (uint64_t)arg_int(a, OPT_SEED, 0, 0, INT64_MAX)};
    Model *m = zoo_make(a->cx, a->pos[0], &o);
    model_write(m, out);
    if (arg_given(a, OPT_JSON)) {
        json_t *j = json_start(a->cx);
        json_put(j, "output", text_json(a->cx, out));
        json_put(j, "network", text_json(a->cx, a->pos[0]));
        json_print(j);
    } else {
        printf("%s\n", cx_show(a->cx, out));
    }
    print_next("tvc train %s PHOTOS --recipe full -o mine.onnx", cx_show(a->cx, out));
    return E_OK;
}
