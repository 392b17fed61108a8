// test_dataset.c -- datasets from folders, idx files and lists: splits, classes, and what is refused.
#include "data/dataset.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "tree.h"

typedef struct Job { Cx *cx; const char *path; DatasetOptions o; bool one; Dataset d; } Job;

static void open_it(void *arg) {
    Job *j = arg;
    j->d = j->one ? dataset_open_split(j->cx, j->path, &j->o) : dataset_open(j->cx, j->path, &j->o);
}

static Job open_with(const char *name, DatasetOptions o, bool one) {
    Job j = {.cx = cx_new(), .path = tree_path(name), .o = o, .one = one};
    if (!cx_guard(j.cx, open_it, &j)) fail_msg("%s", j.cx->error);
    return j;
}

static Job opened(const char *name) { return open_with(name, (DatasetOptions){0}, false); }

static void refused_with(const char *name, DatasetOptions o, bool one, Err code, const char *words) {
    Job j = {.cx = cx_new(), .path = tree_path(name), .o = o, .one = one};
    assert_false(cx_guard(j.cx, open_it, &j));
    assert_int_equal(j.cx->code, code);
    if (!strstr(j.cx->error, words)) fail_msg("'%s' lacks '%s'", j.cx->error, words);
    cx_free(j.cx);
}

static void refused(const char *name, const char *words) {
    refused_with(name, (DatasetOptions){0}, false, E_DATASET, words);
}

static void put_class(const char *folder, int n) {
    for (int i = 0; i < n; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s/%02d.pgm", folder, i);
        tree_picture(name, 2, (unsigned)i);
    }
}

static int count_label(const Examples *e, int label) {
    int n = 0;
    for (int i = 0; i < e->n; i++) n += e->at[i].label == label;
    return n;
}

// ---- folders ----

static void reads_splits(void **state) {
    (void)state;
    static const char *const val[] = {"val", "valid", "validation", "test"};
    for (int i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "s%d/train/b", i), put_class(name, 3);
        snprintf(name, sizeof name, "s%d/train/Z", i), put_class(name, 2);
        snprintf(name, sizeof name, "s%d/%s/b", i, val[i]), put_class(name, 1);
        snprintf(name, sizeof name, "s%d/%s/Z/deeper", i, val[i]), put_class(name, 2);
        snprintf(name, sizeof name, "s%d/notes/x.txt", i), tree_text(name, "no class");
        snprintf(name, sizeof name, "s%d", i);
        Job j = opened(name);
        assert_int_equal(j.d.kind, TARGET_CLASS);
        assert_int_equal(j.d.classes.n, 2);
        assert_string_equal(j.d.classes.name[0], "Z");           // sorted by bytes, as Python sorts
        assert_string_equal(j.d.classes.name[1], "b");
        assert_int_equal(j.d.train.n, 5);
        assert_int_equal(j.d.val.n, 3);
        assert_string_equal(j.d.val.name, val[i]);
        assert_int_equal(count_label(&j.d.train, 1), 3);
        assert_string_equal(j.d.train.at[0].picture.path, cx_fmt(j.cx, "%s/train/Z/00.pgm", j.path));
        cx_free(j.cx);
    }
    tree_picture("s3/val/b/0.pgm", 2, 0), tree_picture("s3/val/Z/0.pgm", 2, 0);
    // test/ counts only where there is no val/
    Job j = opened("s3");
    assert_string_equal(j.d.val.name, "val");
    cx_free(j.cx);
    j = open_with("s3", (DatasetOptions){.split = "test"}, true);
    assert_int_equal(j.d.val.n, 3);
    cx_free(j.cx);
}

