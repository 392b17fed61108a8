// order.c -- the order of kernels: as the graph has them, except that a kernel after which less memory is
// in use runs as soon as it can (a weight's gradient, say, lets go of the image it was made from), and
// one after which more is in use as late as it can (what is made again for a gradient).
#include "link.h"

typedef struct Ready {
    Unit *u;
    int n;
    int nbuf;                         // buffers these kernels touch, by Node.maker of their owner
    int *readers;                     // of each buffer: kernels left to run that read it
    bool *made;
    int *waits;                       // of each kernel: earlier ones it needs
    int **next, *nnext;               // and those that need it
    int **prev, *nprev;               // those it needs
} Ready;

static int number(Ready *r, Node *n) {
    n = owner(n);
    if (n->maker < 0) n->maker = r->nbuf++;
    return n->maker;
}

static bool lasts(const Node *n) { return op_is_leaf(n) || n->home != NULL; }

static double bytes(Node *n) { return (double)owner(n)->view.room * dtypes[n->type].bytes; }

// How much more memory is in use after the kernel than before.
static double growth(const Ready *r, const Unit *u) {
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
static Ready ready_new(Cx *cx, Unit *u, int n) {
    Ready ready = {.u = u,
                   .n = n,
                   .waits = NEW(cx, int, n),
                   .next = NEW(cx, int *, n),
                   .nnext = NEW(cx, int, n),
                   .prev = NEW(cx, int *, n),
                   .nprev = NEW(cx, int, n)},
          *r = &ready;
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
                *VEC_PUSH(cx, r->prev[i], r->nprev[i]) = from;
            }
            r->readers[at] += b >= k->nout;
        }
        for (int b = 0; b < k->nout; b++) {
            int at = number(r, k->buf[b]);
            *VEC_PUSH(cx, writers[at], nwriters[at]) = i;
        }
    }
    return ready;
}

// The next kernel: the first that frees memory, alone or with those it still waits for, which then go first.
static int choose(const Ready *r, const bool *done, int first) {
    for (int i = first; i < r->n; i++) {
        double more = done[i] ? 0 : growth(r, &r->u[i]);
        int before = -1;
        for (int j = 0; more < 0 && j < r->nprev[i]; j++) {
            int p = r->prev[i][j];
            if (done[p] || p == before) continue;
            more = r->waits[p] == 0 && before < 0 ? more + growth(r, &r->u[p]) : 0;
            before = p;
        }
        if (more < 0) return before < 0 ? i : before;
    }
    return first;
}

// ---- as late as they can ----

typedef struct Sink {
    Ready r;
    int *place, *at;                  // of each kernel; the kernel there
    int *last, *maker;                // of each buffer: the last reader placed so far, the first writer; plus one
} Sink;

static bool read_from(const Sink *s, Node *x, int place) {
    int last = s->last[owner(x)->maker];
    return last && s->place[last - 1] >= place;
}

// What it takes to have x alive until `place`: nothing if it is, or if its maker can wait as well.
static double extension(const Sink *s, Node *x, int place) {
    int maker = s->maker[owner(x)->maker];
    if (lasts(owner(x)) || read_from(s, x, place)) return 0;
    bool waits = maker > 0;
    const Kernel *k = waits ? s->r.u[maker - 1].k : NULL;
    for (int b = waits ? k->nout : 0; waits && b < k->nbuf; b++)
        waits = lasts(owner(k->buf[b])) || read_from(s, k->buf[b], place);
    return waits ? 0 : bytes(x);
}

static double gain(const Sink *s, const Kernel *k, int to) {
    double sum = 0;
    for (int b = 0; b < k->nbuf; b++) {
        if (b >= k->nout) sum -= extension(s, k->buf[b], to);
        else if (!lasts(owner(k->buf[b]))) sum += bytes(k->buf[b]);
    }
    return sum;
}

static Sink sink_new(Cx *cx, Unit *u, int n) {
    Sink s = {.r = ready_new(cx, u, n), .place = NEW(cx, int, n), .at = NEW(cx, int, n)};
    s.last = NEW(cx, int, s.r.nbuf), s.maker = NEW(cx, int, s.r.nbuf);
    for (int i = n - 1; i >= 0; i--) {
        s.place[i] = s.at[i] = i;
        for (int b = 0; b < u[i].k->nout; b++) s.maker[owner(u[i].k->buf[b])->maker] = i + 1;
    }
    return s;
}

// From the last kernel to the first, so that users have their places: where that saves memory, a kernel
// goes right before the first that needs it.
static void sink_units(Cx *cx, Unit *u, int n) {
    Sink s = sink_new(cx, u, n);
    for (int i = n - 1; i >= 0; i--) {
        int to = n;
        Kernel *k = u[i].k;
        for (int j = 0; j < s.r.nnext[i]; j++) to = s.place[s.r.next[i][j]] < to ? s.place[s.r.next[i][j]] : to;
        bool late = to < n && gain(&s, k, to) > 0;
        for (int p = i; late && p + 1 < to; p++)
            s.at[p] = s.at[p + 1], s.place[s.at[p]] = p, s.at[p + 1] = i, s.place[i] = p + 1;
        for (int b = k->nout; b < k->nbuf; b++) {
            int *last = &s.last[owner(k->buf[b])->maker];
            if (!*last || s.place[*last - 1] < s.place[i]) *last = i + 1;
        }
    }
    Unit *sorted = NEW(cx, Unit, n);
    for (int i = 0; i < n; i++) sorted[i] = u[s.at[i]];
    if (n > 0) memcpy(u, sorted, sizeof *u * (size_t)n);
}

void order_units(Cx *cx, Unit *u, int n) {
    Ready r = ready_new(cx, u, n);
    Unit *sorted = NEW(cx, Unit, n);
    bool *done = NEW(cx, bool, n);
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
    if (n > 0) memcpy(u, sorted, sizeof *u * (size_t)n);
    sink_units(cx, u, n);
}
