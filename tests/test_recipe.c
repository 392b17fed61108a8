// test_recipe.c -- recipes: options, completion, every metadata dialect there and back; labels too.
// (images.py compares the values with torchvision's.)
#include "data/labels.h"
#include "data/recipe.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static const char MODEL[] = TVC_SOURCE_DIR "/examples/fashion/fashion7.onnx";

static char noted[8192];
static void keep_notes(void *user, const char *line) {
    (void)user;
    size_t n = strlen(noted);
    snprintf(noted + n, sizeof noted - n, "%s\n", line);
}

typedef struct Job { Cx *cx; void (*work)(struct Job *); const char *path; Model *m; } Job;
static void run(void *a) { ((Job *)a)->work(a); }
static void open_model(Job *j) { j->m = model_read(j->cx, j->path ? j->path : MODEL); }

// A model without any metadata.
static Job start(void) {
    noted[0] = 0;
    Job j = {.cx = cx_new(), .work = open_model};
    j.cx->log = keep_notes;
    if (!cx_guard(j.cx, run, &j)) fail_msg("%s", j.cx->error);
    while (j.m->nmeta) model_set_meta(j.m, j.m->meta[0]->key, NULL);
    return j;
}

static const ImageInput INPUT = {3, 224, 224, false};

static Recipe from_options(Cx *cx, const char *const *options) {
    Recipe r = {0};
    for (; *options; options += 2) assert_true(recipe_option(cx, &r, options[0], options[1]));
    return r;
}
#define OPTIONS(cx, ...) from_options(cx, (const char *const[]){__VA_ARGS__, NULL})

static Recipe complete(Cx *cx, Recipe r, Recipe options, ImageInput in) {
    recipe_complete(cx, &r, &options, &in);
    return r;
}

static void silence_means_imagenet(void **state) {
    (void)state;
    Job j = start();
    Recipe r = complete(j.cx, recipe_of_model(j.cx, j.m), (Recipe){0}, INPUT);
    assert_string_equal(recipe_text(j.cx, &r, &INPUT), "resize 256 bilinear, crop 224x224, rgb, scale 1/255, "
                                               "mean 0.485,0.456,0.406, std 0.229,0.224,0.225");
    assert_non_null(strstr(noted, "assumed"));
    noted[0] = 0;
    r = complete(j.cx, (Recipe){0}, OPTIONS(j.cx, "preset", "imagenet"), (ImageInput){3, 299, 299, true});
    assert_int_equal(r.resize_height, 342);
    assert_string_equal(noted, "");
    r = complete(j.cx, (Recipe){0}, (Recipe){0}, (ImageInput){1, 28, 28, false});
    assert_int_equal(r.nmean, 1);
    assert_true(r.mean[0] == 0.449 && r.std[0] == 0.226);
    assert_non_null(strstr(noted, "grey"));
    cx_free(j.cx);
}

static void options_win(void **state) {
    (void)state;
    Job j = start();
    model_set_meta(j.m, "pretrained_cfg", "{\"input_size\":[3,224,224],\"crop_pct\":0.9,\"mean\":[0.5,0.5,0.5],\"std\":[0.5,0.5,0.5]}");
    Recipe r = complete(j.cx, recipe_of_model(j.cx, j.m),
                        OPTIONS(j.cx, "scale", "1", "order", "bgr", "mean", "104,117,123", "exif", "ignore"), INPUT);
    assert_string_equal(recipe_text(j.cx, &r, &INPUT), "resize 248 bicubic, crop 224x224, bgr, scale 1, mean 104,117,123, "
                                               "std 0.5,0.5,0.5, exif ignored");
    assert_string_equal(r.source, "pretrained_cfg");
    r = complete(j.cx, recipe_of_model(j.cx, j.m), OPTIONS(j.cx, "resize", "224x224"), INPUT);
    assert_int_equal(r.resize, RESIZE_WARP);
    r = complete(j.cx, recipe_of_model(j.cx, j.m), OPTIONS(j.cx, "std", "0.2", "preset", "imagenet"), INPUT);
    assert_null(r.source);
    assert_true(r.std[0] == 0.2 && r.mean[0] == 0.485);
    cx_free(j.cx);
}

