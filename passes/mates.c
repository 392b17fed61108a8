// mates.c -- kernels of several results:
//
//     sums over the same images, with what is computed of them channel by channel: a normalisation's statistics, or
//     the two sums of its gradient
//     updates that read the same gradient or one another: a parameter's with those of what the optimizer remembers;
//     likewise a number that is asked for, and what is computed of it
//
// Runs after fuse. Sets head and mate, and takes back the buffers of what only the kernel itself reads. A node
// joins a kernel if no way leads from the kernel to it through another one, nor back, and the same functions need it.
#include "passes.h"

enum { MOSTSUMS = 6, MOSTRESULTS = 12, MOSTNODES = 64 };

typedef struct Cluster { Node **n; int count, nsum; bool updates; } Cluster;

typedef struct Mates {
    Graph *g;
    Cluster *c;
    int nc;
    int *of;                          // by id: 1 + its cluster
    uint32_t *fns;                    // by id: a bit for each function that needs it
    Node **leaf;                      // by id: what it replaces, or NULL
    bool *first;                      // by id: it replaces something, or is one number and a root
    bool *plain;                      // by id: its formula has neither sum nor product
    int **user, *nuser;               // by id
    uint32_t *seen, *met, stamp;      // by id: reached in the walk of that number
    int *todo;
} Mates;

static bool is_per_channel(const Node *n) {
    return n->shape.n > 2 && n->shape.d[1] > 1 && numel(n->shape) == n->shape.d[1] && !n->shape.batch && !n->frozen &&
           n->type == DT_F32;
}

// Everything that depends on node id; all of a kernel at once.
static void walk(Mates *m, int id) {
    int n = 0;
    if (m->seen[id] != m->stamp) m->seen[id] = m->stamp, m->todo[n++] = id;
    while (n) {
        int x = m->todo[--n], c = m->of[x];
        for (int i = 0; i < m->nuser[x]; i++) {
            int u = m->user[x][i];
            if (m->seen[u] != m->stamp) m->seen[u] = m->stamp, m->todo[n++] = u;
        }
        for (int i = 0; c && i < m->c[c - 1].count; i++) {
            int u = m->c[c - 1].n[i]->id;
            if (m->seen[u] != m->stamp) m->seen[u] = m->stamp, m->todo[n++] = u;
        }
    }
}

static bool independent(Mates *m, const Cluster *c, const Node *n) {
    if (m->fns[c->n[0]->id] != m->fns[n->id]) return false;
    m->stamp++;
    walk(m, c->n[0]->id);
    if (m->seen[n->id] == m->stamp) return false;
    m->stamp++;
    walk(m, n->id);
    return m->seen[c->n[0]->id] != m->stamp;
}

static void join(Mates *m, int c, Node *n, bool sum) {
    *VEC_PUSH(m->g->cx, m->c[c].n, m->c[c].count) = n;
    m->c[c].nsum += sum, m->of[n->id] = c + 1;
}

enum { LOOKBACK = 6 };

static void place_sum(Mates *m, Node *n) {
    for (int c = m->nc - 1; c >= 0 && c >= m->nc - LOOKBACK; c--)
        if (m->c[c].nsum < MOSTSUMS && same_shape(m->c[c].n[0]->in[0]->shape, n->in[0]->shape) &&
            independent(m, &m->c[c], n)) {
            join(m, c, n, true);
            return;
        }
    *VEC_PUSH(m->g->cx, m->c, m->nc) = (Cluster){0};
    join(m, m->nc - 1, n, true);
}

// The latest cluster n reads from, place by place; 0: none.
static int reads_cluster(const Mates *m, const Node *n) {
    int c = 0;
    for (int k = 0; k < n->nin; k++)
        if (m->of[n->in[k]->id] > c && same_shape(n->in[k]->shape, n->shape)) c = m->of[n->in[k]->id];
    return c;
}

// Computed of a kernel's results and of what is there before it.
static void place_formula(Mates *m, Node *n) {
    int c = reads_cluster(m, n);
    if (!c || m->c[c - 1].count == (m->c[c - 1].updates ? MOSTNODES : MOSTRESULTS * 2)) return;
    if (m->fns[m->c[c - 1].n[0]->id] != m->fns[n->id]) return;
    m->stamp++;
    walk(m, m->c[c - 1].n[0]->id);
    for (int k = 0; k < n->nin; k++)
        if (m->of[n->in[k]->id] != c && m->seen[n->in[k]->id] == m->stamp) return;
    join(m, c - 1, n, false);
}

// ---- updates ----

static bool is_plain(const Mates *m, const Node *n) {
    bool is = op_is_ewise(n) || op_kind(n) == MOVE;
    for (int k = 0; is && k < n->nin; k++) is = n->in[k]->stored || op_is_leaf(n->in[k]) || m->plain[n->in[k]->id];
    return is;
}

// What has a buffer and as many elements, and is read by n's formula: of an update, the gradient. Or NULL.
static const Node *gradient_of(const Node *n, int deep) {
    const Node *d = NULL;
    for (int k = 0; k < n->nin && !d && deep; k++) {
        const Node *x = n->in[k];
        if (numel(x->shape) == numel(n->shape) && !op_is_leaf(x)) d = x->stored ? x : gradient_of(x, deep - 1);
    }
    return d;
}

