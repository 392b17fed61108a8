// train.c -- see train.h.
//
// Order: mark what is trained; turn BatchNorm and Dropout of a copy of the graph into their training
// form; cut off the frozen prefix; add loss, gradients and updates.
#include "train.h"

static const char *const functions[] = {"init", "forward", "train_step", "features", "apply"};

typedef struct Train {
    Graph *g;
    const TrainOptions *o;
    TrainGraph *t;
    int *group;                       // of each trained parameter
    int nstat;                        // running statistics and what they become
    struct Stat { Node *leaf, *value; } *stat;
    int first_score;                  // root of the main scores; auxiliary ones and statistics follow
    Node **prefix;                    // what each feature stands for
} Train;

// ---- what is trained ----

// The parameter a value is, perhaps in another type.
static Node *param_of(Node *n) {
    while (n->op == OP_Cast) n = n->in[0];
    return n;
}

static bool is_statistic(const Node *bn, const Node *x) { return x == param_of(bn->in[3]) || x == param_of(bn->in[4]); }

static bool is_wanted(const Train *t, const Node *p) {
    return p->op == OP_Param && p->name && dtype_is_float(p->type) && t->o->group(t->o->user, p->name) >= 0;
}

// How this BatchNorm behaves in a step. Statistics that are no parameters cannot move.
static BnMode mode_of(const Train *t, const Node *bn) {
    bool moves = param_of(bn->in[3])->op == OP_Param && param_of(bn->in[4])->op == OP_Param;
    if (t->o->bn == BN_TRAIN && !moves) return BN_STATS;
    if (t->o->bn != BN_AUTO) return t->o->bn;
    return moves && is_wanted(t, param_of(bn->in[1])) && is_wanted(t, param_of(bn->in[2])) ? BN_TRAIN : BN_FROZEN;
}

static void mark_params(Train *t) {
    Graph *g = t->g;
    graph_sort(g);
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        if (is_wanted(t, n)) n->train = true;
    }
    for (int frozen = 1; frozen >= 0; frozen--) {        // frozen ones are left alone, but for what another one shares and trains
        for (int i = 0; i < g->norder; i++) {
            Node *n = g->order[i];
            BnMode mode = n->op == OP_BatchNorm ? mode_of(t, n) : BN_AUTO;
            for (int k = 1; k < 5 && mode != BN_AUTO && (mode == BN_FROZEN) == frozen; k++) {
                Node *p = param_of(n->in[k]);
                if (p->op == OP_Param) p->train = k > 2 ? mode == BN_TRAIN : mode != BN_FROZEN && is_wanted(t, p);
            }
        }
    }
}

static void list_params(Train *t) {
    Graph *g = t->g;
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        bool statistic = false;
        for (int j = 0; j < g->norder && n->op == OP_Param && n->train && !statistic; j++)
            statistic = g->order[j]->op == OP_BatchNorm && is_statistic(g->order[j], n);
        if (n->op != OP_Param || !n->train || statistic) continue;
        int at = t->t->nparam;
        *VEC_PUSH(g->cx, t->group, at) = t->o->group(t->o->user, n->name);
        *VEC_PUSH(g->cx, t->t->param, t->t->nparam) = n;
    }
}

// ---- training forms ----

// How many values a channel's statistics are made of, as a scalar of x's type.
static Node *values_per_channel(Graph *g, const Node *x) {
    int64_t n = numel(x->shape) / x->shape.d[1];
    if (!x->shape.batch || g->max_batch == 1) return graph_scalar(g, x->type, (double)n);
    return node_cast(g, graph_op(g, OP_BatchSize, AXES(n / g->max_batch), 0, NULL), x->type);
}

// The number that was meant: a file has 0.99 as a float, and 1 - that is 1e-6 off.
static double as_written(double v) {
    char text[32];
    snprintf(text, sizeof text, "%.7g", v);
    return strtod(text, NULL);
}

