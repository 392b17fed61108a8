// autodiff.c -- walk the graph backwards, let each operator's gradient say what flows to its inputs,
// and add up. Operators are told only the flow that some wanted node needs.
#include "autodiff.h"

// Broadcasting forwards is summation backwards.
static Node *sum_to(Graph *g, Node *d, Shape s) {
    int64_t axes[MAXDIM];
    int n = 0;
    for (int i = 0; i < d->shape.n; i++) {
        int j = i - (d->shape.n - s.n);
        bool one = j < 0 || (s.d[j] == 1 && s.batch != j + 1);
        if (one && (d->shape.d[i] != 1 || d->shape.batch == i + 1)) axes[n++] = i;
    }
    if (n) d = op1a(g, ReduceSum, d, ((Attr){.n = n, .i = axes}));
    return node_reshape(g, d, s);
}

// Without `gaps`, fails at the first.
static void walk(Graph *g, Node *loss, int n, Node *const *of, Node **d, Gaps *gaps) {
    Graph view = *g;                                      // sorted from the loss alone
    view.root = NULL, view.nroot = 0;
    graph_root(&view, "loss", loss, NULL, 1);
    graph_sort(&view);
    g->stamp = view.stamp;
    int count = view.norder;
    Node **order = view.order, **flow = NEW(g->cx, Node *, count);
    bool *wanted = NEW(g->cx, bool, count);
    int *id = NEW(g->cx, int, n);
    for (int i = 0; i < n; i++) {
        bool reached = of[i]->stamp == view.stamp;
        id[i] = reached ? of[i]->id : -1;
        if (reached) wanted[of[i]->id] = true;
    }
    for (int i = 0; i < count; i++)
        for (int k = 0; k < order[i]->nin; k++) wanted[i] |= wanted[order[i]->in[k]->id];
    flow[loss->id] = node_like(g, loss, 1);
    if (loss->shape.n) flow[loss->id] = op1a(g, Expand, flow[loss->id], shape_attr(&loss->shape));
    for (int i = count - 1; i >= 0; i--) {
        Node *y = order[i], *dx[MAXIN] = {0};
        if (!flow[i] || !wanted[i] || y->nin == 0) continue;
        bool inner = false;                               // something wanted lies below
        for (int k = 0; k < y->nin; k++) inner |= wanted[y->in[k]->id];
        if (!inner) continue;
        GradFn *grad = grad_of(y->op);
        if (!grad && gaps) {
            *VEC_PUSH(g->cx, gaps->node, gaps->n) = y;        // and on, as if something flowed
            for (int k = 0; k < y->nin; k++)
                if (!flow[y->in[k]->id] && dtype_is_float(y->in[k]->type)) flow[y->in[k]->id] = node_zeros(g, y->in[k]);
            continue;
        }
        if (!grad) fail(g->cx, E_UNSUPPORTED, "%s '%s' has no gradient", optab[y->op].name, cx_show(g->cx, y->name));
        grad(g, y, flow[i], dx);
        for (int k = 0; k < y->nin; k++) {
            Node *x = y->in[k];
            if (!dx[k] || !wanted[x->id] || !dtype_is_float(x->type)) continue;
            Node *f = sum_to(g, dx[k], x->shape);
            flow[x->id] = flow[x->id] ? op2(g, Add, flow[x->id], f) : f;
        }
    }
    for (int i = 0; i < n; i++) d[i] = id[i] >= 0 ? flow[id[i]] : NULL;
}

void gradients(Graph *g, Node *loss, int n, Node *const *of, Node **d) {
    walk(g, loss, n, of, d, NULL);
    for (int i = 0; i < n; i++)
        if (!d[i]) d[i] = node_zeros(g, of[i]);
}

// Which of the graph's nodes some node of the list is made of.
static bool *made_of(Graph *g, Node *const *list, int n) {
    graph_sort(g);
    bool *below = NEW(g->cx, bool, g->norder);
    for (int i = 0; i < n; i++) below[list[i]->id] = true;
    for (int i = g->norder - 1; i >= 0; i--)
        for (int k = 0; below[i] && k < g->order[i]->nin; k++) below[g->order[i]->in[k]->id] = true;
    return below;
}

Gaps gradient_gaps(Graph *g, Node *loss, int n, Node *const *of) {
    Gaps gaps = {.behind = NEW(g->cx, bool, n), .reached = NEW(g->cx, bool, n)};
    Node **d = NEW(g->cx, Node *, n);
    walk(g, loss, n, of, d, &gaps);
    Graph view = *g;
    view.root = NULL, view.nroot = 0;
    graph_root(&view, "loss", loss, NULL, 1);
    bool *below = made_of(&view, gaps.node, gaps.n);
    for (int i = 0; i < n; i++)
        gaps.reached[i] = d[i] != NULL, gaps.behind[i] = of[i]->stamp == view.stamp && below[of[i]->id];
    g->stamp = view.stamp;
    return gaps;
}
