// .npy files: what numpy writes is read, what is written numpy reads; damage anywhere is an error.
#include "reading.h"

// A .npy file of version 1 with this header text and n bytes of elements.
static size_t npy_of(uint8_t *out, const char *header, size_t n) {
    size_t text = strlen(header);
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (uint8_t)text, out[9] = (uint8_t)(text >> 8);
    memcpy(out + 10, header, text);
    memset(out + 10 + text, 1, n);
    return 10 + text + n;
}

// Reads a copy that ends where its allocation ends.
static Err outcome(const uint8_t *data, size_t n, const char *says) {
    uint8_t *copy = malloc(n + !n);
    if (n) memcpy(copy, data, n);
    Reading r = {.path = "t.npy", .bytes = {copy, n}};
    Err e = reading_run(&r, reading_go_npy);
    if (says && !strstr(r.cx->error, says)) fail_msg("'%s' is not in: %s", says, r.cx->error);
    cx_free(r.cx);
    free(copy);
    return e;
}

static void headers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
        Err outcome;
        const char *says;
    } rows[] = {
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", 24, E_OK, NULL},
        {"{\"shape\":(2,3),\"descr\":\"<f4\",\"fortran_order\":False}", 24, E_OK, NULL},
        {"{'descr': '|u1', 'fortran_order': True, 'shape': (5,), }", 5, E_OK, NULL},
        {"{'descr': '>u1', 'fortran_order': False, 'shape': (5,), }", 5, E_OK, NULL},
        {"{'descr': '=i8', 'fortran_order': False, 'shape': (), }", 8, E_OK, NULL},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9223372036854775807), }", 0, E_OK, NULL},
        {"{'descr': '|V2', 'fortran_order': False, 'shape': (2,), }", 4, E_OK, NULL},
        {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", 24, E_UNSUPPORTED, "numpy.ascontiguousarray"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }", 24, E_UNSUPPORTED, "a.astype('<f4')"},
        {"{'descr': '<c8', 'fortran_order': False, 'shape': (2,), }", 16, E_UNSUPPORTED, "elements of type '<c8'"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 8, E_UNSUPPORTED, "'|O'"},
        {"{'descr': '', 'fortran_order': False, 'shape': (1,), }", 8, E_UNSUPPORTED, "''"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4, E_UNSUPPORTED, "holds records"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 23, E_MALFORMED,
         "23 bytes of elements, its shape asks for 24"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 25, E_MALFORMED, "25 bytes"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 2), }", 0, E_MALFORMED,
         "does not fit in memory"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,), }", 0, E_MALFORMED, "too large"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", 0, E_MALFORMED, "no number"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1 }", 0, E_MALFORMED, "no dictionary"},
        {"{'descr': '<f4', 'fortran_order': None, 'shape': (1,) }", 4, E_MALFORMED, "neither True nor False"},
        {"{'descr': '<f4', 'fortran_order': False}", 4, E_MALFORMED, "lacks"},
        {"{'descr': '<f4', 'descr': '<f4'}", 4, E_MALFORMED, "given twice"},
        {"{'evil': '<f4'}", 4, E_MALFORMED, "unknown"},
        {"{'descr': '<ffffffffffffffffffffffffffffffffff4'}", 4, E_MALFORMED, "too long"},
        {"", 0, E_MALFORMED, "no dictionary"},
    };
    uint8_t file[512];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(outcome(file, npy_of(file, rows[i].text, rows[i].bytes), rows[i].says), rows[i].outcome);
    char deep[400] = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
    for (int i = 0; i < 65; i++) strcat(deep, "1, ");
    strcat(deep, ")}");
    assert_int_equal(outcome(file, npy_of(file, deep, 4), "too many dimensions"), E_MALFORMED);
    assert_int_equal(outcome((const uint8_t *)"PK\3\4", 4, "is no .npy file"), E_MALFORMED);
    assert_int_equal(outcome((const uint8_t *)"\x93NUMPY\x09\0\0\0\0\0", 12, "version"), E_MALFORMED);
    assert_int_equal(outcome((const uint8_t *)"\x93NUMPY\x02\0\xff\xff\xff\xff", 12, "cut off"), E_MALFORMED);
    assert_int_equal(outcome((const uint8_t *)"", 0, "is no .npy file"), E_MALFORMED);
}

