// Sessions over a Program written by hand, its code compiled here: spaces, functions, init,
// batches, updates, shared code, profiles, errors from data and from damaged programs.
#include "hand_program.h"
#include "runtime/exec.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <pthread.h>
#include <cmocka.h>

static float other_weight[4] = {5, 6, 7, 8};

static Session *open_session(const Fixture *f, const SessionOptions *o) {
    Fault why = {0};
    Session *s = session_new(&f->p, o, &why);
    if (!s) fail_msg("%s", why.text);
    return s;
}

static void call(Session *s, int fn) {
    Fault why = {0};
    if (session_call(s, fn, &why)) fail_msg("%s", why.text);
}

static void read_slot(Session *s, const char *name, void *to) {
    Fault why;
    if (session_read(s, session_slot(s, name), to, &why)) fail_msg("%s", why.text);
}

static void feed(Session *s, int n, float first) {
    float x[BATCH * 4];
    for (int i = 0; i < 4 * n; i++) x[i] = first + (float)i;
    session_write(s, session_slot(s, "x"), x);
}

static void runs(void **state) {
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        Fixture f;
        make_program(&f);
        Session *s = open_session(&f, &(SessionOptions){.threads = threads, .profile = true, .seed = 7});
        feed(s, BATCH, 1);
        session_set_step(s, 9);
        call(s, program_function(&f.p, "forward"));
        float y[BATCH * 4];
        read_slot(s, "y", y);
        for (int i = 0; i < BATCH * 4; i++) assert_true(y[i] == (float)(i + 1) * 2 * weight[i % 4] + bias[i % 4]);
        const int64_t *counts = session_data(s, session_slot(s, "counts"));
        assert_true(counts[1] == BATCH && counts[2] == 7 && counts[3] == 9);
        assert_true(session_seconds(s)[1] > 0 && session_seconds(s)[3] == 0);
        assert_ptr_equal(session_data(s, session_slot(s, "w")), weight);      // used where it lies
        assert_int_equal(session_slot(s, "nothing"), -1);
        session_free(s);
    }
    session_free(NULL);
}

static void batches(void **state) {
    (void)state;
    Fixture f;
    make_program(&f);
    Session *s = open_session(&f, NULL);
    Fault why;
    assert_int_equal(session_set_batch(s, 0, &why), E_USAGE);
    assert_int_equal(session_set_batch(s, BATCH + 1, &why), E_USAGE);
    assert_int_equal(session_set_batch(s, 2, &why), E_OK);
    assert_int_equal(session_desc(s, session_slot(s, "y")).dim[0], 2);
    float *y = session_data(s, session_slot(s, "y"));
    for (int i = 0; i < BATCH * 4; i++) y[i] = -1;
    feed(s, 2, 1);
    call(s, 1);
    for (int i = 0; i < BATCH * 4; i++)
        assert_true(y[i] == (i < 8 ? (float)(i + 1) * 2 * weight[i % 4] + bias[i % 4] : -1));
    assert_true(((int64_t *)session_data(s, session_slot(s, "counts")))[1] == 2);
    session_free(s);
}

static void updates_and_new_weights(void **state) {
    (void)state;
    Fixture f;
    make_program(&f);
    Session *s = open_session(&f, NULL);
    const float *b = session_data(s, session_slot(s, "bias"));
    feed(s, BATCH, 3);
    call(s, 1);
    assert_true(b[0] == 10);                                  // forward does not compute the update
    call(s, 2);
    call(s, 2);
    assert_true(b[0] == 16 && b[3] == 46);
    f.weights[2] = other_weight;
    Fault why = {0};
    assert_int_equal(session_init_again(s, &why), E_OK);
    assert_true(b[0] == 16);                                  // what was learnt stays
    feed(s, BATCH, 1);
    call(s, 1);
    assert_true(((float *)session_data(s, session_slot(s, "y")))[0] == 2 * 5 + 16);
    session_free(s);
}

