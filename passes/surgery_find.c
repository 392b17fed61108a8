// surgery_find.c -- finds the classifying layer by the structure of the document, and says why.
//
// From each graph output the walk goes up through what a classifier ends in: Softmax, reshaping,
// Dropout, pooling over the picture. The layer it meets is the head if it has constant weights
// and is a Gemm, a MatMul (with an Add for its bias) or a 1x1 Conv. Between the layer and its
// pooling there may be a Relu, as in SqueezeNet. Anything else that squashes or bounds is a sign
// of features: a Relu on a vector makes a hidden layer, a Clip to 6 before the pool MobileNet's last.
#include "../ir/near.h"
#include "surgery_graph.h"

static const char *const reading_aids[] = {"Softmax",   "LogSoftmax", "Sigmoid", "Flatten", "Reshape",   "Squeeze",
                                           "Unsqueeze", "Identity",   "Dropout", "Cast",    "Transpose", NULL};
static const char *const pools[] = {"GlobalAveragePool", "GlobalMaxPool", "AveragePool", "MaxPool",
                                    "ReduceMean",        "ReduceMax",     NULL};
static const char *const rectifiers[] = {"Relu", "LeakyRelu", NULL};
static const char *const squashes[] = {"Clip",     "HardSwish",       "HardSigmoid", "Tanh", "Elu",
                                       "Selu",     "PRelu",           "Gelu",        "Mish", "Swish",
                                       "Softplus", "ThresholdedRelu", NULL};

// ---- one layer ----
static bool fits(const char *kind, int64_t in, int64_t classes, DocNode *n, Head *h) {
    *h = (Head){.kind = kind, .node = n, .weight = n->in[1], .in_features = in, .classes = classes};
    if (n->nin > 2 && n->in[2][0]) h->bias = n->in[2], h->bias_at = 2;
    return in > 0 && classes > 0;
}

// Is n a layer that could be a head? Otherwise *why tells what speaks against it.
bool heads_layer(Model *m, DocNode *n, Head *h, const char **why) {
    Constant w, x;
    bool gemm = op_is(n, "Gemm"), matmul = op_is(n, "MatMul"), conv = op_is(n, "Conv");
    const char *label = node_label(m->cx, n);
    if (!gemm && !matmul && !conv) return *why = cx_fmt(m->cx, "%s is no Gemm, MatMul or 1x1 Conv", label), false;
    if (n->nout < 1 || !n->out[0][0]) return *why = cx_fmt(m->cx, "%s has no output", label), false;
    if (n->nin < 2 || !constant_of(m, n->in[1], &w))
        return *why = cx_fmt(m->cx, "the weights of %s are no constant", label), false;
    if (constant_of(m, n->in[0], &x)) return *why = cx_fmt(m->cx, "%s has constants for both inputs", label), false;
    if (!dtype_is_float(w.type))
        return *why = cx_fmt(m->cx, "the weights of %s are no floating-point numbers", label), false;
    if (!conv && w.rank != 2) return *why = cx_fmt(m->cx, "the weights of %s are no matrix", label), false;
    if (gemm && node_int(n, "transA", 0)) return *why = cx_fmt(m->cx, "%s transposes its input", label), false;
    if (gemm && node_int(n, "transB", 0)) return fits("Gemm", w.dim[1], w.dim[0], n, h);
    if (!conv) return fits(gemm ? "Gemm" : "MatMul", w.dim[0], w.dim[1], n, h);
    for (int d = 2; d < w.rank; d++)
        if (w.dim[d] != 1) return *why = cx_fmt(m->cx, "%s looks at more than one pixel", label), false;
    if (w.rank < 3 || node_int(n, "group", 1) != 1)
        return *why = cx_fmt(m->cx, "%s is a grouped convolution", label), false;
    return fits("Conv", w.dim[1], w.dim[0], n, h);
}

// The addition of a bias: which input is the constant, or -1.
static int bias_input(Model *m, const DocNode *n) {
    Constant a, b;
    if (!op_is(n, "Add") || n->nin != 2) return -1;
    bool first = constant_of(m, n->in[0], &a), second = constant_of(m, n->in[1], &b);
    return first == second ? -1 : first ? 0 : 1;
}

