// Quotients without a division (codegen/cuda_numbers.c): for every divisor up to 5000 and others up to the greatest, where
// the quotient changes, at both ends of the dividends' range and in between.
#include "codegen/cuda.h"
#include <setjmp.h>
#include <cmocka.h>
#undef fail                            // ours gives up on the request

enum { SMALL = 5000, ENDS = 400 };

typedef struct Divisor { int64_t d; uint32_t m; int shift; } Divisor;

static bool is_exact(const Divisor *q, int64_t x) {
    return x < 0 || x > INT32_MAX || (int64_t)((uint32_t)((uint64_t)x * q->m >> 32) >> q->shift) == x / q->d;
}

static bool is_exact_everywhere(const Divisor *q) {
    int64_t most = INT32_MAX / q->d, stride = most / ENDS + 1;
    bool ok = is_exact(q, 0) && is_exact(q, INT32_MAX);
    for (int64_t i = 0; i <= ENDS && i <= most && ok; i++) {
        const int64_t at[] = {i, most - i, i * stride};
        for (int k = 0; k < 3; k++) ok &= is_exact(q, at[k] * q->d - 1) && is_exact(q, at[k] * q->d);
    }
    return ok;
}

static Divisor divisor(int64_t d) {
    Divisor q = {.d = d};
    quotient_numbers(d, &q.m, &q.shift);
    return q;
}

static int bad;

static void check(int64_t d) {
    if (d < 2 || d > INT32_MAX) return;
    Divisor q = divisor(d);
    if (!is_exact_everywhere(&q)) print_error("a quotient by %lld is wrong\n", (long long)d), bad++;
}

static void test_quotients(void **state) {
    (void)state;
    for (int64_t d = 2; d <= SMALL; d++) check(d);
    for (int64_t p = 1 << 12; p <= (int64_t)1 << 31; p *= 2)
        for (int64_t e = -3; e <= 3; e++) check(p + e), check(p / 3 + e), check(p / 7 * 5 + e);
    for (uint64_t d = 5003; d < INT32_MAX; d = d * 21 / 20 + 1) check((int64_t)d);
    assert_int_equal(bad, 0);
}

// The test would see a factor that is one too small, and any other shift.
static void test_wrong_numbers(void **state) {
    (void)state;
    static const int64_t of[] = {3, 7, 28, 56, 1152, 1000003, INT32_MAX};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        Divisor small = divisor(of[i]), less = small, more = small;
        small.m--, less.shift--, more.shift++;
        assert_false(is_exact_everywhere(&small));
        assert_false(is_exact_everywhere(&less) || is_exact_everywhere(&more));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_quotients), cmocka_unit_test(test_wrong_numbers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