static void move_statistic(Train *t, const Node *bn, int input, Node *now) {
    Graph *g = t->g;
    Node *leaf = param_of(bn->in[input]);
    double keep = as_written(bn->attr.f2);
    now = node_cast(g, node_reshape(g, now, leaf->shape), leaf->type);
    now = op2(g, Add, op2(g, Mul, leaf, node_like(g, leaf, keep)), op2(g, Mul, now, node_like(g, leaf, 1 - keep)));
    *VEC_PUSH(g->cx, t->stat, t->nstat) = (struct Stat){leaf, now};
}

// Normalised by the batch. The running variance takes the unbiased one, as PyTorch stores it.
static Node *bn_train(Train *t, Node *n) {
    Graph *g = t->g;
    Node *x = n->in[0], *one = node_like(g, x, 1);
    int64_t axes[MAXDIM], na = 0;
    int r = x->shape.n;
    for (int d = 0; d < r; d++)
        if (d != 1) axes[na++] = d;
    Attr others = {.n = (int)na, .i = axes};
    Node *count = values_per_channel(g, x);
    Node *mean = op2(g, Div, graph_op(g, OP_ReduceSum, others, 1, &x), count), *centred = op2(g, Sub, x, mean);
    Node *square = op2(g, Mul, centred, centred), *sum = graph_op(g, OP_ReduceSum, others, 1, &square),
         *var = op2(g, Div, sum, count);
    Node *unbiased = op2(g, Div, sum, op2(g, Max, one, op2(g, Sub, count, one)));
    move_statistic(t, n, 3, mean), move_statistic(t, n, 4, unbiased);
    Node *scale = node_per_channel(g, node_cast(g, n->in[1], x->type), r),
         *shift = node_per_channel(g, node_cast(g, n->in[2], x->type), r);
    Node *inverse = op2(g, Div, one, op1(g, Sqrt, op2(g, Add, var, node_like(g, x, n->attr.f))));
    return op2(g, Add, op2(g, Mul, centred, op2(g, Mul, inverse, scale)), shift);
}

// Kept with probability 1 - ratio, and then scaled up as much.
static Node *dropout(Train *t, Node *n) {
    Graph *g = t->g;
    Attr at = shape_attr(&n->shape);
    at.f = n->attr.f2;
    Node *x = n->in[0], *draw = node_cast(g, graph_op(g, OP_Random, at, 0, NULL), x->type);
    Node *drop = op2(g, Less, draw, node_like(g, x, n->attr.f));
    return op2(g, Mul, x, op3(g, Where, drop, node_like(g, x, 0), node_like(g, x, 1 / (1 - n->attr.f))));
}

static Node *training_form(Graph *g, Node *n, void *env) {
    Train *t = env;
    (void)g;
    if (n->op == OP_BatchNorm && mode_of(t, n) == BN_TRAIN) return bn_train(t, n);
    if (n->op == OP_Dropout && n->attr.f > 0) return dropout(t, n);
    return NULL;
}

// The last roots are the scores: only they take the training form, and what moved statistics with them.
static void to_training_form(Train *t) {
    Graph *g = t->g;
    Root *all = g->root;
    int nall = g->nroot;
    g->root += t->first_score, g->nroot -= t->first_score;
    graph_map(g, training_form, t);
    g->root = all, g->nroot = nall;
    for (int i = 0; i < t->nstat; i++) graph_root(g, "", t->stat[i].value, NULL, FN_TRAIN_STEP);
}

// ---- the frozen prefix ----

// By id: the value depends on a trained parameter, on chance, or is a number like the batch's size.
static bool *moving(Train *t) {
    Graph *g = t->g;
    bool *live = NEW(g->cx, bool, g->norder);
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        live[i] = n->train || n->op == OP_Random || n->op == OP_Dropout || n->op == OP_BatchSize;
        for (int k = 0; k < n->nin; k++) live[i] |= live[n->in[k]->id];
    }
    return live;
}

static Node *boundary(Graph *g, Node *n, void *env) {
    Train *t = env;
    (void)g;
    for (int i = 0; i < t->t->nfeature; i++)
        if (t->prefix[i] == n) return t->t->feature[i];
    return NULL;
}

