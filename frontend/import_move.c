// import_move.c -- operators that move elements: shapes, order, cuts, joins.
#include "import.h"

static bool free_axis(const Import *im, Shape s, int d) { return im->g->max_batch > 1 && s.batch == d + 1; }

// Axes as the model gives them, as a bit each; fails outside of 0..rank and where one comes twice.
static unsigned axis_bits(Import *im, int n, const int64_t *axes, int rank) {
    unsigned bits = 0;
    for (int i = 0; i < n; i++) {
        int64_t d = axes[i] < 0 ? axes[i] + rank : axes[i];
        if (d < 0 || d >= rank)
            import_fail(im, E_MALFORMED, "axis %lld is outside a tensor of %d axes", (long long)axes[i], rank);
        if (bits & 1u << d) import_fail(im, E_MALFORMED, "axis %lld comes twice", (long long)axes[i]);
        bits |= 1u << d;
    }
    return bits;
}

// The k-th of the axes a node is about: axes[k], or k itself where it names none.
static int nth_axis(Import *im, int n, const int64_t *axes, int k, int rank) {
    int64_t d = n < 0 ? k : axes[k] < 0 ? axes[k] + rank : axes[k];
    if (d < 0 || d >= rank)
        import_fail(im, E_MALFORMED, "axis %lld is outside a tensor of %d axes", (long long)(n < 0 ? k : axes[k]),
                    rank);
    return (int)d;
}

static void push_axis(Shape *y, Shape x, int d) {
    y->d[y->n++] = x.d[d];
    if (x.batch == d + 1) y->batch = y->n;
}

// ---- shapes ----

// y, or y with its outermost axis as two: what lies outside the batch of x, and the batch with the rest.
static Shape rows_apart(Shape x, Shape y) {
    int64_t outer = 1;
    for (int d = 0; d + 1 < x.batch; d++) outer *= x.d[d];
    if (outer <= 1 || y.batch != 1 || y.d[0] % outer || y.n == MAXDIM) return y;
    Shape apart = {.n = y.n + 1, .d = {outer, y.d[0] / outer}, .batch = 2};
    for (int d = 1; d < y.n; d++) apart.d[d + 1] = y.d[d];
    return apart;
}

void import_reshape(Import *im, const DocNode *n) {
    (void)n;
    Shape from;
    Node *x = in_rows(im, 0, &from);
    const int64_t *v;
    int count = attr_ints(im, "shape", &v);
    Shape want = {.n = count};
    if (count > MAXDIM) import_fail(im, E_UNSUPPORTED, "a shape of more than %d axes", MAXDIM);
    for (int d = 0; d < count; d++) want.d[d] = v[d];
    if (count < 0) want = in_shape(im, 1);
    Shape y = reshape_target(im, from, x->shape, want, attr_int(im, "allowzero", 0) != 0);
    if (from.batch && im->g->max_batch > 1 && numel(y) != numel(from))
        import_fail(im, E_UNSUPPORTED, "%s leaves no room for a free batch", shape_str(im->cx, y));
    out_rows(im, 0, node_reshape(im->g, x, rows_apart(x->shape, y)), y);
}

void import_flatten(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    int64_t axis = attr_int(im, "axis", 1);
    int cut = (int)(axis < 0 ? axis + x->shape.n : axis);
    if (axis < -x->shape.n || axis > x->shape.n)
        import_fail(im, E_MALFORMED, "axis %lld of %s", (long long)axis, shape_str(im->cx, x->shape));
    Shape y = {.n = 2, .d = {1, 1}};
    for (int d = 0; d < x->shape.n; d++) {
        y.d[d >= cut] *= x->shape.d[d];
        if (x->shape.batch == d + 1) y.batch = 1 + (d >= cut);
    }
    out(im, 0, node_reshape(im->g, x, y));
}

