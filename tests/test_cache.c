// The cache of compiled code: what is in it is believed only where its seal fits, and it does not grow without end; what cannot
// be kept is a note.
#include "codegen/cache.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <setjmp.h>
#include <cmocka.h>
#undef fail                            // ours gives up on the request

static char folder[] = "/tmp/tvc-cache-XXXXXX";
static char notes[4096];

static void note(void *user, const char *line) {
    (void)user;
    strncat(notes, line, sizeof notes - strlen(notes) - 1), strcat(notes, "\n");
}

static void in_request(void (*fn)(void *)) {
    Cx *cx = cx_new();
    cx->log = note, *notes = 0;
    bool ok = cx_guard(cx, fn, cx);
    if (!ok) print_error("%s\n", cx->error);
    cx_free(cx);
    assert_true(ok);
}

static void put(const char *path, const void *data, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static Bytes copy(Cx *cx, const char *path) {
    Bytes b = file_map(cx, path);
    return (Bytes){memcpy(cx_alloc(cx, b.n), b.at, b.n), b.n};
}

// ---- files ----

static void sealed(void *arg) {
    Cx *cx = arg;
    const char *path = cache_path(cx, folder, 1, 2);
    Bytes piece[] = {{(const uint8_t *)"one", 3}, {(const uint8_t *)"two!", 4}}, b = cache_take(cx, path);
    assert_int_equal(b.n, 0);
    assert_true(cache_keep(cx, path, piece, 2));
    b = cache_take(cx, path);
    assert_int_equal(b.n, 7);
    assert_memory_equal(b.at, "onetwo!", 7);
    Bytes whole = copy(cx, path);
    uint8_t *at = cx_alloc(cx, whole.n);
    for (size_t i = 0; i < whole.n; i++) {                       // any bit, any length
        memcpy(at, whole.at, whole.n), at[i] ^= (uint8_t)(1 << i % 8);
        put(path, at, whole.n);
        assert_int_equal(cache_take(cx, path).n, 0);
        put(path, whole.at, i);
        assert_int_equal(cache_take(cx, path).n, 0);
    }
    unlink(path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(cache_take(cx, path).n, 0);
    unlink(path);
}

static void test_sealed(void **state) { (void)state, in_request(sealed); }

static int files(void) {
    DIR *d = opendir(folder);
    int n = 0;
    for (const struct dirent *e; (e = readdir(d));) n += strstr(e->d_name, ".code") != NULL;
    closedir(d);
    return n;
}

static void trimmed(void *arg) {
    Cx *cx = arg;
    Bytes piece = {(const uint8_t *)"0123456789", 10};
    for (uint64_t i = 0; i < 5; i++) {
        const char *path = cache_path(cx, folder, 3, i);
        struct timespec t[2] = {{.tv_sec = 1000 - (time_t)i}, {.tv_sec = 1000 - (time_t)i}};
        assert_true(cache_keep(cx, path, &piece, 1));
        utimensat(AT_FDCWD, path, t, 0);
    }
    assert_int_equal(cache_take(cx, cache_path(cx, folder, 3, 4)).n, 10);       // the oldest becomes the newest
    cache_trim(cx, folder, ".code", NULL, 3 * (10 + CACHE_SEAL));
    assert_int_equal(files(), 3);
    const int stays[] = {4, 0, 1};
    for (int i = 0; i < 3; i++) assert_int_equal(cache_take(cx, cache_path(cx, folder, 3, (uint64_t)stays[i])).n, 10);
    cache_trim(cx, folder, ".code", cache_path(cx, folder, 3, 0), 0);
    assert_int_equal(files(), 1);
    cache_trim(cx, folder, ".code", NULL, 0);
    assert_int_equal(*notes, 0);
    assert_false(cache_keep(cx, cx_fmt(cx, "%s/none/x.code", folder), &piece, 1));
    assert_non_null(strstr(notes, "not kept"));
}

static void test_trimmed(void **state) { (void)state, in_request(trimmed); }

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sealed), cmocka_unit_test(test_trimmed)};
    if (!mkdtemp(folder)) return 1;
    int bad = cmocka_run_group_tests(tests, NULL, NULL);
    return rmdir(folder) ? 1 : bad;
}
