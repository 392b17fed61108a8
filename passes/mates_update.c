// mates_update.c -- updates that read the same gradient or one another, in one kernel: a parameter's with those of what
// the optimizer remembers; likewise a number that is asked for, and what is computed of it.
#include "mates.h"

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
void place_update(Mates *m, Node *n) {
    enum { DEEP = 16 };
    const Node *d = gradient_of(n, DEEP);
    Cluster *c = m->nc ? &m->c[m->nc - 1] : NULL;
    if (c && c->kind == CLUSTER_UPDATES && d && gradient_of(c->n[0], DEEP) == d && c->nsum < MOSTSUMS &&
        same_shape(c->n[0]->shape, n->shape) && independent(m, c, n)) {
        join(m, m->nc - 1, n, true);
        return;
    }
    open_cluster(m, CLUSTER_UPDATES);
    join(m, m->nc - 1, n, true);
}

// Would a kernel that needs this one read what this one replaces? m->seen: what needs it.
bool replaces_too_soon(Mates *m, const Cluster *c) {
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