static void divides_by_class(void **state) {
    (void)state;
    put_class("plain/a", 50), put_class("plain/b", 10), put_class("plain/c", 2);
    Job j = opened("plain"), same = opened("plain"), other = open_with("plain", (DatasetOptions){.seed = 1}, false);
    assert_int_equal(j.d.val.n, 13);
    assert_int_equal(count_label(&j.d.val, 0), 10);
    assert_int_equal(count_label(&j.d.val, 1), 2);
    assert_int_equal(count_label(&j.d.val, 2), 1);               // at least one
    assert_int_equal(j.d.train.n + j.d.val.n, 62);
    assert_true(dataset_hash(&j.d) == dataset_hash(&same.d));
    assert_true(dataset_hash(&j.d) != dataset_hash(&other.d));
    for (int i = 0; i < j.d.val.n; i++)                          // nothing is in both
        for (int k = 0; k < j.d.train.n; k++)
            assert_string_not_equal(j.d.val.at[i].picture.path, j.d.train.at[k].picture.path);
    Job part = open_with("plain", (DatasetOptions){.split = "val"}, true);
    assert_int_equal(part.d.val.n, 13);
    assert_string_equal(part.d.val.at[7].picture.path, j.d.val.at[7].picture.path);
    Job all = open_with("plain", (DatasetOptions){0}, true);
    assert_int_equal(all.d.val.n, 62);
    Job half = open_with("plain", (DatasetOptions){.val_split = 0.5}, false);
    assert_int_equal(half.d.val.n, 31);
    refused_with("plain", (DatasetOptions){.split = "holdout"}, true, E_DATASET, "has no split 'holdout'");
    refused_with("plain", (DatasetOptions){.val_split = 1}, false, E_USAGE, "validation split");
    put_class("lonely/a", 5), put_class("lonely/b", 1);
    Job lonely = opened("lonely");                               // one image alone is to be learned from
    assert_int_equal(count_label(&lonely.d.train, 1), 1);
    assert_int_equal(lonely.d.val.n, 1);
    cx_free(lonely.cx);
    cx_free(j.cx), cx_free(same.cx), cx_free(other.cx), cx_free(part.cx), cx_free(all.cx), cx_free(half.cx);
}

static void takes_few(void **state) {
    (void)state;
    Job all = opened("plain"), few = open_with("plain", (DatasetOptions){.per_class = 7}, false);
    assert_int_equal(few.d.val.n, all.d.val.n);                  // what is judged stays the same
    assert_int_equal(count_label(&few.d.train, 0), 7);
    assert_int_equal(count_label(&few.d.train, 1), 7);
    assert_int_equal(count_label(&few.d.train, 2), 1);           // there are no more
    Job other = open_with("plain", (DatasetOptions){.per_class = 7, .seed = 1}, false);
    assert_true(dataset_hash(&few.d) != dataset_hash(&other.d));
    for (int i = 1; i < few.d.train.n; i++)                      // in their old order
        assert_true(strcmp(few.d.train.at[i - 1].picture.path, few.d.train.at[i].picture.path) < 0);
    cx_free(all.cx), cx_free(few.cx), cx_free(other.cx);
}

static void matches_names(void **state) {
    (void)state;
    put_class("known/cat", 2), put_class("known/dog", 3);
    const char *names[] = {"dog", "fish", "cat"};
    Labels match = {3, names, "model"};
    Job j = open_with("known", (DatasetOptions){.match = &match}, true);
    assert_int_equal(j.d.classes.n, 3);
    assert_int_equal(count_label(&j.d.val, 0), 3);
    assert_int_equal(count_label(&j.d.val, 2), 2);
    cx_free(j.cx);
    put_class("unknown/cat", 2), put_class("unknown/zebra", 3);
    refused_with("unknown", (DatasetOptions){.match = &match}, true, E_DATASET, "class 'zebra' of");
    refused_with("known", (DatasetOptions){.classes = "cat,cow"}, false, E_DATASET, "has no class 'cow'");
    refused_with("known", (DatasetOptions){.classes = "cat,cat"}, false, E_USAGE, "named twice");
    put_class("known/eel", 4);
    j = open_with("known", (DatasetOptions){.classes = "eel,cat"}, false);
    assert_string_equal(j.d.classes.name[0], "eel");
    assert_int_equal(j.d.train.n + j.d.val.n, 6);
    cx_free(j.cx);
}

