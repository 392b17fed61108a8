// plan.c -- where every scratch buffer lives. Biggest first, each at the lowest offset that is
// free for as long as the buffer is alive: on most convolutional nets this meets the bound. Where it
// does not, the buffer that came to lie highest goes first in another attempt, and the best one counts.
#include "link.h"

static int by_size(const void *a, const void *b) {
    const Life *x = *(Life *const *)a, *y = *(Life *const *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return (x->from > y->from) - (x->from < y->from);
}

// Among n others, by offset.
static int64_t lowest_gap(Life *const *placed, int n, const Life *x) {
    int64_t at = 0;
    for (int i = 0; i < n && placed[i]->offset < at + x->bytes; i++) {
        const Life *y = placed[i];
        if (x->from <= y->to && y->from <= x->to && y->offset + y->bytes > at) at = y->offset + y->bytes;
    }
    return at;
}

static void insert(Life **placed, int n, Life *x) {
    for (; n && placed[n - 1]->offset > x->offset; n--) placed[n] = placed[n - 1];
    placed[n] = x;
}

static int64_t live_bound(Cx *cx, const Life *l, int n) {
    int last = 0;
    for (int i = 0; i < n; i++) last = l[i].to > last ? l[i].to : last;
    int64_t *change = NEW(cx, int64_t, last + 2), now = 0, most = 0;
    for (int i = 0; i < n; i++) change[l[i].from] += l[i].bytes, change[l[i].to + 1] -= l[i].bytes;
    for (int s = 0; s <= last; s++) now += change[s], most = now > most ? now : most;
    return most;
}

// Offsets in the order given; the first byte above all, and which buffer reaches there.
static int64_t place(Life **order, Life **placed, int n, int *highest) {
    int64_t top = 0;
    for (int i = 0; i < n; i++) {
        Life *x = order[i];
        x->offset = lowest_gap(placed, i, x);
        insert(placed, i, x);
        if (x->offset + x->bytes > top) top = x->offset + x->bytes, *highest = i;
    }
    return top;
}

static void to_front(Life **order, int i) {
    Life *x = order[i];
    memmove(order + 1, order, sizeof *order * (size_t)i);
    order[0] = x;
}

int64_t plan(Cx *cx, Life *l, int n, int64_t *bound) {
    enum { WORK = 1 << 24 };                             // pairs of buffers looked at, about
    Life **order = NEW(cx, Life *, n), **placed = NEW(cx, Life *, n);
    int64_t *best = NEW(cx, int64_t, n), least = INT64_MAX, work = 0;
    for (int i = 0; i < n; i++) order[i] = &l[i];
    qsort(order, (size_t)n, sizeof *order, by_size);
    *bound = live_bound(cx, l, n);
    if (n == 0) return 0;
    for (int again = 0; again < 256 && least > *bound && (!again || work < WORK); again++, work += (int64_t)n * n) {
        int highest = 0;
        int64_t top = place(order, placed, n, &highest);
        for (int i = 0; i < n && top < least; i++) best[i] = l[i].offset;
        if (top < least) least = top;
        to_front(order, highest);
    }
    for (int i = 0; i < n; i++) l[i].offset = best[i];
    return least;
}
