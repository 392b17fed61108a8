// Checkpoints: written and read back; damaged at every byte, cut at every length, and the one before;
// a disk that is full.
#include "train/checkpoint.h"
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>
#undef fail

static const float weights[6] = {1, 2, 3, 4, 5, 6};
static const int64_t step_number = 41;
static char path[64];

static Checkpoint sample(void) {
    static Entry e[3];
    e[0] = (Entry){"slot/w", {.type = DT_F32, .rank = 2, .dim = {2, 3}}, weights};
    e[1] = (Entry){"run/step", {.type = DT_I64}, &step_number};
    e[2] = (Entry){"empty", {.type = DT_F64, .rank = 1, .dim = {0}}, NULL};
    return (Checkpoint){3, e};
}

typedef struct Reading { Cx *cx; Bytes bytes; Checkpoint c; } Reading;

static void read_path(void *r) { ((Reading *)r)->c = checkpoint_read(((Reading *)r)->cx, path); }
static void parse(void *reading) {
    Reading *r = reading;
    r->c = checkpoint_parse(r->cx, "bytes", r->bytes);
}

static void check_sample(const Checkpoint *c) {
    const Entry *w = checkpoint_find(c, "slot/w"), *s = checkpoint_find(c, "run/step"),
                *e = checkpoint_find(c, "empty");
    assert_true(c->n == 3 && w && s && e && !checkpoint_find(c, "slot"));
    assert_memory_equal(w->data, weights, sizeof weights);
    assert_memory_equal(s->data, &step_number, sizeof step_number);
    assert_int_equal(w->desc.dim[1], 3);
}

static void write_sample(void) {
    Checkpoint c = sample();
    Fault f;
    assert_true(checkpoint_write(path, &c, &f));
}

static void there_and_back(void **state) {
    (void)state;
    write_sample();
    Reading r = {.cx = cx_new()};
    assert_true(cx_guard(r.cx, read_path, &r));
    check_sample(&r.c);
    cx_free(r.cx);
}

static uint8_t *load(size_t *n) {
    static uint8_t bytes[4096];
    FILE *f = fopen(path, "rb");
    *n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    return bytes;
}

static void store(const uint8_t *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_true(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
}

static void damaged(void **state) {
    (void)state;
    size_t n;
    write_sample();
    uint8_t *bytes = load(&n);
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 2; k++) {
            Reading r = {.cx = cx_new(), .bytes = {bytes, k ? i : n}};
            bytes[i] ^= k ? 0 : 0x41;
            assert_false(cx_guard(r.cx, parse, &r));
            assert_int_equal(r.cx->code, E_MALFORMED);
            bytes[i] ^= k ? 0 : 0x41;
            cx_free(r.cx);
        }
}

// The newer one is damaged: the one before is taken. Both are: an error.
static void generations(void **state) {
    (void)state;
    write_sample(), write_sample();
    size_t n;
    uint8_t *bytes = load(&n);
    store(bytes, n / 2);
    Reading r = {.cx = cx_new()};
    assert_true(cx_guard(r.cx, read_path, &r));
    check_sample(&r.c);
    cx_free(r.cx);
    char former[80];
    snprintf(former, sizeof former, "%s.1", path);
    unlink(former);
    r = (Reading){.cx = cx_new()};
    assert_false(cx_guard(r.cx, read_path, &r));
    assert_int_equal(r.cx->code, E_MALFORMED);
    cx_free(r.cx);
}

// A file that may not grow is a disk that is full.
static void full_disk(void **state) {
    (void)state;
    struct rlimit before, small = {100, 100};
    write_sample();
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    Checkpoint c = sample();
    Fault f;
    bool written = checkpoint_write(path, &c, &f);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_false(written);
    assert_int_equal(f.code, E_IO);
    there_and_back(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(there_and_back), cmocka_unit_test(damaged),
                                       cmocka_unit_test(generations), cmocka_unit_test(full_disk)};
    char folder[] = "/tmp/tvc-checkpoint-XXXXXX", former[80];
    if (!mkdtemp(folder)) return 1;
    snprintf(path, sizeof path, "%s/last.ckpt", folder);
    snprintf(former, sizeof former, "%s.1", path);
    int failed = cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
    unlink(path), unlink(former), rmdir(folder);
    return failed;
}