static void refuses_folders(void **state) {
    (void)state;
    put_class("differ/train/a", 1), put_class("differ/train/wolf", 1);
    put_class("differ/val/a", 1), put_class("differ/val/b", 1);
    refused("differ", "differ: 'b' is in val, but not in train");
    put_class("lack/train/a", 1), put_class("lack/train/wolf", 1), put_class("lack/val/a", 1);
    refused("lack", "'wolf' is in train, but not in val");
    put_class("single/a", 5);
    refused("single", "has one class, 'a'");
    tree_text("none/a/readme.txt", "x"), tree_text("none/b/.hidden.png", "x");
    refused("none", "has no images");
    put_class("empty/a", 5), put_class("empty/b", 5), tree_text("empty/c/readme.txt", "x");
    refused("empty", "class 'c' of");
    refused_with("nothing", (DatasetOptions){0}, false, E_IO, "no such folder");
    tree_text("file.txt", "x");
    refused("file.txt", "neither a folder");
    Job j = open_with("differ", (DatasetOptions){.lenient = true}, false);
    assert_true(j.d.nproblem >= 2);
    cx_free(j.cx);
    j = open_with("empty", (DatasetOptions){.lenient = true}, false);
    assert_int_equal(j.d.nproblem, 1);
    assert_int_equal(j.d.train.n, 8);
    cx_free(j.cx);
}

static void reads_one_split_only(void **state) {
    (void)state;
    put_class("alone/train/a", 5), put_class("alone/train/b", 5);
    Job j = opened("alone");                                     // nothing but train/: divided
    assert_int_equal(j.d.train.n, 8);
    cx_free(j.cx);
    put_class("held/val/a", 2), put_class("held/val/b", 2);
    j = open_with("held", (DatasetOptions){0}, true);
    assert_int_equal(j.d.val.n, 4);
    cx_free(j.cx);
}

// ---- idx ----

static const char images[] = "\0\0\x08\3\0\0\0\6\0\0\0\1\0\0\0\2"
                             "aabbccddeeff",
                  labels[] = "\0\0\x08\1\0\0\0\6"
                             "\x0a\2\3\2\3\x0a";

