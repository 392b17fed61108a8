// asked.c -- command-line words to the structs that the library's rooms take.
#include "asked.h"
#include "print.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

// What is often given by mistake, by its first bytes.
static const struct Mistaken { int at, n; const char *bytes, *what; } mistaken[] = {
    {0, 4, "PK\3\4", "a zip archive, as torch.save writes; torch.onnx.export makes the ONNX file of a network"},
    {0, 1, "\x80", "a Python pickle; torch.onnx.export makes the ONNX file of a network"},
    {8, 2, "{\"", "a safetensors file, weights without their network; torch.onnx.export makes the ONNX file"},
    {0, 4, "\x89HDF", "an HDF5 file, as Keras writes; tf2onnx makes an ONNX file of it"},
    {4, 4, "TFL3", "a TensorFlow Lite file; tf2onnx makes an ONNX file of it"},
    {0, 3, "\xff\xd8\xff", "a JPEG picture"},
    {0, 4, "\x89PNG", "a PNG picture"},
    {0, 4, "\x89TVC", "a package; this needs the ONNX file that it was made of"},
    {0, 23, "version https://git-lfs", "a pointer that Git LFS left in the file's place; `git lfs pull` fetches the file"},
    {0, 9, "<!DOCTYPE", "a web page"},
};

static bool is_text(const char *s, ssize_t n) {
    for (ssize_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < ' ' && !strchr("\t\n\r", s[i])) return false;
    return n > 0;
}

static void refuse_mistaken(const Args *a, const char *path) {
    Cx *cx = a->cx;
    struct stat st;
    char head[32] = {0};
    const char *shown = cx_show(cx, path);
    if (!stat(path, &st) && S_ISDIR(st.st_mode))
        fail(cx, E_IO, "%s: is a folder, where a model is expected: tvc %s %s", shown, a->command->name,
             a->command->arguments);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return;                                          // the reader says why
    ssize_t n = read(fd, head, sizeof head);
    close(fd);
    for (size_t i = 0; i < sizeof mistaken / sizeof *mistaken; i++) {
        const struct Mistaken *k = &mistaken[i];
        if (n >= k->at + k->n && !memcmp(head + k->at, k->bytes, (size_t)k->n))
            fail(cx, E_MALFORMED, "%s: is no ONNX model, but %s", shown, k->what);
    }
    if (is_text(head, n)) fail(cx, E_MALFORMED, "%s: is no ONNX model, but text", shown);
}

static void refuse_ending(const Args *a, const char *out, const char *ending, const char *why) {
    size_t n = out ? strlen(out) : 0, k = strlen(ending);
    if (n > k && !strcmp(out + n - k, ending)) fail(a->cx, E_USAGE, "%s: %s", cx_show(a->cx, out), why);
}

void asked_onnx_out(const Args *a, const char *out) {
    refuse_ending(a, out, ".tvc", "what is written is an ONNX file; `tvc compile` makes a package of it");
}

void asked_package_out(const Args *a, const char *out) {
    refuse_ending(a, out, ".onnx", "what is written is a package, a .tvc; `tvc edit` writes ONNX files");
}

Model *asked_model(const Args *a, const char *path) {
    refuse_mistaken(a, path);
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
    if (s.classes) labels_to_model(m, &(Labels){0}), target_to_model(m, TARGET_AUTO);
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
