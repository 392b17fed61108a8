// mates.c -- sums over the same images become one kernel of several results, with what is computed of them
// channel by channel: a normalisation's statistics, or the two sums of its gradient, in one launch.
//
// Runs after fuse. Sets head and mate, and takes back the buffers of what only the kernel itself reads. A node
// joins a kernel if no way leads from the kernel to it through another one, nor back.
#include "passes.h"

enum { MOSTSUMS = 6, MOSTRESULTS = 12 };

typedef struct Cluster { Node **n; int count, nsum; } Cluster;

typedef struct Mates {
    Graph *g;
    Cluster *c;
    int nc;
    int *of;                          // by id: 1 + its cluster
    int **user, *nuser;               // by id
    uint32_t *seen, stamp;            // by id: reached in the walk of that number
    int *todo;
} Mates;

static bool is_per_channel(const Node *n) {
    return n->shape.n > 2 && n->shape.d[1] > 1 && numel(n->shape) == n->shape.d[1] && !n->shape.batch && !n->frozen && n->type == DT_F32;
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
        if (m->c[c].nsum < MOSTSUMS && same_shape(m->c[c].n[0]->in[0]->shape, n->in[0]->shape) && independent(m, &m->c[c], n)) { join(m, c, n, true); return; }
    *VEC_PUSH(m->g->cx, m->c, m->nc) = (Cluster){0};
    join(m, m->nc - 1, n, true);
}

// Computed of a kernel's results and of what is there before it.
static void place_formula(Mates *m, Node *n) {
    int c = 0;
    for (int k = 0; k < n->nin; k++)
        if (m->of[n->in[k]->id] > c && same_shape(n->in[k]->shape, n->shape)) c = m->of[n->in[k]->id];
    if (!c || m->c[c - 1].count == MOSTRESULTS * 2) return;
    m->stamp++;
    walk(m, m->c[c - 1].n[0]->id);
    for (int k = 0; k < n->nin; k++)
        if (m->of[n->in[k]->id] != c && m->seen[n->in[k]->id] == m->stamp) return;
    join(m, c - 1, n, false);
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
    if (results == 0 || results > MOSTRESULTS || (c->count == 1)) return;
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

void mates(Graph *g) {
    int n = g->norder;
    Mates m = {.g = g, .of = NEW(g->cx, int, n), .user = NEW(g->cx, int *, n), .nuser = NEW(g->cx, int, n),
               .seen = NEW(g->cx, uint32_t, n), .todo = NEW(g->cx, int, n)};
    find_users(&m);
    for (int i = 0; i < n; i++) {
        Node *x = g->order[i];
        if (!is_per_channel(x) || x->home) continue;
        if (x->op == OP_ReduceSum) {
            if (is_channel_sum(x)) place_sum(&m, x);
        } else if (op_is_ewise(x) && x->nin) place_formula(&m, x);
    }
    for (int c = 0; c < m.nc; c++) bind(&m, &m.c[c]);
}
