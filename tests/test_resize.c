// test_resize.c -- resizing: parts against the whole, and golden hashes taken from Pillow
// (images.py compares with Pillow itself).
#include "data/resample.h"
#include "data/resize.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <xxhash.h>

static void make(Image *im, int w, int h, int c) {
    Fault f;
    assert_false(image_reserve(im, w, h, c, &f));
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int k = 0; k < c; k++) im->pixel[(y * w + x) * c + k] = (uint8_t)(x * 7 + y * 13 + x * y * (k + 1));
}

static Box whole(int w, int h) { return (Box){0, 0, w, h}; }

static void a_part_is_a_part_of_the_whole(void **state) {
    (void)state;
    Image in = {0}, all = {0}, part = {0};
    Resizer r = {0};
    Fault f;
    for (int c = 1; c <= 3; c += 2)
        for (int how = 0; how < INTERP_COUNT; how++) {
            make(&in, 61, 47, c);
            assert_false(image_resize(&r, &in, whole(61, 47), 40, 55, (Interp)how, whole(40, 55), &all, &f));
            for (int x = 0; x < 30; x += 7)
                for (int y = 0; y < 40; y += 9) {
                    Box b = {x, y, 1 + x % 10, 1 + y % 15};
                    assert_false(image_resize(&r, &in, whole(61, 47), 40, 55, (Interp)how, b, &part, &f));
                    for (int i = 0; i < b.height; i++)
                        assert_memory_equal(part.pixel + i * b.width * c, all.pixel + ((y + i) * 40 + x) * c,
                                            (size_t)(b.width * c));
                }
        }
    image_free(&in), image_free(&all), image_free(&part), resizer_free(&r);
}

static void same_size_copies(void **state) {
    (void)state;
    Image in = {0}, out = {0};
    Resizer r = {0};
    Fault f;
    make(&in, 9, 8, 3);
    assert_false(image_resize(&r, &in, whole(9, 8), 9, 8, INTERP_LANCZOS, whole(9, 8), &out, &f));
    assert_memory_equal(out.pixel, in.pixel, 9 * 8 * 3);
    image_free(&in), image_free(&out), resizer_free(&r);
}

static void equals_pillow(void **state) {
    (void)state;
    static const struct { Interp how; uint64_t hash; } golden[] = {
        {INTERP_NEAREST, 0xda915298f1ac5c4a},
        {INTERP_LANCZOS, 0x7acda137f1377319},
        {INTERP_BILINEAR, 0x32e395e0b9561289},
        {INTERP_BICUBIC, 0xf5f0826a7826744e},
        {INTERP_BOX, 0xdfea3981b8ed9f6a},
        {INTERP_HAMMING, 0xa6b0521148c2d9fb},
    };
    Image in = {0}, out = {0};
    Resizer r = {0};
    Fault f;
    make(&in, 150, 100, 3);
    for (size_t i = 0; i < sizeof golden / sizeof *golden; i++) {
        assert_false(image_resize(&r, &in, whole(150, 100), 64, 43, golden[i].how, whole(64, 43), &out, &f));
        if (XXH64(out.pixel, 64 * 43 * 3, 0) != golden[i].hash) fail_msg("%s differs", interp_name(golden[i].how));
    }
    image_free(&in), image_free(&out), resizer_free(&r);
}

// The versions for this machine against the plain ones, on weights no filter would give.
static void versions_agree(void **state) {
    (void)state;
    enum { WIDTH = 90, HEIGHT = 7, MOST = 40 };
    static uint8_t in[WIDTH * HEIGHT * 3 + IMAGE_SLACK], plain[WIDTH * HEIGHT * 3], fast[WIDTH * HEIGHT * 3];
    static int32_t weight[30 * MOST];
    static Span span[30];
    uint32_t r = 1;
    for (size_t i = 0; i < sizeof in; i++) in[i] = (uint8_t)((r = r * 1664525 + 1013904223) >> 24);
    for (int x = 0; x < 30; x++) {
        span[x] = (Span){x * 2, x + 1};
        for (int i = 0; i <= x; i++) weight[x * MOST + i] = (int32_t)(r = r * 1664525 + 1013904223) >> 13;      // no sum overflows
    }
    for (int c = 1; c <= 3; c += 2) {
        Axis a = {30, MOST, span, weight};
        Rows rows = {in, (size_t)(WIDTH * c)};
        resample_columns_plain(&a, c, rows, HEIGHT, plain);
        if (resample_columns_avx2(&a, c, rows, HEIGHT, fast))
            assert_memory_equal(plain, fast, (size_t)(30 * HEIGHT * c));
    }
    for (size_t width = 1; width <= WIDTH; width++) {
        Rows rows = {in, WIDTH};
        resample_row_plain(weight + 6 * MOST, 7, rows, width, plain);
        if (resample_row_avx2(weight + 6 * MOST, 7, rows, width, fast)) assert_memory_equal(plain, fast, width);
    }
}

static void refuses_absurd_sizes(void **state) {
    (void)state;
    Image in = {0}, out = {0};
    Resizer r = {0};
    Fault f;
    make(&in, 2, 2, 3);
    assert_true(image_resize(&r, &in, whole(2, 2), 1 << 29, 1, INTERP_BILINEAR, whole(1, 1), &out, &f));
    assert_int_equal(f.code, E_LIMIT);
    assert_true(image_resize(&r, &in, whole(2, 2), 20000, 20000, INTERP_BILINEAR, whole(20000, 20000), &out, &f));
    assert_int_equal(f.code, E_LIMIT);
    image_free(&in), image_free(&out), resizer_free(&r);
}

static void knows_its_filters(void **state) {
    (void)state;
    Interp i;
    assert_true(interp_find("BiCubic", &i));
    assert_int_equal(i, INTERP_BICUBIC);
    assert_false(interp_find("cubist", &i));
    assert_string_equal(interp_name(INTERP_LANCZOS), "lanczos");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_is_a_part_of_the_whole), cmocka_unit_test(same_size_copies),
        cmocka_unit_test(equals_pillow), cmocka_unit_test(versions_agree), cmocka_unit_test(refuses_absurd_sizes),
        cmocka_unit_test(knows_its_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