// With the update before it, if both are made of one gradient; else the first of its own kernel.
static void place_update(Mates *m, Node *n) {
    enum { DEEP = 16 };
    const Node *d = gradient_of(n, DEEP);
    Cluster *c = m->nc ? &m->c[m->nc - 1] : NULL;
    if (c && c->updates && d && gradient_of(c->n[0], DEEP) == d && c->nsum < MOSTSUMS &&
        same_shape(c->n[0]->shape, n->shape) && independent(m, c, n)) {
        join(m, m->nc - 1, n, true);
        return;
    }
    *VEC_PUSH(m->g->cx, m->c, m->nc) = (Cluster){.updates = true};
    join(m, m->nc - 1, n, true);
}

// Would a kernel that needs this one read what this one replaces? m->seen: what needs it.
static bool replaces_too_soon(Mates *m, const Cluster *c) {
    m->stamp++;
    walk(m, c->n[0]->id);
    for (int i = 0; i < c->count; i++) {
        Node *leaf = m->leaf[c->n[i]->id];
        int n = 0;
        if (leaf) m->todo[n++] = leaf->id;
        while (n) {
            int x = m->todo[--n];
            for (int k = 0; k < m->nuser[x]; k++) {
                const Node *u = m->g->order[m->user[x][k]];
                if (m->of[u->id] && &m->c[m->of[u->id] - 1] == c) continue;
                if (m->seen[u->id] == m->stamp) return true;
                if (!u->stored && m->met[u->id] != m->stamp) m->met[u->id] = m->stamp, m->todo[n++] = u->id;
            }
        }
    }
    return false;
}

static bool used_outside(Mates *m, const Node *n) {
    for (int i = 0; i < m->nuser[n->id]; i++)
        if (m->of[m->user[n->id][i]] != m->of[n->id]) return true;
    for (int i = 0; i < m->g->nroot; i++)
        if (m->g->root[i].value == n) return true;
    return false;
}

static void bind(Mates *m, Cluster *c) {
    Node *head = NULL, *last = NULL;
    int results = 0;
    for (int i = 0; i < c->count; i++) results += used_outside(m, c->n[i]);
    if (results == 0 || results > MOSTRESULTS || c->count == 1 || (c->updates && replaces_too_soon(m, c))) return;
    for (int i = 0; i < c->count; i++) {
        Node *n = c->n[i];
        bool result = used_outside(m, n);
        if (result && !n->stored) view_set(n);
        n->stored = result;
        if (!result) continue;
        if (last) last->mate = n, n->head = head;
        else head = n;
        last = n;
    }
}

static void find_users(Mates *m) {
    Graph *g = m->g;
    for (int i = 0; i < g->norder; i++)
        for (int k = 0; k < g->order[i]->nin; k++) {
            int x = g->order[i]->in[k]->id;
            *VEC_PUSH(g->cx, m->user[x], m->nuser[x]) = i;
        }
}

static void find_roots(Mates *m) {
    for (int i = 0; i < m->g->nroot; i++) {
        Root *r = &m->g->root[i];
        m->fns[r->value->id] |= 1u << r->fn;
        m->leaf[r->value->id] = r->store;
        m->first[r->value->id] = r->store || numel(r->value->shape) == 1;
    }
    for (int i = m->g->norder - 1; i >= 0; i--)
        for (int k = 0; k < m->g->order[i]->nin; k++) m->fns[m->g->order[i]->in[k]->id] |= m->fns[i];
}

static void place(Mates *m, Node *n) {
    m->plain[n->id] = is_plain(m, n);
    int c = reads_cluster(m, n);
    if (op_is_ewise(n) && n->nin && m->plain[n->id] && (m->first[n->id] || (c && m->c[c - 1].updates))) {
        if (c && m->c[c - 1].updates) place_formula(m, n);
        if (!m->of[n->id] && m->first[n->id]) place_update(m, n);
    } else if (is_per_channel(n) && !n->home) {
        if (is_channel_sum(n)) place_sum(m, n);
        else if (op_is_ewise(n) && n->nin) place_formula(m, n);
    }
}

void mates(Graph *g) {
    int n = g->norder;
    Mates m = {.g = g,
               .of = NEW(g->cx, int, n),
               .fns = NEW(g->cx, uint32_t, n),
               .leaf = NEW(g->cx, Node *, n),
               .first = NEW(g->cx, bool, n),
               .plain = NEW(g->cx, bool, n),
               .user = NEW(g->cx, int *, n),
               .nuser = NEW(g->cx, int, n),
               .seen = NEW(g->cx, uint32_t, n),
               .met = NEW(g->cx, uint32_t, n),
               .todo = NEW(g->cx, int, n)};
    find_users(&m);
    find_roots(&m);
    for (int i = 0; i < n; i++) place(&m, g->order[i]);
    for (int c = 0; c < m.nc; c++) bind(&m, &m.c[c]);
}
