// Pooling of regions of images; determinants.
#include "../op.h"

#define X n->in[0]

// Regions of images x [N, C, H, W]: rows of `columns` numbers, one region each.
static void infer_regions(Graph *g, Node *n, int64_t columns, int64_t height, int64_t width) {
    Shape x = X->shape, r = n->in[1]->shape;
    bool fits = x.n == 4 && r.n == 2 && r.d[1] == columns && x.d[2] > 0 && x.d[3] > 0 && dtype_is_float(X->type) &&
                n->in[1]->type == X->type && height >= 1 && width >= 1;
    if (!fits)
        fail(g->cx, E_MALFORMED, "%s: regions of %s in images of %s", optab[n->op].name, shape_str(g->cx, r),
             shape_str(g->cx, x));
    if (g->max_batch > 1 && (x.batch || r.batch == 2))
        fail(g->cx, E_UNSUPPORTED, "%s: regions name images by number, so their count must be fixed",
             optab[n->op].name);
    n->shape = (Shape){.n = 4, .batch = r.batch, .d = {r.d[0], x.d[1], height, width}};
}

// x, rois [R, 4], image of each [R]; attr.i = {height, width, max, samples per axis (0: by size), half_pixel}; f: scale
void infer_roi_align(Graph *g, Node *n) {
    infer_regions(g, n, 4, n->attr.i[0], n->attr.i[1]);
    Shape image = n->in[2]->shape;
    if (image.n != 1 || image.d[0] != n->shape.d[0] || n->in[2]->type != DT_I64)
        fail(g->cx, E_MALFORMED, "RoiAlign: image numbers of %s for %lld regions", shape_str(g->cx, image),
             (long long)n->shape.d[0]);
}

// x, rois [R, 5], the first number the image's; attr.i = {height, width}; f: scale
void infer_max_roi_pool(Graph *g, Node *n) { infer_regions(g, n, 5, n->attr.i[0], n->attr.i[1]); }

// Square matrices made upper triangular by steps that keep their determinant.
void infer_eliminate(Graph *g, Node *n) {
    Shape x = X->shape;
    if (x.n < 2 || x.d[x.n - 1] != x.d[x.n - 2] || !dtype_is_float(X->type))
        fail(g->cx, E_MALFORMED, "Eliminate: %s %s are no square matrices", dtypes[X->type].name, shape_str(g->cx, x));
    if (g->max_batch > 1 && (!batch_outermost(x) || x.batch > x.n - 2))
        fail(g->cx, E_UNSUPPORTED, "Eliminate: the batch of %s is not outermost", shape_str(g->cx, x));
    n->shape = x;
}

// x, Eliminate(x): the product of the diagonal.
void infer_det(Graph *g, Node *n) {
    if (!same_shape(X->shape, n->in[1]->shape) || X->type != n->in[1]->type || X->shape.n < 2)
        fail(g->cx, E_MALFORMED, "Det: of %s by %s", shape_str(g->cx, X->shape), shape_str(g->cx, n->in[1]->shape));
    n->shape = X->shape;
    n->shape.n -= 2;
}

Expr *emit_det(Kernel *k, Node *n, Expr **at) {
    Expr *in[MAXDIM], *i = k_var(k, X->shape.d[n->shape.n], false);
    memcpy(in, at, sizeof *in * (size_t)n->shape.n);
    in[n->shape.n] = in[n->shape.n + 1] = i;
    return k_reduce(k, K_PROD, i, pull(k, n->in[1], in));
}
