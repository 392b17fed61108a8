// The pool: every unit done exactly once, whatever the sizes and the number of threads; also when
// threads cannot be had; in the default floating point environment, the caller's put back.
// Worth running under -DTVC_SANITIZE=thread: the counts below are plain ints on purpose.
#include "runtime/pool.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

typedef struct Counts { int *of; int64_t n; } Counts;

static void count(int64_t lo, int64_t hi, void *arg) {
    Counts *c = arg;
    assert_true(0 <= lo && lo < hi && hi <= c->n);
    for (int64_t i = lo; i < hi; i++) c->of[i]++;
}

static void every_unit_once(void **state) {
    (void)state;
    static const int sizes[] = {0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 1000, 4099};
    for (int threads = 1; threads <= 9; threads += 2) {
        Pool *p = pool_new(threads);
        assert_int_equal(pool_threads(p), threads);
        for (int round = 0; round < 300; round++) {
            int n = sizes[round % 13], of[4099] = {0};
            pool_run(p, count, n, &(Counts){of, n});
            for (int i = 0; i < n; i++) assert_int_equal(of[i], 1);
        }
        pool_free(p);
    }
    pool_free(NULL);
}

// Results of one job are read by the next: launches really wait.
static void running_sum(int64_t lo, int64_t hi, void *arg) {
    int64_t *a = arg;
    for (int64_t i = lo; i < hi; i++) a[i + 64] = a[63 - i] + 1;
}

static void mirror(int64_t lo, int64_t hi, void *arg) {
    int64_t *a = arg;
    for (int64_t i = lo; i < hi; i++) a[i] = a[127 - i];
}

static void jobs_follow_each_other(void **state) {
    (void)state;
    Pool *p = pool_new(4);
    int64_t a[128] = {0};
    for (int round = 0; round < 5000; round++) {
        pool_run(p, running_sum, 64, a);
        pool_run(p, mirror, 64, a);
    }
    for (int i = 0; i < 64; i++) assert_int_equal(a[i], 5000);
    pool_free(p);
}

// Workers asleep in the futex wake up, and stop when asked to, at any moment.
static void nap(int64_t lo, int64_t hi, void *arg) {
    (void)arg;
    usleep((useconds_t)(200 * (hi - lo)));
}

static void sleepers_wake(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        Pool *p = pool_new(3);
        if (round % 2) usleep(1000);                       // all asleep
        for (int i = 0; i < round % 4; i++) pool_run(p, nap, 6, NULL), usleep(300);
        pool_free(p);
    }
}

static void huge_ranges(int64_t lo, int64_t hi, void *arg) {
    int64_t *total = arg;
    __atomic_fetch_add(total, hi - lo, __ATOMIC_RELAXED);
}

static void no_overflow(void **state) {
    (void)state;
    Pool *p = pool_new(4);
    int64_t total = 0;
    pool_run(p, huge_ranges, INT64_MAX, &total);
    assert_true(total == INT64_MAX);
    pool_free(p);
}

#ifdef __x86_64__
static void check_environment(int64_t lo, int64_t hi, void *arg) {
    (void)lo, (void)hi;
    if ((__builtin_ia32_stmxcsr() & 0xffc0) != 0x1f80) __atomic_store_n((int *)arg, 1, __ATOMIC_RELAXED);
}

static void floating_point_environment(void **state) {
    (void)state;
    unsigned before = __builtin_ia32_stmxcsr(), odd = 0x1f80 | 0x8040 | 0x6000;      // FTZ, DAZ, towards zero
    __builtin_ia32_ldmxcsr(odd);
    Pool *p = pool_new(4);                                  // its threads inherit the odd state
    int wrong = 0;
    for (int i = 0; i < 200; i++) pool_run(p, check_environment, i, &wrong);
    unsigned after = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(before);
    assert_int_equal(wrong, 0);
    assert_int_equal(after & 0xffc0, odd);
    pool_free(p);
}
#else
static void floating_point_environment(void **state) { (void)state; skip(); }
#endif

static void fewer_threads_than_asked(void **state) {
    (void)state;
#ifdef TVC_SANITIZE
    skip();                                                 // they reserve terabytes of address space
#else
    struct rlimit old, tight;
    assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
    tight = old, tight.rlim_cur = (rlim_t)64 << 20;         // room for some 8 MB stacks only
    assert_int_equal(setrlimit(RLIMIT_AS, &tight), 0);
    Pool *p = pool_new(200);
    setrlimit(RLIMIT_AS, &old);
    assert_non_null(p);
    assert_true(pool_threads(p) >= 1 && pool_threads(p) < 200);
    int of[1000] = {0};
    pool_run(p, count, 1000, &(Counts){of, 1000});
    for (int i = 0; i < 1000; i++) assert_int_equal(of[i], 1);
    pool_free(p);
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_unit_once),
        cmocka_unit_test(jobs_follow_each_other),
        cmocka_unit_test(sleepers_wake),
        cmocka_unit_test(no_overflow),
        cmocka_unit_test(floating_point_environment),
        cmocka_unit_test(fewer_threads_than_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