// What trained parts read of the frozen part becomes an input of theirs, filled by `features`.
static void cut_features(Train *t) {
    Graph *g = t->g;
    graph_sort(g);
    bool *live = moving(t), *cut = NEW(g->cx, bool, g->norder);
    for (int i = 0; i < g->norder; i++)
        for (int k = 0; k < g->order[i]->nin; k++) {
            Node *x = g->order[i]->in[k];
            cut[x->id] |= live[i] && !live[x->id] && !x->frozen && !op_is_leaf(x) && x != t->o->picture;
        }
    for (int i = 0, count = g->norder; i < count; i++) {
        Node *n = g->order[i];
        if (!cut[i]) continue;
        int at = t->t->nfeature;
        *VEC_PUSH(g->cx, t->prefix, at) = n;
        *VEC_PUSH(g->cx, t->t->feature, t->t->nfeature) =
            graph_input(g, cx_fmt(g->cx, "features.%d", at), n->type, n->shape);
    }
    graph_map(g, boundary, t);
    for (int i = 0; i < t->t->nfeature; i++)
        graph_root(g, t->t->feature[i]->name, t->prefix[i], t->t->feature[i], FN_FEATURES);
}

// ---- loss, gradients, updates ----

static Node *scalar_input(Graph *g, const char *name) { return graph_input(g, name, DT_F64, (Shape){0}); }

static Rates *rates(Graph *g, int ngroup) {
    Rates *r = NEW(g->cx, Rates, ngroup);
    Node *step = scalar_input(g, "tvc.step");
    for (int k = 0; k < ngroup; k++)
        r[k] = (Rates){scalar_input(g, cx_fmt(g->cx, "lr.%d", k)), scalar_input(g, cx_fmt(g->cx, "momentum.%d", k)),
                       scalar_input(g, cx_fmt(g->cx, "weight_decay.%d", k)), step};
    return r;
}

// [N, classes], whatever ones stand around
static Node *flat_scores(Graph *g, Node *z) {
    Shape s = {.n = 2, .batch = z->shape.batch ? 1 : 0};
    int64_t n = z->shape.n ? z->shape.d[0] : 1;
    s.d[0] = n, s.d[1] = n ? numel(z->shape) / n : 0;
    return node_reshape(g, z, s);
}

static Node *total_loss(Train *t) {
    Graph *g = t->g;
    Node *target = NULL, *total = NULL;
    for (int i = 0; i < t->o->nscores; i++) {
        Node *z = flat_scores(g, g->root[t->first_score + i].value);
        bool classes = t->o->loss.kind == LOSS_CROSS_ENTROPY || t->o->loss.kind == LOSS_NLL;
        Shape s = z->shape;
        if (classes) s.n = 1;
        if (!target) target = graph_input(g, "tvc.target", classes ? DT_I64 : z->type, s);
        if (i == 0) graph_root(g, "tvc.scores", z, NULL, FN_TRAIN_STEP);
        Node *l = loss_node(g, &t->o->loss, z, target);
        total = total ? op2(g, Add, total, op2(g, Mul, l, node_like(g, l, t->o->aux_weight))) : l;
    }
    return total;
}

// Large ones row by row first, which many can do at once.
static Node *sum_of(Graph *g, Node *v) {
    enum { LARGE = 1 << 14 };
    static int64_t inner[MAXDIM] = {1, 2, 3, 4, 5, 6, 7};
    if (v->shape.n > 1 && v->shape.d[0] > 1 && numel(v->shape) >= LARGE)
        v = graph_op(g, OP_ReduceSum, (Attr){.n = v->shape.n - 1, .i = inner}, 1, &v);
    return node_cast(g, node_reduce_all(g, OP_ReduceSum, v), DT_F64);
}

// Sum over all gradients of f(gradient), in f64; pair by pair, so that no formula is as deep as there are parameters.
static Node *over_gradients(Graph *g, Node **d, int n, bool squares) {
    Node **sum = NEW(g->cx, Node *, n);
    for (int i = 0; i < n; i++) sum[i] = sum_of(g, op2(g, Mul, d[i], squares ? d[i] : node_like(g, d[i], 0)));
    for (int apart = 1; apart < n; apart *= 2)
        for (int i = 0; i + apart < n; i += 2 * apart) sum[i] = op2(g, Add, sum[i], sum[i + apart]);
    return sum[0];
}

