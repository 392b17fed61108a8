// body_topk.c -- TopKValues, TopKIndices: the k largest or smallest elements along an axis.
//     buf   y (values: x's type; indices: i64), x
//     attr  axis; k; largest: 1, or 0 for the smallest; sorted (always done: best first)
// Equal elements: the lower index first. NaN counts as greater than every number; -0 equals 0,
// and which of equal zeros' signs stands where among the values is left open.
//
// The result itself is the scratch memory: a heap of the best k so far with the worst on top,
// then sorted in place. So each element that is not among them costs one comparison.
#include "bodies.h"
#include <string.h>

typedef struct Row {
    DType type;
    int64_t bytes, n, k;
    int64_t step;                     // bytes between elements of x
    const char *x;
    char *y;
    int64_t ystep, ybytes;
    bool indices;                     // y holds indices into x, not elements
    int64_t flip;                     // -1: smallest
} Row;

typedef struct Item { int64_t key, index; } Item;     // better: greater key, then lower index

// A number that orders as the element does. Doubles order like their bits, sign and magnitude.
static int64_t key_of(const Row *r, const char *p) {
    if (!dtype_is_float(r->type)) {
        int64_t i = dtype_get_i(r->type, p);
        return (r->type == DT_U64 ? i ^ INT64_MIN : i) ^ r->flip;
    }
    double d = dtype_get_f(r->type, p) + 0.0;         // -0 + 0 is 0
    int64_t bits;
    memcpy(&bits, &d, sizeof bits);
    if (d != d) bits = INT64_MAX;
    return (bits < 0 ? bits ^ INT64_MAX : bits) ^ r->flip;
}

static bool better(Item a, Item b) { return a.key != b.key ? a.key > b.key : a.index < b.index; }

static Item source(const Row *r, int64_t j) { return (Item){key_of(r, r->x + j * r->step), j}; }

static char *slot(const Row *r, int64_t s) { return r->y + s * r->ystep; }

static Item item(const Row *r, int64_t s) {
    if (r->indices) return source(r, dtype_get_i(DT_I64, slot(r, s)));
    return (Item){key_of(r, slot(r, s)), 0};
}

static void place(const Row *r, int64_t s, int64_t j) {
    if (r->indices) dtype_set_i(DT_I64, slot(r, s), j);
    else memcpy(slot(r, s), r->x + j * r->step, (size_t)r->bytes);
}

static void swap(const Row *r, int64_t a, int64_t b) {
    char t[8];
    memcpy(t, slot(r, a), (size_t)r->ybytes);
    memmove(slot(r, a), slot(r, b), (size_t)r->ybytes);
    memcpy(slot(r, b), t, (size_t)r->ybytes);
}

// Below s, in a heap of n: let it sink until no child is worse.
static void sink(const Row *r, int64_t s, int64_t n) {
    for (int64_t child; (child = 2 * s + 1) < n; s = child) {
        if (child + 1 < n && better(item(r, child), item(r, child + 1))) child++;
        if (!better(item(r, s), item(r, child))) return;
        swap(r, s, child);
    }
}

static void top_of_row(const Row *r) {
    for (int64_t j = 0; j < r->k; j++) place(r, j, j);
    for (int64_t s = r->k / 2 - 1; s >= 0; s--) sink(r, s, r->k);
    Item worst = item(r, 0);
    for (int64_t j = r->k; j < r->n; j++) {
        Item new = source(r, j);
        if (new.key <= worst.key) continue;           // of equals the earlier stays
        place(r, 0, j);
        sink(r, 0, r->k);
        worst = item(r, 0);
    }
    for (int64_t n = r->k - 1; n > 0; n--) {          // the worst to the end, again and again
        swap(r, 0, n);
        sink(r, 0, n);
    }
}

static void top_k(const BodyArgs *a, bool indices) {
    Rows x = rows_of(&a->desc[1], a->attr[0]), y = rows_of(&a->desc[0], a->attr[0]);
    Row r = {.type = a->desc[1].type, .bytes = dtypes[a->desc[1].type].bytes, .n = x.size, .k = y.size,
             .indices = indices, .ybytes = dtypes[a->desc[0].type].bytes, .flip = a->attr[2] ? 0 : -1};
    r.step = x.inner * r.bytes, r.ystep = y.inner * r.ybytes;
    if (!r.k) return;
    for (int64_t row = 0; row < x.outer * x.inner; row++) {
        int64_t o = row / x.inner, i = row % x.inner;
        r.x = (const char *)a->buf[1] + (o * x.size * x.inner + i) * r.bytes;
        r.y = (char *)a->buf[0] + (o * y.size * y.inner + i) * r.ybytes;
        top_of_row(&r);
    }
}

void body_TopKValues(const BodyArgs *a) { top_k(a, false); }
void body_TopKIndices(const BodyArgs *a) { top_k(a, true); }
