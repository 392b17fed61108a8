// Editing and writing models: nothing changes that was not asked to; what was asked is there when
// read again; unknown fields survive; failed writes leave nothing. Side files: test_write_external.c.
#define _GNU_SOURCE // memmem, nftw
#include "written.h"
#include <ftw.h>
#include <signal.h>
#include <sys/resource.h>

// The small model, edited, and read again from the bytes that makes.
typedef struct Edited {
    Cx *cx;
    Pb pb;
    Model *before, *after;
    void (*edit)(Model *);
    Bytes bytes;
} Edited;

static void go_edit(void *arg) {
    Edited *e = arg;
    e->before = model_read_bytes(e->cx, "before.onnx", (Bytes){e->pb.at, e->pb.n});
    e->edit(e->before);
    e->bytes = model_bytes(e->before);
    e->after = model_read_bytes(e->cx, "after.onnx", e->bytes);
}

static Edited edited(int ir, void (*edit)(Model *)) {
    Edited e = {.cx = cx_new(), .pb = small_model(ir), .edit = edit};
    if (!cx_guard(e.cx, go_edit, &e)) fail_msg("%s", e.cx->error);
    return e;
}

static void done(Edited *e) {
    cx_free(e->cx);
    free(e->pb.at);
}

static bool holds(Bytes b, const char *text) { return memmem(b.at, b.n, text, strlen(text)); }

// What must survive any edit.
static void unknown_kept(const Edited *e) {
    assert_true(holds(e->bytes, "unknown in the graph"));
    assert_true(holds(e->bytes, "unknown in the model"));
    assert_true(holds(e->bytes, "about the output"));
    assert_int_equal(e->after->nopset, 2);
}

// The view after reading equals the view that was edited.
static void views_agree(const Model *a, const Model *b) {
    assert_int_equal(a->nnode, b->nnode);
    for (int i = 0; i < a->nnode; i++) {
        const DocNode *p = a->node[i], *q = b->node[i];
        assert_string_equal(p->op, q->op);
        assert_string_equal(p->name, q->name);
        assert_string_equal(p->domain, q->domain);
        assert_true(p->nin == q->nin && p->nout == q->nout && p->nattr == q->nattr && p->index == i && q->index == i);
        for (int k = 0; k < p->nin; k++) assert_string_equal(p->in[k], q->in[k]);
        for (int k = 0; k < p->nout; k++) assert_string_equal(p->out[k], q->out[k]);
        for (int k = 0; k < p->nattr; k++) assert_string_equal(p->attr[k].name, q->attr[k].name);
    }
    assert_true(a->ninit == b->ninit && a->ninput == b->ninput && a->noutput == b->noutput && a->nvalue == b->nvalue &&
                a->nmeta == b->nmeta);
    for (int i = 0; i < a->ninit; i++) {
        const Tensor *p = a->init[i], *q = b->init[i];
        assert_string_equal(p->name, q->name);
        assert_true(p->type == q->type && p->rank == q->rank && p->count == q->count);
        if (p->rank) assert_memory_equal(p->dim, q->dim, sizeof *p->dim * (size_t)p->rank);
        assert_memory_equal(p->data, q->data, tensor_bytes(p));
    }
    for (int i = 0; i < a->ninput; i++) assert_string_equal(a->input[i]->name, b->input[i]->name);
    for (int i = 0; i < a->noutput; i++) assert_string_equal(a->output[i]->name, b->output[i]->name);
    for (int i = 0; i < a->nvalue; i++) assert_string_equal(a->value[i]->name, b->value[i]->name);
    for (int i = 0; i < a->nmeta; i++) assert_string_equal(a->meta[i]->value, b->meta[i]->value);
}

static Edited after_edit(int ir, void (*edit)(Model *)) {
    Edited e = edited(ir, edit);
    views_agree(e.before, e.after);
    unknown_kept(&e);
    return e;
}

