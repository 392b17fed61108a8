// optimizers.c -- see optimizers.h. Each formula is written as in PyTorch's documentation; scalars
// that depend on the step alone are computed in f64, once.
#include "optimizers.h"

typedef struct Update {
    Graph *g;
    const Optimizer *o;
    const Rates *r;
    Node *p, *d, *ok;
    int fn, nstate;
    struct { Node *leaf, *next; const char *name; } state[4];
} Update;

#define ADD(a, b) op2(s->g, Add, a, b)
#define SUB(a, b) op2(s->g, Sub, a, b)
#define MUL(a, b) op2(s->g, Mul, a, b)
#define DIV(a, b) op2(s->g, Div, a, b)
#define SQRT(a) op1(s->g, Sqrt, a)
#define NUM(v) node_like(s->g, s->p, v)
#define F64(v) graph_scalar(s->g, DT_F64, v)
#define CAST(a) node_cast(s->g, a, s->p->type)

Optimizer optimizer_default(OptimizerKind kind, double *lr, double *momentum, double *decay) {
    Optimizer o = {.kind = kind, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    static const double rates[NOPTIMIZERS] = {
        [OPT_SGD] = 0.01,   [OPT_ADAM] = 1e-3,    [OPT_ADAMW] = 1e-3,   [OPT_ADAMAX] = 2e-3,
        [OPT_ADADELTA] = 1, [OPT_ADAGRAD] = 0.01, [OPT_RMSPROP] = 0.01, [OPT_RPROP] = 0.01};
    *lr = rates[kind], *momentum = 0, *decay = kind == OPT_ADAMW ? 0.01 : 0;
    if (kind == OPT_ADADELTA) o.rho = 0.9, o.eps = 1e-6;
    if (kind == OPT_ADAGRAD) o.eps = 1e-10;
    if (kind == OPT_RMSPROP) o.rho = 0.99;
    if (kind == OPT_RPROP) o.eta_minus = 0.5, o.eta_plus = 1.2, o.step_min = 1e-6, o.step_max = 50;
    return o;
}

// What the optimizer remembers of p, zero at first.
static Node *remember(Update *s, const char *name) {
    Node *leaf =
        graph_param(s->g, cx_fmt(s->g->cx, "%s/%s", name, s->p->name ? s->p->name : ""), s->p->type, s->p->shape, NULL);
    leaf->train = true;
    s->state[s->nstate].name = leaf->name;
    return s->state[s->nstate++].leaf = leaf;
}

static Node *replace(Update *s, int state, Node *next) {
    return s->state[state].next = op3(s->g, Where, s->ok, next, s->state[state].leaf);
}

static Node *decayed(Update *s) { return ADD(s->d, MUL(CAST(s->r->decay), s->p)); }
static Node *mixed(Update *s, Node *old, double keep, Node *now) {
    return ADD(MUL(old, NUM(keep)), MUL(now, NUM(1 - keep)));
}
static Node *first_step(Update *s) { return op2(s->g, Equal, s->r->step, F64(1)); }
static Node *correction(Update *s, double beta) {
    return op2(s->g, Sub, F64(1), op2(s->g, Pow, F64(beta), s->r->step));
}

static Node *sgd(Update *s) {
    Node *d = decayed(s);
    if (!s->o->has_momentum) return SUB(s->p, MUL(CAST(s->r->lr), d));
    Node *mu = CAST(s->r->momentum), *b = remember(s, "momentum");
    Node *next = ADD(MUL(mu, b), MUL(d, NUM(1 - s->o->dampening)));
    b = replace(s, 0, s->o->dampening == 0 ? next : op3(s->g, Where, first_step(s), d, next));
    d = s->o->nesterov ? ADD(d, MUL(mu, b)) : b;
    return SUB(s->p, MUL(CAST(s->r->lr), d));
}

static Node *adam(Update *s, bool decoupled) {
    Node *p = s->p, *d = decoupled ? s->d : decayed(s);
    if (decoupled) p = MUL(p, CAST(op2(s->g, Sub, F64(1), op2(s->g, Mul, s->r->lr, s->r->decay))));
    Node *m = remember(s, "exp_avg"), *v = remember(s, "exp_avg_sq"), *top = v;
    m = replace(s, 0, mixed(s, m, s->o->beta1, d));
    top = v = replace(s, 1, mixed(s, v, s->o->beta2, MUL(d, d)));
    if (s->o->amsgrad) {
        Node *most = remember(s, "max_exp_avg_sq");
        top = replace(s, 2, op2(s->g, Max, most, v));
    }
    Node *size = CAST(op2(s->g, Div, s->r->lr, correction(s, s->o->beta1)));
    Node *root = CAST(op1(s->g, Sqrt, correction(s, s->o->beta2)));
    return SUB(p, MUL(size, DIV(m, ADD(DIV(SQRT(top), root), NUM(s->o->eps)))));
}

static Node *adamax(Update *s) {
    Node *d = decayed(s), *m = remember(s, "exp_avg"), *u = remember(s, "exp_inf");
    m = replace(s, 0, mixed(s, m, s->o->beta1, d));
    u = replace(s, 1, op2(s->g, Max, MUL(u, NUM(s->o->beta2)), ADD(op1(s->g, Abs, d), NUM(s->o->eps))));
    return SUB(s->p, MUL(CAST(op2(s->g, Div, s->r->lr, correction(s, s->o->beta1))), DIV(m, u)));
}

static Node *adadelta(Update *s) {
    Node *d = decayed(s), *square = remember(s, "square_avg"), *delta = remember(s, "acc_delta");
    square = replace(s, 0, mixed(s, square, s->o->rho, MUL(d, d)));
    Node *step = MUL(DIV(SQRT(ADD(delta, NUM(s->o->eps))), SQRT(ADD(square, NUM(s->o->eps)))), d);
    replace(s, 1, mixed(s, delta, s->o->rho, MUL(step, step)));
    return SUB(s->p, MUL(CAST(s->r->lr), step));
}

static Node *adagrad(Update *s) {
    Node *d = decayed(s), *sum = remember(s, "sum");
    sum = replace(s, 0, ADD(sum, MUL(d, d)));
    Node *past = op2(s->g, Mul, op2(s->g, Sub, s->r->step, F64(1)), F64(s->o->lr_decay));
    Node *lr = CAST(op2(s->g, Div, s->r->lr, op2(s->g, Add, F64(1), past)));
    return SUB(s->p, MUL(lr, DIV(d, ADD(SQRT(sum), NUM(s->o->eps)))));
}

static Node *rmsprop(Update *s) {
    Node *d = decayed(s), *square = remember(s, "square_avg");
    square = replace(s, 0, mixed(s, square, s->o->rho, MUL(d, d)));
    Node *spread = square;
    if (s->o->centered) {
        Node *mean = remember(s, "grad_avg");
        mean = replace(s, 1, mixed(s, mean, s->o->rho, d));
        spread = SUB(square, MUL(mean, mean));
    }
    Node *step = DIV(d, ADD(SQRT(spread), NUM(s->o->eps)));
    if (s->o->has_momentum) {
        int at = s->nstate;
        Node *b = remember(s, "momentum");
        step = replace(s, at, ADD(MUL(CAST(s->r->momentum), b), step));
    }
    return SUB(s->p, MUL(CAST(s->r->lr), step));
}

// Each element has a step of its own: longer while the gradient keeps its sign, shorter (and this
// once none) where it has turned.
static Node *rprop(Update *s) {
    Graph *g = s->g;
    Node *size = remember(s, "step_size"), *last = remember(s, "prev"), *zero = NUM(0);
    Node *same = op1(g, Sign, MUL(s->d, last)), *up = op2(g, Less, zero, same), *down = op2(g, Less, same, zero);
    Node *factor = op3(g, Where, up, NUM(s->o->eta_plus), op3(g, Where, down, NUM(s->o->eta_minus), NUM(1)));
    Node *old = op3(g, Where, first_step(s), CAST(s->r->lr), size);
    Node *next = op2(g, Min, op2(g, Max, MUL(old, factor), NUM(s->o->step_min)), NUM(s->o->step_max));
    Node *d = op3(g, Where, down, zero, s->d);
    next = replace(s, 0, next);
    replace(s, 1, d);
    return SUB(s->p, MUL(op1(g, Sign, d), next));
}

Node *optimizer_step(Graph *g, const Optimizer *o, const Rates *r, Node *p, Node *d, Node *ok, int fn) {
    Update s = {.g = g, .o = o, .r = r, .p = p, .d = d, .ok = ok, .fn = fn};
    Node *next = NULL;
    switch (o->kind) {
    case OPT_SGD: next = sgd(&s); break;
    case OPT_ADAM: next = adam(&s, false); break;
    case OPT_ADAMW: next = adam(&s, true); break;
    case OPT_ADAMAX: next = adamax(&s); break;
    case OPT_ADADELTA: next = adadelta(&s); break;
    case OPT_ADAGRAD: next = adagrad(&s); break;
    case OPT_RMSPROP: next = rmsprop(&s); break;
    case OPT_RPROP: next = rprop(&s); break;
    case NOPTIMIZERS: break;
    }
    next = op3(g, Where, ok, next, p);
    graph_root(g, p->name, next, p, fn);                 // what reads old state stands before what replaces it
    for (int i = 0; i < s.nstate; i++) graph_root(g, s.state[i].name, s.state[i].next, s.state[i].leaf, fn);
    return next;
}