static void data_out_of_range(void **state) {
    (void)state;
    Fixture f;
    make_program(&f);
    Session *s = open_session(&f, NULL);
    Fault why = {0};
    feed(s, BATCH, 9);
    assert_int_equal(session_call(s, 3, &why), E_MALFORMED);
    assert_non_null(strstr(why.text, "pick"));
    feed(s, BATCH, 1);
    assert_int_equal(session_call(s, 3, &why), E_OK);         // the next call starts clean
    assert_int_equal(session_call(s, 4, &why), E_USAGE);
    session_free(s);
}

static void *read_file(const char *path, int64_t *size) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = ftell(file);
    rewind(file);
    void *bytes = malloc((size_t)*size);
    assert_int_equal(fread(bytes, 1, (size_t)*size, file), *size);
    fclose(file);
    return bytes;
}

// Code from memory: shared by sessions on one Program, separate for another.
static void code_from_bytes(void **state) {
    (void)state;
    Fixture f[2];
    Session *s[3];
    for (int i = 0; i < 2; i++) {
        make_program(&f[i]);
        f[i].p.code = read_file(library, &f[i].p.code_bytes);
        f[i].p.code_path = NULL;
    }
    for (int i = 0; i < 3; i++) s[i] = open_session(&f[i / 2], NULL);
    for (int i = 0; i < 3; i++) call(s[i], 1);
    static const int seen[] = {1, 2, 1};                      // the counter is a variable of the code
    for (int i = 0; i < 3; i++)
        assert_int_equal(((int64_t *)session_data(s[i], session_slot(s[i], "counts")))[0], seen[i]);
    for (int i = 0; i < 3; i++) session_free(s[i]);
    for (int i = 0; i < 2; i++) free((void *)(uintptr_t)f[i].p.code);
}

static void *one_of_many(void *arg) {
    const Fixture *f = arg;
    Fault why;
    for (int round = 0; round < 20; round++) {
        Session *s = session_new(&f->p, &(SessionOptions){.threads = 2}, &why);
        if (!s) return "failed";
        feed(s, BATCH, 1);
        Err e = session_call(s, 1, &why);
        bool right = ((float *)session_data(s, 1))[0] == 2 + 10;
        session_free(s);
        if (e || !right) return "wrong";
    }
    return NULL;
}

static void sessions_are_independent(void **state) {
    (void)state;
    Fixture f;
    make_program(&f);
    pthread_t thread[4];
    void *result;
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&thread[i], NULL, one_of_many, &f), 0);
    for (int i = 0; i < 4; i++) pthread_join(thread[i], &result), assert_null(result);
}

// Everything but arithmetic, on any machine: inputs arrive, weights are copied, nothing is computed.
static void null_device(void **state) {
    (void)state;
    Fixture f;
    make_program(&f);
    f.p.code_path = "/nowhere/code.so";
    f.weights[2] = NULL;
    Session *s = open_session(&f, &(SessionOptions){.device = "null"});
    assert_null(session_data(s, 0));
    feed(s, BATCH, 5);
    call(s, 1);
    float x[BATCH * 4], b[4];
    read_slot(s, "x", x), read_slot(s, "bias", b);
    assert_true(x[3] == 8 && b[2] == 30);
    session_free(s);
}

static void weights_without_bytes_are_zero(void **state) {
    (void)state;
    Fixture f;
    make_program(&f);
    f.p.weights = NULL;
    Session *s = open_session(&f, NULL);
    feed(s, BATCH, 1);
    call(s, 1);
    assert_true(((float *)session_data(s, 1))[0] == 0);
    session_free(s);
}

static void refused(Fixture *f, Err code, const char *word) {
    Fault why = {0};
    assert_null(session_new(&f->p, NULL, &why));
    assert_int_equal(why.code, code);
    if (!strstr(why.text, word)) fail_msg("'%s' does not say '%s'", why.text, word);
    make_program(f);
}

