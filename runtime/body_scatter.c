// body_scatter.c -- ScatterElements, ScatterND: a copy of x in which updates take some places.
//     buf   y, x: same shape and type; indices: any integers; updates: x's type
//     attr  ScatterElements: axis, how. ScatterND: how.
//           how: 0 replaces what was there, 1 adds, 2 multiplies, 3 and 4 keep the greater and the lesser
// Updates are taken in the order they lie in, so a place named twice has one answer. Negative
// indices count from the end; one that is out of range sets the error flag and is left out.
//
// ScatterElements  y[a.., indices[a.., i, b..], b..] <- updates[a.., i, b..]
// ScatterND        y[indices[a.., 0], indices[a.., 1] .., b..] <- updates[a.., b..]
#include "bodies.h"
#include <string.h>

enum { SET, ADD, MUL, GREATER, LESSER };

static double meet_floats(int64_t how, double a, double b) {
    switch (how) {
    case ADD: return a + b;
    case MUL: return a * b;
    case GREATER: return a > b || a != a ? a : b;
    default: return a < b || a != a ? a : b;
    }
}

static int64_t meet_ints(int64_t how, DType t, int64_t a, int64_t b) {
    bool less = t == DT_U64 ? (uint64_t)a < (uint64_t)b : a < b;
    switch (how) {
    case ADD: return (int64_t)((uint64_t)a + (uint64_t)b);
    case MUL: return (int64_t)((uint64_t)a * (uint64_t)b);
    case GREATER: return less ? b : a;
    default: return less ? a : b;
    }
}

// n elements at `from` meet those at `to`.
static void meet(int64_t how, DType t, char *to, const char *from, int64_t n) {
    int64_t bytes = dtypes[t].bytes;
    if (how == SET) {
        memcpy(to, from, (size_t)(n * bytes));
        return;
    }
    for (int64_t i = 0; i < n; i++, to += bytes, from += bytes) {
        if (dtype_is_float(t)) dtype_set_f(t, to, meet_floats(how, dtype_get_f(t, to), dtype_get_f(t, from)));
        else if (t == DT_BOOL) dtype_set_i(t, to, meet_ints(how, t, dtype_get_i(t, to), dtype_get_i(t, from)) != 0);
        else dtype_set_i(t, to, meet_ints(how, t, dtype_get_i(t, to), dtype_get_i(t, from)));
    }
}

// Index number i as a place on an axis of that size; -1, and the error flag, if it is none.
static int64_t place(const BodyArgs *a, int64_t i, int64_t size) {
    DType t = a->desc[2].type;
    int64_t v = dtype_get_i(t, (const char *)a->buf[2] + i * dtypes[t].bytes);
    if (t == DT_U64 && v < 0) v = size;                   // beyond 63 bits
    if (v < 0) v += size;
    if (v >= 0 && v < size) return v;
    *a->ctx->error = 1;
    return -1;
}

static void copy(const BodyArgs *a) {
    size_t bytes = (size_t)desc_bytes(&a->desc[1]);
    if (bytes && a->buf[0] != a->buf[1]) memcpy(a->buf[0], a->buf[1], bytes);
}

// One element after the other: its index in updates, and where that is in y apart from the axis.
void body_ScatterElements(const BodyArgs *a) {
    const TensorDesc *y = a->desc, *u = &a->desc[3];
    int64_t axis = a->attr[0], total = desc_elements(u), bytes = dtypes[y->type].bytes;
    int64_t at[TVC_MAXDIM] = {0}, stride[TVC_MAXDIM];
    copy(a);
    for (int64_t d = y->rank - 1, s = 1; d >= 0; s *= y->dim[d--]) stride[d] = s;
    for (int64_t i = 0; i < total; i++) {
        int64_t to = place(a, i, y->dim[axis]);
        if (to >= 0) {
            to *= stride[axis];
            for (int d = 0; d < y->rank; d++) to += d == axis ? 0 : at[d] * stride[d];
            meet(a->attr[1], y->type, (char *)a->buf[0] + to * bytes, (const char *)a->buf[3] + i * bytes, 1);
        }
        for (int d = y->rank - 1; d >= 0 && ++at[d] == u->dim[d]; d--) at[d] = 0;
    }
}

// One block of b.. elements after the other.
void body_ScatterND(const BodyArgs *a) {
    const TensorDesc *y = a->desc, *t = &a->desc[2];
    int64_t depth = t->dim[t->rank - 1], blocks = 1, size = 1, bytes = dtypes[y->type].bytes;
    copy(a);
    for (int d = 0; d < t->rank - 1; d++) blocks *= t->dim[d];
    for (int64_t d = depth; d < y->rank; d++) size *= y->dim[d];
    for (int64_t i = 0; i < blocks; i++) {
        int64_t to = 0;
        bool inside = true;
        for (int64_t d = 0; d < depth; d++) {
            int64_t p = place(a, i * depth + d, y->dim[d]);
            inside &= p >= 0;
            to = to * y->dim[d] + p;
        }
        const char *update = (const char *)a->buf[3] + i * size * bytes;
        if (inside) meet(a->attr[0], y->type, (char *)a->buf[0] + to * size * bytes, update, size);
    }
}
