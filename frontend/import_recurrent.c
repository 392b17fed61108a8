// import_recurrent.c -- RNN, GRU and LSTM, unrolled: one set of matrix products and gates for each
// step of the sequence, whose length must be known. The products with the inputs, which need no
// state, are done for all steps at once.
//
// A shorter sequence in the batch (sequence_lens) keeps its state and yields zeros in the steps it
// lacks; backwards it starts with its own last step, since until then its state stays the first one.
#include "build.h"
#include <strings.h>

enum { STEPS_MAX = 4096 };            // of all directions; each takes some kilobytes of graph

// ---- activations ----

typedef Node *ActFn(Graph *g, Node *x, double alpha, double beta);
typedef struct Activation { ActFn *fn; double alpha, beta; } Activation;

static Node *act_relu(Graph *g, Node *x, double a, double b) { (void)a, (void)b; return op1(g, Relu, x); }
static Node *act_tanh(Graph *g, Node *x, double a, double b) { (void)a, (void)b; return op1(g, Tanh, x); }
static Node *act_sigmoid(Graph *g, Node *x, double a, double b) { (void)a, (void)b; return op1(g, Sigmoid, x); }
static Node *act_affine(Graph *g, Node *x, double a, double b) { return shifted(g, scaled(g, x, a), b); }
static Node *act_scaled_tanh(Graph *g, Node *x, double a, double b) {
    return scaled(g, op1(g, Tanh, scaled(g, x, b)), a);
}
static Node *act_hard_sigmoid(Graph *g, Node *x, double a, double b) {
    return at_most(g, at_least(g, act_affine(g, x, a, b), 0), 1);
}
static Node *act_softplus(Graph *g, Node *x, double a, double b) {
    (void)a, (void)b;                                 // log(1 + e^x) without overflow
    return op2(g, Add, op1(g, Relu, x), op1(g, Log1p, op1(g, Exp, op1(g, Neg, op1(g, Abs, x)))));
}
static Node *act_softsign(Graph *g, Node *x, double a, double b) {
    (void)a, (void)b;
    return op2(g, Div, x, shifted(g, op1(g, Abs, x), 1));
}
static Node *act_leaky_relu(Graph *g, Node *x, double a, double b) {
    (void)b;
    return op3(g, Where, less_than(g, x, 0), scaled(g, x, a), x);
}
static Node *act_elu(Graph *g, Node *x, double a, double b) {
    (void)b;
    return op3(g, Where, less_than(g, x, 0), scaled(g, shifted(g, op1(g, Exp, x), -1), a), x);
}
static Node *act_thresholded_relu(Graph *g, Node *x, double a, double b) {
    (void)b;
    return op3(g, Where, op2(g, Less, node_like(g, x, a), x), x, node_like(g, x, 0));
}

static const struct { const char *name; ActFn *fn; int nparam; double alpha, beta; } activations[] = {
    {"Tanh",            act_tanh,             0, 0,    0},
    {"Sigmoid",         act_sigmoid,          0, 0,    0},
    {"Relu",            act_relu,             0, 0,    0},
    {"Softplus",        act_softplus,         0, 0,    0},
    {"Softsign",        act_softsign,         0, 0,    0},
    {"LeakyRelu",       act_leaky_relu,       1, 0.01, 0},
    {"Elu",             act_elu,              1, 1,    0},
    {"ThresholdedRelu", act_thresholded_relu, 1, 1,    0},
    {"Affine",          act_affine,           2, 1,    0},
    {"ScaledTanh",      act_scaled_tanh,      2, 1,    1},
    {"HardSigmoid",     act_hard_sigmoid,     2, 0.2,  0.5},
};

static double next_parameter(const AttrValue *list, int *used, double otherwise) {
    return list && *used < list->n && list->kind == ATTR_FS ? (double)list->fs[(*used)++] : otherwise;
}