// Zero times a number is zero, unless it is no number: one sum finds any NaN or infinity.
static Node *all_finite(Train *t, Node *loss, Node **d) {
    Graph *g = t->g;
    Node *zero = graph_scalar(g, DT_F64, 0), *sum = over_gradients(g, d, t->t->nparam, false);
    sum = op2(g, Add, sum, op2(g, Mul, node_cast(g, loss, DT_F64), zero));
    return op2(g, Equal, sum, zero);
}

static void clip(Train *t, Node **d) {
    Graph *g = t->g;
    if (!(t->o->clip > 0)) return;
    Node *norm = op1(g, Sqrt, over_gradients(g, d, t->t->nparam, true));
    Node *by = op2(g, Div, graph_scalar(g, DT_F64, t->o->clip), op2(g, Add, norm, graph_scalar(g, DT_F64, 1e-6)));
    by = op2(g, Min, by, graph_scalar(g, DT_F64, 1));
    for (int i = 0; i < t->t->nparam; i++) d[i] = op2(g, Mul, d[i], node_cast(g, by, d[i]->type));
}

// Gradients of the loss times tvc.scale, which lifts them above what 16 bits lose; unscaled in f32. A power of two
// changes no bit of them.
static void scaled_gradients(Train *t, Node *loss, Node **d) {
    Graph *g = t->g;
    Node *scale = scalar_input(g, "tvc.scale"), *back = op2(g, Div, graph_scalar(g, DT_F64, 1), scale);
    gradients(g, op2(g, Mul, loss, node_cast(g, scale, loss->type)), t->t->nparam, t->t->param, d);
    for (int i = 0; i < t->t->nparam; i++) d[i] = op2(g, Mul, d[i], node_cast(g, back, d[i]->type));
}

// Adds gradients to the sums of the group's batches before (with tvc.keep 0: begins anew), unless a sum would be no
// number; d becomes what apply finds: their means.
static Node *accumulate(Train *t, Node *loss, Node **d) {
    Graph *g = t->g;
    Node *keep = scalar_input(g, "tvc.keep"), *weight = scalar_input(g, "tvc.weight"),
         *total = scalar_input(g, "tvc.total");
    Node **sum = NEW(g->cx, Node *, t->t->nparam);
    for (int i = 0; i < t->t->nparam; i++) {
        Node *p = t->t->param[i];
        sum[i] = graph_param(g, cx_fmt(g->cx, "acc/%s", p->name), p->type, p->shape, NULL);
        sum[i]->train = true;
        Node *before = op2(g, Mul, sum[i], node_cast(g, keep, p->type));
        d[i] = op2(g, Add, before, op2(g, Mul, d[i], node_cast(g, weight, p->type)));
    }
    Node *ok = all_finite(t, loss, d);
    for (int i = 0; i < t->t->nparam; i++) {
        graph_root(g, sum[i]->name, op3(g, Where, ok, d[i], sum[i]), sum[i], FN_TRAIN_STEP);
        d[i] = op2(g, Div, sum[i], node_cast(g, total, sum[i]->type));
    }
    return ok;
}

static void average(Train *t, Node *p, Node *next, Node *ok, int fn) {
    Graph *g = t->g;
    Node *e = graph_param(g, cx_fmt(g->cx, "ema/%s", p->name), p->type, p->shape, p->data);
    e->train = true;
    Node *mixed =
        op2(g, Add, op2(g, Mul, e, node_like(g, e, t->o->ema)), op2(g, Mul, next, node_like(g, e, 1 - t->o->ema)));
    graph_root(g, e->name, op3(g, Where, ok, mixed, e), e, fn);
}

