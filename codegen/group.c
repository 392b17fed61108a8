// group.c -- the order of a GPU's launches, and kernels that are started together.
//
// Every launch costs microseconds whatever it does, and a training step has hundreds of small kernels before its
// first product (weights into the type and layout of products) and behind its last (sums over gradients,
// updates). Those at the beginning that need only each other, and those at the end that only each other need,
// are put into levels; what stands on one level is one launch. In between, products that may run side by side
// are one (beside.c), and kernels that free memory go first.
#include "group.h"

enum { MOSTBUFFERS = 3500 };           // pointers of one launch: with TVC_MOST_NUMBERS, parameters end at 32 kB (CUDA 12.1)

bool is_product(const Unit *u) {
    const Kernel *k = u->k;
    return k->hand || (k->anchor && op_kind(k->anchor) == CONTRACT);
}

// Can it be a part of a launch: one with as many blocks whatever the batch?
static bool fits(const Unit *u) {
    const Kernel *k = u->k;
    if (k->hand || numel(k->out->shape) == 0) return false;
    for (int d = 0; d < k->out->shape.n; d++)
        if (k->axis[d]->op == I_VAR && k->grows[k->axis[d]->i] && k->max_batch > 1) return false;
    return true;
}

static void add_edge(Plan *p, int from, int to) {
    if (from == to) return;
    for (int i = 0; i < p->nnext[from]; i++)
        if (p->next[from][i] == to) return;
    *VEC_PUSH(p->cx, p->next[from], p->nnext[from]) = to, p->waits[to]++;
}

// Which unit makes a node (Node.maker: its number plus one).
static void needs_value(Plan *p, const Node *n, int to) {
    if (n->maker > 0) add_edge(p, n->maker - 1, to);
    for (int k = 0; k < n->nin; k++)                     // what lies inside its buffer was made by others
        if (n->in[k]->home == n) needs_value(p, n->in[k], to);
}

// Readers need what they read; who replaces contents needs all readers of the old ones.
static void find_edges(Plan *p) {
    for (int i = 0; i < p->n; i++)
        for (int b = 0; b < p->u[i].k->nbuf; b++) p->u[i].k->buf[b]->maker = 0, owner(p->u[i].k->buf[b])->maker = 0;
    for (int i = 0; i < p->n; i++)
        for (int b = 0; b < p->u[i].k->nout; b++) p->u[i].k->buf[b]->maker = i + 1;
    for (int i = 0; i < p->n; i++)
        for (int b = p->u[i].k->nout; b < p->u[i].k->nbuf; b++) needs_value(p, p->u[i].k->buf[b], i);
    for (int i = 0; i < p->n; i++)
        for (int b = 0; b < p->u[i].k->nout; b++) {
            Node *leaf = owner(p->u[i].k->buf[b]);
            if (!op_is_leaf(leaf)) continue;
            for (int j = 0; j < p->n; j++)
                for (int c = p->u[j].k->nout; c < p->u[j].k->nbuf; c++)
                    if (p->u[j].k->buf[c] == leaf) add_edge(p, j, i);
        }
}

// A valid order to walk in.
static int *topological(const Plan *p) {
    int *order = NEW(p->cx, int, p->n), *left = NEW(p->cx, int, p->n), n = 0;
    for (int i = 0; i < p->n; i++)
        if (!(left[i] = p->waits[i])) order[n++] = i;
    for (int at = 0; at < n; at++)
        for (int i = 0; i < p->nnext[order[at]]; i++)
            if (--left[p->next[order[at]][i]] == 0) order[n++] = p->next[order[at]][i];
    assert(n == p->n);
    return order;
}

static void find_ends(Plan *p) {
    int *order = topological(p);
    for (int i = 0; i < p->n; i++) p->early[i] = p->late[i] = !is_product(&p->u[i]);
    for (int at = 0; at < p->n; at++) {
        int i = order[at];
        p->early[i] &= fits(&p->u[i]);
        for (int k = 0; k < p->nnext[i]; k++) p->early[p->next[i][k]] &= p->early[i];
    }
    for (int at = p->n - 1; at >= 0; at--)
        for (int i = order[at], k = 0; k < p->nnext[i]; k++) p->late[i] &= p->late[p->next[i][k]];
    for (int at = 0; at < p->n; at++) {
        int i = order[at];
        if (p->early[i]) p->late[i] = false;
        for (int k = 0; k < p->nnext[i]; k++) {
            int j = p->next[i][k];
            bool same = (p->early[i] && p->early[j]) || (p->late[i] && p->late[j] && !p->early[j]);
            if (same && p->level[j] <= p->level[i]) p->level[j] = p->level[i] + 1;
        }
    }
}

// ---- launches of several kernels ----

Kernel *together(Cx *cx, Unit *const *u, int n) {
    Kernel *k = NEW(cx, Kernel, 1);
    *k = *u[0]->k;
    k->outs = NULL, k->bodies = NULL, k->buf = NULL, k->nout = k->nbuf = k->npart = 0, k->part = NULL;
    for (int i = 0; i < n; i++) {
        *VEC_PUSH(cx, k->part, k->npart) = u[i]->k;
        for (int b = 0; b < u[i]->k->nout; b++) {
            *VEC_PUSH(cx, k->buf, k->nbuf) = u[i]->k->buf[b];
            int at = k->nout;
            *VEC_PUSH(cx, k->outs, at) = u[i]->k->outs[b];
            *VEC_PUSH(cx, k->bodies, k->nout) = u[i]->k->bodies[b];
        }
    }
    for (int i = 0; i < n; i++)
        for (int b = u[i]->k->nout; b < u[i]->k->nbuf; b++) *VEC_PUSH(cx, k->buf, k->nbuf) = u[i]->k->buf[b];
    return k;
}

