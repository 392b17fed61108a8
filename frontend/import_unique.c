// import_unique.c -- Unique of a known tensor: its different slices along an axis (its different
// elements, where no axis is named), where each comes first, which is which, and how often.
#include "import.h"

typedef struct Slices {               // slice i holds elements (o * count + i) * inner + j
    const double *v;
    int64_t outer, count, inner;
} Slices;

static int compare(const Slices *s, int64_t a, int64_t b) {
    for (int64_t o = 0; o < s->outer; o++)
        for (int64_t j = 0; j < s->inner; j++) {
            double x = s->v[(o * s->count + a) * s->inner + j], y = s->v[(o * s->count + b) * s->inner + j];
            bool nan = x != x, both = nan && y != y;      // NaN is one value, behind all others
            if (x != y && !both) return nan ? 1 : y != y || x < y ? -1 : 1;
        }
    return 0;
}

typedef struct Found { int64_t n, *first, *which, *times; } Found;

// The number of slice i among those found, which are in order if they are to be sorted; or where it
// belongs, negated - 1.
static int64_t find(const Slices *s, const Found *f, int64_t i, bool sorted) {
    int64_t low = 0, high = f->n;
    while (!sorted && low < high && compare(s, f->first[low], i)) low++;
    if (!sorted) return low < high ? low : -low - 1;
    while (low < high) {
        int64_t middle = (low + high) / 2, order = compare(s, f->first[middle], i);
        if (order == 0) return middle;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return -low - 1;
}

static Found find_all(Import *im, const Slices *s, bool sorted) {
    Found f = {0, NEW(im->cx, int64_t, s->count), NEW(im->cx, int64_t, s->count), NEW(im->cx, int64_t, s->count)};
    for (int64_t i = 0; i < s->count; i++) {
        int64_t at = find(s, &f, i, sorted);
        if (at >= 0) continue;
        at = -at - 1;
        memmove(f.first + at + 1, f.first + at, sizeof *f.first * (size_t)(f.n++ - at));
        f.first[at] = i;
    }
    for (int64_t i = 0; i < s->count; i++) f.times[f.which[i] = find(s, &f, i, sorted)]++;
    return f;
}

void import_unique(Import *im, const DocNode *n) {
    Node *x = in(im, 0);
    double *v;
    int axis = 0;
    int64_t total = in_floats(im, 0, &v);
    if (node_attr(n, "axis")) axis = attr_axis(im, "axis", 0, x->shape.n);
    else x = node_reshape(im->g, x, SHAPE(total));
    Slices s = {v, 1, x->shape.d[axis], 1};
    for (int d = 0; d < x->shape.n; d++) {
        if (d < axis) s.outer *= x->shape.d[d];
        if (d > axis) s.inner *= x->shape.d[d];
    }
    Found f = find_all(im, &s, attr_int(im, "sorted", 1) != 0);
    Node *first = graph_ints(im->g, f.n, f.first);
    out(im, 0, graph_op(im->g, OP_Gather, AXES(axis), 2, (Node *[]){x, first}));
    out(im, 1, first);
    out(im, 2, graph_ints(im->g, s.count, f.which));
    out(im, 3, graph_ints(im->g, f.n, f.times));
}