// ---- each edit ----

static void replace_head(Model *m) {
    static const float weight[8], bias[4] = {1, 2, 3, 4};
    model_set_init(m, "gw", &(Tensor){.type = DT_F32, .rank = 2, .dim = (int64_t[]){2, 4}, .count = 8, .data = weight});
    model_set_init(m, "gb", &(Tensor){.type = DT_F32, .rank = 1, .dim = (int64_t[]){4}, .count = 4, .data = bias});
    ValueInfo y = *m->output[0];
    y.dim = (Dim[]){{-1, "N"}, {4, NULL}};
    model_set_value(m, &y);
}

static void head_is_replaced_in_place(void **state) {
    (void)state;
    for (int ir = 3; ir <= 8; ir += 5) {
        Edited e = after_edit(ir, replace_head);
        assert_int_equal(model_init(e.after, "gw")->dim[1], 4);
        assert_true(((const float *)model_init(e.after, "gb")->data)[3] == 4);
        assert_true(holds(e.bytes, "about the weight"));
        assert_int_equal(e.after->output[0]->dim[1].value, 4);
        assert_string_equal(e.after->output[0]->dim[0].param, "N");
        assert_int_equal(e.after->ninput, ir < 4 ? 4 : 1);
        if (ir < 4) assert_int_equal(model_value(e.after, "gw")->dim[1].value, 4);
        assert_string_equal(e.after->init[0]->name, "w");
        done(&e);
    }
}

static void add_init(Model *m) {
    static const int64_t shape[2] = {1, -1};
    model_set_init(m, "shape", &(Tensor){.type = DT_I64, .rank = 1, .dim = (int64_t[]){2}, .count = 2, .data = shape});
}

static void reshape_a_declared_weight(Model *m) {
    static const float bias[7];
    model_set_value(m, &(ValueInfo){.name = "gb", .type = DT_F32, .rank = 1, .dim = (Dim[]){{5, NULL}}});
    model_set_init(m, "gb", &(Tensor){.type = DT_F32, .rank = 1, .dim = (int64_t[]){7}, .count = 7, .data = bias});
}

static void declarations_follow_the_initializer(void **state) {
    (void)state;
    Edited e = after_edit(8, reshape_a_declared_weight);
    assert_int_equal(e.after->nvalue, 2);
    assert_int_equal(model_value(e.after, "gb")->dim[0].value, 7);
    done(&e);
}

static void old_models_list_new_initializers_as_inputs(void **state) {
    (void)state;
    for (int ir = 3; ir <= 8; ir += 5) {
        Edited e = after_edit(ir, add_init);
        assert_int_equal(e.after->ninit, 4);
        assert_int_equal(e.after->ninput, ir < 4 ? 5 : 1);
        done(&e);
    }
}

static void add_nodes(Model *m) {
    const float half = 0.5f;
    const NewAttr attr[] = {
        {.name = "ratio", .kind = ATTR_F, .f = 0.25f},
        {.name = "axes", .kind = ATTR_IS, .n = 2, .is = (int64_t[]){1, -1}},
        {.name = "mode", .kind = ATTR_S, .s = "linear"},
        {.name = "seed", .kind = ATTR_I, .i = -7},
        {.name = "scales", .kind = ATTR_FS, .n = 1, .fs = &half},
        {.name = "keys", .kind = ATTR_SS, .n = 2, .ss = (const char *[]){"a", "bc"}},
        {.name = "value", .kind = ATTR_T, .t = &(Tensor){.type = DT_F32, .count = 1, .data = &half, .name = "half"}}};
    DocNode *relu = m->node[1];
    const char *value = model_fresh_name(m, "r"), *name = model_fresh_name(m, "relu");
    assert_string_equal(value, "r_1");
    assert_string_equal(name, "relu_1");
    assert_string_equal(model_fresh_name(m, "r"), "r_2");
    model_set_output(m, relu, 0, value);
    model_add_node(m, 2, "Dropout", "", name, 2, (const char *[]){value, ""}, 1, (const char *[]){"r"}, 7, attr);
    model_add_node(m, 0, "Custom", "com.example", "first", 1, (const char *[]){"x"}, 1, (const char *[]){"unused"}, 0,
                   NULL);
    model_add_node(m, m->nnode, "Identity", "", "", 1, (const char *[]){"y"}, 1, (const char *[]){"z"}, 0, NULL);
}

