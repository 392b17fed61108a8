// Hand-written bodies against obvious ones: every type, every axis, every attribute.
#include "runtime/program.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { MOST = 5 * 17 * 3 };
static uint64_t seed = 1;
static int roll(int n) { return (int)((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 33) % n; }

static TensorDesc desc3(DType t, int64_t a, int64_t b, int64_t c) {
    return (TensorDesc){.type = t, .rank = 3, .dim = {a, b, c}};
}

static void run(const char *name, void *y, TensorDesc yd, const void *x, TensorDesc xd, const int64_t *attr,
                int nattr) {
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

// By the first row's minors.
static double determinant(const double *a, int m, unsigned columns, int row) {
    double sum = 0, sign = 1;
    if (row == m) return 1;
    for (int j = 0; j < m; j++) {
        if (!(columns >> j & 1)) continue;
        sum += sign * a[row * m + j] * determinant(a, m, columns & ~(1u << j), row + 1);
        sign = -sign;
    }
    return sum;
}

static void eliminate(void **state) {
    (void)state;
    for (int i = 0; i < 60; i++) {
        int m = 1 + i % 6;
        double x[2 * 36], y[2 * 36];
        for (int k = 0; k < 2 * m * m; k++) x[k] = roll(9) - 4;               // often singular, often with a zero pivot
        run("Eliminate", y, desc3(DT_F64, 2, m, m), x, desc3(DT_F64, 2, m, m), NULL, 0);
        for (int k = 0; k < 2; k++) {
            double diagonal = 1, want = determinant(x + k * m * m, m, (1u << m) - 1, 0);
            for (int j = 0; j < m; j++) diagonal *= y[k * m * m + j * m + j];
            assert_true(fabs(diagonal - want) <= 1e-9 * (1 + fabs(want)));
            for (int j = 0; j < m * m; j++) assert_true(j / m <= j % m || y[k * m * m + j] == 0);
        }
    }
}

enum { H = 9, W = 11, REGIONS = 3 };

static int32_t pool_regions(const char *name, float *y, const float *x, const float *roi, int nroi,
                            const int64_t *image, const int64_t *attr, double scale) {
    void *buf[] = {y, (void *)(uintptr_t)x, (void *)(uintptr_t)roi, (void *)(uintptr_t)image};
    TensorDesc desc[] = {{.type = DT_F32, .rank = 4, .dim = {REGIONS, 2, attr[0], attr[1]}},
                         {.type = DT_F32, .rank = 4, .dim = {2, 2, H, W}},
                         {.type = DT_F32, .rank = 2, .dim = {REGIONS, nroi}},
                         {.type = DT_I64, .rank = 1, .dim = {REGIONS}}};
    int32_t error = 0;
    KernelCtx ctx = {.batch = 1, .error = &error};
    body_find(name)(&(BodyArgs){
        .buf = buf, .desc = desc, .nbuf = image ? 4 : 3, .nattr = 5, .attr = attr, .f = scale, .ctx = &ctx});
    return error;
}

// Interpolation is exact on a plane, so the mean of a bin's samples is the plane at the bin's middle.
static void roi_align(void **state) {
    static const float roi[REGIONS * 4] = {2, 2, 14, 10, 3, 4, 4, 12, 6, 1, 18, 15};
    static const int64_t image[REGIONS] = {1, 0, 1};
    float x[4 * H * W], y[REGIONS * 2 * 6];
    (void)state;
    for (int i = 0; i < 4 * H * W; i++) x[i] = (float)(100 * (i / (H * W)) + 2 * (i / W % H) + 3 * (i % W));
    for (int samples = 0; samples < 4; samples++)
        for (int half = 0; half < 2; half++) {
            assert_int_equal(pool_regions("RoiAlign", y, x, roi, 4, image, (int64_t[]){2, 3, 0, samples, half}, 0.5),
                             0);
            for (int i = 0; i < REGIONS * 2 * 6; i++) {
                const float *r = roi + i / 12 * 4;
                double by = 0.5 * (double)(r[3] - r[1]) / 2, bx = 0.5 * (double)(r[2] - r[0]) / 3;
                if (!half && by < 0.5) by = 0.5;                              // at least one pixel in all
                if (!half && bx < 1. / 3) bx = 1. / 3;
                double cy = (double)r[1] * 0.5 - 0.5 * half + (i / 3 % 2 + 0.5) * by,
                       cx = (double)r[0] * 0.5 - 0.5 * half + (i % 3 + 0.5) * bx;
                double want = (double)(100 * (image[i / 12] * 2 + i / 6 % 2)) + 2 * cy + 3 * cx;
                assert_true(fabs((double)y[i] - want) < 1e-3);
            }
        }
    static const float wild[REGIONS * 4] = {-1e30f, 0, 1e30f, NAN, 0, 0, 1, 1, 0, 0, 1, 1};
    assert_int_equal(pool_regions("RoiAlign", y, x, wild, 4, image, (int64_t[]){2, 3, 0, 0, 1}, 1), 1);
    assert_int_equal(pool_regions("RoiAlign", y, x, roi, 4, (int64_t[]){0, 2, -1}, (int64_t[]){2, 3, 0, 0, 1}, 1), 1);
}

// Values grow to the right and downwards, so each bin's last pixel is its greatest.
static void max_roi_pool(void **state) {
    static const float roi[REGIONS * 5] = {0, 1, 2, 6, 5, 1, 0, 0, 10, 8, 1, 20, 20, 30, 30};
    float x[4 * H * W], y[REGIONS * 2 * 6];
    (void)state;
    for (int i = 0; i < 4 * H * W; i++) x[i] = (float)(1 + i);
    assert_int_equal(pool_regions("MaxRoiPool", y, x, roi, 5, NULL, (int64_t[]){2, 3, 0, 0, 0}, 1), 0);
    static const int rows[2][2] = {{3, 5}, {4, 8}}, columns[2][3] = {{2, 4, 6}, {3, 7, 10}};
    for (int i = 0; i < REGIONS * 2 * 6; i++) {
        int r = i / 12, plane = (r > 0) * 2 + i / 6 % 2;
        double want = r == 2 ? 0 : 1 + plane * H * W + rows[r][i / 3 % 2] * W + columns[r][i % 3];
        assert_true((double)y[i] == want);
    }
    static const float wild[REGIONS * 5] = {7, 0, 0, 1, 1, 0, 0, 0, 1, 1, NAN, INFINITY, -INFINITY, 1e30f, 0};
    assert_int_equal(pool_regions("MaxRoiPool", y, x, wild, 5, NULL, (int64_t[]){2, 3, 0, 0, 0}, 1), 1);
}

static int32_t regions_back(const char *name, float *dx, const float *x, const float *roi, int nroi,
                            const int64_t *image, const float *dy, const int64_t *attr) {
    int n = 3;
    const void *from[] = {dx, x, roi, image, NULL};
    TensorDesc whole = {.type = DT_F32, .rank = 4, .dim = {2, 2, H, W}};
    TensorDesc desc[] = {whole, whole, {.type = DT_F32, .rank = 2, .dim = {REGIONS, nroi}},
                         {.type = DT_I64, .rank = 1, .dim = {REGIONS}}, {0}};
    n += image != NULL;
    from[n] = dy, desc[n] = (TensorDesc){.type = DT_F32, .rank = 4, .dim = {REGIONS, 2, attr[0], attr[1]}};
    int32_t error = 0;
    KernelCtx ctx = {.batch = 1, .error = &error};
    void *buf[5];
    memcpy(buf, from, sizeof buf);
    body_find(name)(&(BodyArgs){
        .buf = buf, .desc = desc, .nbuf = n + 1, .nattr = 5, .attr = attr, .f = 1, .ctx = &ctx});
    return error;
}

// Each value is a weighted sum of pixels, and what flows back takes the same weights: y . dy = x . dx.
static void check_regions_back(const char *name, const float *roi, int nroi, const int64_t *image,
                               const int64_t *attr) {
    float x[4 * H * W], dx[4 * H * W], y[REGIONS * 2 * 6], dy[REGIONS * 2 * 6];
    char back[32];
    double there = 0, here = 0;
    snprintf(back, sizeof back, "%sDx", name);
    for (int i = 0; i < 4 * H * W; i++) x[i] = (float)(1 + roll(1000) * 1e-3), dx[i] = NAN;
    for (int i = 0; i < REGIONS * 2 * 6; i++) dy[i] = (float)(roll(1000) * 1e-3 - 0.5);
    int32_t error = pool_regions(name, y, x, roi, nroi, image, attr, 1);
    assert_int_equal(regions_back(back, dx, x, roi, nroi, image, dy, attr), error);
    for (int i = 0; i < REGIONS * 2 * 6; i++) there += (double)(y[i] * dy[i]);
    for (int i = 0; i < 4 * H * W; i++) here += (double)(x[i] * dx[i]);
    assert_true(fabs(there - here) < 1e-4);
}

static void region_adjoints(void **state) {
    static const float align[REGIONS * 4] = {1, 1, 6.5f, 5, 2, 3, 4, 8, -3, 1, 30, 5};
    static const float wild[REGIONS * 4] = {-1e30f, 0, 1e30f, NAN, 0, 0, 1, 1, 0, 0, 1, 1};
    static const float pool[REGIONS * 5] = {0, 1, 2, 6, 5, 1, 0, 0, 10, 8, 1, 20, 20, 30, 30};
    static const float lost[REGIONS * 5] = {7, 0, 0, 1, 1, 0, 0, 0, 1, 1, NAN, INFINITY, -INFINITY, 1e30f, 0};
    static const int64_t image[REGIONS] = {1, 0, 1}, none[REGIONS] = {0, 2, -1};
    (void)state;
    for (int how = 0; how < 12; how++) {
        int64_t attr[] = {2, 3, how % 2, how / 2 % 3, how / 6};
        check_regions_back("RoiAlign", align, 4, image, attr);
        check_regions_back("RoiAlign", align, 4, none, attr);
        check_regions_back("RoiAlign", wild, 4, image, attr);
        check_regions_back("MaxRoiPool", pool, 5, NULL, attr);
        check_regions_back("MaxRoiPool", lost, 5, NULL, attr);
    }
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
        cmocka_unit_test(eliminate),
        cmocka_unit_test(roi_align),
        cmocka_unit_test(max_roi_pool),
        cmocka_unit_test(region_adjoints),
        cmocka_unit_test(nothing_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
