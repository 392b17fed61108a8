// Writing models with side files: what goes there, what is shared, what is copied along, what is never overwritten.
#include "written.h"

static void weights_beyond_the_limit_go_to_a_side_file(void **state) {
    (void)state;
    empty_folder();
    Pb p = small_model(8);
    spill(in_folder("in.onnx"), p.at, p.n);
    written(in_folder("in.onnx"), in_folder("big.onnx"), keep_weights_outside);
    struct stat st;
    assert_int_equal(stat(in_folder("big.onnx.data"), &st), 0);
    assert_int_equal(st.st_size, 2400);
    ino_t side = st.st_ino;
    written(in_folder("big.onnx"), in_folder("beside.onnx"), NULL);
    assert_int_equal(stat(in_folder("big.onnx.data"), &st) | (st.st_ino != side), 0); // shared, not written anew
    mkdir(in_folder("elsewhere"), 0777);
    written(in_folder("big.onnx"), in_folder("elsewhere/copy.onnx"), NULL); // takes its side file along
    same_contents(in_folder("big.onnx"), in_folder("elsewhere/copy.onnx"));
    same_contents(in_folder("big.onnx.data"), in_folder("elsewhere/big.onnx.data"));
    Reading r = {.path = in_folder("elsewhere/copy.onnx")};
    assert_int_equal(reading_run(&r, reading_go), E_OK);
    assert_true(((const float *)model_init(r.model, "gw")->data)[599] == 599);
    cx_free(r.cx);
    written(in_folder("big.onnx"), in_folder("big.onnx"), keep_weights_outside); // must not overwrite what it reads
    r = (Reading){.path = in_folder("big.onnx")};
    assert_int_equal(reading_run(&r, reading_go), E_OK);
    assert_int_equal(access(in_folder("big.onnx.data1"), R_OK), 0);
    cx_free(r.cx);
    free(p.at);
}

static void a_changed_side_file_is_noticed(void **state) {
    (void)state;
    size_t n;
    uint8_t *data = slurp(in_folder("elsewhere/big.onnx.data"), &n);
    data[100] ^= 1;
    spill(in_folder("elsewhere/big.onnx.data"), data, n);
    free(data);
    Reading r = {.path = in_folder("elsewhere/copy.onnx")};
    assert_int_equal(reading_run(&r, reading_go), E_MALFORMED);
    assert_non_null(strstr(r.cx->error, "checksum"));
    cx_free(r.cx);
}

// A model whose weight lies in `location`, 24 bytes from byte 0.
static Pb outside_model(const char *location) {
    static const int64_t w[] = {2, 3};
    Pb g = {0}, t = onnx_tensor_head("w", 1, 2, w);
    pb_message(&t, 13, onnx_entry("location", location));
    pb_int(&t, 14, 1);
    pb_message(&g, 5, t);
    pb_message(&g, 1, onnx_node("Identity", "n", "w", "y"));
    pb_message(&g, 12, onnx_value("y", 1, 2, w));
    return onnx_model(g, 8, 13);
}

static void side_files_are_copied_into_folders_but_never_out(void **state) {
    (void)state;
    static const char bytes[24] = "twenty-three letters...";
    empty_folder();
    mkdir(in_folder("a"), 0777);
    mkdir(in_folder("a/deep"), 0777);
    mkdir(in_folder("b"), 0777);
    mkdir(in_folder("c"), 0777);
    mkdir(in_folder("target"), 0777);
    spill(in_folder("a/deep/w.bin"), bytes, 24);
    Pb p = outside_model("deep/w.bin");
    spill(in_folder("a/m.onnx"), p.at, p.n);
    written(in_folder("a/m.onnx"), in_folder("b/m.onnx"), NULL);
    same_contents(in_folder("a/deep/w.bin"), in_folder("b/deep/w.bin"));
    assert_int_equal(symlink("../target", in_folder("c/deep")), 0); // would lead out of c/
    Reading r = {.path = in_folder("a/m.onnx"), .write_to = in_folder("c/m.onnx")};
    assert_int_equal(reading_run(&r, reading_go), E_IO);
    cx_free(r.cx);
    assert_int_equal(files_in(in_folder("target")), 0);
    assert_int_equal(files_in(in_folder("c")), 1);
    free(p.at);
    p = outside_model("m2.onnx"); // OUT would overwrite its own weights
    spill(in_folder("a/m.onnx"), p.at, p.n);
    spill(in_folder("a/m2.onnx"), bytes, 24);
    r = (Reading){.path = in_folder("a/m.onnx"), .write_to = in_folder("b/m2.onnx")};
    assert_int_equal(reading_run(&r, reading_go), E_IO);
    cx_free(r.cx);
    r = (Reading){.path = in_folder("a/m.onnx"), .write_to = in_folder("a/m2.onnx")};
    assert_int_equal(reading_run(&r, reading_go), E_IO);
    cx_free(r.cx);
    free(p.at);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_beyond_the_limit_go_to_a_side_file),
        cmocka_unit_test(a_changed_side_file_is_noticed),
        cmocka_unit_test(side_files_are_copied_into_folders_but_never_out),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
