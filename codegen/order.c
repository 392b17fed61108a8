// order.c -- the order of kernels: as the graph has them, except that a kernel after which less memory is
// in use runs as soon as it can. (A weight's gradient, say, lets go of the image it was made from.)
#include "link.h"

typedef struct Ready {
    Unit *u;
    int n;
    int nbuf;                         // buffers these kernels touch, by Node.maker of their owner
    int *readers;                     // of each buffer: kernels left to run that read it
    bool *made;
    int *waits;                       // of each kernel: earlier ones it needs
    int **next, *nnext;               // and those that need it
} Ready;

static int number(Ready *r, Node *n) {
    n = owner(n);
    if (n->maker < 0) n->maker = r->nbuf++;
    return n->maker;
}

static bool lasts(const Node *n) { return op_is_leaf(n) || n->home != NULL; }

static double bytes(Node *n) { return (double)owner(n)->view.room * dtypes[n->type].bytes; }

// How much more memory is in use after the kernel than before.
static double growth(Ready *r, const Unit *u) {
    const Kernel *k = u->k;
    double sum = 0;
    for (int b = 0; b < k->nbuf; b++) {
        Node *n = owner(k->buf[b]);
        bool again = false;
        for (int c = b < k->nout ? 0 : k->nout; c < b; c++) again |= owner(k->buf[c]) == n;
        if (again || lasts(n)) continue;
        if (b < k->nout && !r->made[n->maker]) sum += bytes(n);
        if (b >= k->nout && r->readers[n->maker] == 1) sum -= bytes(n);
    }
    return sum;
}

// A kernel needs every earlier one that writes what it touches.
static void find_needs(Cx *cx, Ready *r) {
    int total = 0;
    for (int i = 0; i < r->n; i++) total += r->u[i].k->nbuf;
    for (int i = 0; i < r->n; i++)
        for (int b = 0; b < r->u[i].k->nbuf; b++) owner(r->u[i].k->buf[b])->maker = -1;
    int **writers = NEW(cx, int *, total), *nwriters = NEW(cx, int, total);
    r->readers = NEW(cx, int, total), r->made = NEW(cx, bool, total);
    for (int i = 0; i < r->n; i++) {
        Kernel *k = r->u[i].k;
        for (int b = 0; b < k->nbuf; b++) {
            int at = number(r, k->buf[b]);
            for (int w = 0; w < nwriters[at]; w++) {
                int from = writers[at][w];
                if (from == i) continue;
                *VEC_PUSH(cx, r->next[from], r->nnext[from]) = i, r->waits[i]++;
            }
            r->readers[at] += b >= k->nout;
        }
        for (int b = 0; b < k->nout; b++) {
            int at = number(r, k->buf[b]);
            *VEC_PUSH(cx, writers[at], nwriters[at]) = i;
        }
    }
}

static int choose(Ready *r, const bool *done, int first) {
    for (int i = first; i < r->n; i++)
        if (!done[i] && r->waits[i] == 0 && growth(r, &r->u[i]) < 0) return i;
    return first;
}

void order_units(Cx *cx, Unit *u, int n) {
    Ready r = {.u = u, .n = n, .waits = NEW(cx, int, n), .next = NEW(cx, int *, n), .nnext = NEW(cx, int, n)};
    Unit *sorted = NEW(cx, Unit, n);
    bool *done = NEW(cx, bool, n);
    find_needs(cx, &r);
    for (int at = 0, first = 0; at < n; at++) {
        while (done[first]) first++;
        int i = choose(&r, done, first);
        Kernel *k = u[i].k;
        done[i] = true, sorted[at] = u[i];
        for (int b = 0; b < k->nbuf; b++) {
            int x = owner(k->buf[b])->maker;
            if (b < k->nout) r.made[x] = true;
            else r.readers[x]--;
        }
        for (int j = 0; j < r.nnext[i]; j++) r.waits[r.next[i][j]]--;
    }
    if (n) memcpy(u, sorted, sizeof *u * (size_t)n);
}
