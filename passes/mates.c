// mates.c -- kernels of several results:
//
//     sums over the same images, with what is computed of them channel by channel: a normalisation's statistics, or
//     the two sums of its gradient
//     updates (mates_update.c)
//     reductions over the same rows, and what is computed of them (mates_rows.c)
//
// Runs after fuse. Sets head and mate, and takes back the buffers of what only the kernel itself reads. A node
// joins a kernel if no way leads from the kernel to it through another one, nor back, and the same functions need it.
#include "mates.h"

// ---- ways ----

// Everything that depends on node id; all of a kernel at once.
void walk(Mates *m, int id) {
    int n = 0;
    m->stamp++;
    m->seen[id] = m->stamp, m->todo[n++] = id;
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

bool independent(Mates *m, const Cluster *c, const Node *n) {
    if (m->fns[c->n[0]->id] != m->fns[n->id]) return false;
    walk(m, c->n[0]->id);
    if (m->seen[n->id] == m->stamp) return false;
    walk(m, n->id);
    return m->seen[c->n[0]->id] != m->stamp;
}

bool made_before(Mates *m, int c, const Node *n) {
    if (m->fns[m->c[c].n[0]->id] != m->fns[n->id]) return false;
    walk(m, m->c[c].n[0]->id);
    for (int k = 0; k < n->nin; k++)
        if (m->of[n->in[k]->id] != c + 1 && m->seen[n->in[k]->id] == m->stamp) return false;
    return true;
}

// ---- clusters ----

Cluster *open_cluster(Mates *m, ClusterKind kind) {
    *VEC_PUSH(m->g->cx, m->c, m->nc) = (Cluster){.kind = kind};
    return &m->c[m->nc - 1];
}

void join(Mates *m, int c, Node *n, bool sum) {
    *VEC_PUSH(m->g->cx, m->c[c].n, m->c[c].count) = n;
    m->c[c].nsum += sum, m->of[n->id] = c + 1;
}

int reads_cluster(const Mates *m, const Node *n) {
    int c = 0;
    for (int k = 0; k < n->nin; k++)
        if (m->of[n->in[k]->id] > c && same_shape(n->in[k]->shape, n->shape)) c = m->of[n->in[k]->id];
    return c;
}

// Computed of a kernel's results and of what is there before it.
void place_formula(Mates *m, Node *n) {
    int c = reads_cluster(m, n);
    if (!c || m->c[c - 1].kind == CLUSTER_ROWS) return;
    if (m->c[c - 1].count == (m->c[c - 1].kind == CLUSTER_UPDATES ? MOSTNODES : MOSTRESULTS * 2)) return;
    if (made_before(m, c - 1, n)) join(m, c - 1, n, false);
}

// ---- sums over the same images ----

static bool is_per_channel(const Node *n) {
    return n->shape.n > 2 && n->shape.d[1] > 1 && numel(n->shape) == n->shape.d[1] && !n->shape.batch && !n->frozen &&
           n->type == DT_F32;
}

static void place_sum(Mates *m, Node *n) {
    for (int c = m->nc - 1; c >= 0 && c >= m->nc - LOOKBACK; c--)
        if (m->c[c].kind == CLUSTER_SUMS && m->c[c].nsum < MOSTSUMS &&
            same_shape(m->c[c].n[0]->in[0]->shape, n->in[0]->shape) && independent(m, &m->c[c], n)) {
            join(m, c, n, true);
            return;
        }
    open_cluster(m, CLUSTER_SUMS);
    join(m, m->nc - 1, n, true);
}

// ---- all of them ----

static bool is_plain(const Mates *m, const Node *n) {
    bool is = op_is_ewise(n) || op_kind(n) == MOVE;
    for (int k = 0; is && k < n->nin; k++) is = n->in[k]->stored || op_is_leaf(n->in[k]) || m->plain[n->in[k]->id];
    return is;
}

static void place(Mates *m, Node *n) {
    int c = reads_cluster(m, n);
    bool updates = c && m->c[c - 1].kind == CLUSTER_UPDATES;
    m->plain[n->id] = is_plain(m, n);
    if (place_row(m, n)) return;
    if (op_is_ewise(n) && n->nin && m->plain[n->id] && (m->first[n->id] || updates)) {
        if (updates) place_formula(m, n);
        if (!m->of[n->id] && m->first[n->id]) place_update(m, n);
    } else if (is_per_channel(n) && !n->home) {
        if (is_channel_sum(n)) place_sum(m, n);
        else if (op_is_ewise(n) && n->nin) place_formula(m, n);
    }
}

static bool used_outside(Mates *m, const Node *n) {
    bool used = m->root[n->id];
    for (int i = 0; i < m->nuser[n->id]; i++) used |= m->of[m->user[n->id][i]] != m->of[n->id];
    return used;
}

static void bind(Mates *m, Cluster *c) {
    Node *head = NULL, *last = NULL;
    int results = 0;
    for (int i = 0; i < c->count; i++) results += used_outside(m, c->n[i]);
    if (results == 0 || results > MOSTRESULTS || c->count == 1) return;
    if (c->kind == CLUSTER_UPDATES && replaces_too_soon(m, c)) return;
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
        m->root[r->value->id] = true;
        m->first[r->value->id] = r->store || numel(r->value->shape) == 1;
    }
    for (int i = m->g->norder - 1; i >= 0; i--)
        for (int k = 0; k < m->g->order[i]->nin; k++) m->fns[m->g->order[i]->in[k]->id] |= m->fns[i];
}

void mates(Graph *g) {
    int n = g->norder;
    Mates m = {.g = g,
               .of = NEW(g->cx, int, n),
               .fns = NEW(g->cx, uint32_t, n),
               .leaf = NEW(g->cx, Node *, n),
               .root = NEW(g->cx, bool, n),
               .first = NEW(g->cx, bool, n),
               .plain = NEW(g->cx, bool, n),
               .exposed = NEW(g->cx, bool, n),
               .size = NEW(g->cx, double, n),
               .user = NEW(g->cx, int *, n),
               .nuser = NEW(g->cx, int, n),
               .seen = NEW(g->cx, uint32_t, n),
               .met = NEW(g->cx, uint32_t, n),
               .todo = NEW(g->cx, int, n)};
    find_users(&m);
    find_roots(&m);
    for (int i = 0; i < n; i++) place(&m, g->order[i]);
    for (int c = 0; c < m.nc; c++)
        if (m.c[c].kind == CLUSTER_ROWS) bind_rows(&m, &m.c[c]);
        else bind(&m, &m.c[c]);
}
