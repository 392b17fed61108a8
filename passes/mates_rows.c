// mates_rows.c -- reductions over the same rows (the last axis), with what is computed of them for the row and for its
// elements, in one kernel: a softmax, the loss over it and its gradient; a normalisation over the last axis and its
// gradient. A row is read from memory once so, whatever is computed of it (codegen/cuda_rows.c).
#include "mates.h"

// Reductions in one kernel; elements of a row; operations in a formula, nothing shared.
enum { MOSTFOLDS = 16, LONGROW = 1 << 16, MOSTWRITTEN = 4096 };

static bool is_there(const Mates *m, const Node *x) { return x->stored || op_is_leaf(x) || m->plain[x->id]; }

static bool is_row_reduce(const Node *n) {
    int last = n->shape.n - 1;
    bool reduce = n->op == OP_ReduceSum || n->op == OP_ReduceMax || n->op == OP_ReduceMin;
    if (!reduce || n->frozen || n->home || n->type != DT_F32 || last < 1 || n->attr.n != 1 || n->attr.i[0] != last)
        return false;
    const Shape *x = &n->in[0]->shape;
    return x->d[last] > 1 && x->d[last] <= LONGROW && x->batch != last + 1;
}

// What n reads lies side by side along the row, or is one for all of it. What does not, a schedule with threads side
// by side along results reads better.
static bool runs_along(Mates *m, Node *n) {
    CxMark mark = cx_mark(m->g->cx);
    Kernel *k = kernel_of(m->g->cx, m->g, n, "");
    Expr *along = expr_is_reduce(k->body) ? k->body->b : k->axis[n->shape.n - 1];
    bool runs = along->op == I_VAR || !is_row_reduce(n);
    for (int i = 0; i < k->nexpr && runs && along->op == I_VAR; i++) {
        if (k->expr[i]->is_index || k->expr[i]->op != K_LOAD) continue;
        int64_t by = ix_coef(k->expr[i]->a, along);
        runs = by == 0 || by == 1;
    }
    cx_release(m->g->cx, mark);
    return runs;
}

// As many elements as x has, lying as rows; or one for each row of x.
static bool has_rows(const Node *n, const Node *x) {
    int last = x->shape.n - 1;
    if (n->shape.n != x->shape.n || n->shape.batch != x->shape.batch || n->home) return false;
    for (int d = 0; d < last; d++)
        if (n->shape.d[d] != x->shape.d[d]) return false;
    bool wide = n->shape.d[last] == x->shape.d[last];
    return wide ? !n->stored || n->view.stride[last] == 1 : n->shape.d[last] == 1;
}

// Of such rows as x has.
static bool is_of_rows(const Node *n, const Node *x) {
    if (!has_rows(n, x)) return false;
    return is_row_reduce(n) ? same_shape(n->in[0]->shape, x->shape) : op_is_ewise(n) || n->op == OP_Expand;
}

static bool joins_row(Mates *m, int c, const Node *n, bool reduce) {
    const Cluster *at = &m->c[c];
    bool fits = at->count + n->nin < MOSTNODES && is_of_rows(n, at->row) && (!reduce || at->nsum < MOSTFOLDS);
    for (int k = 0; k < n->nin && fits; k++) fits = m->of[n->in[k]->id] == c + 1 || is_there(m, n->in[k]);
    return fits && made_before(m, c, n);
}

// The latest kernel of rows n reads from: its number plus one, or 0.
static int reads_rows(const Mates *m, const Node *n) {
    int c = 0;
    for (int k = 0; k < n->nin; k++) {
        int of = m->of[n->in[k]->id];
        if (of > c && m->c[of - 1].kind == CLUSTER_ROWS) c = of;
    }
    return c;
}

static bool beside_rows(Mates *m, int c, const Node *n) {
    const Cluster *at = &m->c[c];
    return at->kind == CLUSTER_ROWS && at->nsum < MOSTFOLDS && at->count + 1 < MOSTNODES &&
           same_shape(at->row->shape, n->in[0]->shape) && independent(m, at, n);
}

static double size_of(const Mates *m, const Node *n) {
    double size = 1;
    for (int k = 0; k < n->nin; k++) {
        const Node *x = n->in[k];
        bool within = m->of[n->id] && m->of[x->id] == m->of[n->id];
        if (within || !(x->stored || op_is_leaf(x))) size += m->size[x->id];
    }
    return size;
}