static void updates(Train *t, Node *loss, Node **d) {
    Graph *g = t->g;
    Rates *r = rates(g, t->o->ngroup);
    bool later = t->o->accumulate;
    int fn = later ? FN_APPLY : FN_TRAIN_STEP;
    Node *ok = later ? accumulate(t, loss, d) : all_finite(t, loss, d), *now = later ? graph_scalar(g, DT_BOOL, 1) : ok;
    graph_root(g, "tvc.loss", loss, NULL, FN_TRAIN_STEP);
    graph_root(g, "tvc.finite", node_cast(g, ok, DT_F32), NULL, FN_TRAIN_STEP);
    clip(t, d);
    for (int i = 0; i < t->t->nparam; i++) {
        Node *p = t->t->param[i], *next = optimizer_step(g, &t->o->optimizer, &r[t->group[i]], p, d[i], now, fn);
        if (t->o->ema > 0) average(t, p, next, now, fn);
    }
    for (int i = 0; i < t->nstat; i++)
        graph_root(g, t->stat[i].leaf->name, op3(g, Where, ok, t->stat[i].value, t->stat[i].leaf), t->stat[i].leaf,
                   FN_TRAIN_STEP);
}

static void only_gradients(Train *t, Node *loss, Node **d) {
    graph_root(t->g, "tvc.loss", loss, NULL, FN_TRAIN_STEP);
    for (int i = 0; i < t->t->nparam; i++)
        graph_root(t->g, cx_fmt(t->g->cx, "grad/%s", t->t->param[i]->name), d[i], NULL, FN_TRAIN_STEP);
}

// Scores and statistics leave the list of roots: from here on they are only values.
static void take_roots(Train *t, Node **loss) {
    Graph *g = t->g;
    int first_stat = t->first_score + t->o->nscores;
    *loss = total_loss(t);
    for (int i = 0; i < t->nstat; i++) t->stat[i].value = g->root[first_stat + i].value;
    int gone = t->o->nscores + t->nstat;
    memmove(&g->root[t->first_score], &g->root[t->first_score + gone],
            sizeof *g->root * (size_t)(g->nroot - t->first_score - gone));
    g->nroot -= gone;
}

// Operators become what has a gradient; loss and statistics with them.
static void expand_all(Train *t, Node **loss) {
    Graph *g = t->g;
    int at = g->nroot;
    graph_root(g, "", *loss, NULL, FN_TRAIN_STEP);
    for (int i = 0; i < t->nstat; i++) graph_root(g, "", t->stat[i].value, NULL, FN_TRAIN_STEP);
    expand_ops(g);
    *loss = g->root[at].value;
    for (int i = 0; i < t->nstat; i++) t->stat[i].value = g->root[at + 1 + i].value;
    g->nroot = at;
}

// From the imported graph to the loss, everything but gradients.
static Train prepare(Graph *g, const TrainOptions *o, Node **loss) {
    Train t = {.g = g, .o = o, .t = NEW(g->cx, TrainGraph, 1), .first_score = g->nroot};
    g->fn = functions, g->nfn = o->accumulate ? FN_APPLY + 1 : FN_APPLY, g->prefix = FN_FEATURES;
    for (int i = 0; i < o->nscores; i++) graph_root(g, "", o->scores[i], NULL, FN_TRAIN_STEP);
    mark_params(&t);
    graph_refreeze(g);
    list_params(&t);
    if (t.t->nparam == 0) fail(g->cx, E_USAGE, "every parameter is frozen: there is nothing to train");
    to_training_form(&t);
    cut_features(&t);
    take_roots(&t, loss);
    expand_all(&t, loss);
    return t;
}

TrainGraph *train_graph(Graph *g, const TrainOptions *o) {
    Node *loss;
    Train t = prepare(g, o, &loss);
    Node **d = NEW(g->cx, Node *, t.t->nparam);
    if (o->scaled) scaled_gradients(&t, loss, d);
    else gradients(g, loss, t.t->nparam, t.t->param, d);
    if (o->bare) only_gradients(&t, loss, d);
    else updates(&t, loss, d);
    return t.t;
}

TrainGaps train_gaps(Graph *g, const TrainOptions *o) {
    Node *loss;
    Train t = prepare(g, o, &loss);
    return (TrainGaps){t.t->nparam, t.t->param, gradient_gaps(g, loss, t.t->nparam, t.t->param)};
}