static bool takes_bias(Head *h, DocNode *add, int at) {
    if (h->bias) return false;
    h->add = add, h->bias = add->in[at], h->bias_at = at;
    return true;
}

// ---- from an output up ----
typedef struct Walk {
    Model *m;
    const char *output, *value;
    const char *through;                 // "Flatten, Softmax": what was passed, last first; many are cut
    int passed;
    bool pooled, rectified;
    DocNode *add;                        // directly below the layer; or NULL
    int add_at;
    const char *why;                     // it stopped here
} Walk;

// Clip without an upper bound is a Relu of old files.
static bool clips_above(Model *m, const DocNode *n) {
    double most = (double)node_float(n, "max", INFINITY);
    if (n->nin > 2 && n->in[2][0] && !constant_float(m, n->in[2], &most)) return true;
    return most < 1e30;
}

// May the walk go on above n?
static bool pass(Walk *w, DocNode *n) {
    bool rectifier = op_among(n, rectifiers) || (op_is(n, "Clip") && !clips_above(w->m, n));
    if (op_among(n, pools)) w->pooled = true;
    else if (rectifier) w->rectified = true;
    else if (op_among(n, squashes)) {
        w->why = cx_fmt(w->m->cx, "%s before output '%s' %s, as features are", node_label(w->m->cx, n),
                        cx_show(w->m->cx, w->output), op_is(n, "Clip") ? "is bounded above" : "is an activation");
        return false;
    } else if (!op_among(n, reading_aids)) return false;
    enum { TOLD = 8 };
    if (w->passed < TOLD) w->through = w->through ? cx_fmt(w->m->cx, "%s, %s", n->op, w->through) : n->op;
    else if (w->passed == TOLD) w->through = cx_fmt(w->m->cx, "..., %s", w->through);
    w->passed++;
    w->value = n->in[0];
    return true;
}

static bool judge(Walk *w, DocNode *n, Head *h) {
    if (!heads_layer(w->m, n, h, &w->why)) return false;
    const char *label = node_label(w->m->cx, n);
    bool conv = op_is(n, "Conv");
    if (w->rectified && !(conv && w->pooled)) {
        w->why = cx_fmt(w->m->cx, "%s is followed by an activation: a hidden layer", label);
        return false;
    }
    if (w->add && !takes_bias(h, w->add, w->add_at)) {
        w->why = cx_fmt(w->m->cx, "%s has two biases", label);
        return false;
    }
    h->output = w->output;
    h->why = cx_fmt(
        w->m->cx,
        "the last layer before output '%s'%s%s%s: a %s%s from %lld features to %lld classes, with constant weights",
        cx_show(w->m->cx, w->output), w->through ? " (behind it " : "", w->through ? w->through : "",
        w->through ? ")" : "", conv ? "1x1 Conv" : h->kind, h->add ? " and Add" : "", (long long)h->in_features,
        (long long)h->classes);
    return true;
}

// The head above one output; false with *why.
static bool find_above(Model *m, const char *output, Head *h, const char **why) {
    Walk w = {.m = m, .output = output, .value = output};
    for (int steps = 0; steps <= m->nnode && !w.why; steps++) {
        DocNode *n = model_producer(m, w.value);
        if (!n) {
            w.why = cx_fmt(m->cx, "nothing but %s lies between output '%s' and an input",
                           w.through ? w.through : "a name", cx_show(m->cx, output));
        } else if (n->nin > 0 && !w.add && pass(&w, n)) {
            continue;
        } else if (!w.add && !w.why && (w.add_at = bias_input(m, n)) >= 0) {
            w.add = n, w.value = n->in[1 - w.add_at];
        } else if (!w.why && judge(&w, n, h)) {
            return true;
        }
    }
    return *why = w.why ? w.why : "", false;
}

