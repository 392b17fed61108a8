// import_loss.c -- losses over classes (axis 1).
#include "build.h"

// What each place counts: the weight of its class, or 1; 0 where the target is to be ignored.
static Node *place_weights(Import *im, const Node *x, Node *hit, Node *target, Node **keep) {
    Graph *g = im->g;
    *keep = NULL;
    Node *w = spread(g, graph_scalar(g, x->type, 1), target->shape);
    if (in_given(im, 2)) {
        Node *by_class = vector_at(im, in(im, 2), 1, x->shape.n);
        w = squeezed(g, reduced(g, OP_ReduceSum, op3(g, Where, hit, by_class, node_like(g, by_class, 0)), AXES(1)),
                     AXES(1));
    }
    if (!node_attr(im->n, "ignore_index")) return w;
    Node *ignored = op2(g, Equal, target, node_like(g, target, (double)attr_int(im, "ignore_index", 0)));
    *keep = op1(g, Not, ignored);
    return op3(g, Where, *keep, w, node_like(g, w, 0));
}

// log p of the target class, negated and weighted, then reduced as attribute `reduction` says.
static Node *negative_likelihood(Import *im, Node *logp, Node *target) {
    Graph *g = im->g;
    if (logp->shape.n < 2 || target->shape.n != logp->shape.n - 1)
        import_fail(im, E_MALFORMED, "targets of %s for %s", shape_str(im->cx, target->shape),
                    shape_str(im->cx, logp->shape));
    target = node_cast(g, target, DT_I64);
    Node *keep, *hit = op2(g, Equal, iota_along(g, logp->shape, 1), unsqueezed(g, target, 1));
    Node *picked =
        squeezed(g, reduced(g, OP_ReduceSum, op3(g, Where, hit, logp, node_like(g, logp, 0)), AXES(1)), AXES(1));
    Node *w = place_weights(im, logp, hit, target, &keep), *loss = op2(g, Mul, op1(g, Neg, picked), w);
    if (keep) loss = op3(g, Where, keep, loss, node_like(g, loss, 0));
    const char *how = attr_string(im, "reduction", "mean");
    if (!strcmp(how, "none")) return loss;
    Attr all = axes_from(im->cx, 0, loss->shape.n);
    Node *sum = squeezed(g, reduced(g, OP_ReduceSum, loss, all), all);
    if (!strcmp(how, "sum")) return sum;
    if (!keep && !in_given(im, 2)) return squeezed(g, reduced(g, OP_ReduceMean, loss, all), all);
    return op2(g, Div, sum, squeezed(g, reduced(g, OP_ReduceSum, w, all), all));
}

void import_negative_log_likelihood_loss(Import *im, const DocNode *n) {
    (void)n;
    out(im, 0, negative_likelihood(im, in(im, 0), in(im, 1)));
}

void import_softmax_cross_entropy_loss(Import *im, const DocNode *n) {
    (void)n;
    Node *logp = op1a(im->g, LogSoftmax, in(im, 0), AXES(1));
    out(im, 0, negative_likelihood(im, logp, in(im, 1)));
    out(im, 1, logp);
}
