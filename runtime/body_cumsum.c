// body_cumsum.c -- CumSum: running sums along an axis.
//     buf   y, x: same shape and type
//     attr  axis; exclusive: element j is not part of its own sum; reverse: from the far end
// Floats add up in double and are rounded once per element, integers wrap.
#include "bodies.h"

static void float_row(DType t, char *y, const char *x, int64_t n, int64_t step, bool exclusive) {
    double sum = 0;
    for (int64_t j = 0; j < n; j++, x += step, y += step) {
        double v = dtype_get_f(t, x);
        dtype_set_f(t, y, exclusive ? sum : sum + v);
        sum += v;
    }
}

static void int_row(DType t, char *y, const char *x, int64_t n, int64_t step, bool exclusive) {
    uint64_t sum = 0;
    for (int64_t j = 0; j < n; j++, x += step, y += step) {
        uint64_t v = (uint64_t)dtype_get_i(t, x);
        dtype_set_i(t, y, (int64_t)(exclusive ? sum : sum + v));
        sum += v;
    }
}

void body_CumSum(const BodyArgs *a) {
    Rows r = rows_of(&a->desc[1], a->attr[0]);
    DType t = a->desc[0].type;
    int64_t bytes = dtypes[t].bytes, step = r.inner * bytes;
    bool exclusive = a->attr[1], reverse = a->attr[2];
    for (int64_t row = 0; row < r.outer * r.inner; row++) {
        int64_t first = row / r.inner * r.size * r.inner + row % r.inner;
        if (reverse) first += (r.size - 1) * r.inner;
        char *y = (char *)a->buf[0] + first * bytes;
        const char *x = (const char *)a->buf[1] + first * bytes;
        (dtype_is_float(t) ? float_row : int_row)(t, y, x, r.size, reverse ? -step : step, exclusive);
    }
}