static void nodes_are_added_where_asked(void **state) {
    (void)state;
    Edited e = after_edit(8, add_nodes);
    static const char *const op[] = {"Custom", "Conv", "Relu", "Dropout", "Gemm", "Identity"};
    for (int i = 0; i < 6; i++) assert_string_equal(e.after->node[i]->op, op[i]);
    const DocNode *n = e.after->node[3];
    assert_true(node_float(n, "ratio", 0) == 0.25f && node_int(n, "seed", 0) == -7);
    assert_string_equal(node_string(n, "mode", ""), "linear");
    assert_true(node_attr(n, "axes")->n == 2 && node_attr(n, "axes")->is[1] == -1);
    assert_true(node_attr(n, "scales")->n == 1 && node_attr(n, "scales")->fs[0] == 0.5f);
    assert_string_equal(node_attr(n, "keys")->ss[1], "bc");
    assert_true(node_attr(n, "value")->t->rank == 0 && *(const float *)node_attr(n, "value")->t->data == 0.5f);
    assert_string_equal(node_attr(n, "value")->t->name, "half");
    assert_ptr_equal(model_producer(e.before, "r"), e.before->node[3]);
    assert_ptr_equal(model_producer(e.before, "r_1"), e.before->node[2]);
    assert_string_equal(e.after->node[0]->domain, "com.example");
    done(&e);
}

static void change_conv(Model *m) {
    DocNode *n = m->node[0];
    model_set_attr(m, n, (NewAttr){.name = "group", .kind = ATTR_I, .i = 3});
    model_remove_attr(m, n, "pads");
    model_remove_attr(m, n, "not there");
    model_set_input(m, n, 2, "gb");
    model_set_output(m, n, 1, "second");
    model_set_output(m, n, 2, "third");
    model_trim_outputs(m, n, 2);
}

static void an_edited_node_keeps_the_rest(void **state) {
    (void)state;
    Edited e = after_edit(8, change_conv);
    const DocNode *n = e.after->node[0];
    assert_true(n->nattr == 1 && node_int(n, "group", 0) == 3 && n->nin == 3 && n->nout == 2);
    assert_true(holds(e.bytes, "about the convolution") && holds(e.bytes, "a field of the future"));
    assert_null(model_producer(e.before, "third"));
    assert_ptr_equal(model_producer(e.before, "second"), e.before->node[0]);
    done(&e);
}

static void cut_at_r(Model *m) {
    model_set_outputs(m, 1, (ValueInfo[]){{.name = "r", .rank = -1}});
    model_remove_node(m, m->node[2]);
    model_remove_init(m, "gw");
    model_remove_init(m, "gb");
}

static void the_tail_is_cut_off(void **state) {
    (void)state;
    for (int ir = 3; ir <= 8; ir += 5) {
        Edited e = edited(ir, cut_at_r);
        views_agree(e.before, e.after);
        assert_true(e.after->nnode == 2 && e.after->ninit == 1 && e.after->nvalue == 0 &&
                    e.after->ninput == (ir < 4 ? 2 : 1));
        assert_string_equal(e.after->output[0]->name, "r");
        assert_true(e.after->output[0]->rank == 4 && e.after->output[0]->dim[1].value == 2);
        done(&e);
    }
}

static void two_outputs_swapped(Model *m) {
    ValueInfo v[] = {*model_value(m, "r"), *m->output[0]};
    model_set_outputs(m, 2, v);
}

