// Hand-written bodies against obvious ones: every type, every axis, every attribute.
#include "runtime/program.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MOST = 5 * 17 * 3 };
static uint64_t seed = 1;
static int roll(int n) { return (int)((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 33) % n; }

static TensorDesc desc3(DType t, int64_t a, int64_t b, int64_t c) {
    return (TensorDesc){.type = t, .rank = 3, .dim = {a, b, c}};
}

static void run(const char *name, void *y, TensorDesc yd, const void *x, TensorDesc xd, const int64_t *attr, int nattr) {
    void *buf[] = {y, (void *)(uintptr_t)x};
    TensorDesc desc[] = {yd, xd};
    int32_t error = 0;
    KernelCtx ctx = {.batch = 1, .error = &error};
    BodyFn *fn = body_find(name);
    assert_non_null(fn);
    fn(&(BodyArgs){.buf = buf, .desc = desc, .nbuf = 2, .nattr = nattr, .attr = attr, .ctx = &ctx});
    assert_int_equal(error, 0);
}

static int64_t flat(const TensorDesc *d, int64_t axis, const int64_t *other, int64_t j) {
    int64_t at[3] = {other[0], other[1], other[2]};
    at[axis] = j;
    return (at[0] * d->dim[1] + at[1]) * d->dim[2] + at[2];
}

// Is element p before element q?  NaN greatest, then by value, then by place.
static bool before(DType t, const char *x, int64_t p, int64_t q, bool largest) {
    const char *a = x + p * dtypes[t].bytes, *b = x + q * dtypes[t].bytes;
    int order;                                                 // of a against b
    if (t == DT_U64) {
        uint64_t u = (uint64_t)dtype_get_i(t, a), v = (uint64_t)dtype_get_i(t, b);
        order = (u > v) - (u < v);
    } else if (dtype_is_float(t)) {
        double u = dtype_get_f(t, a), v = dtype_get_f(t, b);
        order = isnan(u) || isnan(v) ? isnan(u) - isnan(v) : (u > v) - (u < v);
    } else {
        int64_t u = dtype_get_i(t, a), v = dtype_get_i(t, b);
        order = (u > v) - (u < v);
    }
    return order ? (order > 0) == largest : p < q;
}

static void random_tensor(DType t, char *x, int64_t n) {
    static const double odd[] = {0.0, -0.0, INFINITY, -INFINITY, NAN};
    for (int64_t i = 0; i < n; i++, x += dtypes[t].bytes) {
        if (dtype_is_float(t) && !roll(6)) dtype_set_f(t, x, odd[roll(5)]);
        else if (t == DT_U64 || t == DT_I64) dtype_set_i(t, x, (int64_t)(seed += (uint64_t)roll(1000000) << 40));
        else dtype_set_f(t, x, roll(40) - 20 + 0.25 * roll(4));   // with many equals
    }
}

static void check_topk(DType t, int64_t axis, int64_t k, bool largest) {
    char x[MOST * 8], values[MOST * 8];
    int64_t indices[MOST], attr[] = {axis, k, largest, 1};
    TensorDesc xd = desc3(t, 5, 17, 3), vd = xd;
    vd.dim[axis] = k;
    TensorDesc id = vd;
    id.type = DT_I64;
    random_tensor(t, x, MOST);
    run("TopKValues", values, vd, x, xd, attr, 4);
    run("TopKIndices", indices, id, x, xd, attr, 4);
    int64_t at[3], bytes = dtypes[t].bytes, n = xd.dim[axis];
    for (int64_t o = 0; o < MOST; o++) {
        at[0] = o / 51, at[1] = o / 3 % 17, at[2] = o % 3;
        if (at[axis]) continue;
        for (int64_t j = 0; j < n; j++) {                      // the rank of element j is how many are before it
            int64_t here = flat(&xd, axis, at, j), rank = 0;
            for (int64_t i = 0; i < n; i++) rank += i != j && before(t, x, flat(&xd, axis, at, i), here, largest);
            if (rank >= k) continue;
            int64_t there = flat(&vd, axis, at, rank);
            assert_int_equal(indices[there], j);
            double v = dtype_get_f(t, values + there * bytes), w = dtype_get_f(t, x + here * bytes);
            assert_true(v == w || (isnan(v) && isnan(w)));
        }
    }
}

static void topk(void **state) {
    (void)state;
    for (int t = DT_F32; t < NDTYPES; t++)
        for (int axis = 0; axis < 3; axis++)
            for (int largest = 0; largest < 2; largest++) {
                static const int64_t size[] = {5, 17, 3};
                for (int64_t k = 0; k <= size[axis]; k += k < 3 ? 1 : 7) check_topk((DType)t, axis, k, largest);
                check_topk((DType)t, axis, size[axis], largest);
            }
}

static void check_cumsum(DType t, int64_t axis, bool exclusive, bool reverse) {
    char x[MOST * 8], y[MOST * 8];
    int64_t attr[] = {axis, exclusive, reverse}, at[3], bytes = dtypes[t].bytes;
    TensorDesc d = desc3(t, 5, 17, 3);
    for (int i = 0; i < MOST; i++) dtype_set_i(t, x + i * bytes, roll(5) - 2);      // sums exact in every type
    run("CumSum", y, d, x, d, attr, 3);
    for (int64_t o = 0; o < MOST; o++) {
        at[0] = o / 51, at[1] = o / 3 % 17, at[2] = o % 3;
        double sum = 0;
        for (int64_t j = 0; j < d.dim[axis]; j++) {
            bool part = reverse ? j >= at[axis] : j <= at[axis];
            if (part && !(exclusive && j == at[axis])) sum += dtype_get_f(t, x + flat(&d, axis, at, j) * bytes);
        }
        char want[8];
        dtype_set_f(t, want, sum);
        assert_true(dtype_get_f(t, y + o * bytes) == dtype_get_f(t, want));
    }
}

static void cumsum(void **state) {
    (void)state;
    for (int t = DT_F32; t <= DT_I64; t++)
        for (int i = 0; i < 12; i++) check_cumsum((DType)t, i % 3, i / 3 % 2, i / 6);
    uint8_t x[] = {200, 100, 1}, y[3];
    int64_t attr[] = {0, 0, 0};
    TensorDesc d = {.type = DT_U8, .rank = 1, .dim = {3}};
    run("CumSum", y, d, x, d, attr, 3);
    assert_true(y[0] == 200 && y[1] == 44 && y[2] == 45);
    run("CumSum", x, d, x, d, attr, 3);                        // in place, too
    assert_memory_equal(x, y, 3);
}

static void nothing_to_do(void **state) {
    (void)state;
    int64_t attr[] = {1, 0, 1, 1};
    TensorDesc none = desc3(DT_F32, 2, 0, 3);
    char y[1] = {0}, x[1] = {0};
    run("CumSum", y, none, x, none, attr, 3);
    run("TopKValues", y, none, x, none, attr, 4);
    assert_null(body_find("NoSuchBody"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topk),
        cmocka_unit_test(cumsum),
        cmocka_unit_test(nothing_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
