// test_loader.c -- orders and batches: the same bytes however many workers, whatever the cache and
// wherever it starts; what cannot be read; stopping.
#include "data/loader.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <pthread.h>
#include "tree.h"

enum { SIDE = 8, A = 40, B = 20, C = 4 };

// Pictures whose every pixel is their number, so that a batch tells what is in it: class a 0-39, b 40-59, c 60-63.
static const char *class_of(int i) { return i < A ? "a" : i < A + B ? "b" : "c"; }

static void put_set(const char *name) {
    for (int i = 0; i < A + B + C; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s/%02d.pgm", name, class_of(i), i);
        tree_picture(path, SIDE, (unsigned)i);
    }
}

typedef struct World {
    Cx *cx;
    const char *path, *list;
    TargetKind target;
    Dataset d;
    Preparer p;
    Augment a;
} World;

static void open_world(void *arg) {
    World *w = arg;
    DatasetOptions o = {.target = w->target};
    w->d = dataset_open_split(w->cx, w->path, &o);
    ImageInput in = {1, SIDE, SIDE, false};
    static const char *const option[] = {"resize", "8", "scale", "1", "mean", "0", "std", "1"};
    Recipe r = {0}, options = {0};
    for (int i = 0; i < 8; i += 2) recipe_option(w->cx, &options, option[i], option[i + 1]);
    recipe_complete(w->cx, &r, &options, &in);
    preparer_init(&w->p, &r, &in);
    w->a = augment_parse(w->cx, w->list ? w->list : "none", &in);
}

static World world(const char *name, const char *augment) {
    World w = {.cx = cx_new(), .path = tree_path(name), .list = augment};
    if (!cx_guard(w.cx, open_world, &w)) fail_msg("%s", w.cx->error);
    return w;
}

static LoaderOptions options(const World *w, int workers) {
    return (LoaderOptions){.data = &w->d,
                           .examples = &w->d.val,
                           .prepare = &w->p,
                           .augment = &w->a,
                           .order = ORDER_SHUFFLED,
                           .seed = 7,
                           .batch = 10,
                           .epochs = 3,
                           .workers = workers};
}

// The first of a picture's.
static float pixel(const Batch *b, int i) { return ((const float *)b->pixels)[i * SIDE * SIDE]; }

static Loader *started(const LoaderOptions *o) {
    Loader *l;
    Fault f = {0};
    if (loader_new(o, &l, &f)) fail_msg("%s", f.text);
    return l;
}

static const Batch *next(Loader *l) {
    const Batch *b;
    Fault f = {0};
    if (loader_next(l, &b, &f)) fail_msg("%s", f.text);
    return b;
}

// ---- orders ----

static void permutes(void **state) {
    (void)state;
    static const int sizes[] = {1, 2, 3, 4, 5, 16, 17, 244, 1000};
    bool seen[1000];
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        uint64_t n = (uint64_t)sizes[k];
        memset(seen, 0, sizeof seen);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t to = permute(3, 9, n, i);
            assert_true(to < n && !seen[to]);
            seen[to] = true;
        }
    }
    int moved = 0;
    for (uint64_t i = 0; i < 1000; i++) moved += permute(3, 9, 1000, i) != permute(3, 10, 1000, i);
    assert_true(moved > 980);
    int at[7][7] = {{0}};                                        // every place is equally likely
    for (uint64_t stream = 0; stream < 7000; stream++)
        for (uint64_t i = 0; i < 7; i++) at[i][permute(1, stream, 7, i)]++;
    for (int i = 0; i < 7; i++)
        for (int k = 0; k < 7; k++) assert_in_range(at[i][k], 850, 1150);
}

static void balances(void **state) {
    (void)state;
    World w = world("set", NULL);
    Order o;
    Fault f;
    assert_int_equal(order_init(&o, ORDER_BALANCED, 7, &w.d.val, &f), E_OK);
    int count[3] = {0}, used[A + B + C] = {0};
    for (int64_t i = 0; i < o.n; i++) {
        int s = order_sample(&o, 2, i);
        count[w.d.val.at[s].label]++;
        used[s]++;
        if (i % 3 == 2) assert_true(count[0] == count[1] && count[1] == count[2]);
        int other = order_replacement(&o, 2, i, 1);
        assert_int_equal(w.d.val.at[other].label, w.d.val.at[s].label);
    }
    for (int s = 0; s < o.n; s++) assert_in_range(used[s], 0, s < A ? 1 : s < A + B ? 2 : 6);
    for (int s = A + B; s < o.n; s++) assert_true(used[s] >= 5);
    order_free(&o);
    cx_free(w.cx);
}

// ---- batches ----