static void outputs_come_in_the_order_given(void **state) {
    (void)state;
    Edited e = after_edit(8, two_outputs_swapped);
    assert_string_equal(e.after->output[0]->name, "r");
    assert_string_equal(e.after->output[1]->name, "y");
    done(&e);
}

static void change_meta(Model *m) {
    model_set_meta(m, "author", NULL);
    model_set_meta(m, "version", "2");
    model_set_meta(m, "labels", "ant\nbee");
    model_set_meta(m, "absent", NULL);
}

static void metadata_is_set_and_removed(void **state) {
    (void)state;
    Edited e = after_edit(8, change_meta);
    assert_null(model_meta(e.after, "author"));
    assert_string_equal(model_meta(e.after, "version"), "2");
    assert_string_equal(model_meta(e.after, "labels"), "ant\nbee");
    done(&e);
}

static void change_and_change_back(Model *m) {
    model_set_meta(m, "new", "x");
    model_set_meta(m, "new", NULL);
    DocNode *n =
        model_add_node(m, 1, "Identity", "", "gone", 1, (const char *[]){"x"}, 1, (const char *[]){"gone"}, 0, NULL);
    model_remove_node(m, n);
    model_set_value(m, &(ValueInfo){.name = "c", .type = DT_F32, .rank = 0});
    model_remove_value(m, "c");
}

static void undone_edits_leave_the_same_bytes(void **state) {
    (void)state;
    Edited e = edited(8, change_and_change_back);
    assert_int_equal(e.bytes.n, e.pb.n);
    assert_memory_equal(e.bytes.at, e.pb.at, e.pb.n);
    done(&e);
}

static void lose_a_producer(Model *m) { model_remove_node(m, m->node[1]); }
static void make_a_cycle(Model *m) { model_set_input(m, m->node[0], 0, "r"); }

static void a_broken_edit_is_not_written(void **state) {
    (void)state;
    Pb p = small_model(8);
    void (*const edit[])(Model *) = {lose_a_producer, make_a_cycle};
    for (int i = 0; i < 2; i++) {
        Reading r = {.bytes = {p.at, p.n}, .edit = edit[i], .write_to = in_folder("broken.onnx")};
        assert_int_equal(reading_run(&r, reading_go), E_MALFORMED);
        cx_free(r.cx);
        assert_int_equal(files_in(folder), 0);
    }
    free(p.at);
}

// ---- writing ----

static int models;

static int write_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)at, (void)st;
    size_t n = strlen(path);
    if (type != FTW_F || n < 5 || strcmp(path + n - 5, ".onnx")) return 0;
    if (++models % 8 && strstr(path, "onnx_backend/node")) return 0;
    written(path, in_folder("same.onnx"), NULL);
    same_contents(path, in_folder("same.onnx"));
    return 0;
}

static void models_at_hand_come_back_identical(void **state) {
    (void)state;
    const char *data = test_data();
    if (!data) skip();
    models = 0;
    assert_int_equal(nftw(data, write_one, 16, FTW_PHYS), 0);
    assert_true(models > 300);
}

static void output_may_be_the_input(void **state) {
    (void)state;
    Pb p = small_model(8);
    const char *path = in_folder("self.onnx");
    spill(path, p.at, p.n);
    written(path, path, replace_head);
    Reading r = {.path = path};
    assert_int_equal(reading_run(&r, reading_go), E_OK);
    assert_int_equal(model_init(r.model, "gw")->dim[1], 4);
    cx_free(r.cx);
    struct stat st;
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666 & ~mask);
    assert_int_equal(files_in(folder), 1);
    unlink(path);
    free(p.at);
}