void import_squeeze(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    Shape s = x->shape, y = {0};
    int64_t *axes;
    int count = ints_of(im, "axes", 1, &axes);
    unsigned named = count < 0 ? ~0u : axis_bits(im, count, axes, s.n);
    for (int d = 0; d < s.n; d++) {
        bool one = s.d[d] == 1 && !free_axis(im, s, d);
        if (!one && count >= 0 && named & 1u << d)
            import_fail(im, E_MALFORMED, "axis %d of %s is not of size 1", d, shape_str(im->cx, s));
        if (!one || !(named & 1u << d)) push_axis(&y, s, d);
    }
    out(im, 0, node_reshape(im->g, x, y));
}

void import_unsqueeze(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    int64_t *axes;
    int count = ints_of(im, "axes", 1, &axes), rank = x->shape.n + (count > 0 ? count : 0);
    if (rank > MAXDIM) import_fail(im, E_UNSUPPORTED, "a result of more than %d axes", MAXDIM);
    unsigned added = count < 0 ? 0 : axis_bits(im, count, axes, rank);
    Shape y = {0};
    for (int d = 0, from = 0; d < rank; d++) {
        if (added & 1u << d) y.d[y.n++] = 1;
        else push_axis(&y, x->shape, from++);
    }
    out(im, 0, node_reshape(im->g, x, y));
}

void import_expand(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    Shape want = in_shape(im, 1);
    for (int d = 0; d < want.n; d++)
        if (want.d[d] < 0) import_fail(im, E_MALFORMED, "size %lld in the new shape", (long long)want.d[d]);
    out(im, 0, node_expand(im->g, x, bcast_shape(im->g, "Expand", x->shape, want)));
}

// ---- order ----

void import_transpose(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    const int64_t *perm;
    int64_t back[MAXDIM];
    int rank = x->shape.n, count = attr_ints(im, "perm", &perm);
    for (int d = 0; d < rank; d++) back[d] = rank - 1 - d;
    if (count >= 0 && count != rank)
        import_fail(im, E_MALFORMED, "a permutation of %d axes for %s", count, shape_str(im->cx, x->shape));
    out(im, 0, node_transpose(im->g, x, count < 0 ? back : perm));
}

// x reshaped to sizes `from`, its axes put in order `perm`, reshaped to `to`; axis 0 is x's own.
static Node *shuffle(Import *im, Node *x, Shape from, const int64_t *perm, Shape to) {
    from.batch = to.batch = x->shape.batch == 1;
    return node_reshape(im->g, node_transpose(im->g, node_reshape(im->g, x, from), perm), to);
}

static int64_t block_size(Import *im, Node *x) {
    int64_t b = attr_int(im, "blocksize", 0);
    if (x->shape.n != 4 || b < 1 || b > 256)             // their squares times any size fit
        import_fail(im, E_MALFORMED, "blocks of %lld in %s", (long long)b, shape_str(im->cx, x->shape));
    return b;
}

void import_depth_to_space(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    int64_t b = block_size(im, x), *d = x->shape.d, c = d[1] / (b * b);
    if (d[1] % (b * b))
        import_fail(im, E_MALFORMED, "%lld channels do not make blocks of %lld", (long long)d[1], (long long)b);
    bool columns_first = !strcmp(attr_string(im, "mode", "DCR"), "CRD");
    Shape to = SHAPE(d[0], c, d[2] * b, d[3] * b);
    out(im, 0, columns_first ? shuffle(im, x, SHAPE(d[0], c, b, b, d[2], d[3]), AXES(0, 1, 4, 2, 5, 3).i, to)
                             : shuffle(im, x, SHAPE(d[0], b, b, c, d[2], d[3]), AXES(0, 3, 4, 1, 5, 2).i, to));
}

void import_space_to_depth(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    int64_t b = block_size(im, x), *d = x->shape.d;
    if (d[2] % b || d[3] % b)
        import_fail(im, E_MALFORMED, "%s does not split into blocks of %lld", shape_str(im->cx, x->shape),
                    (long long)b);
    bool columns_first = !strcmp(attr_string(im, "mode", "DCR"), "CRD");
    Shape from = SHAPE(d[0], d[1], d[2] / b, b, d[3] / b, b), to = SHAPE(d[0], d[1] * b * b, d[2] / b, d[3] / b);
    out(im, 0, shuffle(im, x, from, columns_first ? AXES(0, 1, 3, 5, 2, 4).i : AXES(0, 3, 5, 1, 2, 4).i, to));
}