// Does a way lead from x over another kernel to n, or to what is in c so far?
static bool comes_back(Mates *m, int c, const Node *x, const Node *n) {
    bool back = false;
    for (int i = 0; i < m->nuser[x->id] && !back; i++) {
        if (m->user[x->id][i] == n->id) continue;
        walk(m, m->user[x->id][i]);
        back = m->seen[n->id] == m->stamp || (m->c[c].count && m->seen[m->c[c].n[0]->id] == m->stamp);
    }
    return back;
}

// What n reads is a kernel of its own that could be part of n's, as could all that need it: then it joins before n.
// What others need first, kernels after which more of the row could follow, stays apart.
static void take_in(Mates *m, int c, Node *x, const Node *n) {
    const Cluster *at = &m->c[c];
    bool is = x->stored && !x->frozen && op_is_ewise(x) && x->nin && m->plain[x->id] && !m->of[x->id] &&
              !m->leaf[x->id] && m->fns[x->id] == m->fns[n->id];
    for (int i = 0; i < m->nuser[x->id] && is; i++) is = is_of_rows(m->g->order[m->user[x->id][i]], at->row);
    if (is && has_rows(x, at->row) && (!at->count || made_before(m, c, x)) && !comes_back(m, c, x, n) &&
        runs_along(m, x))
        join(m, c, x, false);
}

static void join_row(Mates *m, int c, Node *n, bool reduce) {
    for (int k = 0; k < n->nin; k++) take_in(m, c, n->in[k], n);
    join(m, c, n, reduce);
}

static bool place(Mates *m, Node *n) {
    int c = n->frozen ? 0 : reads_rows(m, n);
    bool reduce = is_row_reduce(n);
    if (c && joins_row(m, c - 1, n, reduce)) {
        join_row(m, c - 1, n, reduce);
        return true;
    }
    if (!reduce || !is_there(m, n->in[0]) || !runs_along(m, n)) return false;
    for (c = m->nc - 1; c >= 0 && c >= m->nc - LOOKBACK; c--)
        if (beside_rows(m, c, n)) {
            join_row(m, c, n, true);
            return true;
        }
    open_cluster(m, CLUSTER_ROWS)->row = n->in[0];
    join_row(m, m->nc - 1, n, true);
    return true;
}

bool place_row(Mates *m, Node *n) {
    bool placed = place(m, n);
    m->size[n->id] = size_of(m, n);
    return placed;
}

// ---- one kernel of them ----

// Which of them others need from memory. Formulas without a buffer stay formulas of their users', made of reductions
// that then have one.
static int find_results(Mates *m, const Cluster *c, bool *result) {
    int results = 0;
    for (int i = c->count - 1; i >= 0; i--) {
        const Node *n = c->n[i];
        bool needed = m->root[n->id];
        for (int k = 0; k < m->nuser[n->id]; k++) {
            int u = m->user[n->id][k];
            needed |= m->of[u] != m->of[n->id] || m->exposed[u];
        }
        result[i] = needed && (n->stored || is_row_reduce(n));
        m->exposed[n->id] = needed && !result[i];
        results += result[i];
    }
    return results;
}

static bool is_worth(const Mates *m, const Cluster *c) {
    int kernels = 0;
    double size = 0;
    for (int i = 0; i < c->count; i++) kernels += c->n[i]->stored, size = fmax(size, m->size[c->n[i]->id]);
    return kernels > 1 && size <= MOSTWRITTEN;
}

// Results that are whole rows come first: the first one's axes are the kernel's. Those that are one number a row have
// the same for every element of it (kernel.h).
static void chain(const Cluster *c, const bool *result) {
    Node *head = NULL, *last = NULL;
    int axis = c->row->shape.n - 1;
    for (int wide = 1; wide >= 0; wide--)
        for (int i = 0; i < c->count; i++) {
            Node *n = c->n[i];
            if (!result[i] || (n->shape.d[axis] > 1) != wide) continue;
            if (!n->stored || !wide) view_set(n);
            if (!wide) n->view.stride[axis] = 0;
            if (last) last->mate = n, n->head = head;
            else head = n;
            last = n;
        }
}

void bind_rows(Mates *m, Cluster *c) {
    bool result[MOSTNODES];
    int results = find_results(m, c, result);
    if (!is_worth(m, c) || results == 0 || results > MOSTRESULTS) return;
    chain(c, result);
    for (int i = 0; i < c->count; i++) c->n[i]->stored = result[i];
}