static void bad_programs(void **state) {
    (void)state;
    Fixture f;
    make_program(&f);
    f.p.nfunction = 0, refused(&f, E_MALFORMED, "function");
    f.p.ntext--, refused(&f, E_MALFORMED, "text");
    f.p.max_batch = 0, refused(&f, E_MALFORMED, "batch");
    f.p.max_batch = 4, refused(&f, E_MALFORMED, "");
    f.p.arena_bytes = 300, refused(&f, E_MALFORMED, "buffer");
    f.p.arena_bytes = INT64_MAX, refused(&f, E_MALFORMED, "session");
    f.p.isa = 17, refused(&f, E_MALFORMED, "instruction");
    f.p.code_path = NULL, refused(&f, E_MALFORMED, "step");
    f.p.code_path = "/nowhere/code.so", refused(&f, E_DEVICE, "code");
    f.buffers[X].offset = -64, refused(&f, E_MALFORMED, "buffer 0");
    f.buffers[X].offset = 8, refused(&f, E_MALFORMED, "buffer 0");
    f.buffers[X].bytes = INT64_MAX, refused(&f, E_MALFORMED, "buffer 0");
    f.buffers[X].bytes = 4, refused(&f, E_MALFORMED, "slot 'x'");
    f.buffers[WEIGHT].offset = 0, refused(&f, E_MALFORMED, "slot 'w'");
    f.buffers[WEIGHT].offset = 99, refused(&f, E_MALFORMED, "");
    f.buffers[WEIGHT].bytes = 99, refused(&f, E_MALFORMED, "buffer 3");
    f.buffers[BIAS].space = 7, refused(&f, E_MALFORMED, "bias");
    f.refs[1] = NBUFFERS, refused(&f, E_MALFORMED, "tensor 1");
    f.p.nref++, f.refs[f.p.nref - 1] = -1, refused(&f, E_MALFORMED, "tensor");
    f.refs[0] = WEIGHT, refused(&f, E_MALFORMED, "weight");
    f.descs[0].rank = 9, refused(&f, E_MALFORMED, "tensor 0");
    f.descs[0].batch = 1, refused(&f, E_MALFORMED, "tensor 0");
    f.steps[1].units = 5, refused(&f, E_MALFORMED, "apply");
    f.steps[1].nref = 90, refused(&f, E_MALFORMED, "apply");
    f.steps[1].ref = INT32_MAX, refused(&f, E_MALFORMED, "apply");
    f.steps[1].kind = 4, refused(&f, E_MALFORMED, "apply");
    f.steps[1].entry = at("bias"), refused(&f, E_MALFORMED, "no 'bias'");
    f.steps[1].kind = STEP_BODY, refused(&f, E_MALFORMED, "tensor");
    f.slots[0].desc.dim[0] = INT64_MAX - 1, refused(&f, E_MALFORMED, "'x'");
    f.slots[0].name = -1, refused(&f, E_MALFORMED, "slot 0");
    f.slots[3].update = 99, refused(&f, E_MALFORMED, "'bias'");
    f.slots[3].buffer = X, refused(&f, E_MALFORMED, "'bias'");
    f.functions[1].to = 6, refused(&f, E_MALFORMED, "function 1");
    Fault why;
    assert_null(session_new(&f.p, &(SessionOptions){.device = "abacus"}, &why));
    assert_int_equal(why.code, E_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs),
        cmocka_unit_test(batches),
        cmocka_unit_test(updates_and_new_weights),
        cmocka_unit_test(data_out_of_range),
        cmocka_unit_test(code_from_bytes),
        cmocka_unit_test(sessions_are_independent),
        cmocka_unit_test(null_device),
        cmocka_unit_test(weights_without_bytes_are_zero),
        cmocka_unit_test(bad_programs),
    };
    return cmocka_run_group_tests(tests, compile_code, remove_code);
}