static Recipe bad_recipe;
static void complete_bad(Job *j) { complete(j->cx, (Recipe){0}, bad_recipe, INPUT); }
static const char *const *bad_option;
static void parse_bad(Job *j) { recipe_option(j->cx, &(Recipe){0}, bad_option[0], bad_option[1]); }

static void bad_options_are_usage_errors(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"resize", "0"}, {"resize", "224x"}, {"resize", "99999999999"}, {"resize", "x"}, {"crop", "12y"}, {"std", "0"},
        {"mean", "1,2,3,4,5"}, {"mean", "1,,2"}, {"mean", ""}, {"mean", "nan"}, {"scale", "1/0"}, {"order", "grb"},
        {"interpolation", "best"}, {"exif", "maybe"}, {"preset", "mine"}};
    Job j = start();
    j.work = parse_bad;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bad_option = bad[i];
        if (cx_guard(j.cx, run, &j)) fail_msg("--%s %s was taken", bad[i][0], bad[i][1]);
        assert_int_equal(j.cx->code, E_USAGE);
    }
    assert_false(recipe_option(j.cx, &bad_recipe, "batch", "1"));
    j.work = complete_bad;
    bad_recipe = OPTIONS(j.cx, "crop", "200");
    assert_false(cx_guard(j.cx, run, &j));
    assert_non_null(strstr(j.cx->error, "200 x 200"));
    bad_recipe = OPTIONS(j.cx, "mean", "1,2");
    assert_false(cx_guard(j.cx, run, &j));
    cx_free(j.cx);
}

static void reads_every_dialect(void **state) {
    (void)state;
    static const struct { const char *key, *value, *text; } row[] = {
        {"pretrained_cfg", "{\"input_size\":[3,224,224],\"interpolation\":\"bilinear\",\"crop_pct\":0.95}",
         "resize 235 bilinear, crop 224x224, rgb, scale 1/255, mean 0.485,0.456,0.406, std 0.229,0.224,0.225"},
        {"pretrained_cfg", "{\"input_size\":[3,224,224],\"crop_pct\":1.0,\"crop_mode\":\"squash\"}",
         "resize 224x224 bicubic, crop 224x224, rgb, scale 1/255, mean 0.485,0.456,0.406, std 0.229,0.224,0.225"},
        {"Image.NominalPixelRange", "normalized_1_1",
         "resize 256 bilinear, crop 224x224, rgb, scale 1/255, mean 0.5, std 0.5"},
        {"Image.NominalPixelRange", "NominalRange_0_255", "resize 256 bilinear, crop 224x224, rgb, scale 1, mean 0, std 1"},
        {"tvc.preprocess", "{\"version\":1,\"resize\":[224,224],\"resize_mode\":\"warp\",\"interpolation\":\"lanczos\",\"crop\":null,"
         "\"color\":\"bgr\",\"scale\":2,\"mean\":[1,2,3],\"std\":[4],\"exif\":\"ignore\"}",
         "resize 224x224 lanczos, bgr, scale 2, mean 1,2,3, std 4, exif ignored"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        Job j = start();
        model_set_meta(j.m, row[i].key, row[i].value);
        Recipe r = complete(j.cx, recipe_of_model(j.cx, j.m), (Recipe){0}, INPUT);
        assert_non_null(r.source);
        assert_string_equal(recipe_text(j.cx, &r, &INPUT), row[i].text);
        cx_free(j.cx);
    }
    Job j = start();
    model_set_meta(j.m, "task", "classify");
    model_set_meta(j.m, "imgsz", "[224, 224]");
    Recipe r = complete(j.cx, recipe_of_model(j.cx, j.m), (Recipe){0}, INPUT);
    assert_string_equal(recipe_text(j.cx, &r, &INPUT), "resize 224 bilinear, crop 224x224, rgb, scale 1/255, mean 0, std 1");
    cx_free(j.cx);
}

static void damaged_metadata_is_passed_over(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"tvc.preprocess", "{"}, {"tvc.preprocess", "[]"}, {"tvc.preprocess", "{\"resize\":1e9,\"resize_mode\":\"shorter\"}"},
        {"pretrained_cfg", "{\"input_size\":[3,224]}"}, {"pretrained_cfg", "{\"input_size\":[3,224,224],\"crop_pct\":0}"},
        {"pretrained_cfg", "{\"input_size\":[3,224,224],\"mean\":[0,0,0],\"std\":[0,1,1]}"},
        {"Image.NominalPixelRange", "NominalRange_16_235"}, {"Image.BitmapPixelFormat", "Nv12"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Job j = start();
        model_set_meta(j.m, bad[i][0], bad[i][1]);
        Recipe r = recipe_of_model(j.cx, j.m);
        assert_int_equal(r.given, 0);
        assert_non_null(strstr(noted, "ignored"));
        cx_free(j.cx);
    }
}