// n activations by name, or the usual ones. Those with parameters take theirs in turn from two lists.
static void read_activations(Import *im, int n, const char *const *usual, Activation *act) {
    const AttrValue *names = node_attr(im->n, "activations");
    const AttrValue *alpha = node_attr(im->n, "activation_alpha"), *beta = node_attr(im->n, "activation_beta");
    int nalpha = 0, nbeta = 0;
    if (names && (names->kind != ATTR_SS || names->n != n))
        import_fail(im, E_MALFORMED, "%d activations are wanted", n);
    for (int i = 0; i < n; i++) {
        const char *name = names ? names->ss[i] : usual[i];
        size_t k = 0, count = sizeof activations / sizeof *activations;
        while (k < count && strcasecmp(name, activations[k].name)) k++;
        if (k == count) import_fail(im, E_MALFORMED, "activation '%s' is unknown", cx_show(im->cx, name));
        act[i] = (Activation){activations[k].fn, activations[k].alpha, activations[k].beta};
        if (activations[k].nparam >= 1) act[i].alpha = next_parameter(alpha, &nalpha, act[i].alpha);
        if (activations[k].nparam >= 2) act[i].beta = next_parameter(beta, &nbeta, act[i].beta);
    }
}

// ---- what the three have in common ----

typedef struct State { Node *h, *c; } State;                  // [N, H]; c: LSTM only

typedef struct Cell Cell;
typedef State StepFn(const Cell *c, Node *x, State s);        // x [N, gates * H]: the products with the inputs
struct Cell {
    Graph *g;
    StepFn *step;
    int gates, nact;
    int64_t hidden;
    double clip;                                              // 0: none
    bool linear_before_reset, input_forget;
    // of the direction in hand
    Activation act[3];
    Node *r, *rb, *peep; // [H, gates * H], [gates * H], [3 * H]; rb, peep may be NULL
};

static Node *activated(const Cell *c, int i, Node *x) {
    if (c->clip > 0) x = at_most(c->g, at_least(c->g, x, -c->clip), c->clip);
    return c->act[i].fn(c->g, x, c->act[i].alpha, c->act[i].beta);
}

// Gates from..from+n of numbers laid out gate by gate along the last axis.
static Node *gates(const Cell *c, Node *x, int from, int n) {
    return node_slice(c->g, x, x->shape.n - 1, from * c->hidden, n * c->hidden);
}

// The state's share of some gates.
static Node *recurrence(const Cell *c, Node *h, int from, int n) {
    Node *y = op2(c->g, MatMul, h, gates(c, c->r, from, n));
    return c->rb ? op2(c->g, Add, y, gates(c, c->rb, from, n)) : y;
}

static State step_rnn(const Cell *c, Node *x, State s) {
    return (State){.h = activated(c, 0, op2(c->g, Add, x, recurrence(c, s.h, 0, 1)))};
}

// gates z (update), r (reset), h
static State step_gru(const Cell *c, Node *x, State s) {
    Graph *g = c->g;
    Node *zr = activated(c, 0, op2(g, Add, gates(c, x, 0, 2), recurrence(c, s.h, 0, 2)));
    Node *z = gates(c, zr, 0, 1), *r = gates(c, zr, 1, 1);
    Node *past =
        c->linear_before_reset ? op2(g, Mul, r, recurrence(c, s.h, 2, 1)) : recurrence(c, op2(g, Mul, r, s.h), 2, 1);
    Node *h = activated(c, 1, op2(g, Add, gates(c, x, 2, 1), past));
    return (State){.h = op2(g, Add, op2(g, Mul, op2(g, Sub, node_like(g, z, 1), z), h), op2(g, Mul, z, s.h))};
}

// Peepholes lie as i, o, f.
static Node *peeped(const Cell *c, Node *x, int which, Node *state) {
    return c->peep ? op2(c->g, Add, x, op2(c->g, Mul, gates(c, c->peep, which, 1), state)) : x;
}

// gates i (input), o (output), f (forget), c (cell)
static State step_lstm(const Cell *c, Node *x, State s) {
    Graph *g = c->g;
    Node *all = op2(g, Add, x, recurrence(c, s.h, 0, 4));
    Node *i = activated(c, 0, peeped(c, gates(c, all, 0, 1), 0, s.c));
    Node *f =
        c->input_forget ? op2(g, Sub, node_like(g, i, 1), i) : activated(c, 0, peeped(c, gates(c, all, 2, 1), 2, s.c));
    Node *cell = op2(g, Add, op2(g, Mul, f, s.c), op2(g, Mul, i, activated(c, 1, gates(c, all, 3, 1))));
    Node *o = activated(c, 0, peeped(c, gates(c, all, 1, 1), 1, cell));
    return (State){.h = op2(g, Mul, o, c->act[2].fn(g, cell, c->act[2].alpha, c->act[2].beta)), .c = cell};
}

