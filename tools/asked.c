// asked.c -- command-line words to the structs that the library's rooms take.
#include "asked.h"
#include "print.h"

Model *asked_model(const Args *a, const char *path) {
    Model *m = model_read(a->cx, path);
    print_more("%s: %.1f MB, opset %lld, %d nodes, %d initializers", cx_show(a->cx, path), (double)m->file_bytes / 1e6,
               (long long)model_opset(m, ""), m->nnode, m->ninit);
    return m;
}

// ---- sizes ----
// "NAME=1x3x320x320"; a "?" or "N" leaves a size as the model has it.
static ShapeChoice parse_shape(Cx *cx, const char *s) {
    const char *eq = strrchr(s, '=');
    if (!eq || eq == s) fail(cx, E_USAGE, "--shape '%s' is not of the form NAME=1x3x224x224", cx_show(cx, s));
    ShapeChoice c = {.input = cx_str(cx, s, (size_t)(eq - s))};
    for (const char *p = eq + 1;; p++) {
        size_t n = strcspn(p, "x");
        if (c.rank == MAXDIM) fail(cx, E_USAGE, "--shape '%s' has more than %d sizes", cx_show(cx, s), MAXDIM);
        const char *word = cx_str(cx, p, n);
        bool open = strcmp(word, "?") == 0 || strcmp(word, "N") == 0;
        c.dim[c.rank++] = open ? -1 : parse_int(cx, "--shape", word, 1, INT32_MAX);
        p += n;
        if (!*p) return c;
    }
}

static int64_t parse_batch(Cx *cx, const char *s) {
    if (strncmp(s, "1..", 3) == 0) s += 3;
    return parse_int(cx, "--batch", s, 1, 1 << 20);
}

ImportOptions asked_import(const Args *a) {
    ImportOptions o = {0};
    ShapeChoice *shape = NULL;
    int at = 0;
    for (const char *s; (s = arg_next(a, OPT_SHAPE, &at));) *VEC_PUSH(a->cx, shape, o.nshape) = parse_shape(a->cx, s);
    o.shape = shape;
    if (arg_given(a, OPT_BATCH)) o.max_batch = parse_batch(a->cx, arg_text(a, OPT_BATCH, NULL));
    return o;
}

// ---- edits ----
static InputInit asked_input_init(const Args *a) {
    const char *s = arg_text(a, OPT_INPUT_INIT, "mean");
    return strcmp(s, "zero") == 0 ? INPUT_ZERO : strcmp(s, "fresh") == 0 ? INPUT_FRESH : INPUT_MEAN;
}

Surgery asked_surgery(const Args *a) {
    enum { MOST = 1 << 24 };
    Surgery s = {
        .classes = arg_int(a, OPT_REPLACE_HEAD, 0, 1, MOST),
        .head = arg_text(a, OPT_HEAD, NULL),
        .whole_module = strcmp(arg_text(a, OPT_HEAD_SCOPE, "last"), "module") == 0,
        .dropout = arg_float(a, OPT_HEAD_DROPOUT, 0),
        .drop_aux = arg_given(a, OPT_DROP_AUX),
        .seed = (uint64_t)arg_int(a, OPT_SEED, 0, 0, INT64_MAX),
        .channels = arg_int(a, OPT_INPUT_CHANNELS, 0, 1, 1 << 16),
        .input_init = asked_input_init(a),
        .cut = arg_text(a, OPT_CUT, NULL),
        .eval = arg_given(a, OPT_EVAL),
        .free_batch = arg_given(a, OPT_FREE_BATCH),
        .freeze = arg_text(a, OPT_FREEZE, NULL),
        .import = asked_import(a),
    };
    int64_t *hidden = NULL;
    s.nhidden = arg_ints(a, OPT_HEAD_HIDDEN, 1, MOST, &hidden);
    s.hidden = hidden;
    s.import.max_batch = 0;
    return s;
}

SurgeryResult asked_edits(const Args *a, Model *m) {
    Surgery s = asked_surgery(a);
    SurgeryResult r = surgery_apply(m, &s);
    if (s.classes) labels_to_model(m, &(Labels){0});
    if (arg_given(a, OPT_LABELS)) {
        Labels l = labels_read(a->cx, arg_text(a, OPT_LABELS, NULL));
        if (s.classes && l.n != s.classes)
            fail(a->cx, E_USAGE, "%d labels for %lld classes", l.n, (long long)s.classes);
        labels_to_model(m, &l);
    }
    return r;
}

Labels asked_labels(const Args *a, const Model *m) {
    const char *file = arg_text(a, OPT_LABELS, NULL);
    return file ? labels_read(a->cx, file) : labels_of_model(a->cx, m);
}

Recipe asked_recipe(const Args *a) {
    static const OptionId ids[] = {OPT_PRESET, OPT_RESIZE, OPT_CROP, OPT_INTERPOLATION, OPT_ORDER,
                                   OPT_SCALE, OPT_MEAN, OPT_STD, OPT_EXIF};
    Recipe r = {0};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (arg_given(a, ids[i])) recipe_option(a->cx, &r, options[ids[i]].name, arg_text(a, ids[i], NULL));
    return r;
}
