// import_col2im.c -- Col2Im: an image from its patches, which add up where they overlap. Element p of
// a patch at place w of an image axis lies at  p * dilation + w * stride - pad.
#include "import.h"

typedef struct Patches {
    int rank;                         // image axes
    int64_t image[MAXDIM], block[MAXDIM], dilation[MAXDIM], pad[MAXDIM], stride[MAXDIM], places[MAXDIM];
    int64_t size;                     // elements of a patch
} Patches;

static void read_axes(Import *im, const char *name, int count, int64_t otherwise, int64_t least, int64_t *v) {
    const int64_t *given;
    int n = attr_ints(im, name, &given);
    if (n >= 0 && n != count) import_fail(im, E_MALFORMED, "%d %s for %d image axes", n, name, count);
    for (int d = 0; d < count; d++) {
        v[d] = n < 0 ? otherwise : given[d];
        if (v[d] < least || v[d] > 1 << 20) import_fail(im, E_MALFORMED, "%s of %lld", name, (long long)v[d]);
    }
}

static Patches read_patches(Import *im) {
    Patches p = {.size = 1};
    int64_t *image, *block, pads[2 * MAXDIM];
    p.rank = in_ints(im, 1, &image);
    if (p.rank < 1 || p.rank > MAXDIM - 3 || in_ints(im, 2, &block) != p.rank)
        import_fail(im, E_MALFORMED, "its image and its blocks do not fit");
    read_axes(im, "dilations", p.rank, 1, 1, p.dilation);
    read_axes(im, "strides", p.rank, 1, 1, p.stride);
    read_axes(im, "pads", 2 * p.rank, 0, 0, pads);
    for (int d = 0; d < p.rank; d++) {
        p.image[d] = image[d], p.block[d] = block[d], p.pad[d] = pads[d];
        if (block[d] < 1 || block[d] > 4096 || image[d] < 1 || image[d] > 1 << 30)
            import_fail(im, E_MALFORMED, "its image and its blocks do not fit");
        int64_t room = image[d] + pads[d] + pads[p.rank + d] - (block[d] - 1) * p.dilation[d];
        if (room < 1) import_fail(im, E_MALFORMED, "a block is larger than the image (axis %d)", d);
        p.places[d] = (room - 1) / p.stride[d] + 1;
        if ((p.size *= block[d]) > 4096) import_fail(im, E_LIMIT, "blocks of more than 4096 elements");
    }
    return p;
}

// Element `number` of all patches, spread over the image; x is [N, C, element, places..].
static Node *spread(Import *im, const Patches *p, Node *x, int64_t number) {
    Shape part = {.n = 2 + p->rank, .batch = x->shape.batch, .d = {x->shape.d[0], x->shape.d[1]}};
    int r = part.n;
    int64_t attr[3 * MAXDIM], rest = number;
    for (int d = 0; d < 2; d++) attr[d] = 0, attr[r + d] = 1, attr[2 * r + d] = part.d[d];
    for (int d = p->rank - 1; d >= 0; rest /= p->block[d--]) {
        part.d[2 + d] = p->places[d];
        attr[2 + d] = rest % p->block[d] * p->dilation[d] - p->pad[d];
        attr[r + 2 + d] = p->stride[d];
        attr[2 * r + 2 + d] = p->image[d];
    }
    Node *piece = node_reshape(im->g, node_slice(im->g, x, 2, number, 1), part);
    return op1a(im->g, Pad, piece, ((Attr){.n = 3 * r, .i = attr}));
}

void import_col2im(Import *im, const DocNode *n) {
    (void)n;
    Patches p = read_patches(im);
    Node *x = in(im, 0), *sum = NULL;
    Shape s = x->shape;
    if (s.n != 3 || s.d[1] % p.size)
        import_fail(im, E_MALFORMED, "%s does not hold blocks of %lld", shape_str(im->cx, s), (long long)p.size);
    s.d[1] /= p.size, s.d[2] = p.size;
    for (int d = 0; d < p.rank; d++) s.d[s.n++] = p.places[d];
    x = node_reshape(im->g, x, s);
    for (int64_t i = 0; i < p.size; i++) {
        Node *piece = spread(im, &p, x, i);
        sum = sum ? op2(im->g, Add, sum, piece) : piece;
    }
    out(im, 0, sum);
}
