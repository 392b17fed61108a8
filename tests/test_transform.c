// test_transform.c -- changes of images by hand-computed pixels, and lists of random ones.
// (transforms.py compares every one with torchvision.)
#include "data/augment.h"
#include "data/transform.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static Image image(int width, int height, int channels, const char *pixels) {
    Image im = {0};
    Fault f;
    assert_int_equal(image_reserve(&im, width, height, channels, &f), E_OK);
    memcpy(im.pixel, pixels, (size_t)(width * height * channels));
    return im;
}

static void expect(const Image *im, int width, int height, const char *pixels) {
    assert_int_equal(im->width, width);
    assert_int_equal(im->height, height);
    assert_memory_equal(im->pixel, pixels, (size_t)(width * height * im->channels));
}

static void moves_pixels(void **state) {
    (void)state;
    Fault f;
    Image im = image(3, 2, 1, "abc" "def"), out = {0};
    assert_int_equal(image_window(&im, (Box){-1, 1, 5, 2}, &out, &f), E_OK);
    expect(&out, 5, 2, "\0def\0" "\0\0\0\0\0");
    assert_int_equal(image_window(&im, (Box){7, 7, 2, 1}, &out, &f), E_OK);
    expect(&out, 2, 1, "\0\0");
    image_flip_across(&im);
    expect(&im, 3, 2, "cba" "fed");
    image_flip_down(&im);
    expect(&im, 3, 2, "fed" "cba");
    assert_int_equal(image_rotate(&im, 180, &out, &f), E_OK);
    expect(&out, 3, 2, "abc" "def");
    assert_int_equal(image_rotate(&im, -360, &out, &f), E_OK);
    expect(&out, 3, 2, "fed" "cba");
    image_free(&im);
    im = image(2, 2, 3, "aaabbb" "cccddd");
    assert_int_equal(image_rotate(&im, 90, &out, &f), E_OK);
    expect(&out, 2, 2, "bbbddd" "aaaccc");
    assert_int_equal(image_rotate(&im, -90, &out, &f), E_OK);
    expect(&out, 2, 2, "cccaaa" "dddbbb");
    image_free(&im), image_free(&out);
}

static void changes_colours(void **state) {
    (void)state;
    Image im = image(1, 2, 3, "\x64\x32\xc8" "\x0a\x0a\x0a");
    image_brightness(&im, 1.5);
    expect(&im, 1, 2, "\x96\x4b\xff" "\x0f\x0f\x0f");
    image_saturation(&im, 0);                                    // 150 .299 + 75 .587 + 255 .114 = 118
    expect(&im, 1, 2, "\x76\x76\x76" "\x0f\x0f\x0f");
    image_contrast(&im, 0);                                      // (118 + 15) / 2 + 1/2 = 67
    expect(&im, 1, 2, "\x43\x43\x43" "\x43\x43\x43");
    image_free(&im);
    im = image(1, 1, 3, "\xff\0\0");
    image_hue(&im, 1.0 / 3);
    expect(&im, 1, 1, "\0\xff\0");
    image_free(&im);
}

// ---- lists ----

typedef struct Job { Cx *cx; const char *list; ImageInput in; Augment a; } Job;
static void parse(void *arg) { Job *j = arg; j->a = augment_parse(j->cx, j->list, &j->in); }

static void reads_lists(void **state) {
    (void)state;
    static const struct { int side; const char *list, *text; } good[] = {
        {224, "none", "none"}, {224, "basic", "resized-crop(0.5-1,0.75-1.3333333333333333),hflip(0.5)"},
        {32, "basic", "pad(4),crop,hflip(0.5)"}, {32, " vflip , rotate( 15 )", "vflip(0.5),rotate(15)"},
        {32, "jitter(0.4)", "jitter(0.4,0,0,0)"}, {32, "resize(40),center-crop", "resize(40),center-crop"}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        Job j = {.cx = cx_new(), .list = good[i].list, .in = {3, good[i].side, good[i].side, false}};
        if (!cx_guard(j.cx, parse, &j)) fail_msg("%s", j.cx->error);
        assert_string_equal(augment_text(j.cx, &j.a), good[i].text);
        assert_int_equal(j.a.sizes, !!strstr(good[i].text, "resize"));
        cx_free(j.cx);
    }
}

static void refuses_lists(void **state) {
    (void)state;
    static const struct { const char *list, *words; } bad[] = {
        {"", "wants none, basic or steps"}, {"flip", "wants none, basic or steps"}, {"hflip,", "wants none"},
        {"hflip(1.1)", "hflip wants numbers from 0 to 1"}, {"pad", "0 numbers for pad"}, {"rotate(1,2)", "2 numbers for rotate"},
        {"jitter(1,1,1,1,1)", "too many numbers"}, {"pad(3", "bracket"}, {"resize(20)", "less than the model's 32 x 32"},
        {"jitter(0,0,0,0.6)", "hue"}, {"resized-crop(1-0.5)", "resized-crop wants"}, {"pad(0.5)", "whole numbers"},
        {"hflip vflip", "comma"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Job j = {.cx = cx_new(), .list = bad[i].list, .in = {3, 32, 32, false}};
        assert_false(cx_guard(j.cx, parse, &j));
        assert_int_equal(j.cx->code, E_USAGE);
        if (!strstr(j.cx->error, bad[i].words)) fail_msg("'%s' lacks '%s'", j.cx->error, bad[i].words);
        cx_free(j.cx);
    }
}

// ---- what is drawn ----

static void crops_fit(void **state) {
    (void)state;
    const double area[] = {0.08, 1}, ratio[] = {3.0 / 4, 4.0 / 3};
    static const int size[][2] = {{500, 375}, {1, 1}, {1000, 10}, {10, 1000}, {3, 2}, {1, 100000}};
    double mean = 0;
    for (int k = 0; k < 6; k++)
        for (uint64_t i = 0; i < 2000; i++) {
            Draw d = draw_from(1, DRAW_AUGMENT, 0, i);
            Box b = resized_crop_box(&d, area, ratio, size[k][0], size[k][1]);
            assert_true(b.width > 0 && b.height > 0 && b.x >= 0 && b.y >= 0);
            assert_true(b.x + b.width <= size[k][0] && b.y + b.height <= size[k][1]);
            if (k == 0) mean += b.width * b.height / (500.0 * 375 * 2000);
        }
    assert_true(mean > 0.40 && mean < 0.54);                     // of 0.08..1, the largest drawn again where they do not fit
}

static void draws_evenly(void **state) {
    (void)state;
    int count[10] = {0};
    double sum = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        Draw d = draw_from(5, DRAW_AUGMENT, 1, i), same = draw_from(5, DRAW_AUGMENT, 1, i);
        int64_t v = draw_below(&d, 10);
        assert_int_equal(v, draw_below(&same, 10));
        count[v]++;
        sum += draw_between(&d, -1, 3);
    }
    for (int i = 0; i < 10; i++) assert_in_range(count[i], 880, 1120);
    assert_true(fabs(sum / 10000 - 1) < 0.05);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moves_pixels),  cmocka_unit_test(changes_colours), cmocka_unit_test(reads_lists),
        cmocka_unit_test(refuses_lists), cmocka_unit_test(crops_fit),       cmocka_unit_test(draws_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
