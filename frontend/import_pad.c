// import_pad.c -- Pad and CenterCropPad: more, or less, on both sides of every axis.
#include "import.h"

typedef enum Mode { CONSTANT, EDGE, REFLECT, WRAP } Mode;

static Mode pad_mode(Import *im) {
    static const char *name[] = {"constant", "edge", "reflect", "wrap"};
    const char *mode = attr_string(im, "mode", "constant");
    for (int i = 0; i < 4; i++)
        if (!strcmp(mode, name[i])) return (Mode)i;
    import_fail(im, E_UNSUPPORTED, "padding by '%s' is not supported", cx_show(im->cx, mode));
}

// Amounts before and after every axis of x: the attribute of old opsets, the inputs of new ones.
static void read_pads(Import *im, Shape x, int64_t *before, int64_t *after) {
    int64_t *pads, *axes;
    int count = ints_of(im, im->opset == 1 ? "paddings" : "pads", 1, &pads);
    int named = in_given(im, 3) ? in_ints(im, 3, &axes) : x.n;
    if (count != 2 * named || named > x.n)
        import_fail(im, E_MALFORMED, "%d amounts for %s", count, shape_str(im->cx, x));
    for (int d = 0; d < x.n; d++) before[d] = after[d] = 0;
    for (int i = 0; i < named; i++) {
        int64_t d = !in_given(im, 3) ? i : axes[i] < 0 ? axes[i] + x.n : axes[i], size;
        if (d < 0 || d >= x.n)
            import_fail(im, E_MALFORMED, "axis %lld is outside of %s", (long long)axes[i], shape_str(im->cx, x));
        before[d] = pads[i], after[d] = pads[named + i];
        bool wild = __builtin_add_overflow(x.d[d], before[d], &size) || __builtin_add_overflow(size, after[d], &size);
        if (wild || size < 0)
            import_fail(im, E_MALFORMED, "amounts %lld and %lld on axis %d of %s", (long long)before[d],
                        (long long)after[d], (int)d, shape_str(im->cx, x));
    }
}

// y[before + i] = x[i], `fill` elsewhere.
static Node *pad(Import *im, Node *x, const int64_t *before, const int64_t *size, double fill) {
    int r = x->shape.n;
    int64_t attr[3 * MAXDIM];
    bool same = true;
    for (int d = 0; d < r; d++) {
        attr[d] = before[d], attr[r + d] = 1, attr[2 * r + d] = size[d];
        same &= before[d] == 0 && size[d] == x->shape.d[d];
    }
    return same ? x : op1a(im->g, Pad, x, ((Attr){.n = 3 * r, .i = attr, .f = fill}));
}

// A value that only the run knows stands wherever padded ones do not.
static Node *pad_by_data(Import *im, Node *x, const int64_t *before, const int64_t *size, Node *value) {
    Shape s = x->shape;
    Node *inside = node_expand(im->g, graph_scalar(im->g, DT_BOOL, 1), s);
    inside = pad(im, inside, before, size, 0);
    return op3(im->g, Where, inside, pad(im, x, before, size, 0), node_reshape(im->g, value, (Shape){0}));
}

// Which element of an axis of n stands at place i before or behind it.
static int64_t source(Mode mode, int64_t i, int64_t n) {
    int64_t period = mode == REFLECT ? 2 * (n - 1) : n;
    if (mode == EDGE) return i < 0 ? 0 : i < n ? i : n - 1;
    if (period == 0) return 0;
    i = (i % period + period) % period;
    return i < n ? i : period - i;
}

// Each padded axis taken by a vector of indices.
static Node *pad_by_index(Import *im, Node *x, Mode mode, const int64_t *before, const int64_t *size) {
    for (int d = 0; d < x->shape.n; d++) {
        int64_t n = x->shape.d[d];
        if (before[d] == 0 && size[d] == n) continue;
        if (n == 0 && size[d] > 0)
            import_fail(im, E_MALFORMED, "nothing to repeat on axis %d of %s", d, shape_str(im->cx, x->shape));
        int64_t *v = import_room(im, size[d], sizeof *v);
        for (int64_t i = 0; i < size[d]; i++) v[i] = source(mode, i - before[d], n);
        x = graph_op(im->g, OP_Gather, AXES(d), 2, (Node *[]){x, graph_const(im->g, DT_I64, SHAPE(size[d]), v)});
    }
    return x;
}

void import_pad(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    Mode mode = pad_mode(im);
    int64_t before[MAXDIM], after[MAXDIM], size[MAXDIM];
    read_pads(im, x->shape, before, after);
    for (int d = 0; d < x->shape.n; d++) size[d] = x->shape.d[d] + before[d] + after[d];
    double fill = attr_float(im, "value", 0), *given;
    bool known = in_known(im, 2);
    if (known && in_floats(im, 2, &given) == 1) fill = *given;
    bool exact = !dtype_is_int(x->type) || fabs(fill) < 0x1p53;
    if (mode != CONSTANT) out(im, 0, pad_by_index(im, x, mode, before, size));
    else if (in_given(im, 2) && !(known && exact)) out(im, 0, pad_by_data(im, x, before, size, in(im, 2)));
    else out(im, 0, pad(im, x, before, size, fill));
}

// To the wanted size around the middle; where the difference is odd, the larger half is behind.
void import_center_crop_pad(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    const int64_t *axes;
    int64_t *want, before[MAXDIM] = {0}, size[MAXDIM];
    int count = in_ints(im, 1, &want), named = attr_ints(im, "axes", &axes), r = x->shape.n;
    if (count != (named < 0 ? r : named))
        import_fail(im, E_MALFORMED, "%d sizes for %s", count, shape_str(im->cx, x->shape));
    for (int d = 0; d < r; d++) size[d] = x->shape.d[d];
    for (int i = 0; i < count; i++) {
        int64_t d = named < 0 ? i : axes[i] < 0 ? axes[i] + r : axes[i];
        if (d < 0 || d >= r || want[i] < 0 || want[i] > (int64_t)1 << 40)
            import_fail(im, E_MALFORMED, "size %lld of axis %lld", (long long)want[i], (long long)d);
        int64_t more = want[i] - x->shape.d[d];
        size[d] = want[i], before[d] = more < 0 ? -(-more / 2) : more / 2;
    }
    out(im, 0, pad(im, x, before, size, 0));
}