// ---- repetition ----

// x[.., d, ..] -> [.., 1, d, ..] -> [.., times, d, ..] -> [.., times * d, ..]
static Node *repeat(Import *im, Node *x, int axis, int64_t times) {
    if (times == 1) return x;
    Shape s = x->shape, one = {0};
    if (s.n == MAXDIM) import_fail(im, E_UNSUPPORTED, "a tensor of %d axes", MAXDIM);
    if (times < 0) import_fail(im, E_MALFORMED, "%lld repetitions", (long long)times);
    for (int d = 0; d < s.n; d++) {
        if (d == axis) one.d[one.n++] = 1;
        push_axis(&one, s, d);
    }
    Shape many = one;
    many.d[axis] = times;
    s.d[axis] = (int64_t)ck_mul(im->cx, (size_t)s.d[axis], (size_t)times);
    return node_reshape(im->g, node_expand(im->g, node_reshape(im->g, x, one), many), s);
}

void import_tile(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    int64_t *times;
    int count = in_ints(im, 1, &times);
    if (count != x->shape.n) import_fail(im, E_MALFORMED, "%d repetitions for %s", count, shape_str(im->cx, x->shape));
    for (int d = 0; d < count; d++) x = repeat(im, x, d, times[d]);
    out(im, 0, x);
}

void import_tile_1(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    int64_t *times, *axis;
    if (in_ints(im, 1, &times) != 1 || in_ints(im, 2, &axis) != 1) import_fail(im, E_MALFORMED, "several axes at once");
    out(im, 0, repeat(im, x, nth_axis(im, 1, axis, 0, x->shape.n), *times));
}

// ---- cuts and joins ----

// x[from : to : step] on an axis of n elements, as the ONNX text has it: how many there are, and `from` made plain.
// The greatest number as `to` means the end, backwards, too: ONNX Runtime reads it so.
static int64_t slice_size(int64_t n, int64_t *from, int64_t to, int64_t *step) {
    if (*step < 0 && (to == INT32_MAX || to == INT64_MAX)) to = INT64_MIN;
    if (*step > n) *step = n + 1;
    if (*step < -n) *step = -n - 1;
    if (*from < 0) *from += n;
    if (to < 0) to += n;
    int64_t low = *step > 0 ? 0 : -1, high = *step > 0 ? n : n - 1;
    *from = *from < 0 ? 0 : *from > high ? high : *from;
    to = to < low ? low : to > high ? high : to;
    int64_t way = *step > 0 ? to - *from : *from - to, stride = *step > 0 ? *step : -*step;
    return way <= 0 ? 0 : (way - 1) / stride + 1;
}

void import_slice(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    int64_t *from, *to, *axes, *steps, cut[3 * MAXDIM];
    int rank = x->shape.n, count = ints_of(im, "starts", 1, &from), ends = ints_of(im, "ends", 2, &to);
    int naxes = ints_of(im, "axes", 3, &axes), nsteps = in_given(im, 4) ? in_ints(im, 4, &steps) : -1;
    bool fits = count >= 0 && count <= rank && ends == count && (naxes < 0 || naxes == count);
    if (!fits || (nsteps >= 0 && nsteps != count))
        import_fail(im, E_MALFORMED, "%d starts, %d ends for %s", count, ends, shape_str(im->cx, x->shape));
    if (naxes >= 0) axis_bits(im, naxes, axes, rank);
    for (int d = 0; d < rank; d++) cut[d] = 0, cut[rank + d] = 1, cut[2 * rank + d] = x->shape.d[d];
    bool whole = true;
    for (int i = 0; i < count; i++) {
        int d = nth_axis(im, naxes, axes, i, rank);
        int64_t step = nsteps < 0 ? 1 : steps[i];
        if (step == 0) import_fail(im, E_MALFORMED, "a step of 0");
        cut[2 * rank + d] = slice_size(x->shape.d[d], &from[i], to[i], &step);
        cut[d] = from[i], cut[rank + d] = step;
        whole &= cut[2 * rank + d] == x->shape.d[d] && step == 1;
    }
    out(im, 0, whole ? x : op1a(im->g, Slice, x, ((Attr){.n = 3 * rank, .i = cut})));
}

