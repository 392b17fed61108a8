// surgery_graph.c -- reading the document's structure: constants, users, dependence, sweeping.
#include "surgery_graph.h"

enum { CHAIN = 32 };                  // nodes between a layer and the weight it uses, at most

bool op_among(const DocNode *n, const char *const *ops) {
    if (n->domain[0]) return false;
    for (; *ops; ops++)
        if (strcmp(n->op, *ops) == 0) return true;
    return false;
}

int node_opset(const Model *m) {
    int64_t v = model_opset(m, "");
    return v ? (int)v : 1;
}

// ---- constants ----
static bool from_tensor(const Tensor *t, Constant *c) {
    if (!t || t->type == DT_NONE || t->rank > MAXDIM) return false;
    *c = (Constant){.rank = t->rank, .type = t->type, .tensor = t, .as_stored = true, .source = t};
    memcpy(c->dim, t->dim, sizeof *c->dim * (size_t)t->rank);
    return true;
}

// A vector of integers that is an initializer or a Constant: what shapes are given as.
int constant_ints(Model *m, const char *value, const int64_t **v) {
    const Tensor *t = model_init(m, value);
    const DocNode *n = t ? NULL : model_producer(m, value);
    if (n && op_is(n, "Constant")) {
        const AttrValue *a = node_attr(n, "value"), *ints = node_attr(n, "value_ints");
        if (ints && ints->kind == ATTR_IS) {
            *v = ints->is;
            return ints->n;
        }
        if (a && a->kind == ATTR_T) t = a->t;
    }
    if (!t || !dtype_is_int(t->type) || t->rank > 1 || t->count > MAXDIM) return -1;
    int64_t *r = NEW(m->cx, int64_t, t->count);
    for (int64_t i = 0; i < t->count; i++)
        r[i] = dtype_get_i(t->type, (const char *)t->data + i * dtypes[t->type].bytes);
    *v = r;
    return (int)t->count;
}

bool constant_float(Model *m, const char *value, double *v) {
    Constant c;
    if (!constant_of(m, value, &c) || !c.tensor || c.tensor->count != 1) return false;
    *v = dtype_get_f(c.tensor->type, c.tensor->data);
    return true;
}

// A constant that starts at node n itself.
static bool from_source(Model *m, const DocNode *n, Constant *c) {
    if (op_is(n, "Constant")) {
        const AttrValue *a = node_attr(n, "value");
        return a && a->kind == ATTR_T && from_tensor(a->t, c);
    }
    const int64_t *dim;
    int rank = op_is(n, "ConstantOfShape") && n->nin ? constant_ints(m, n->in[0], &dim) : -1;
    if (rank < 0) return false;
    const AttrValue *a = node_attr(n, "value");
    const Tensor *t = a && a->kind == ATTR_T ? a->t : NULL;
    *c = (Constant){.rank = rank, .type = t ? t->type : DT_F32, .source = n};
    if (t && t->count == 1 && t->type) c->fill = dtype_get_f(t->type, t->data);
    memcpy(c->dim, dim, sizeof *dim * (size_t)rank);
    return c->type != DT_NONE;
}

static bool reshaped(Model *m, const DocNode *n, Constant *c) {
    const AttrValue *a = node_attr(n, "shape");
    const int64_t *dim = a && a->kind == ATTR_IS ? a->is : NULL;
    int rank = dim ? a->n : n->nin > 1 ? constant_ints(m, n->in[1], &dim) : -1, open = -1;
    if (rank < 0 || rank > MAXDIM) return false;
    int64_t total = 1, known = 1, to[MAXDIM];
    for (int d = 0; d < c->rank; d++) total *= c->dim[d];
    for (int d = 0; d < rank; d++) {
        to[d] = dim[d] == 0 && d < c->rank ? c->dim[d] : dim[d];
        if (to[d] < 0) open = d;
        else if (__builtin_mul_overflow(known, to[d], &known)) return false;
    }
    if (open >= 0 ? known == 0 || total % known : known != total) return false;
    if (open >= 0) to[open] = total / known;
    memcpy(c->dim, to, sizeof *to * (size_t)rank);
    c->rank = rank;
    return true;
}

static bool transposed(const DocNode *n, Constant *c) {
    const AttrValue *a = node_attr(n, "perm");
    if (a && (a->kind != ATTR_IS || a->n != c->rank)) return false;
    int64_t from[MAXDIM];
    memcpy(from, c->dim, sizeof from);
    for (int d = 0; d < c->rank; d++) {
        int64_t p = a ? a->is[d] : c->rank - 1 - d;
        if (p < 0 || p >= c->rank) return false;
        c->dim[d] = from[p];
    }
    c->as_stored = false;
    return true;
}

// Sizes that a real weight could have: ConstantOfShape may claim anything.
static bool sane(const Constant *c) {
    int64_t count = 1;
    for (int d = 0; d < c->rank; d++)
        if (c->dim[d] < 0 || __builtin_mul_overflow(count, c->dim[d] ? c->dim[d] : 1, &count) ||
            count > (int64_t)1 << 40)
            return false;
    return true;
}

static const char *const passing[] = {"Identity", "Cast", "Reshape", "Transpose", NULL};