typedef struct Launches { Unit *u; int n; } Launches;

static void emit(Plan *p, Launches *to, Unit **group, int n) {
    if (n == 0) return;
    Unit u = *group[0];
    if (n > 1) u.k = together(p->cx, group, n);
    to->u[to->n++] = u;
}

static void emit_levels(Plan *p, Launches *to, const bool *mine) {
    int last = 0;
    for (int i = 0; i < p->n; i++)
        if (mine[i] && p->level[i] > last) last = p->level[i];
    Unit **group = NEW(p->cx, Unit *, p->n);
    for (int level = 0; level <= last; level++) {
        int n = 0, buffers = 0;
        for (int i = 0; i < p->n; i++) {
            if (!mine[i] || p->level[i] != level) continue;
            if (!fits(&p->u[i])) { to->u[to->n++] = p->u[i]; continue; }
            if (buffers + p->u[i].k->nbuf > MOSTBUFFERS) emit(p, to, group, n), n = buffers = 0;
            group[n++] = &p->u[i], buffers += p->u[i].k->nbuf;
        }
        emit(p, to, group, n);
    }
}

// ---- in between ----

typedef struct Memory { int *readers; bool *made; } Memory;      // by number of the buffer, which is Node.maker of its owner

static double growth(const Memory *m, const Kernel *k) {
    double sum = 0;
    for (int b = 0; b < k->nbuf; b++) {
        Node *o = owner(k->buf[b]);
        if (op_is_leaf(o)) continue;
        double bytes = (double)o->view.room * dtypes[o->type].bytes;
        if (b < k->nout && !m->made[o->maker]) sum += bytes;
        if (b >= k->nout && m->readers[o->maker] == 1) sum -= bytes;
    }
    return sum;
}

static void number_buffers(Plan *p, Memory *m) {
    int n = 0, total = 0;
    for (int i = 0; i < p->n; i++) total += p->u[i].k->nbuf;
    m->readers = NEW(p->cx, int, total + 1), m->made = NEW(p->cx, bool, total + 1);
    for (int i = 0; i < p->n; i++)
        for (int b = 0; b < p->u[i].k->nbuf; b++) owner(p->u[i].k->buf[b])->maker = -1;
    for (int i = 0; i < p->n; i++)
        for (int b = 0; b < p->u[i].k->nbuf; b++) {
            Node *o = owner(p->u[i].k->buf[b]);
            if (o->maker < 0) o->maker = n++;
            m->readers[o->maker] += b >= p->u[i].k->nout;
        }
}

static void account(Memory *m, const Kernel *k) {
    for (int b = 0; b < k->nbuf; b++) {
        int x = owner(k->buf[b])->maker;
        if (b < k->nout) m->made[x] = true;
        else m->readers[x]--;
    }
}

static void emit_middle(Plan *p, Launches *to) {
    Memory m;
    int *left = NEW(p->cx, int, p->n), first = 0;
    number_buffers(p, &m);
    for (int i = 0; i < p->n; i++)
        for (int k = 0; k < p->nnext[i]; k++) left[p->next[i][k]] += !p->early[i];
    for (int i = 0; i < p->n; i++) p->done[i] = p->early[i] || p->late[i];
    for (;;) {
        while (first < p->n && p->done[first]) first++;
        int best = -1;
        for (int i = first; i < p->n; i++) {
            if (p->done[i] || left[i]) continue;
            if (best < 0) best = i;
            if (growth(&m, p->u[i].k) < 0) { best = i; break; }
        }
        if (best < 0) break;
        p->done[best] = true, to->u[to->n++] = p->u[best];
        account(&m, p->u[best].k);
        for (int k = 0; k < p->nnext[best]; k++) left[p->next[best][k]]--;
    }
}

Plan plan_units(Cx *cx, Unit *u, int n) {
    Plan p = {.cx = cx, .u = u, .n = n, .next = NEW(cx, int *, n), .nnext = NEW(cx, int, n), .waits = NEW(cx, int, n),
              .level = NEW(cx, int, n), .early = NEW(cx, bool, n), .late = NEW(cx, bool, n), .done = NEW(cx, bool, n)};
    find_edges(&p);
    find_ends(&p);
    return p;
}

int group_units(Cx *cx, Unit *u, int n, const CudaOptions *options) {
    Plan p = plan_units(cx, u, n);
    n = carry_sums(&p, options);
    p = plan_units(cx, u, n);
    int left = join_products(&p, options);
    if (left < n) p = plan_units(cx, u, left);
    Launches to = {.u = NEW(cx, Unit, left + 1)};
    emit_levels(&p, &to, p.early);
    emit_middle(&p, &to);
    emit_levels(&p, &to, p.late);
    if (to.n) memcpy(u, to.u, sizeof *u * (size_t)to.n);
    return to.n;
}
