// test_pixels.c -- pictures that go to a device as bytes: what the graph makes of them there is what the CPU would
// have made, bit for bit, by the evaluator, compiled for the CPU, and on a GPU (the stand-ins of tests/standin/);
// flips, crops and padding said in numbers are the same as done; and on a GPU this takes no launch more.
#include "cuda_pair.h"
#include "data/augment.h"
#include "data/pixels.h"
#include "ir/eval.h"
#include "passes/train.h"

enum { USED = 3, HEIGHT = 7, WIDTH = 10 };

static uint8_t noise(int64_t i) {
    uint64_t h = (uint64_t)i * 0x9E3779B97F4A7C15u;
    h ^= h >> 31, h *= 0xBF58476D1CE4E5B9u;
    return (uint8_t)(h >> 56);
}

static void check(Cx *cx, Err e, const Fault *f) {
    if (e) fail(cx, e, "%s", f->text);
}

static Image picture(Cx *cx, int channels, int number) {
    Image im = {0};
    Fault f;
    check(cx, image_reserve(&im, WIDTH, HEIGHT, channels, &f), &f);
    for (int i = 0; i < WIDTH * HEIGHT * channels; i++) im.pixel[i] = noise(i + 1000 * number);
    return im;
}

// ---- moves, said and done ----

typedef struct Form { int channels; bool nhwc, bgr; DType type; const char *scale, *mean, *std; } Form;

static const Form usual = {3, false, false, DT_F32, "1/255", "0.485,0.456,0.406", "0.229,0.224,0.225"};

static Preparer preparer(Cx *cx, const Form *form) {
    ImageInput in = {form->channels, HEIGHT, WIDTH, form->nhwc};
    Recipe r = {0}, o = {0};
    recipe_option(cx, &o, "resize", cx_fmt(cx, "%dx%d", HEIGHT, WIDTH));
    recipe_option(cx, &o, "order", form->bgr ? "bgr" : "rgb");
    recipe_option(cx, &o, "scale", form->scale);
    recipe_option(cx, &o, "mean", form->mean), recipe_option(cx, &o, "std", form->std);
    recipe_complete(cx, &r, &o, &in);
    Preparer p;
    preparer_init(&p, &r, &in);
    return p;
}

static void moved(const Image *in, const Place place[2], Image *out) {
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            for (int c = 0; c < in->channels; c++) {
                int sy = place[0].from + y * place[0].step, sx = place[1].from + x * place[1].step;
                bool there = y >= place[0].lo && y < place[0].hi && x >= place[1].lo && x < place[1].hi;
                uint8_t *to = &out->pixel[(y * WIDTH + x) * in->channels + c];
                *to = there ? in->pixel[(sy * WIDTH + sx) * in->channels + c] : 0;
            }
}

static void check_list(Cx *cx, const char *list, int moves) {
    Preparer p = preparer(cx, &usual);
    Augment a = augment_parse(cx, list, &p.in);
    AugmentScratch s[2] = {0};
    Fault f;
    if (augment_moves(&a) != moves) fail(cx, E_CHECK, "%s: moves begin at step %d", list, augment_moves(&a));
    for (uint64_t sample = 0; sample < 60; sample++) {
        Draw done = draw_from(3, DRAW_AUGMENT, 1, sample), said = done;
        Image im = picture(cx, 3, (int)sample), copy = picture(cx, 3, (int)sample), got = picture(cx, 3, 0);
        const Image *want, *first;
        Place place[2];
        check(cx, augment_apply(&a, a.n, &p, &done, &s[0], &im, &want, &f), &f);
        check(cx, augment_apply(&a, moves, &p, &said, &s[1], &copy, &first, &f), &f);
        augment_place(&a, moves, &p.in, &said, place);
        moved(first, place, &got);
        if (done.at != said.at) fail(cx, E_CHECK, "%s: other draws", list);
        bool same = memcmp(got.pixel, want->pixel, WIDTH * HEIGHT * 3) == 0;
        if (!same) fail(cx, E_CHECK, "%s: sample %d differs", list, (int)sample);
        image_free(&im), image_free(&copy), image_free(&got);
    }
    for (int i = 0; i < 2; i++) augment_scratch_free(&s[i]);
}

