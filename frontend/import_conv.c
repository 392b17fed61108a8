// import_conv.c -- convolutions: plain, transposed, and of 8-bit integers.
#include "import_quantized.h"
#include "import_window.h"

// The kernel's sizes, from weights of as many axes as the images.
static const int64_t *kernel_of_weights(Import *im, const Node *x, const Node *w) {
    if (w->shape.n != x->shape.n)
        import_fail(im, E_MALFORMED, "weights of shape %s on an input of shape %s", shape_str(im->cx, w->shape),
                    shape_str(im->cx, x->shape));
    return w->shape.d + 2;
}

static int64_t group_of(Import *im, const Node *x) {
    int64_t group = attr_int(im, "group", 1);
    if (group < 1 || x->shape.n < 2 || x->shape.d[1] % group)
        import_fail(im, E_MALFORMED, "group is %lld, the input %s", (long long)group, shape_str(im->cx, x->shape));
    return group;
}

// A vector with a number for each channel, behind which the image axes follow; or one number for all.
static Node *per_channel(Import *im, Node *v, int image, int64_t channels) {
    Shape s = {.n = 1 + image};
    for (int d = 0; d <= image; d++) s.d[d] = 1;
    s.d[0] = numel(v->shape);
    if (v->shape.n > 1 || (s.d[0] != channels && s.d[0] != 1))
        import_fail(im, E_MALFORMED, "%s numbers for %lld channels", shape_str(im->cx, v->shape), (long long)channels);
    return node_reshape(im->g, v, s);
}

static Node *with_bias(Import *im, Node *y, int k) {
    return in_given(im, k) ? op2(im->g, Add, y, per_channel(im, in(im, k), y->shape.n - 2, y->shape.d[1])) : y;
}

static Node *conv(Import *im, Node *x, Node *w) {
    Window win = window_read(im, x->shape, kernel_of_weights(im, x, w));
    win.group = group_of(im, x);
    return graph_op(im->g, OP_Conv, window_attr(im->cx, &win), 2, (Node *[]){x, w});
}

void import_conv(Import *im, const DocNode *n) {
    (void)n;
    out(im, 0, with_bias(im, conv(im, in(im, 0), in(im, 1)), 2));
}

// ---- transposed ----

// Each input element spreads its kernel over the output: the images with stride - 1 zeros between
// their elements, convolved with the turned kernel.

static Node *parted(Import *im, Node *x, const Window *w) {
    int r = x->shape.n;
    int64_t i[3 * MAXDIM];
    bool dense = true;
    for (int d = 0; d < r; d++) {
        int64_t stride = d < 2 ? 1 : w->axis[d - 2].stride, size = x->shape.d[d];
        if (d >= 2 && (__builtin_mul_overflow(size - 1, stride, &size) || size >= INT64_MAX / 4))
            import_fail(im, E_LIMIT, "strides of %lld on %s", (long long)stride, shape_str(im->cx, x->shape));
        i[d] = 0, i[r + d] = stride, i[2 * r + d] = size + (d >= 2);
        dense &= stride == 1;
    }
    return dense ? x : op1a(im->g, Pad, x, ((Attr){.n = 3 * r, .i = i}));
}

// [C, O/group, kernel..] as [O, C/group, kernel turned..]
static Node *turned(Import *im, Node *w, int64_t group) {
    Graph *g = im->g;
    Shape s = w->shape, apart = {.n = s.n + 1, .d = {group, s.d[0] / group, s.d[1]}}, whole = s;
    int64_t cut[3 * MAXDIM], perm[MAXDIM] = {0, 2, 1};
    if (apart.n > MAXDIM) import_fail(im, E_UNSUPPORTED, "weights of shape %s", shape_str(im->cx, s));
    for (int d = 0; d < s.n; d++)
        cut[d] = d < 2 ? 0 : s.d[d] - 1, cut[s.n + d] = d < 2 ? 1 : -1, cut[2 * s.n + d] = s.d[d];
    for (int d = 2; d < s.n; d++) apart.d[d + 1] = s.d[d], perm[d + 1] = d + 1;
    whole.d[0] = group * s.d[1], whole.d[1] = s.d[0] / group;
    Node *flipped = op1a(g, Slice, w, ((Attr){.n = 3 * s.n, .i = cut}));
    return node_reshape(g, op1a(g, Transpose, node_reshape(g, flipped, apart), ((Attr){.n = apart.n, .i = perm})),
                        whole);
}