static void reads_idx(void **state) {
    (void)state;
    tree_put("mnist/train-images-idx3-ubyte", images, sizeof images - 1);
    tree_put("mnist/train-labels-idx1-ubyte", labels, sizeof labels - 1);
    tree_put("mnist/t10k-images-idx3-ubyte", images, sizeof images - 1);
    tree_put("mnist/t10k-labels-idx1-ubyte", labels, sizeof labels - 1);
    Job j = opened("mnist");
    assert_int_equal(j.d.classes.n, 3);
    assert_string_equal(j.d.classes.name[2], "10");              // in the order of numbers
    assert_int_equal(j.d.train.at[0].label, 2);
    assert_int_equal(j.d.train.at[1].label, 0);
    assert_memory_equal(j.d.train.at[1].picture.grey, "bb", 2);
    assert_string_equal(j.d.val.name, "test");
    cx_free(j.cx);
    j = open_with("mnist", (DatasetOptions){.classes = "10,2"}, false);
    assert_int_equal(j.d.train.n, 4);
    assert_int_equal(j.d.train.at[0].label, 0);
    assert_string_equal(j.d.classes.name[0], "10");
    cx_free(j.cx);
    j = opened("mnist/train-images-idx3-ubyte");
    assert_int_equal(j.d.train.n, 3);
    assert_int_equal(j.d.val.n, 3);
    cx_free(j.cx);
    const char *names[11] = {"shirt", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"};
    Labels match = {11, names, "model"};
    j = open_with("mnist", (DatasetOptions){.match = &match}, true);
    assert_int_equal(j.d.val.at[0].label, 10);
    cx_free(j.cx);
    match.n = 10;
    refused_with("mnist", (DatasetOptions){.match = &match}, true, E_DATASET, "label 10 of");
    Job named =
        open_with("mnist", (DatasetOptions){.names = &(Labels){11, names, "names.txt"}, .classes = "k,c"}, false);
    assert_string_equal(named.d.classes.name[0], "k");
    assert_int_equal(named.d.train.at[0].label, 0);
    assert_int_equal(named.d.train.at[1].label, 1);
    cx_free(named.cx);
    refused_with("mnist", (DatasetOptions){.names = &(Labels){10, names, "names.txt"}}, false, E_DATASET,
                 "label '10' of");
    refused_with("plain", (DatasetOptions){.names = &(Labels){11, names, "names.txt"}}, false, E_USAGE,
                 "names its classes itself");
    tree_put("short/train-images-idx3-ubyte", images, sizeof images - 1);
    refused("short", "are not there");
    tree_put("short/train-labels-idx1-ubyte", "\0\0\x08\1\0\0\0\1\1", 9);
    refused("short", "has 6 images, but its labels are 1");
}

// ---- lists ----

static void reads_csv(void **state) {
    (void)state;
    tree_text("l/a.csv",
              "\xef\xbb\xbfsplit,path,note,label\r\ntrain,\"a,1.png\",x,cat\r\n\r\ntrain,b.png,\"two\nlines\",dog\n"
              "valid,c.png,,\"the \"\"cat\"\"\"\ntrain,d.png,,\"the \"\"cat\"\"\"\nvalid,e.png,,cat\nvalid,f.png,,dog");
    Job j = opened("l/a.csv");
    assert_int_equal(j.d.classes.n, 3);
    assert_string_equal(j.d.classes.name[2], "the \"cat\"");
    assert_int_equal(j.d.train.n, 3);
    assert_int_equal(j.d.val.n, 3);
    assert_string_equal(j.d.train.at[0].picture.path, tree_path("l/a,1.png"));
    assert_int_equal(j.d.train.at[2].label, 2);
    cx_free(j.cx);
    tree_text("l/several.csv", "path,label\na.png,cat;dog\nb.png,\nc.png,dog\nd.png,eel\n");
    j = opened("l/several.csv");
    assert_int_equal(j.d.kind, TARGET_LABELS);
    assert_int_equal(j.d.ntarget, 3);
    assert_int_equal(j.d.train.n + j.d.val.n, 4);
    for (int i = 0; i < j.d.train.n; i++) {
        const Example *e = &j.d.train.at[i];
        bool a = !!strstr(e->picture.path, "a.png"), c = !!strstr(e->picture.path, "c.png");
        assert_true(e->target[0] == (a ? 1 : 0) && e->target[1] == (a || c ? 1 : 0));
    }
    cx_free(j.cx);
    const char *names[] = {"eel", "dog", "ox", "cat"};
    Labels match = {4, names, "model"};
    j = open_with("l/several.csv", (DatasetOptions){.match = &match}, true);
    assert_int_equal(j.d.ntarget, 4);
    assert_true(j.d.val.at[0].target[1] == 1 && j.d.val.at[0].target[3] == 1 && j.d.val.at[0].target[0] == 0);
    cx_free(j.cx);
    refused_with("l/several.csv", (DatasetOptions){.target = TARGET_CLASS}, false, E_DATASET, "line 2: 2 labels");
    tree_text("l/numbers.csv", "path,label\na.png,0.5;1\nb.png,-2;1e3\n");
    j = open_with("l/numbers.csv", (DatasetOptions){.target = TARGET_NUMBERS}, false);
    assert_int_equal(j.d.ntarget, 2);
    assert_int_equal(j.d.classes.n, 0);
    cx_free(j.cx);
}

static void reads_jsonl(void **state) {
    (void)state;
    tree_text("l/a.jsonl",
              "{\"path\": \"a.png\", \"label\": 3}\n\n{\"path\": \"b.png\", \"label\": \"x\\u00e9\"}\r\n"
              "{\"path\": \"c.png\", \"label\": \"3\", \"extra\": {}}\n{\"path\": \"d.png\", \"label\": \"x\\u00e9\"}");
    Job j = opened("l/a.jsonl");
    assert_int_equal(j.d.kind, TARGET_CLASS);
    assert_string_equal(j.d.classes.name[1], "x\xc3\xa9");
    assert_int_equal(j.d.train.n, 2);
    cx_free(j.cx);
    tree_text("l/numbers.jsonl",
              "{\"path\": \"a.png\", \"label\": [0.1, 2]}\n{\"path\": \"b.png\", \"label\": [3, 1e-3]}\n");
    j = open_with("l/numbers.jsonl", (DatasetOptions){.target = TARGET_NUMBERS}, false);
    const Example *a = strstr(j.d.train.at[0].picture.path, "a.png") ? j.d.train.at : j.d.val.at;
    assert_true(a->target[0] == 0.1f && a->target[1] == 2);
    cx_free(j.cx);
}

static void refuses_lists(void **state) {
    (void)state;
    static const struct { const char *name, *text; Err code; const char *words; } bad[] = {
        {"l/1.csv", "file,class\na,b\n", E_MALFORMED, "line 1: the first line must name"},
        {"l/2.csv", "path,label\n\"a.png,cat\n", E_MALFORMED, "quote is not closed"},
        {"l/3.csv", "path,label\n\"a\"b,cat\n", E_MALFORMED, "behind a closing quote"},
        {"l/4.csv", "path,label\na.png\n", E_MALFORMED, "line 2: columns are missing"},
        {"l/5.csv", "path,label\na.png,1\n../b.png,2\n", E_DATASET, "line 3: '../b.png' leads out"},
        {"l/6.csv", "path,label\n/etc/passwd,1\nb,2\n", E_DATASET, "leads out"},
        {"l/7.csv", "path,label\na/../../b.png,1\n", E_DATASET, "leads out"},
        {"l/8.csv", "path,label\n,1\n", E_MALFORMED, "no path"},
        {"l/9.csv", "path,label,split\na,1,train\nb,2,\n", E_DATASET, "line 3: no split"},
        {"l/10.csv", "path,label\n", E_DATASET, "has no images"},
        {"l/11.csv", "path,label\na,1\nb,1\n", E_DATASET, "has one class"},
        {"l/12.csv", "path,label,split\na,1,hold\nb,2,out\n", E_DATASET, "has no split 'train'"},
        {"l/1.jsonl", "{\"path\": 3, \"label\": 1}", E_MALFORMED, "path and split are text"},
        {"l/2.jsonl", "\n[1]", E_MALFORMED, "line 2: not a JSON object"},
        {"l/3.jsonl", "{\"path\": \"a\"}", E_MALFORMED, "no label"},
        {"l/4.jsonl", "{\"path\": \"a\", \"label\": {}}", E_MALFORMED, "a label is text or a number"},
        {"l/5.jsonl", "{\"path\": \"a\"", E_MALFORMED, "not a JSON object"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tree_text(bad[i].name, bad[i].text);
        refused_with(bad[i].name, (DatasetOptions){0}, false, bad[i].code, bad[i].words);
    }
    tree_put("l/zero.csv", "path,label\na\0,1\n", 16);
    refused_with("l/zero.csv", (DatasetOptions){0}, false, E_MALFORMED, "zero byte");
    DatasetOptions numbers = {.target = TARGET_NUMBERS};
    tree_text("l/n1.csv", "path,label\na,1\nb,1;2\n");
    refused_with("l/n1.csv", numbers, false, E_DATASET, "line 3: 2 numbers where others have 1");
    tree_text("l/n2.csv", "path,label\na,1\nb,dog\n");
    refused_with("l/n2.csv", numbers, false, E_DATASET, "'dog' is no number");
    put_class("words/a", 2), put_class("words/b", 2);
    refused_with("words", numbers, false, E_DATASET, "names classes, but numbers");
}

static void hash_sees_changes(void **state) {
    (void)state;
    put_class("h/a", 3), put_class("h/b", 3);
    Job j = opened("h");
    uint64_t before = dataset_hash(&j.d);
    cx_free(j.cx);
    tree_text("h/a/00.pgm", "longer than it was before");
    j = opened("h");
    assert_true(dataset_hash(&j.d) != before);
    cx_free(j.cx);
    put_class("h2/a", 3), put_class("h2/b", 3);
    j = opened("h2");
    assert_true(dataset_hash(&j.d) == before);                   // where it lies does not matter
    cx_free(j.cx);
}

static void reads_real_photos(void **state) {
    (void)state;
    const char *data = getenv("TVC_TEST_DATA");
    Cx *cx = cx_new();
    const char *path = cx_fmt(cx, "%s/datasets/hymenoptera_data", data ? data : TVC_SOURCE_DIR "/../shared/data");
    if (access(path, R_OK)) {
        cx_free(cx);
        skip();
    }
    Job j = {.cx = cx, .path = path};
    if (!cx_guard(cx, open_it, &j)) fail_msg("%s", cx->error);
    assert_string_equal(j.d.classes.name[0], "ants");
    assert_int_equal(j.d.train.n, 244);
    assert_int_equal(j.d.val.n, 153);
    cx_free(cx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_splits),  cmocka_unit_test(divides_by_class),  cmocka_unit_test(takes_few),
        cmocka_unit_test(matches_names), cmocka_unit_test(refuses_folders),   cmocka_unit_test(reads_one_split_only),
        cmocka_unit_test(reads_idx),     cmocka_unit_test(reads_csv),         cmocka_unit_test(reads_jsonl),
        cmocka_unit_test(refuses_lists), cmocka_unit_test(hash_sees_changes), cmocka_unit_test(reads_real_photos),
    };
    return cmocka_run_group_tests(tests, tree_new, tree_remove);
}