static void labels_fit(void **state) {
    (void)state;
    World w = world("set", NULL);
    LoaderOptions o = options(&w, 2);
    Loader *l = started(&o);
    assert_int_equal(loader_steps(l), 7);
    for (int epoch = 0; epoch < 3; epoch++) {
        int seen[A + B + C] = {0};
        for (int step = 0; step < 7; step++) {
            const Batch *b = next(l);
            assert_true(b->epoch == epoch && b->step == step);
            assert_int_equal(b->n, step < 6 ? 10 : 4);
            assert_true((uintptr_t)b->pixels % 64 == 0);
            for (int i = 0; i < b->n; i++) {
                int id = (int)pixel(b, i);
                assert_int_equal(id, b->sample[i]);
                assert_int_equal(b->label[i], id < A ? 0 : id < A + B ? 1 : 2);
                seen[id]++;
            }
        }
        for (int i = 0; i < A + B + C; i++) assert_int_equal(seen[i], 1);
    }
    assert_null(next(l));
    loader_start(l, 1, 0);
    assert_int_equal(next(l)->epoch, 1);
    loader_free(l);
    o.drop_last = true;
    l = started(&o);
    assert_int_equal(loader_steps(l), 6);
    loader_free(l);
    cx_free(w.cx);
}

enum { STEPS = 21 };

// Every batch of a run, from a step on.
static void record(const LoaderOptions *o, int from, uint8_t *pixels, int64_t *sample) {
    Loader *l = started(o);
    size_t size = 10 * SIDE * SIDE * sizeof(float);
    if (from) loader_start(l, from / 7, from % 7);
    for (int i = from; i < STEPS; i++) {
        const Batch *b = next(l);
        memcpy(pixels + (size_t)i * size, b->pixels, (size_t)b->n * SIDE * SIDE * sizeof(float));
        memcpy(sample + i * 10, b->sample, (size_t)b->n * sizeof *sample);
    }
    assert_null(next(l));
    loader_free(l);
}

static void workers_do_not_matter(void **state) {
    (void)state;
    static const char *const lists[] = {"none", "pad(2),crop,hflip,jitter(0.5)", "resized-crop(0.1-1),rotate(30)"};
    enum { BYTES = STEPS * 10 * SIDE * SIDE * sizeof(float) };
    static uint8_t want[BYTES], got[BYTES];
    int64_t samples[STEPS * 10] = {0}, again[STEPS * 10] = {0};
    for (int k = 0; k < 6; k++) {
        World w = world(k < 3 ? "set" : "spoilt", lists[k % 3]);
        LoaderOptions o = options(&w, 0);
        if (k == 4) o.order = ORDER_BALANCED;
        memset(want, 0, BYTES);
        record(&o, 0, want, samples);
        for (int i = 1; i < 12; i++) {
            o.workers = i % 4;
            o.prefetch = 1 + i % 3;
            o.cache_bytes = i % 2 ? 1 << 20 : i % 3 ? 2000 : 0;
            int from = i % 3 == 1 ? 0 : i;
            memcpy(got, want, BYTES);
            memset(got + (size_t)from * BYTES / STEPS, 0, BYTES - (size_t)from * BYTES / STEPS);
            record(&o, from, got, again + 0);
            assert_memory_equal(got, want, BYTES);
            assert_memory_equal(again + from * 10, samples + from * 10, sizeof samples - (size_t)from * 80);
        }
        o.seed++;
        record(&o, 0, got, again);
        assert_true(memcmp(got, want, BYTES));
        cx_free(w.cx);
    }
}

static void gives_targets(void **state) {
    (void)state;
    World w = {.cx = cx_new(), .path = tree_path("set"), .target = TARGET_LABELS};
    assert_true(cx_guard(w.cx, open_world, &w));
    LoaderOptions o = options(&w, 1);
    o.order = ORDER_SEQUENTIAL;
    o.batch = 64;
    Loader *l = started(&o);
    const Batch *b = next(l);
    for (int i = 0; i < b->n; i++)
        for (int k = 0; k < 3; k++) assert_true(b->target[i * 3 + k] == (b->label[i] == k ? 1 : 0));
    loader_free(l);
    cx_free(w.cx);
    w = (World){.cx = cx_new(), .path = tree_path("numbers.csv"), .target = TARGET_NUMBERS};
    tree_text("numbers.csv", "path,label\nset/a/05.pgm,0.5;-1\nset/b/41.pgm,2;3\n");
    if (!cx_guard(w.cx, open_world, &w)) fail_msg("%s", w.cx->error);
    o = options(&w, 1);
    o.order = ORDER_SEQUENTIAL;
    l = started(&o);
    b = next(l);
    assert_int_equal(b->n, 2);
    assert_true(b->target[0] == 0.5f && b->target[1] == -1 && b->target[3] == 3);
    assert_true(pixel(b, 0) == 5 && pixel(b, 1) == 41 && b->label[0] == -1);
    loader_free(l);
    cx_free(w.cx);
}

// ---- what cannot be read ----

