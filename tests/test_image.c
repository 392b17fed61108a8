// test_image.c -- decoding: the cases that need no Pillow to be judged, and hostile bytes.
#include "data/image.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <unistd.h>

static const ImageOptions AS_IS = {0, false}, RGB = {3, false}, GREY = {1, false};

typedef struct Bytes { const void *p; size_t n; } Bytes;
#define BYTES(text) ((Bytes){text, sizeof(text) - 1})

static void expect(Bytes b, const ImageOptions *o, int w, int h, int c, const char *pixels) {
    Image im = {0};
    Fault f = {0};
    if (image_decode(b.p, b.n, o, &im, &f)) fail_msg("%s", f.text);
    assert_int_equal(im.width, w);
    assert_int_equal(im.height, h);
    assert_int_equal(im.channels, c);
    assert_memory_equal(im.pixel, pixels, (size_t)(w * h * c));
    image_free(&im);
}

static void refuse(Bytes b, Err code, const char *word) {
    Image im = {0};
    Fault f = {0};
    assert_true(image_decode(b.p, b.n, &AS_IS, &im, &f));
    assert_int_equal(f.code, code);
    if (!strstr(f.text, word)) fail_msg("'%s' does not say '%s'", f.text, word);
    image_free(&im);
}

static void reads_pnm(void **state) {
    (void)state;
    expect(BYTES("P6 2 1 255\nabcdef"), &AS_IS, 2, 1, 3, "abcdef");
    expect(BYTES("P5 # grey\n2 2\n255\nwxyz"), &AS_IS, 2, 2, 1, "wxyz");
    expect(BYTES("P5 2 1 255\nab"), &RGB, 2, 1, 3, "aaabbb");
    expect(BYTES("P3 1 1 255 255 0 0"), &GREY, 1, 1, 1, "\x4c");
    expect(BYTES("P1 3 1 10 1"), &AS_IS, 3, 1, 1, "\0\xff\0");
    expect(BYTES("P4 3 1\n\xa0"), &AS_IS, 3, 1, 1, "\0\xff\0");
    expect(BYTES("P2 2 1 15 0 15"), &AS_IS, 2, 1, 1, "\0\xff");
}

static void reads_bmp(void **state) {
    (void)state;
    expect(BYTES("BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\1\0\0\0\1\0\0\0\1\0\x18\0\0\0\0\0\4\0\0\0\0\0\0\0"
                 "\0\0\0\0\0\0\0\0\0\0\0\0" "cba\0"), &AS_IS, 1, 1, 3, "abc");
}

static void refuses_what_is_damaged(void **state) {
    (void)state;
    refuse(BYTES(""), E_MALFORMED, "empty");
    refuse(BYTES("hello"), E_MALFORMED, "not an image");
    refuse(BYTES("GIF89a......"), E_UNSUPPORTED, "GIF");
    refuse(BYTES("P6 2 1 255\nabcde"), E_MALFORMED, "truncated");
    refuse(BYTES("P6 99999 99999 255\nabcde"), E_MALFORMED, "truncated");
    refuse(BYTES("P6 0 1 255\n"), E_MALFORMED, "0 x 1");
    refuse(BYTES("P2 1 1 255 256"), E_MALFORMED, "above its maximum");
    refuse(BYTES("\xff\xd8\xff\xc0\0\x0b\x08\0\1\0\1\1\1\x11\0"), E_MALFORMED, "truncated");
    refuse(BYTES("\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\3\1\x11\0\2\x11\0\3\x11\0\xff\xd9"), E_LIMIT, "pixels");
    refuse(BYTES("\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"), E_MALFORMED, "PNG");
    refuse(BYTES("RIFF\xff\xff\xff\xffWEBPVP8 "), E_MALFORMED, "WebP");
    refuse(BYTES("BM"), E_MALFORMED, "truncated");
}

static void names_the_file(void **state) {
    (void)state;
    Image im = {0};
    Fault f = {0};
    assert_true(image_load("/nonexistent/cat.jpg", &AS_IS, &im, &f));
    assert_int_equal(f.code, E_IO);
    assert_true(image_load("/", &AS_IS, &im, &f));
    assert_int_equal(f.code, E_IO);
    image_free(&im);
}

typedef struct Reading { Cx *cx; const char *path; Image im; } Reading;
static void read_it(void *arg) {
    Reading *r = arg;
    image_read(r->cx, r->path, &AS_IS, &r->im);
}

static void fails_with_the_name(void **state) {
    (void)state;
    Reading r = {.cx = cx_new(), .path = "/nonexistent/cat.jpg"};
    assert_false(cx_guard(r.cx, read_it, &r));
    assert_string_equal(r.cx->error, "image '/nonexistent/cat.jpg': No such file or directory");
    assert_int_equal(r.cx->code, E_IO);
    image_free(&r.im);
    cx_free(r.cx);
}

// Memory is reused: a large image, then a small one, then a failure, then another.
static void one_image_serves_many(void **state) {
    (void)state;
    Image im = {0};
    Fault f = {0};
    Bytes large = BYTES("P5 4 3 255\nabcdefghijkl"), small = BYTES("P5 1 1 255\nz"), bad = BYTES("P5 4 4 255\nz");
    for (int i = 0; i < 3; i++) {
        assert_false(image_decode(large.p, large.n, &RGB, &im, &f));
        assert_memory_equal(im.pixel + 33, "lll", 3);
        assert_false(image_decode(small.p, small.n, &AS_IS, &im, &f));
        assert_int_equal(im.pixel[0], 'z');
        assert_true(image_decode(bad.p, bad.n, &AS_IS, &im, &f));
    }
    image_free(&im);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_pnm),       cmocka_unit_test(reads_bmp),
        cmocka_unit_test(refuses_what_is_damaged), cmocka_unit_test(names_the_file),
        cmocka_unit_test(fails_with_the_name),     cmocka_unit_test(one_image_serves_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