// ---- inputs and outputs ----

static Node *one_of(Graph *g, Node *x, int64_t i) { return squeezed(g, node_slice(g, x, 0, i, 1), AXES(0)); }

// Input k for one direction, checked against its sizes; NULL if absent.
static Node *share(Import *im, int k, int dir, int ndir, int64_t rows, int64_t columns) {
    if (!in_given(im, k)) return NULL;
    Node *x = in(im, k);
    Shape want = columns ? SHAPE(ndir, rows, columns) : SHAPE(ndir, rows);
    if (!same_dims(x->shape, want))
        import_fail(im, E_MALFORMED, "input %d has shape %s, not %s", k, shape_str(im->cx, x->shape),
                    shape_str(im->cx, want));
    return one_of(im->g, x, dir);
}

// Pairwise, so that nothing is copied more often than the logarithm of n.
static Node *joined(Graph *g, int axis, int64_t n, Node **x) {
    for (; n > 1; n = (n + 1) / 2)
        for (int64_t i = 0; i < n; i += 2) x[i / 2] = i + 1 < n ? node_concat(g, axis, 2, x + i) : x[i];
    return x[0];
}

static Node *first_state(Import *im, int k, int dir, Shape s, DType t, bool batch_first) {
    if (!in_given(im, k)) return node_expand(im->g, graph_scalar(im->g, t, 0), s);
    Node *x = in(im, k);
    if (x->shape.n != 3) import_fail(im, E_MALFORMED, "input %d has shape %s", k, shape_str(im->cx, x->shape));
    if (batch_first) x = node_transpose(im->g, x, (int64_t[]){1, 0, 2});
    if (dir >= x->shape.d[0] || x->shape.d[1] != s.d[0] || x->shape.d[2] != s.d[1])
        import_fail(im, E_MALFORMED, "input %d does not fit states of %s", k, shape_str(im->cx, s));
    return one_of(im->g, x, dir);
}

// All steps of one direction: x [T, N, gates * H] to states; y[t] holds [1, 1, N, H] each.
static State walk(Cell *c, Node *x, Node *lens, State s, bool backwards, Node **y) {
    Graph *g = c->g;
    int64_t steps = x->shape.d[0];
    for (int64_t i = 0; i < steps; i++) {
        int64_t t = backwards ? steps - 1 - i : i;
        State next = c->step(c, one_of(g, x, t), s);
        Node *h = next.h;
        if (lens) {
            Node *alive = op2(g, Less, node_like(g, lens, (double)t), lens);
            h = op3(g, Where, alive, next.h, node_like(g, next.h, 0));
            next.h = op3(g, Where, alive, next.h, s.h);
            if (next.c) next.c = op3(g, Where, alive, next.c, s.c);
        }
        y[t] = unsqueezed(g, unsqueezed(g, h, 0), 0);
        s = next;
    }
    return s;
}

typedef struct Results { Node *y[2], *h[2], *c[2]; } Results;

static void put_state(Import *im, int k, int ndir, Node **s, bool batch_first) {
    if (!s[0]) return;
    for (int d = 0; d < ndir; d++) s[d] = unsqueezed(im->g, s[d], 0);
    Node *all = node_concat(im->g, 0, ndir, s);
    out(im, k, batch_first ? node_transpose(im->g, all, (int64_t[]){1, 0, 2}) : all);
}

static void put_results(Import *im, int ndir, Results *r, bool batch_first) {
    if (out_wanted(im, 0)) {
        Node *y = node_concat(im->g, 1, ndir, r->y);
        out(im, 0, batch_first ? node_transpose(im->g, y, (int64_t[]){2, 0, 1, 3}) : y);
    }
    put_state(im, 1, ndir, r->h, batch_first);
    put_state(im, 2, ndir, r->c, batch_first);
}

