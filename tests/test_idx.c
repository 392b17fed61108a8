// test_idx.c -- idx files, and the list of pictures made from what the command line names.
#include "data/gather.h"
#include "data/idx.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static char folder[] = "/tmp/tvc-idx-XXXXXX";

static const char *in_folder(const char *name) {
    static char path[4][256];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, 256, "%s/%s", folder, name);
    return p;
}

static void write_file(const char *name, const void *p, size_t n, bool gz) {
    gzFile f = gzopen(in_folder(name), gz ? "wb" : "wbT");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, p, (unsigned)n), (int)n);
    assert_int_equal(gzclose(f), Z_OK);
}

static const char images[] = "\0\0\x08\3\0\0\0\4\0\0\0\1\0\0\0\2" "aabbccdd", labels[] = "\0\0\x08\1\0\0\0\4" "\1\2\3\4";

static int set_up(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    write_file("x-images-idx3-ubyte.gz", images, sizeof images - 1, true);
    write_file("x-images-idx3-ubyte", images, sizeof images - 1, false);
    write_file("x-labels-idx1-ubyte.gz", labels, sizeof labels - 1, true);
    write_file("short.gz", images, sizeof images - 3, true);
    write_file("huge", "\0\0\x08\3\xff\xff\xff\xff\0\1\0\0\0\1\0\0", 16, false);
    mkdir(in_folder("tree"), 0700);
    mkdir(in_folder("tree/b"), 0700);
    mkdir(in_folder("empty"), 0700);
    static const char *const files[] = {"tree/c.PPM", "tree/a.png", "tree/b/z.jpg", "tree/b/.hidden.jpg", "tree/notes.txt"};
    for (int i = 0; i < 5; i++) write_file(files[i], "P5 1 1 255\nx", 12, false);
    return symlink("..", in_folder("tree/b/up"));
}

static int tear_down(void **state) {
    (void)state;
    static const char *const all[] = {"x-images-idx3-ubyte.gz", "x-images-idx3-ubyte", "x-labels-idx1-ubyte.gz", "short.gz",
        "huge", "tree/c.PPM", "tree/a.png", "tree/b/z.jpg", "tree/b/.hidden.jpg", "tree/notes.txt", "tree/b/up"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) unlink(in_folder(all[i]));
    rmdir(in_folder("tree/b")), rmdir(in_folder("tree")), rmdir(in_folder("empty"));
    return rmdir(folder);
}

typedef struct Job { Cx *cx; const char *path; int64_t first, last; IdxImages images; IdxLabels labels; Pictures list; } Job;
static void get_images(void *a) { Job *j = a; j->images = idx_images(j->cx, j->path, j->first, j->last); }
static void get_labels(void *a) { Job *j = a; j->labels = idx_labels(j->cx, j->path); }
static void gather(void *a) { Job *j = a; j->list = gather_pictures(j->cx, 1, &j->path); }

static void reads_a_range(void **state) {
    (void)state;
    static const char *const names[] = {"x-images-idx3-ubyte.gz", "x-images-idx3-ubyte"};
    for (int i = 0; i < 2; i++) {
        Job j = {.cx = cx_new(), .path = in_folder(names[i]), .first = 1, .last = 2};
        if (!cx_guard(j.cx, get_images, &j)) fail_msg("%s", j.cx->error);
        assert_int_equal(j.images.total, 4);
        assert_int_equal(j.images.count, 2);
        assert_memory_equal(j.images.pixel, "bbcc", 4);
        j.first = 0, j.last = -1;
        assert_true(cx_guard(j.cx, get_images, &j));
        assert_memory_equal(j.images.pixel, "aabbccdd", 8);
        cx_free(j.cx);
    }
}

static void reads_labels(void **state) {
    (void)state;
    Job j = {.cx = cx_new()};
    j.path = idx_labels_path(j.cx, in_folder("x-images-idx3-ubyte.gz"));
    assert_non_null(j.path);
    assert_true(cx_guard(j.cx, get_labels, &j));
    assert_int_equal(j.labels.count, 4);
    assert_memory_equal(j.labels.label, "\1\2\3\4", 4);
    assert_null(idx_labels_path(j.cx, "photo.jpg"));
    cx_free(j.cx);
}

static void refuses(void **state) {
    (void)state;
    static const struct { const char *name; int64_t first, last; Err code; } bad[] = {
        {"x-images-idx3-ubyte.gz", 2, 4, E_USAGE}, {"short.gz", 0, 3, E_MALFORMED},
        {"x-labels-idx1-ubyte.gz", 0, 0, E_MALFORMED}, {"huge", 0, -1, E_MALFORMED}, {"nothing", 0, 0, E_IO}, {"tree", 0, 0, E_IO}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Job j = {.cx = cx_new(), .path = in_folder(bad[i].name), .first = bad[i].first, .last = bad[i].last};
        assert_false(cx_guard(j.cx, get_images, &j));
        assert_int_equal(j.cx->code, bad[i].code);
        assert_non_null(strstr(j.cx->error, bad[i].name));
        cx_free(j.cx);
    }
}

static void gathers_a_folder(void **state) {
    (void)state;
    Job j = {.cx = cx_new(), .path = in_folder("tree/")};
    if (!cx_guard(j.cx, gather, &j)) fail_msg("%s", j.cx->error);
    assert_int_equal(j.list.n, 3);                               // the link that leads back up is not followed
    assert_string_equal(j.list.at[0].path, in_folder("tree/a.png"));
    assert_string_equal(j.list.at[1].path, in_folder("tree/b/z.jpg"));
    assert_string_equal(j.list.at[2].path, in_folder("tree/c.PPM"));
    cx_free(j.cx);
}

static void gathers_idx(void **state) {
    (void)state;
    Job j = {.cx = cx_new(), .path = in_folder("x-images-idx3-ubyte.gz:1-3")};
    if (!cx_guard(j.cx, gather, &j)) fail_msg("%s", j.cx->error);
    assert_int_equal(j.list.n, 3);
    assert_string_equal(j.list.at[2].name, in_folder("x-images-idx3-ubyte.gz:3"));
    Image im = {0};
    Fault f;
    assert_int_equal(picture_load(&j.list.at[2], &(ImageOptions){3, false}, &im, &f), E_OK);
    assert_memory_equal(im.pixel, "dddddd", 6);
    image_free(&im);
    cx_free(j.cx);
}

static void refuses_to_gather(void **state) {
    (void)state;
    static const struct { const char *name; Err code; } bad[] = {
        {"empty", E_DATASET}, {"nothing.jpg", E_IO}, {"x-images-idx3-ubyte.gz:3-9", E_USAGE}, {"x-images-idx3-ubyte.gz:3-1", E_IO},
        {"x-images-idx3-ubyte.gz:99999999999999999999-1", E_IO}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Job j = {.cx = cx_new(), .path = in_folder(bad[i].name)};
        assert_false(cx_guard(j.cx, gather, &j));
        assert_int_equal(j.cx->code, bad[i].code);
        cx_free(j.cx);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_range),    cmocka_unit_test(reads_labels), cmocka_unit_test(refuses),
        cmocka_unit_test(gathers_a_folder), cmocka_unit_test(gathers_idx),  cmocka_unit_test(refuses_to_gather),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