// A disk that fills up while writing: the old file stays, nothing else does.
static void a_full_disk_leaves_the_old_file(void **state) {
    (void)state;
    empty_folder();
    Pb p = small_model(8);
    const char *path = in_folder("full.onnx");
    spill(path, p.at, p.n);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit was, low;
    getrlimit(RLIMIT_FSIZE, &was);
    for (size_t room = 0; room < p.n; room += 100) {
        low = (struct rlimit){room, was.rlim_max};
        setrlimit(RLIMIT_FSIZE, &low);
        Reading r = {.path = path, .edit = change_meta, .write_to = path};
        Err e = reading_run(&r, reading_go);
        setrlimit(RLIMIT_FSIZE, &was);
        assert_int_equal(e, E_IO);
        assert_non_null(strstr(r.cx->error, "cannot be written"));
        cx_free(r.cx);
        assert_int_equal(files_in(folder), 1);
    }
    size_t n = 0;
    uint8_t *now = slurp(path, &n);
    assert_int_equal(n, p.n);
    assert_memory_equal(now, p.at, n);
    free(now);
    free(p.at);
}

static void what_cannot_be_written_leaves_nothing(void **state) {
    (void)state;
    empty_folder();
    Pb p = small_model(8);
    const char *path = in_folder("in.onnx");
    spill(path, p.at, p.n);
    mkdir(in_folder("sub"), 0777);
    mkfifo(in_folder("fifo"), 0666);
    const char *to[] = {in_folder("sub"), in_folder("absent/x.onnx"), "/dev/full", in_folder("")};
    for (int i = 0; i < 4; i++) {
        Reading r = {.path = path, .write_to = to[i]};
        assert_int_equal(reading_run(&r, reading_go), E_IO);
        assert_non_null(strstr(r.cx->error, to[i]));
        cx_free(r.cx);
        assert_int_equal(files_in(folder), 3);
        assert_int_equal(files_in(in_folder("sub")), 0);
    }
    free(p.at);
}

// ---- an independent judge ----

static void cut_and_label(Model *m) {
    cut_at_r(m);
    change_meta(m);
}

static void onnx_checker_accepts_edited_files(void **state) {
    (void)state;
    const char *python = python_with("onnx");
    if (!python) skip();
    empty_folder();
    void (*const edit[])(Model *) = {replace_head, add_init, cut_and_label, keep_weights_outside};
    for (int ir = 3; ir <= 8; ir += 5)
        for (size_t i = 0; i < sizeof edit / sizeof *edit; i++) {
            Pb p = small_model(ir);
            char name[32], command[1200];
            snprintf(name, sizeof name, "checked%d_%zu.onnx", ir, i);
            Reading r = {.bytes = {p.at, p.n}, .edit = edit[i], .write_to = in_folder(name)};
            if (reading_run(&r, reading_go)) fail_msg("%s", r.cx->error);
            cx_free(r.cx);
            free(p.at);
            snprintf(command, sizeof command,
                     "'%s' -c 'import onnx,sys; onnx.checker.check_model(sys.argv[1]); onnx.load(sys.argv[1])' '%s'",
                     python, in_folder(name));
            assert_int_equal(system(command), 0);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(head_is_replaced_in_place),
        cmocka_unit_test(declarations_follow_the_initializer),
        cmocka_unit_test(old_models_list_new_initializers_as_inputs),
        cmocka_unit_test(nodes_are_added_where_asked),
        cmocka_unit_test(an_edited_node_keeps_the_rest),
        cmocka_unit_test(the_tail_is_cut_off),
        cmocka_unit_test(outputs_come_in_the_order_given),
        cmocka_unit_test(metadata_is_set_and_removed),
        cmocka_unit_test(undone_edits_leave_the_same_bytes),
        cmocka_unit_test(a_broken_edit_is_not_written),
        cmocka_unit_test(output_may_be_the_input),
        cmocka_unit_test(models_at_hand_come_back_identical),
        cmocka_unit_test(a_full_disk_leaves_the_old_file),
        cmocka_unit_test(what_cannot_be_written_leaves_nothing),
        cmocka_unit_test(onnx_checker_accepts_edited_files),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
