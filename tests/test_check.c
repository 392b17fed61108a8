// test_check.c -- looking over a dataset: everything that is wrong with this one is found.
#include "data/check.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "tree.h"

typedef struct Job { Cx *cx; const char *path; CheckOptions o; DataCheck c; } Job;

static void check(void *arg) {
    Job *j = arg;
    j->c = data_check(j->cx, j->path, &j->o);
}

static int set_up(void **state) {
    if (tree_new(state)) return -1;
    tree_picture("p/train/a/1.pgm", 40, 1), tree_picture("p/train/a/2.pgm", 40, 2),
        tree_picture("p/train/a/3.pgm", 40, 2);
    tree_picture("p/train/b/4.pgm", 40, 4), tree_picture("p/train/b/5.pgm", 40, 1),
        tree_text("p/train/b/6.png", "no image");
    tree_picture("p/val/a/7.pgm", 40, 4), tree_picture("p/val/a/8.pgm", 9, 8),
        tree_text("p/val/b/9.ppm", "P6 1 1 255\nrgb");
    tree_text("p/val/c/readme", "empty");
    return 0;
}

static void finds_it_all(void **state) {
    (void)state;
    for (int threads = 1; threads < 4; threads++) {
        Job j = {.cx = cx_new(), .path = tree_path("p"), .o = {.tiny = 16, .threads = threads}};
        if (!cx_guard(j.cx, check, &j)) fail_msg("%s", j.cx->error);
        const DataCheck *c = &j.c;
        assert_int_equal(c->data.nproblem, 1);
        assert_non_null(strstr(c->data.problem[0], "'c' is in val, but not in train"));
        assert_int_equal(c->count[0][0], 3);
        assert_int_equal(c->count[1][1], 1);
        assert_int_equal(c->nbad, 1);
        assert_string_equal(check_example(c, c->bad[0].at)->picture.path, tree_path("p/train/b/6.png"));
        assert_non_null(strstr(c->bad[0].why, "not an image"));
        assert_int_equal(c->ntwins, 3);
        assert_int_equal(c->nleak, 1);
        assert_string_equal(check_example(c, c->twins[0].first)->picture.path, tree_path("p/train/b/4.pgm"));
        assert_string_equal(check_example(c, c->twins[0].second)->picture.path, tree_path("p/val/a/7.pgm"));
        assert_string_equal(check_example(c, c->twins[1].second)->picture.path, tree_path("p/train/b/5.pgm"));
        assert_string_equal(check_example(c, c->twins[2].first)->picture.path, tree_path("p/train/a/2.pgm"));
        assert_int_equal(c->nconflict, 2);
        assert_int_equal(c->ntiny, 2);
        assert_int_equal(c->grey, 7);
        assert_int_equal(c->colour, 1);
        assert_int_equal(c->rotated, 0);
        cx_free(j.cx);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(finds_it_all)};
    return cmocka_run_group_tests(tests, set_up, tree_remove);
}
