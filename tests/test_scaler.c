// The scale of the loss against torch.cuda.amp.GradScaler's rules: torch._amp_update_scale_(scale, growth_tracker,
// found_inf, 2.0, 0.5, 2000) gives these very numbers.
#include "train/scaler.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

static void follow(Scaler *s, const ScaleOptions *o, int steps, bool finite) {
    for (int i = 0; i < steps; i++) assert_true(scaler_next(s, o, finite));
}

static void grows_and_backs_off(void **state) {
    (void)state;
    Scaler s = scaler_new(&scale_usual);
    assert_true(s.scale == 65536);
    follow(&s, &scale_usual, 1999, true);
    assert_true(s.scale == 65536 && s.good == 1999);
    follow(&s, &scale_usual, 1, true);
    assert_true(s.scale == 131072 && s.good == 0);
    follow(&s, &scale_usual, 1500, true);
    follow(&s, &scale_usual, 1, false);
    assert_true(s.scale == 65536 && s.good == 0 && s.skipped == 1);
    follow(&s, &scale_usual, 1999, true);
    assert_true(s.scale == 65536);
    follow(&s, &scale_usual, 1, true);
    assert_true(s.scale == 131072);
}

static void ends_somewhere(void **state) {
    (void)state;
    Scaler s = scaler_new(&scale_usual);
    follow(&s, &scale_usual, 29, false);
    assert_true(s.scale == 0x1p-13);
    assert_false(scaler_next(&s, &scale_usual, false));
    assert_true(s.scale == 0x1p-13 && s.skipped == 29);
    follow(&s, &scale_usual, 1, true);
}

static void without(void **state) {
    (void)state;
    ScaleOptions none = {0}, fixed = {.on = true, .fixed = true, .first = 1000};
    Scaler a = scaler_new(&none), b = scaler_new(&fixed);
    assert_true(a.scale == 1 && b.scale == 1000);
    follow(&a, &none, 5000, true), follow(&b, &fixed, 5000, true);
    assert_true(a.scale == 1 && b.scale == 1000);
    assert_false(scaler_next(&a, &none, false));
    assert_false(scaler_next(&b, &fixed, false));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(grows_and_backs_off), cmocka_unit_test(ends_somewhere), cmocka_unit_test(without)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