// before and after as the document means them: what is cut off the full result on both sides.
static void cut_off(Import *im, Window *w, const Node *x, const int64_t *extra) {
    AutoPad how = window_auto_pad(im);
    const int64_t *sizes;
    int r = x->shape.n, given = attr_ints(im, "output_shape", &sizes);
    if (how == PAD_NOTSET) window_pads(im, w);
    if (given < 0 && how < PAD_SAME_UPPER) return;
    if (given >= 0 && given != w->rank && given != r)
        import_fail(im, E_MALFORMED, "output_shape holds %d numbers, but the image has %d axes", given, w->rank);
    for (int d = 0; d < w->rank; d++) {
        int64_t stride = w->axis[d].stride, size = x->shape.d[2 + d];
        int64_t full = (size - 1) * stride + extra[d] + (w->axis[d].kernel - 1) * w->axis[d].dilation + 1;
        int64_t want = given < 0 ? size * stride : sizes[given - w->rank + d], surplus = full - want;
        if (want < 1 || want > INT32_MAX) import_fail(im, E_MALFORMED, "output_shape holds %lld", (long long)want);
        window_split(w, d, surplus > 0 ? surplus : 0, how);
        w->axis[d].after = surplus - w->axis[d].before;
    }
}

void import_conv_transpose(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0), *w = in(im, 1);
    int64_t extra[MAXDIM], group = group_of(im, x);
    Window win = window_unpadded(im, x->shape, kernel_of_weights(im, x, w));
    if (w->shape.d[0] != x->shape.d[1])
        import_fail(im, E_MALFORMED, "weights of shape %s on an input of shape %s", shape_str(im->cx, w->shape),
                    shape_str(im->cx, x->shape));
    window_numbers(im, "output_padding", win.rank, 0, 0, extra);
    Node *wide = parted(im, x, &win);
    cut_off(im, &win, x, extra);
    for (int d = 0; d < win.rank; d++) {
        int64_t reach = (win.axis[d].kernel - 1) * win.axis[d].dilation;
        win.axis[d].before = reach - win.axis[d].before;
        win.axis[d].after = reach - win.axis[d].after + extra[d];
        win.axis[d].stride = 1;
    }
    win.group = group;
    Node *y = graph_op(im->g, OP_Conv, window_attr(im->cx, &win), 2, (Node *[]){wide, turned(im, w, group)});
    out(im, 0, with_bias(im, y, 2));
}

// ---- of integers ----

// A zero point of the weights may differ by output channel, their first axis.
static Node *centred_weights(Import *im, Node *w, int zero) {
    if (!in_given(im, zero) || w->shape.n < 1) return centred(im, w, NULL);
    return centred(im, w, per_channel(im, in(im, zero), w->shape.n - 1, w->shape.d[0]));
}

void import_conv_integer(Import *im, const DocNode *n) {
    (void)n;
    out(im, 0, conv(im, centred(im, in(im, 0), single(im, 2)), centred_weights(im, in(im, 1), 3)));
}

// inputs: x, its scale and zero point, the same of w, scale and zero point of y, bias
void import_qlinear_conv(Import *im, const DocNode *n) {
    (void)n;
    Node *y = conv(im, centred(im, in(im, 0), single(im, 2)), centred_weights(im, in(im, 3), 5));
    y = with_bias(im, y, 8);
    Node *scale = op2(im->g, Mul, single(im, 1), per_channel(im, in(im, 4), y->shape.n - 2, y->shape.d[1]));
    out(im, 0, requantized(im, y, op2(im->g, Div, scale, single(im, 6)), single(im, 7)));
}