// Parts without sizes: equal ones, the last the smaller where the count is given by num_outputs.
static int64_t *equal_parts(Import *im, int64_t size, int count) {
    int64_t *v = NEW(im->cx, int64_t, count), part = (size + count - 1) / count, left = size;
    bool uneven = attr_int(im, "num_outputs", 0) > 0;
    if (size % count && !uneven)
        import_fail(im, E_MALFORMED, "%lld elements do not split into %d equal parts", (long long)size, count);
    for (int i = 0; i < count; i++) {
        v[i] = left < part ? left : part;
        left -= v[i];
    }
    return v;
}

void import_split(Import *im, const DocNode *n) {
    Node *x = in(im, 0);
    int axis = attr_axis(im, "axis", 0, x->shape.n), count = n->nout;
    int64_t *size, from = 0, total = x->shape.d[axis];
    int given = ints_of(im, "split", 1, &size);
    if (count < 1 || (given >= 0 && given != count))
        import_fail(im, E_MALFORMED, "%d parts for %d outputs", given, count);
    if (free_axis(im, x->shape, axis))
        import_fail(im, E_UNSUPPORTED, "splits the batch axis of %s", shape_str(im->cx, x->shape));
    if (given < 0) size = equal_parts(im, total, count);
    for (int i = 0; i < count; from += size[i++]) {
        if (size[i] < 0 || size[i] > total - from)
            import_fail(im, E_MALFORMED, "its parts do not fit %lld elements", (long long)total);
        out(im, i, node_slice(im->g, x, axis, from, size[i]));
    }
    if (from != total) import_fail(im, E_MALFORMED, "its parts do not fit %lld elements", (long long)total);
}

// What there is one of, as a class token written for a batch of 1, goes to every sample it is joined to.
static Node *for_every_sample(Import *im, Node *x, Shape with, int axis) {
    int d = with.batch - 1;
    if (im->g->max_batch == 1 || d < 0 || d == axis || x->shape.batch || x->shape.n != with.n || x->shape.d[d] != 1)
        return x;
    Shape to = x->shape;
    to.d[d] = with.d[d], to.batch = with.batch;
    return op1a(im->g, Expand, x, shape_attr(&to));
}

void import_concat(Import *im, const DocNode *n) {
    if (n->nin < 1) import_fail(im, E_MALFORMED, "it joins nothing");
    Node **x = NEW(im->cx, Node *, n->nin);
    Shape sample = {0};
    for (int k = 0; k < n->nin; k++) {
        x[k] = in(im, k);
        if (x[k]->shape.batch) sample = x[k]->shape;
    }
    if (im->opset >= 4 && !node_attr(n, "axis")) import_fail(im, E_MALFORMED, "its attribute 'axis' is missing");
    int axis = attr_axis(im, "axis", 1, x[0]->shape.n);
    for (int k = 0; k < n->nin; k++) x[k] = for_every_sample(im, x[k], sample, axis);
    out(im, 0, node_concat(im->g, axis, n->nin, x));
}

// ---- the same bytes ----

void import_bit_cast(Import *im, const DocNode *n) {
    (void)n;
    Node *x = in(im, 0);
    DType to = dtype_of_onnx(attr_int(im, "to", 0));
    if (to == DT_NONE || to == DT_BOOL || x->type == DT_BOOL || dtypes[to].bytes != dtypes[x->type].bytes)
        import_fail(im, E_UNSUPPORTED, "%s as type %lld is not supported", dtypes[x->type].name,
                    (long long)attr_int(im, "to", 0));
    if (op_is_splat(x)) x = op1(im->g, Keep, x);         // a hand-written body reads buffers; a literal has none
    out(im, 0, op1a(im->g, Bits, x, AXES((int64_t)to)));
}
