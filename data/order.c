// order.c -- epochs in an order of their own, computed for each position by itself.
#include "order.h"
#include "draw.h"

enum { ROUNDS = 6 };

// A Feistel network over the next power of four, walked until the result is below n.
uint64_t permute(uint64_t seed, uint64_t stream, uint64_t n, uint64_t i) {
    int half = 1;
    while (half < 32 && (uint64_t)1 << 2 * half < n) half++;
    uint64_t mask = ((uint64_t)1 << half) - 1;
    do {
        uint64_t left = i >> half, right = i & mask;
        for (uint64_t round = 0; round < ROUNDS; round++) {
            uint32_t r[4];
            philox(seed, stream, right << 8 | round, r);
            uint64_t mixed = left ^ (r[0] & mask);
            left = right;
            right = mixed;
        }
        i = left << half | right;
    } while (i >= n);
    return i;
}

static Err group_by_class(Order *o, const Examples *e, Fault *f) {
    int64_t most = -1;
    for (int i = 0; i < e->n; i++) {
        if (e->at[i].label < 0) return fault(f, E_USAGE, "balanced batches need one class per example");
        if (e->at[i].label > most) most = e->at[i].label;
    }
    size_t n = (size_t)e->n, classes = (size_t)most + 1;
    o->first = calloc(classes + 2, sizeof *o->first);
    o->member = malloc((n + 1) * sizeof *o->member);
    if (!o->first || !o->member) {
        order_free(o);
        return fault(f, E_LIMIT, "out of memory");
    }
    int *end = o->first + 1;                                     // counts, then where the next member goes
    for (int i = 0; i < e->n; i++) end[e->at[i].label + 1]++;
    for (size_t c = 0; c < classes; c++) end[c + 1] += end[c];
    for (int i = 0; i < e->n; i++) o->member[end[e->at[i].label]++] = i;
    for (size_t c = 0; c < classes; c++)                         // now first[c]..first[c + 1]; drop what is empty
        if (o->first[c + 1] > o->first[o->nclass]) o->first[++o->nclass] = o->first[c + 1];
    return E_OK;
}

Err order_init(Order *o, OrderKind kind, uint64_t seed, const Examples *e, Fault *f) {
    *o = (Order){.kind = kind, .seed = seed, .n = e->n};
    return kind == ORDER_BALANCED ? group_by_class(o, e, f) : E_OK;
}

void order_free(Order *o) {
    free(o->first);
    free(o->member);
    *o = (Order){0};
}

// Every nclass positions are a group in which each class comes once.
static int balanced_class(const Order *o, int64_t epoch, int64_t position) {
    uint64_t group = (uint64_t)(position / o->nclass), in_group = (uint64_t)(position % o->nclass);
    Draw d = draw_from(o->seed, DRAW_GROUP, (uint64_t)epoch, group);
    return (int)permute(draw_word(&d), draw_stream(DRAW_GROUP, (uint64_t)epoch), (uint64_t)o->nclass, in_group);
}

static int balanced_sample(const Order *o, int64_t epoch, int64_t position) {
    int c = balanced_class(o, epoch, position);
    uint64_t size = (uint64_t)(o->first[c + 1] - o->first[c]), turn = (uint64_t)(position / o->nclass);
    Draw d = draw_from(o->seed, DRAW_MEMBER, (uint64_t)epoch, (uint64_t)c << 20 ^ turn / size);
    uint64_t at = permute(draw_word(&d), draw_stream(DRAW_MEMBER, (uint64_t)epoch), size, turn % size);
    return o->member[o->first[c] + (int)at];
}

int order_sample(const Order *o, int64_t epoch, int64_t position) {
    assert(position >= 0 && position < o->n);
    if (o->kind == ORDER_SEQUENTIAL) return (int)position;
    if (o->kind == ORDER_BALANCED) return balanced_sample(o, epoch, position);
    return (int)permute(o->seed, draw_stream(DRAW_ORDER, (uint64_t)epoch), (uint64_t)o->n, (uint64_t)position);
}

int order_replacement(const Order *o, int64_t epoch, int64_t position, int attempt) {
    assert(o->kind != ORDER_SEQUENTIAL && attempt > 0);
    Draw d = draw_from(o->seed, DRAW_REPLACEMENT, (uint64_t)epoch, (uint64_t)position);
    d.at += (uint64_t)attempt;
    if (o->kind == ORDER_SHUFFLED) return (int)draw_below(&d, o->n);
    int c = balanced_class(o, epoch, position);
    return o->member[o->first[c] + (int)draw_below(&d, o->first[c + 1] - o->first[c])];
}