static void same_recipe(const Recipe *a, const Recipe *b) {
    assert_int_equal(a->resize, b->resize);
    assert_int_equal(a->resize_height, b->resize_height);
    assert_int_equal(a->resize_width, b->resize_width);
    assert_int_equal(a->crop_height, b->crop_height);
    assert_int_equal(a->crop_width, b->crop_width);
    assert_int_equal(a->interp, b->interp);
    assert_int_equal(a->bgr, b->bgr);
    Preparer x, y;                                               // numbers of 0..255 and of 0..1 may say the same
    preparer_init(&x, a, &INPUT), preparer_init(&y, b, &INPUT);
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 256; i++)
            assert_true(fabsf(x.table[c][i] - y.table[c][i]) <= 1e-6f * (fabsf(x.table[c][255]) + fabsf(x.table[c][0])));
}

// Written, and read back from each dialect alone.
static void every_dialect_returns(void **state) {
    (void)state;
    static const char *const options[][6] = {
        {"resize", "256"}, {"resize", "232"}, {"resize", "224", "mean", "0", "std", "1"}, {"resize", "224x224", "interpolation", "bicubic"},
        {"scale", "1", "mean", "0", "std", "1"}, {"mean", "0.5", "std", "0.5"}, {"order", "bgr", "scale", "1"}, {"resize", "341"},
        {"scale", "1", "mean", "123.675,116.28,103.53", "std", "58.395,57.12,57.375"}};
    static const char *const dialects[] = {"tvc.preprocess", "pretrained_cfg", "imgsz"};
    int read_back[3] = {0};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        for (int d = 0; d < 3; d++) {
            Job j = start();
            Recipe given = {0};
            for (int k = 0; k < 6 && options[i][k]; k += 2) recipe_option(j.cx, &given, options[i][k], options[i][k + 1]);
            Recipe r = complete(j.cx, (Recipe){0}, given, INPUT);
            recipe_to_model(j.m, &r, &INPUT);
            for (int other = 0; other < d; other++) model_set_meta(j.m, dialects[other], NULL);
            Recipe back = recipe_of_model(j.cx, j.m);
            if (back.source && !strncmp(back.source, dialects[d], 5)) {
                back = complete(j.cx, back, (Recipe){0}, INPUT);
                same_recipe(&r, &back);
                read_back[d]++;
            }
            cx_free(j.cx);
        }
    assert_int_equal(read_back[0], 9);
    assert_int_equal(read_back[1], 8);                           // all but BGR
    assert_int_equal(read_back[2], 1);
}

static void ranges_have_names(void **state) {
    (void)state;
    static const struct { const char *scale, *mean, *std, *name; } row[] = {
        {"1", "127.5", "127.5", "Normalized_1_1"}, {"1/255", "0.5", "0.5", "Normalized_1_1"}, {"1/255", "0", "1", "Normalized_0_1"},
        {"1", "0", "255", "Normalized_0_1"}, {"1", "0", "1", "NominalRange_0_255"}, {"1", "127.5", "128", NULL}, {"2", "127.5", "127.5", NULL},
        {"1/255", "0.5", "0.25", NULL}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        Job j = start();
        Recipe r = complete(j.cx, (Recipe){0}, OPTIONS(j.cx, "scale", row[i].scale, "mean", row[i].mean, "std", row[i].std), INPUT);
        recipe_to_model(j.m, &r, &INPUT);
        const char *name = model_meta(j.m, "Image.NominalPixelRange");
        if (row[i].name) assert_string_equal(name, row[i].name);
        else assert_null(name);
        cx_free(j.cx);
    }
}

