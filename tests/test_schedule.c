// Schedules against the numbers of PyTorch's schedulers (torch.optim.lr_scheduler, base rate 1), and formulas.
#include "train/formula.h"
#include "train/schedule.h"
#include <setjmp.h>
#include <cmocka.h>

static const double step[] = {1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125};
static const double multi[] = {1, 1, 0.20000000000000001, 0.20000000000000001, 0.20000000000000001,
    0.040000000000000008, 0.040000000000000008, 0.0080000000000000019, 0.0080000000000000019, 0.0080000000000000019};
static const double exponential[] = {1, 0.90000000000000002, 0.81000000000000005, 0.72900000000000009,
    0.65610000000000013, 0.59049000000000018, 0.53144100000000016, 0.47829690000000014, 0.43046721000000016,
    0.38742048900000015};
static const double cosine[] = {1, 0.9757729755661011, 0.90546341221559901, 0.79595369988477427, 0.65796341221559906,
    0.505, 0.35203658778440106, 0.21404630011522585, 0.10453658778440106, 0.034227024433899002};
static const double lambda[] = {1, 0.94999999999999996, 0.90249999999999997, 0.85737499999999989,
    0.81450624999999988, 0.77378093749999977, 0.7350918906249998, 0.69833729609374973, 0.66342043128906225,
    0.63024940972460908};
static const double warm[] = {0.01, 0.13375000000000001, 0.25750000000000001, 0.38125000000000003, 0.505,
    0.62875000000000003, 0.75250000000000006, 0.87624999999999997};
static const double cycle[] = {0.040000000000000036, 0.1316718427000253, 0.37167184270002529, 0.66832815729997475,
    0.90832815729997474, 1, 0.98746400623508734, 0.95048463201347366, 0.89091617757105002, 0.81174565394976306,
    0.71694300179130077, 0.61126202193628931, 0.50000199999999995, 0.38874197806371075, 0.28306099820869923,
    0.18825834605023697, 0.10908782242895004, 0.049519367986526286, 0.012539993764912554, 3.9999999999999998e-06};
static const double cycle_momentum[] = {0.94999999999999996, 0.94045084971874737, 0.91545084971874735,
    0.88454915028125258, 0.85954915028125256, 0.84999999999999998, 0.8512536043909088, 0.85495155660487898,
    0.86090842587659844, 0.86882550990706331, 0.87830581304412203, 0.88887395330218422, 0.89999999999999991,
    0.91112604669781572, 0.9216941869558779, 0.93117449009293662, 0.9390915741234015, 0.94504844339512095,
    0.94874639560909113, 0.94999999999999996};
static const double plateau[] = {1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25};
static const double loss[] = {1, 0.9, 0.9, 0.9, 0.9, 0.8, 0.79999, 0.79999, 0.79999, 0.79999, 0.5, 0.6};

enum { STEPS = 4 };                    // per epoch

typedef struct Asked {
    const char *text;
    int64_t epochs, warmup;
    int64_t n;                         // values; by epoch, or by step
    bool by_step;
    const double *want, *momentum, *losses;
    Cx *cx;
} Asked;

static void go(void *asked) {
    const Asked *a = asked;
    Schedule s = schedule_parse(a->cx, a->text);
    Plateau p = {INFINITY, 1, 0};
    s.epochs = a->epochs, s.warmup = a->warmup, s.steps = STEPS;
    for (int64_t i = 0; i < a->n; i++) {
        int64_t epoch = a->by_step ? i / STEPS : i + a->warmup, within = a->by_step ? i % STEPS : 0;
        double momentum, got = schedule_factor(a->cx, &s, &p, epoch, within, &momentum);
        if (fabs(got - a->want[i]) > 1e-12) fail_msg("%s: %.17g instead of %.17g at %d", a->text, got, a->want[i], (int)i);
        if (a->momentum && fabs(momentum - a->momentum[i]) > 1e-12) fail_msg("%s: momentum %g at %d", a->text, momentum, (int)i);
        if (!a->momentum) assert_true(momentum < 0);
        if (a->losses) schedule_epoch_done(&s, &p, a->losses[i]);
    }
}