static void one_direction(Import *im, Cell *c, Node *x, int dir, int ndir, bool backwards, bool batch_first,
                          Results *r) {
    Graph *g = im->g;
    bool lstm = c->gates == 4;
    int64_t rows = c->gates * c->hidden, steps = x->shape.d[0];
    Node *w = share(im, 1, dir, ndir, rows, x->shape.d[2]), *b = share(im, 3, dir, ndir, 2 * rows, 0), *lens = NULL;
    c->r = node_transpose(g, share(im, 2, dir, ndir, rows, c->hidden), (int64_t[]){1, 0});
    c->rb = b ? node_slice(g, b, 0, rows, rows) : NULL;
    c->peep = lstm ? share(im, 7, dir, ndir, 3 * c->hidden, 0) : NULL;
    if (in_given(im, 4)) lens = unsqueezed(g, in(im, 4), 1);
    Node *wx = op2(g, MatMul, x, node_transpose(g, w, (int64_t[]){1, 0}));
    if (b) wx = op2(g, Add, wx, node_slice(g, b, 0, 0, rows));
    Shape state = {.n = 2, .batch = x->shape.batch == 2 ? 1 : 0, .d = {x->shape.d[1], c->hidden}};
    State s = {.h = first_state(im, 5, dir, state, x->type, batch_first)};
    if (lstm) s.c = first_state(im, 6, dir, state, x->type, batch_first);
    Node **y = NEW(im->cx, Node *, steps);
    s = walk(c, wx, lens, s, backwards, y);
    r->y[dir] = joined(g, 0, steps, y), r->h[dir] = s.h, r->c[dir] = s.c;
}

static void recurrent(Import *im, Cell *c, const char *const *usual) {
    const char *direction = attr_string(im, "direction", "forward");
    bool both = !strcasecmp(direction, "bidirectional"), reverse = !strcasecmp(direction, "reverse");
    bool batch_first = attr_int(im, "layout", 0) != 0;
    int ndir = both ? 2 : 1;
    Node *x = in(im, 0), *r = in(im, 2);
    Activation act[6];
    Results results = {0};
    if (!both && !reverse && strcasecmp(direction, "forward"))
        import_fail(im, E_MALFORMED, "direction is '%s'", cx_show(im->cx, direction));
    if (x->shape.n != 3 || r->shape.n != 3)
        import_fail(im, E_MALFORMED, "inputs of shape %s and %s, but both need 3 axes", shape_str(im->cx, x->shape),
                    shape_str(im->cx, r->shape));
    if (batch_first) x = node_transpose(im->g, x, (int64_t[]){1, 0, 2});
    if (x->shape.batch == 1 && im->g->max_batch > 1)
        import_fail(im, E_UNSUPPORTED, "the length of the sequence must be fixed, the input is %s",
                    shape_str(im->cx, x->shape));
    if (x->shape.d[0] == 0 || x->shape.d[0] * ndir > STEPS_MAX)
        import_fail(im, E_LIMIT, "a sequence of %lld steps; 1 to %d are supported", (long long)x->shape.d[0],
                    STEPS_MAX / ndir);
    c->g = im->g;
    c->hidden = attr_int(im, "hidden_size", r->shape.d[2]);
    c->clip = attr_float(im, "clip", 0);
    if (c->hidden < 1 || c->hidden > INT32_MAX)
        import_fail(im, E_MALFORMED, "hidden_size is %lld", (long long)c->hidden);
    in(im, 1);
    const char *names[6];
    for (int i = 0; i < ndir * c->nact; i++) names[i] = usual[i % c->nact];
    read_activations(im, ndir * c->nact, names, act);
    for (int d = 0; d < ndir; d++) {
        memcpy(c->act, act + d * c->nact, sizeof *act * (size_t)c->nact);
        one_direction(im, c, x, d, ndir, reverse || d == 1, batch_first, &results);
    }
    put_results(im, ndir, &results, batch_first);
}

void import_rnn(Import *im, const DocNode *n) {
    (void)n;
    recurrent(im, &(Cell){.step = step_rnn, .gates = 1, .nact = 1}, (const char *const[]){"Tanh"});
}

void import_gru(Import *im, const DocNode *n) {
    (void)n;
    Cell c = {
        .step = step_gru, .gates = 3, .nact = 2, .linear_before_reset = attr_int(im, "linear_before_reset", 0) != 0};
    recurrent(im, &c, (const char *const[]){"Sigmoid", "Tanh"});
}

void import_lstm(Import *im, const DocNode *n) {
    (void)n;
    Cell c = {.step = step_lstm, .gates = 4, .nact = 3, .input_forget = attr_int(im, "input_forget", 0) != 0};
    recurrent(im, &c, (const char *const[]){"Sigmoid", "Tanh", "Tanh"});
}