static void replaces_bad(void **state) {
    (void)state;
    World w = world("spoilt", NULL);
    LoaderOptions o = options(&w, 2);
    Loader *l = started(&o);
    int seen = 0;
    for (const Batch *b; (b = next(l));) {
        for (int i = 0; i < b->n; i++) {
            int id = (int)pixel(b, i);
            assert_int_equal(id, b->sample[i]);
            assert_int_equal(b->label[i], id < A ? 0 : id < A + B ? 1 : 2);
            assert_true(id != 3 && id != 50 && id != 62);
        }
        seen += b->n;
    }
    assert_int_equal(seen, 3 * (A + B + C));
    const BadExample *bad;
    assert_int_equal(loader_bad(l, &bad), 3);
    for (int i = 0; i < 3; i++) {
        if (bad[i].sample == 3) assert_non_null(strstr(bad[i].why, "not an image"));
        if (bad[i].sample == 50) assert_non_null(strstr(bad[i].why, "more than the 178956970 allowed"));
        if (bad[i].sample == 62) assert_non_null(strstr(bad[i].why, "empty"));
    }
    loader_free(l);
    o.order = ORDER_SEQUENTIAL;
    o.epochs = 1;
    o.batch = 3;
    l = started(&o);
    int64_t expect = 0;
    for (const Batch *b; (b = next(l));)
        for (int i = 0; i < b->n; i++, expect++) {
            while (expect == 3 || expect == 50 || expect == 62) expect++;
            assert_int_equal(b->sample[i], expect);
            assert_int_equal((int)pixel(b, i), expect);
            assert_int_equal(b->label[i], expect < A ? 0 : expect < A + B ? 1 : 2);
        }
    assert_int_equal(expect, A + B + C);
    o.batch = 1;                                                 // batches of which nothing is left are passed over
    loader_free(l);
    l = started(&o);
    int batches = 0;
    while (next(l)) batches++;
    assert_int_equal(batches, A + B + C - 3);
    loader_free(l);
    cx_free(w.cx);
}

static void too_many_bad(void **state) {
    (void)state;
    World w = world("rotten", NULL);
    int64_t step[4] = {0};
    for (int workers = 0; workers < 4; workers++) {
        LoaderOptions o = options(&w, workers);
        Loader *l = started(&o);
        const Batch *b;
        Fault f = {0};
        while (!loader_next(l, &b, &f)) step[workers]++;
        assert_int_equal(f.code, E_DATASET);
        assert_non_null(strstr(f.text, "4 of 64 images cannot be read, more than 5 %"));
        assert_null(b);
        assert_int_equal(step[workers], step[0]);
        loader_free(l);
    }
    cx_free(w.cx);
}

// ---- stopping ----

static void *ring_after_a_while(void *stop) {
    usleep(20000);
    atomic_store((atomic_int *)stop, 1);
    return NULL;
}

static void stops(void **state) {
    (void)state;
    World w = world("set", "jitter(0.1)");
    atomic_int stop = 0;
    LoaderOptions o = options(&w, 2);
    o.epochs = 0;
    o.stop = &stop;
    Loader *l = started(&o);
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, ring_after_a_while, &stop), 0);
    int64_t done = 0;
    while (next(l)) done++;
    pthread_join(other, NULL);
    atomic_store(&stop, 0);
    loader_start(l, 2, 3);                                       // and goes on
    const Batch *b = next(l);
    assert_true(b && b->epoch == 2 && b->step == 3);
    loader_free(l);
    for (int i = 0; i < 50; i++) {                               // let go at any moment
        l = started(&o);
        if (i % 3) next(l);
        if (i % 5 == 0) loader_start(l, i, 0);
        loader_free(l);
    }
    cx_free(w.cx);
}

static void refuses(void **state) {
    (void)state;
    World w = world("set", NULL);
    LoaderOptions o = options(&w, 0);
    Loader *l;
    Fault f = {0};
    o.batch = 0;
    assert_int_equal(loader_new(&o, &l, &f), E_USAGE);
    o.batch = 100;
    o.drop_last = true;
    assert_int_equal(loader_new(&o, &l, &f), E_USAGE);
    assert_null(l);
    loader_free(NULL);
    cx_free(w.cx);
}

static const char gigantic[] =                                   // a PNG that says it is 65500 x 65500
    "\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\xff\xdc\x00\x00\xff\xdc"
    "\x08\x00\x00\x00\x00\xb6\x3c\x49\xc7\x00\x00\x00\x04\x49\x44\x41\x54\x78\x78\x78\x78\xa7\x72\x5c\x6c";

static int set_up(void **state) {
    if (tree_new(state)) return -1;
    put_set("set"), put_set("spoilt"), put_set("rotten");
    static const char *const sets[] = {"spoilt", "rotten"};
    for (int i = 0; i < 2; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s/a/03.pgm", sets[i]), tree_text(name, "this is a text");
        snprintf(name, sizeof name, "%s/b/50.pgm", sets[i]), tree_put(name, gigantic, sizeof gigantic - 1);
        snprintf(name, sizeof name, "%s/c/62.pgm", sets[i]), tree_text(name, "");
    }
    tree_text("rotten/a/11.pgm", "P5 8 8 255\ncut off");
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permutes),      cmocka_unit_test(balances),     cmocka_unit_test(labels_fit),
        cmocka_unit_test(workers_do_not_matter), cmocka_unit_test(gives_targets), cmocka_unit_test(replaces_bad),
        cmocka_unit_test(too_many_bad),  cmocka_unit_test(stops),        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, set_up, tree_remove);
}