Scores output_scores(Model *m, const char *output) {
    const char *value = output;
    for (int steps = 0; steps < m->nnode; steps++) {
        const DocNode *n = model_producer(m, value);
        if (!n || n->nin == 0 || !op_among(n, reading_aids)) break;
        if (op_is(n, "Softmax") || op_is(n, "Sigmoid")) return SCORES_PROBABILITIES;
        if (op_is(n, "LogSoftmax")) return SCORES_LOG;
        value = n->in[0];
    }
    return SCORES_LOGITS;
}

// ---- named by the user ----
// Does n use a weight or bias of that name, or of a module of that name as PyTorch calls them?
static bool uses_named(Model *m, const DocNode *n, const char *name) {
    const char *weight = cx_fmt(m->cx, "%s.weight", name), *bias = cx_fmt(m->cx, "%s.bias", name);
    for (int k = 0; k < n->nin; k++)
        if (strcmp(n->in[k], name) == 0 || strcmp(n->in[k], weight) == 0 || strcmp(n->in[k], bias) == 0) return true;
    return false;
}

static bool is_layer_or_bias(Model *m, DocNode *n) {
    Head h;
    const char *why;
    return heads_layer(m, n, &h, &why) || bias_input(m, n) >= 0;
}

static DocNode *named_node(Model *m, const char *name) {
    for (int i = 0; i < m->nnode; i++)
        if (strcmp(m->node[i]->name, name) == 0) return m->node[i];
    DocNode *n = model_producer(m, name);
    for (int i = 0; !n && i < m->nnode; i++)
        if (uses_named(m, m->node[i], name) && is_layer_or_bias(m, m->node[i])) n = m->node[i];
    if (n) return n;
    const char **all = NEW(m->cx, const char *, m->nnode + m->ninit);
    int count = 0;
    for (int i = 0; i < m->nnode; i++) all[count++] = m->node[i]->name;
    for (int i = 0; i < m->ninit; i++) all[count++] = m->init[i]->name;
    int k = near_name(name, count, all);
    fail(m->cx, E_USAGE, "no node, value or weight is called '%s'%s%s%s", cx_show(m->cx, name),
         k >= 0 ? "; did you mean '" : "", k >= 0 ? cx_show(m->cx, all[k]) : "",
         k >= 0 ? "'?" : "; `tvc inspect` lists the nodes");
}

// The Add that gives a layer its bias, where that is its only user.
static void find_bias(Model *m, Head *h) {
    if (h->bias || value_users(m, h->node->out[0]) != 1) return;
    for (int i = 0; i < m->nnode; i++) {
        int at = bias_input(m, m->node[i]);
        if (at >= 0 && strcmp(m->node[i]->in[1 - at], h->node->out[0]) == 0) takes_bias(h, m->node[i], at);
    }
}

static Head head_named(Model *m, const char *name) {
    DocNode *n = named_node(m, name);
    int at = bias_input(m, n);
    DocNode *layer = at >= 0 ? model_producer(m, n->in[1 - at]) : n;
    Head h;
    const char *why = "";
    if (!layer || !heads_layer(m, layer, &h, &why))
        fail(m->cx, E_UNSUPPORTED, "'%s' cannot be a head: %s", cx_show(m->cx, name),
             layer ? why : "nothing computes it");
    find_bias(m, &h);
    h.why = cx_fmt(m->cx, "named by the user: '%s'", cx_show(m->cx, name));
    return h;
}

Heads heads_find(Model *m, const char *name) {
    Heads r = {0};
    model_order(m);                                              // refuses cycles
    if (name) *VEC_PUSH(m->cx, r.head, r.n) = head_named(m, name);
    for (int i = 0; i < m->noutput; i++) {
        Head h;
        const char *why;
        if (!find_above(m, m->output[i]->name, &h, &why)) {
            if (!r.why_none) r.why_none = why;
            continue;
        }
        bool known = false;
        for (int k = 0; k < r.n; k++) known |= r.head[k].node == h.node;
        if (!known) *VEC_PUSH(m->cx, r.head, r.n) = h;
    }
    return r;
}