static void grey_is_called_grey(void **state) {
    (void)state;
    Job j = start();
    ImageInput grey = {1, 28, 28, false};
    Recipe r = complete(j.cx, (Recipe){0}, (Recipe){0}, grey);
    assert_non_null(strstr(recipe_text(j.cx, &r, &grey), ", grey, "));
    cx_free(j.cx);
}

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void reads_the_files_beside_the_model(void **state) {
    (void)state;
    char folder[] = "/tmp/tvc-recipe-XXXXXX", model[64], hf[64], config[64];
    assert_non_null(mkdtemp(folder));
    snprintf(model, sizeof model, "%s/m.onnx", folder);
    snprintf(hf, sizeof hf, "%s/preprocessor_config.json", folder);
    snprintf(config, sizeof config, "%s/config.json", folder);
    static const struct { const char *json, *text; } row[] = {
        {"{\"do_resize\":true,\"size\":{\"height\":224,\"width\":224},\"resample\":2,\"image_mean\":[0.5,0.5,0.5],"
         "\"image_std\":[0.5,0.5,0.5],\"rescale_factor\":0.00392156862745098}",
         "resize 224x224 bilinear, rgb, scale 1/255, mean 0.5,0.5,0.5, std 0.5,0.5,0.5"},
        {"{\"image_processor_type\":\"ConvNextImageProcessor\",\"size\":{\"shortest_edge\":224},\"crop_pct\":0.875,\"resample\":3,"
         "\"image_mean\":[0.5],\"image_std\":[0.5]}",
         "resize 256 bicubic, crop 224x224, rgb, scale 1/255, mean 0.5, std 0.5"},
        {"{\"do_center_crop\":true,\"crop_size\":224,\"size\":{\"shortest_edge\":256},\"do_normalize\":false}",
         "resize 256 bilinear, crop 224x224, rgb, scale 1/255, mean 0, std 1"}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        write_text(hf, row[i].json);
        write_text(config, "{\"id2label\":{\"1\":\"dog\",\"0\":\"cat\"}}");
        Job j = start();
        j.m->path = model;
        Recipe r = complete(j.cx, recipe_of_model(j.cx, j.m), (Recipe){0}, INPUT);
        assert_string_equal(recipe_text(j.cx, &r, &INPUT), row[i].text);
        Labels l = labels_of_model(j.cx, j.m);
        assert_int_equal(l.n, 2);
        assert_string_equal(l.name[1], "dog");
        cx_free(j.cx);
    }
    unlink(hf), unlink(config), rmdir(folder);
}

static void sees_the_input(void **state) {
    (void)state;
    static const struct { int rank; int64_t d[4]; ImageInput in; } good[] = {
        {4, {1, 3, 224, 224}, {3, 224, 224, false}}, {4, {-1, 224, 320, 3}, {3, 224, 320, true}},
        {4, {-1, 3, -1, -1}, {3, 0, 0, false}},      {3, {1, 28, 28}, {1, 28, 28, false}},
        {4, {-1, -1, -1, 3}, {3, 0, 0, true}},       {4, {-1, -1, -1, -1}, {3, 0, 0, false}}};
    const char *why;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        Dim d[4];
        for (int k = 0; k < 4; k++) d[k] = (Dim){good[i].d[k], NULL};
        ImageInput in;
        assert_true(image_input(&(ValueInfo){.rank = good[i].rank, .dim = d}, &in, &why));
        assert_memory_equal(&in.channels, &good[i].in.channels, 3 * sizeof(int));
        assert_int_equal(in.nhwc, good[i].in.nhwc);
    }
    static const int64_t bad[][4] = {{1, 4, 224, 224}, {1, 3, 0, 224}, {1, 3, 224, 1 << 20}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Dim d[4];
        for (int k = 0; k < 4; k++) d[k] = (Dim){bad[i][k], NULL};
        ImageInput in;
        assert_false(image_input(&(ValueInfo){.rank = 4, .dim = d}, &in, &why));
        assert_non_null(why);
    }
    ImageInput in;
    assert_false(image_input(&(ValueInfo){.rank = 2, .dim = NULL}, &in, &why));
}