static void check_lists(void *cx) {
    check_list(cx, "none", 0);
    check_list(cx, "hflip", 0);
    check_list(cx, "vflip(0.5),hflip(0.9)", 0);
    check_list(cx, "pad(4),crop,hflip", 0);
    check_list(cx, "hflip,pad(3)", 0);                                   // cropped at random in the end
    check_list(cx, "vflip,pad(2),crop,hflip,pad(9),crop,vflip,crop", 0); // what a crop cut off stays away
    check_list(cx, "pad(1),center-crop,pad(20),crop", 0);
    check_list(cx, "jitter(0.3),hflip", 1);
    check_list(cx, "hflip,rotate(20)", 2);
    check_list(cx, "pad(3),jitter(0.2),crop,hflip", 3);                  // jitter sees the padding
    check_list(cx, "resized-crop(0.5-1),hflip(0.5),vflip", 1);
    check_list(cx, "resize(12),crop,hflip", 2);
    check_list(cx, "resize(12),hflip", 2);
}

static void places(void **state) { (void)state, in_order(check_lists, 0); }

// ---- values ----

static Graph *graph_of(Cx *cx, const Form *form, const Preparer *p, bool placed) {
    Graph *g = graph_new(cx, MAX);
    Shape s = {.n = 4, .batch = 1, .d = {MAX, form->channels, HEIGHT, WIDTH}};
    if (form->nhwc) s.d[1] = HEIGHT, s.d[2] = WIDTH, s.d[3] = form->channels;
    Node *x = graph_input(g, "x", form->type, s);
    graph_root(g, "y", op1(g, Neg, x), NULL, 1);
    pixels_input(g, p, placed);
    return g;
}

typedef struct Feed { uint8_t bytes[MAX * HEIGHT * WIDTH * 3]; Place place[MAX][2]; } Feed;

static const char *by_evaluator(Cx *cx, Graph *g, const Feed *feed) {
    void *result[1];
    expand_ops(g);
    g->input[0]->data = feed->bytes;
    if (g->ninput > 1) g->input[1]->data = feed->place;
    graph_eval(g, USED, result, NULL, NULL);
    return (void)cx, result[0];
}

static const char *by_session(Cx *cx, Graph *g, const Feed *feed, const char *target) {
    Fault f;
    const Program *p = graph_compile(g, &(CompileOptions){.isa = -1, .target = target})->program;
    Session *s = session_new(p, &(SessionOptions){.threads = 1}, &f);
    if (!s) fail(cx, f.code, "%s", f.text);
    check(cx, session_set_batch(s, USED, &f), &f);
    session_write(s, session_slot(s, "x"), feed->bytes);
    if (session_slot(s, "tvc.place") >= 0) session_write(s, session_slot(s, "tvc.place"), feed->place);
    check(cx, session_call(s, 1, &f), &f);
    int y = session_slot(s, "y");
    char *copy = NEW(cx, char, desc_bytes(&p->slots[y].desc));
    check(cx, session_read(s, y, copy, &f), &f);
    session_free(s);
    return copy;
}

// What the CPU makes of it: prepared, then changed to the input's type.
static void expect(Cx *cx, const Form *form, const Preparer *p, const Feed *feed, bool placed, const char *got,
                   const char *how) {
    int64_t each = (int64_t)preparer_numbers(p), size = dtypes[form->type].bytes;
    float *want = NEW(cx, float, each);
    for (int i = 0; i < USED; i++) {
        Image im = picture(cx, form->channels, i), out = picture(cx, form->channels, 0);
        if (placed) moved(&im, feed->place[i], &out);
        prepare_values(p, placed ? &out : &im, want);
        for (int64_t k = 0; k < each; k++) {
            char one[8];
            dtype_set_f(form->type, one, -(double)want[k]);
            const char *two = got + (i * each + k) * size;
            if (memcmp(one, two, (size_t)size) != 0)
                fail(cx, E_CHECK, "%s: picture %d, value %d is %.9g, not %.9g", how, i, (int)k,
                     dtype_get_f(form->type, two), dtype_get_f(form->type, one));
        }
        image_free(&im), image_free(&out);
    }
}

static void check_form(Cx *cx, const Form *form, bool placed) {
    static const char *const target[] = {NULL, "cuda:sm_90"};
    Preparer p = preparer(cx, form);
    Augment a = augment_parse(cx, "pad(3),crop,vflip,hflip", &p.in);
    Feed *feed = NEW(cx, Feed, 1);
    for (int i = 0; i < USED; i++) {
        Draw d = draw_from(1, DRAW_AUGMENT, 0, (uint64_t)i);
        Image im = picture(cx, form->channels, i);
        memcpy(feed->bytes + (size_t)i * preparer_numbers(&p), im.pixel, preparer_numbers(&p));
        augment_place(&a, 0, &p.in, &d, feed->place[i]);
        image_free(&im);
    }
    expect(cx, form, &p, feed, placed, by_evaluator(cx, graph_of(cx, form, &p, placed), feed), "evaluator");
    for (int i = 0; i < 2; i++) {
        const char *got = by_session(cx, graph_of(cx, form, &p, placed), feed, target[i]);
        expect(cx, form, &p, feed, placed, got, target[i] ? target[i] : "cpu");
    }
}