static bool run(Asked a) {
    a.cx = cx_new();
    bool ok = cx_guard(a.cx, go, &a);
    if (!ok) print_message("%s\n", a.cx->error);
    cx_free(a.cx);
    return ok;
}

#define BY_EPOCH(text_, want_) run((Asked){.text = text_, .epochs = 10, .n = 10, .want = want_})

static void as_pytorch(void **state) {
    (void)state;
    assert_true(BY_EPOCH("step:3,0.5", step));
    assert_true(BY_EPOCH("multi-step:2,5,7,gamma=0.2", multi));
    assert_true(BY_EPOCH("exponential:0.9", exponential));
    assert_true(BY_EPOCH("cosine:0.01", cosine));
    assert_true(BY_EPOCH("formula:0.95^epoch", lambda));
    assert_true(run((Asked){.text = "one-cycle", .epochs = 5, .n = 20, .by_step = true, .want = cycle, .momentum = cycle_momentum}));
    assert_true(run((Asked){.text = "plateau:0.5,2", .epochs = 12, .n = 12, .want = plateau, .losses = loss}));
}

static void warm_up(void **state) {
    (void)state;
    assert_true(run((Asked){.text = "constant", .epochs = 9, .warmup = 2, .n = 8, .by_step = true, .want = warm}));
    assert_true(run((Asked){.text = "cosine:0.01", .epochs = 12, .warmup = 2, .n = 10, .want = cosine}));
    assert_true(run((Asked){.text = "step:3,0.5", .epochs = 12, .warmup = 2, .n = 10, .want = step}));
}

static void refused(void **state) {
    (void)state;
    static const char *const bad[] = {"", "cosin", "step", "step:0", "step:a", "step:1,2,3", "exponential", "multi-step", "constant:1",
                                      "formula", "formula:", "formula:epoch+", "formula:2 3", "formula:sin(1,2)", "formula:foo", "formula:log(0-1)",
                                      "formula:(((1)", "plateau:1,2,3"};
    static const double one[] = {1};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (run((Asked){.text = bad[i], .epochs = 1, .n = 1, .want = one})) fail_msg("'%s' was taken", bad[i]);
}

typedef struct Sum { Cx *cx; const char *text; double value; } Sum;

static void compute(void *sum) {
    Sum *s = sum;
    s->value = formula_value(s->cx, "formula", s->text, 1, (Variable[]){{"epoch", 3}});
}

static void formulas(void **state) {
    (void)state;
    static const struct { const char *text; double value; } cases[] = {
        {"1 + 2 * 3", 7}, {"(1+2)*3", 9}, {"-2^2", -4}, {"2^-1", 0.5}, {"2^3^2", 512}, {"8/4/2", 1}, {"5 - 3 - 1", 1}, {"epoch^2", 9},
        {"min(2, epoch) + max(2, epoch)", 5}, {"cos(pi)", -1}, {"log(e)", 1}, {"floor(2.7)", 2}, {"1e-2", 0.01}, {".5", 0.5}, {"- - 3", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Sum s = {cx_new(), cases[i].text, 0};
        assert_true(cx_guard(s.cx, compute, &s));
        if (fabs(s.value - cases[i].value) > 1e-15) fail_msg("%s is %g", s.text, s.value);
        cx_free(s.cx);
    }
    static char deep[100000];
    memset(deep, '(', sizeof deep - 1);
    Sum s = {cx_new(), deep, 0};
    assert_false(cx_guard(s.cx, compute, &s));
    memset(deep, '-', sizeof deep - 1);
    assert_false(cx_guard(s.cx, compute, &s));
    cx_free(s.cx);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_pytorch), cmocka_unit_test(warm_up), cmocka_unit_test(refused), cmocka_unit_test(formulas)};
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