static void parses_labels(void **state) {
    (void)state;
    static const struct { const char *text; int n; const char *name[3]; } good[] = {
        {"cat\r\ndog\n\nowl\n\n", 4, {"cat", "dog", ""}},
        {"[\"cat\",\"dog\"]", 2, {"cat", "dog"}},
        {"{\"1\":\"dog\",\"0\":\"cat\"}", 2, {"cat", "dog"}},
        {"{\"dog\":1,\"cat\":0}", 2, {"cat", "dog"}},
        {"{\"0\":[\"n01440764\",\"tench\"]}", 1, {"tench"}},
        {"{0: 'cat', 1: \"dog's\", 2: 'o\\'wl\\n\\x41\\u00e9'}", 3, {"cat", "dog's", "o'wl\nA\xc3\xa9"}},
        {" ['cat', 'dog',] ", 2, {"cat", "dog"}},
        {"{2: 'owl'}", 3, {"", "", "owl"}},
        {"\xef\xbb\xbf" "cat", 1, {"cat"}},
    };
    static const char *const bad[] = {"", " \n", "{", "{}", "[", "{0: 'cat'", "{0: cat}", "{0 'cat'}", "{-1: 'a'}", "{0: 'a\\q'}",
                                      "{1000000: 'a'}", "{99999999999999999999: 'a'}", "{0: __import__('os')}", "{'a': 'b'}",
                                      "{0: 'a'} x", "{\"a\":1e3}", "[1]", "{\"-1\":\"a\"}", "{0: '\\ud800'}", "{0: 'a\\"};
    Cx *cx = cx_new();
    Labels l;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (!labels_parse(cx, good[i].text, strlen(good[i].text), &l)) fail_msg("%s was refused", good[i].text);
        assert_int_equal(l.n, good[i].n);
        for (int k = 0; k < 3 && good[i].name[k]; k++) assert_string_equal(l.name[k], good[i].name[k]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (labels_parse(cx, bad[i], strlen(bad[i]), &l)) fail_msg("%s was taken", bad[i]);
    cx_free(cx);
}

static void labels_return(void **state) {
    (void)state;
    const char *names[] = {"cat", "dog's \"own\"", "back\\slash\n", "\xc3\xa9t\xc3\xa9", ""};
    static const char *const dialects[][2] = {{"tvc.labels", "tvc.labels"}, {"names", "names (Ultralytics)"}, {"class_names", "class_names (Deepness)"}};
    for (int d = 0; d < 3; d++) {
        Job j = start();
        labels_to_model(j.m, &(Labels){5, names, NULL});
        for (int other = 0; other < d; other++) model_set_meta(j.m, dialects[other][0], NULL);
        Labels l = labels_of_model(j.cx, j.m);
        assert_int_equal(l.n, 5);
        for (int i = 0; i < 5; i++) assert_string_equal(l.name[i], names[i]);
        assert_string_equal(l.source, dialects[d][1]);
        labels_to_model(j.m, &(Labels){0});
        assert_int_equal(j.m->nmeta, 0);
        cx_free(j.cx);
    }
}

// What timm's configuration says of classes follows them; the rest of it stays.
static void labels_in_timm(void **state) {
    (void)state;
    const char *names[] = {"ant", "bee"};
    Job j = start();
    model_set_meta(j.m, "pretrained_cfg", "{\"input_size\":[3,224,224],\"num_classes\":1000,\"label_names\":[\"tench\"]}");
    labels_to_model(j.m, &(Labels){2, names, NULL});
    assert_string_equal(model_meta(j.m, "pretrained_cfg"), "{\"input_size\":[3,224,224],\"num_classes\":2,\"label_names\":[\"ant\",\"bee\"]}");
    labels_to_model(j.m, &(Labels){0});
    assert_string_equal(model_meta(j.m, "pretrained_cfg"), "{\"input_size\":[3,224,224]}");
    cx_free(j.cx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_means_imagenet), cmocka_unit_test(options_win),
        cmocka_unit_test(bad_options_are_usage_errors), cmocka_unit_test(reads_every_dialect),
        cmocka_unit_test(damaged_metadata_is_passed_over), cmocka_unit_test(every_dialect_returns), cmocka_unit_test(ranges_have_names), cmocka_unit_test(grey_is_called_grey),
        cmocka_unit_test(reads_the_files_beside_the_model), cmocka_unit_test(sees_the_input),
        cmocka_unit_test(parses_labels), cmocka_unit_test(labels_return), cmocka_unit_test(labels_in_timm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