static void cut_or_changed_at_any_byte(void **state) {
    (void)state;
    uint8_t file[256];
    size_t n = npy_of(file, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", 24);
    for (size_t cut = 0; cut < n; cut++) assert_int_equal(outcome(file, cut, NULL), E_MALFORMED);
    for (size_t i = 0; i < n; i++) {
        uint8_t was = file[i];
        for (int v = 0; v < 256; v++) {
            file[i] = (uint8_t)v;
            Err e = outcome(file, n, NULL);
            assert_true(e == E_OK || e == E_MALFORMED || e == E_UNSUPPORTED);
        }
        file[i] = was;
    }
}

// ---- against numpy ----

static char folder[256];

static void go_copy(void *arg) {
    Reading *r = arg;
    reading_go_npy(r);
    npy_write(r->cx, r->write_to, r->tensor);
}

static void copy(const char *name) {
    char from[300], to[300];
    snprintf(from, sizeof from, "%s/%s.npy", folder, name);
    snprintf(to, sizeof to, "%s/%s_again.npy", folder, name);
    Reading r = {.path = from, .write_to = to};
    if (reading_run(&r, go_copy)) fail_msg("%s", r.cx->error);
    cx_free(r.cx);
}

static const char SAVE[] =
    "import numpy as np, sys\n"
    "r = np.random.RandomState(1)\n"
    "for t in sys.argv[2:]:\n"
    "    for rank in range(5):\n"
    "        a = (r.rand(*range(2, 2 + rank)) * 200 - 100)\n"
    "        np.save('%s/%s%d.npy' % (sys.argv[1], t, rank), np.asarray(a).astype(np.dtype(t)))\n";

static const char COMPARE[] =
    "import numpy as np, sys\n"
    "for t in sys.argv[2:]:\n"
    "    for rank in range(5):\n"
    "        p = '%s/%s%d' % (sys.argv[1], t, rank)\n"
    "        a, b = np.load(p + '.npy'), np.load(p + '_again.npy')\n"
    "        assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes(), p\n";

static void run_python(const char *python, const char *program) {
    char path[300], command[1500];
    snprintf(path, sizeof path, "%s/run.py", folder);
    spill(path, program, strlen(program));
    snprintf(command, sizeof command, "'%s' '%s' '%s' f4 f8 f2 i1 i2 i4 i8 u1 u2 u4 u8 bool", python, path, folder);
    assert_int_equal(system(command), 0);
}

static void numpy_and_back(void **state) {
    (void)state;
    const char *python = python_with("numpy");
    if (!python) skip();
    static const char *const type[] = {"f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "bool"};
    scratch_make(folder, sizeof folder);
    run_python(python, SAVE);
    for (size_t i = 0; i < sizeof type / sizeof *type; i++)
        for (int rank = 0; rank < 5; rank++) {
            char name[16];
            snprintf(name, sizeof name, "%s%d", type[i], rank);
            copy(name);
        }
    run_python(python, COMPARE);
    scratch_remove(folder);
}

static void go_write_all(void *arg) {
    Reading *r = arg;
    const char *path = cx_fmt(r->cx, "%s/t.npy", folder), *pb = cx_fmt(r->cx, "%s/t.pb", folder);
    static const uint8_t bytes[48] = {1, 2, 3};
    for (int type = 1; type < NDTYPES; type++) {
        Tensor t = {
            .name = "name", .type = (DType)type, .rank = 2, .dim = (int64_t[]){2, 3}, .count = 6, .data = bytes};
        npy_write(r->cx, path, &t);
        tensor_write_pb(r->cx, pb, &t);
        const Tensor *back[] = {npy_read(r->cx, path), tensor_read_pb(r->cx, pb)};
        for (int k = 0; k < 2; k++) {
            assert_int_equal(back[k]->type, type);
            assert_int_equal(back[k]->onnx_type, dtypes[type].onnx);
            assert_true(back[k]->rank == 2 && back[k]->dim[0] == 2 && back[k]->dim[1] == 3);
            assert_memory_equal(back[k]->data, bytes, tensor_bytes(&t));
        }
        assert_string_equal(back[1]->name, "name");
    }
}

static void every_type_to_file_and_back(void **state) {
    (void)state;
    scratch_make(folder, sizeof folder);
    Reading r = {0};
    if (reading_run(&r, go_write_all)) fail_msg("%s", r.cx->error);
    cx_free(r.cx);
    scratch_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers),
        cmocka_unit_test(cut_or_changed_at_any_byte),
        cmocka_unit_test(numpy_and_back),
        cmocka_unit_test(every_type_to_file_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