static void check_forms(void *cx) {
    static const Form forms[] = {
        {3, false, false, DT_F32, "1/255", "0.485,0.456,0.406", "0.229,0.224,0.225"},
        {3, false, true, DT_F32, "1/255", "0.406,0.456,0.485", "0.225,0.224,0.229"},
        {3, true, false, DT_F32, "0.0078431372549", "1", "1"},
        {3, true, true, DT_F32, "1", "103.939,116.779,123.68", "1"},
        {1, false, false, DT_F32, "1/255", "0.1307", "0.3081"},
        {3, false, false, DT_F16, "1/255", "0.5", "0.25"},
        {3, false, true, DT_F64, "1/255", "0.1,0.2,0.3", "0.3,0.7,0.9"},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) check_form(cx, &forms[i], false);
    check_form(cx, &forms[0], true), check_form(cx, &forms[3], true), check_form(cx, &forms[4], true);
}

static void values(void **state) { (void)state, in_all_orders(check_forms); }

// ---- launches ----

static int everything(void *user, const char *name) { return (void)user, (void)name, 0; }

// conv - relu - global average - dense
static Graph *network(Cx *cx, const Preparer *p, bool bytes, bool placed, bool train) {
    Graph *g = graph_new(cx, MAX);
    Shape s = {.n = 4, .batch = 1, .d = {MAX, 3, HEIGHT, WIDTH}}, flat = {.n = 2, .batch = 1, .d = {MAX, 16}};
    Window w = {.rank = 2, .group = 1, .axis = {{3, 1, 1, 1, 1}, {3, 1, 1, 1, 1}}};
    Node *x = graph_input(g, "x", DT_F32, s);
    Node *y = graph_op(g, OP_Conv, window_attr(cx, &w), 2, (Node *[]){x, param(g, "w", SHAPE(16, 3, 3, 3))});
    y = op1(g, Relu, y);
    y = op2(g, MatMul, node_reshape(g, op1a(g, ReduceMean, y, AXES(2, 3)), flat), param(g, "d", SHAPE(16, 4)));
    graph_root(g, "y", y, NULL, 1);
    Node *picture = bytes ? pixels_input(g, p, placed) : NULL;
    y = g->root[0].value;
    double lr, momentum, decay;
    TrainOptions o = {.optimizer = optimizer_default(OPT_SGD, &lr, &momentum, &decay), .ngroup = 1, .group = everything,
                      .nscores = 1, .scores = &y, .picture = picture};
    if (train) train_graph(g, &o);
    return g;
}

static int launches(Cx *cx, const Preparer *p, bool bytes, bool placed, bool train, Precision precision) {
    Graph *g = network(cx, p, bytes, placed, train);
    CompileOptions o = {.isa = -1, .target = "cuda:sm_90", .precision = precision};
    const Program *q = graph_compile(g, &o)->program;
    int n = 0;
    for (int fn = 1; fn < q->nfunction; fn++) n += q->functions[fn].to - q->functions[fn].from;
    return n;
}

static void check_launches(void *cx) {
    static const Precision precision[] = {PRECISION_FP32, PRECISION_BF16};
    Preparer p = preparer(cx, &usual);
    for (int k = 0; k < 2; k++)
        for (int train = 0; train < 2; train++) {
            int floats = launches(cx, &p, false, false, train, precision[k]);
            int bytes = launches(cx, &p, true, false, train, precision[k]);
            int moves = launches(cx, &p, true, true, train, precision[k]);
            if (bytes == floats && moves == floats) continue;
            fail(cx, E_CHECK, "%s: %d launches for values, %d for bytes, %d for bytes that move",
                 train ? "training" : "inference", floats, bytes, moves);
        }
}

static void no_launch_more(void **state) { (void)state, in_order(check_launches, 0); }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places), cmocka_unit_test(values), cmocka_unit_test(no_launch_more),
    };
#ifndef __x86_64__
    puts("skipped: the emulator switches threads in x86-64's own way");
    return 0;
#endif
    return cmocka_run_group_tests(tests, use_standins, clean);
}