bool constant_of(Model *m, const char *value, Constant *c) {
    const DocNode *chain[CHAIN];
    int n = 0;
    for (;; n++) {
        const Tensor *t = model_init(m, value);
        const DocNode *maker = t ? NULL : model_producer(m, value);
        if (t ? from_tensor(t, c) : maker && from_source(m, maker, c)) break;
        if (!maker || n == CHAIN || maker->nin == 0 || !op_among(maker, passing)) return false;
        chain[n] = maker, value = maker->in[0];
    }
    while (n-- > 0) {
        if (op_is(chain[n], "Reshape") && !reshaped(m, chain[n], c)) return false;
        if (op_is(chain[n], "Transpose") && !transposed(chain[n], c)) return false;
        if (op_is(chain[n], "Cast")) {
            c->type = dtype_of_onnx(node_int(chain[n], "to", 0));
            c->as_stored &= c->tensor && c->tensor->type == c->type;
            if (!c->type) return false;
        }
    }
    return sane(c);
}

// ---- neighbours ----
bool value_is_output(Model *m, const char *value) {
    for (int i = 0; i < m->noutput; i++)
        if (strcmp(m->output[i]->name, value) == 0) return true;
    return false;
}

int value_users(Model *m, const char *value) {
    int n = value_is_output(m, value);
    for (int i = 0; i < m->nnode; i++)
        for (int k = 0; k < m->node[i]->nin; k++) n += strcmp(m->node[i]->in[k], value) == 0;
    return n;
}

bool *depends_on(Model *m, const char *value) {
    bool *yes = NEW(m->cx, bool, m->nnode);
    const int *order = model_order(m);
    for (int i = 0; i < m->nnode; i++) {
        const DocNode *n = m->node[order[i]];
        for (int k = 0; k < n->nin && !yes[order[i]]; k++) {
            const DocNode *from = model_producer(m, n->in[k]);
            yes[order[i]] = strcmp(n->in[k], value) == 0 || (from && yes[from->index]);
        }
    }
    return yes;
}

// ---- sweeping ----
// A set of nodes and initializers, by address.
typedef struct Set { const void **slot; size_t cap, n; } Set;

static const void **set_slot(const Set *s, const void *p) {
    size_t i = ((uintptr_t)p * 0x9E3779B97F4A7C15u) >> 20;
    while (s->slot[i & (s->cap - 1)] && s->slot[i & (s->cap - 1)] != p) i++;
    return &s->slot[i & (s->cap - 1)];
}

static Set set_new(Cx *cx, size_t most) {
    Set s = {.cap = 16};
    while (s.cap < 2 * most) s.cap *= 2;
    s.slot = NEW(cx, const void *, s.cap);
    return s;
}

static bool set_add(Set *s, const void *p) {
    const void **at = set_slot(s, p);
    if (*at) return false;
    return *at = p, s->n++, true;
}

struct Reach {
    Set set;
    DocNode **node;
    int nnode;
    const char **init;
    int ninit;
};

static void reach_value(Model *m, Reach *r, const char *value) {
    DocNode *n = model_producer(m, value);
    const Tensor *t = n ? NULL : model_init(m, value);
    if (n && set_add(&r->set, n)) *VEC_PUSH(m->cx, r->node, r->nnode) = n;
    else if (t && set_add(&r->set, t)) *VEC_PUSH(m->cx, r->init, r->ninit) = t->name;
}

static void refuse_subgraphs(Model *m) {
    for (int i = 0; i < m->nnode; i++)
        for (int k = 0; k < m->node[i]->nattr; k++)
            if (m->node[i]->attr[k].kind == ATTR_G || m->node[i]->attr[k].kind == ATTR_GS)
                fail(m->cx, E_UNSUPPORTED,
                     "%s holds a subgraph: what that uses is not known, so nothing may be changed",
                     node_label(m->cx, m->node[i]));
}

// What the outputs need, and whatever nodes outside of `before` need.
static Reach *reach(Model *m, const Reach *before) {
    Reach *r = NEW(m->cx, Reach, 1);
    r->set = set_new(m->cx, (size_t)m->nnode + (size_t)m->ninit);
    for (int i = 0; i < m->noutput; i++) reach_value(m, r, m->output[i]->name);
    for (int i = 0; before && i < m->nnode; i++)
        if (!*set_slot(&before->set, m->node[i]) && set_add(&r->set, m->node[i]))
            *VEC_PUSH(m->cx, r->node, r->nnode) = m->node[i];
    for (int i = 0; i < r->nnode; i++)                                     // grows while it is walked
        for (int k = 0; k < r->node[i]->nin; k++) reach_value(m, r, r->node[i]->in[k]);
    return r;
}

Reach *reach_mark(Model *m) {
    refuse_subgraphs(m);
    return reach(m, NULL);
}

void reach_sweep(Model *m, Reach *before) {
    const Reach *now = reach(m, before);
    for (int i = 0; i < before->nnode; i++) {
        DocNode *n = before->node[i];
        if (n->index < 0 || *set_slot(&now->set, n)) continue;
        for (int k = 0; k < n->nout; k++)
            if (n->out[k][0]) model_remove_value(m, n->out[k]);
        model_remove_node(m, n);
    }
    for (int i = 0; i < before->ninit; i++) {
        const Tensor *t = model_init(m, before->init[i]);
        if (t && !*set_slot(&now->set, t)) model_remove_init(m, before->init[i]);
    }
}
