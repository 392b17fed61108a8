// Packages: what is saved runs the same from the file alone; the same program gives the same
// bytes; any byte changed and any cut is refused with a reason; what this machine cannot run, too.
#include "hand_program.h"
#include "codegen/save.h"
#include "runtime/exec.h"
#include "runtime/isa.h"
#include "runtime/package.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <xxhash.h>
#include <cmocka.h>

static const char meta[] = "{\"labels\": [\"cat\", \"dog\"]}";

static char *path_of(const char *name) {
    static char path[96];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

typedef struct Save { Cx *cx; const Program *const *p; int n; const char *path; } Save;

static void save(void *arg) {
    Save *s = arg;
    program_save(s->cx, s->path, s->p, s->n, meta, sizeof meta - 1);
}

static Err save_all(const Program *const *p, int n, const char *path) {
    Cx *cx = cx_new();
    Save s = {cx, p, n, path};
    Err e = cx_guard(cx, save, &s) ? E_OK : cx->code;
    cx_free(cx);
    return e;
}

static Err save_as(const Program *p, const char *path) { return save_all(&p, 1, path); }

// The whole file at an aligned address of its own, so that a read behind its end is caught.
static char *load(const char *path, int64_t *n) {
    struct stat st;
    FILE *file = fopen(path, "rb");
    assert_true(file && !fstat(fileno(file), &st));
    *n = st.st_size;
    char *bytes = NULL;
    assert_int_equal(posix_memalign((void **)&bytes, TVC_ALIGN, (size_t)*n), 0);
    assert_int_equal(fread(bytes, 1, (size_t)*n, file), *n);
    fclose(file);
    return bytes;
}

static void sign(char *bytes, int64_t n) {
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits(bytes, (size_t)n - PACKAGE_HASH_BYTES));
    memcpy(bytes + n - PACKAGE_HASH_BYTES, hash.digest, PACKAGE_HASH_BYTES);
}

static void round_trip(void **state) {
    (void)state;
    Fixture f;
    make_program(&f);
    assert_int_equal(save_as(&f.p, path_of("a.tvc")), E_OK);
    Package p;
    Fault why = {0};
    if (package_open(&p, path_of("a.tvc"), NULL, &why)) fail_msg("%s", why.text);
    assert_int_equal(p.meta_bytes, sizeof meta - 1);
    assert_memory_equal(p.meta, meta, sizeof meta - 1);
    assert_int_equal(p.program.nstep, f.p.nstep);
    assert_memory_equal(p.program.steps, f.p.steps, sizeof(Step) * (size_t)f.p.nstep);
    assert_int_equal((uintptr_t)p.program.weights[2] % TVC_ALIGN, 0);
    assert_memory_equal(p.program.weights[2], weight, sizeof weight);
    assert_null(p.program.weights[0]);
    Session *s = session_new(&p.program, NULL, &why);
    if (!s) fail_msg("%s", why.text);
    float x[BATCH * 4] = {1, 2, 3, 4}, y[BATCH * 4];
    session_write(s, 0, x);
    assert_int_equal(session_call(s, 1, &why), E_OK);
    assert_int_equal(session_read(s, 1, y, &why), E_OK);
    for (int i = 0; i < 4; i++) assert_true(y[i] == x[i] * 2 * weight[i] + bias[i]);
    session_free(s);
    package_close(&p);
    package_close(&p);
}

static void same_program_same_bytes(void **state) {
    (void)state;
    Fixture f;
    make_program(&f);
    f.weights[3] = weight;                                    // shared bytes are stored once
    int64_t n[2];
    char *bytes[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(save_as(&f.p, path_of("b.tvc")), E_OK);
        bytes[i] = load(path_of("b.tvc"), &n[i]);
    }
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(bytes[0], bytes[1], (size_t)n[0]);
    assert_int_equal(((PackageHeader *)(void *)bytes[0])->weights.bytes, 64);
    free(bytes[0]), free(bytes[1]);
}

// The program as if for a GPU: its kernels are in two binaries, each started on a grid; `apply` is said to be a product.
typedef struct GpuFixture {
    Fixture f;
    Grid grids[5];
    int32_t numbers[7];
    Product product;
    Part parts[2];
    char code[192];
} GpuFixture;

static const Product product = {
    .size = {BATCH, 2, 2, 1}, .grows = PRODUCT_M, .alpha = 1, .d = {.ref = 0, .step = {4, 1}},
    .a = {.ref = 1, .step = {4, 0, 1}}, .b = {.ref = 2, .step = {0, 1, 2}}, .c = {.ref = -1},
    .bias = {.ref = 3, .step = {0, 1}},
};

static void make_gpu_program(GpuFixture *g, const char *target) {
    make_program(&g->f);
    Program *p = &g->f.p;
    memset(g->code, 7, sizeof g->code);
    for (int i = 0; i < 5; i++) {
        g->grids[i] = (Grid){.threads = 256, .part = i % 2};
        for (int d = 0; d < 3; d++) g->grids[i].axis[d] = (GridAxis){.items = BATCH, .per_block = 2, .grows = d == 0};
        g->f.steps[i].grid = i;
    }
    for (int i = 0; i < 4; i++) g->f.descs[g->f.steps[1].ref + i].type = DT_F32;
    for (int i = 0; i < 7; i++) g->numbers[i] = i - 3;
    g->grids[0].nnumber = 4, g->grids[4].number = 4, g->grids[4].nnumber = 3;
    p->numbers = g->numbers, p->nnumber = 7;
    g->product = product, p->products = &g->product, p->nproduct = g->grids[1].product = 1;
    g->parts[0] = (Part){0, 100}, g->parts[1] = (Part){128, 64};
    p->grids = g->grids, p->ngrid = 5, p->parts = g->parts, p->npart = 2;
    p->code_path = NULL, p->code = g->code, p->code_bytes = sizeof g->code, p->target = at(target);
}

// A package for two targets, without code for the CPU: small enough to try every byte.
static char *small_package(int64_t *n) {
    Fixture f;
    GpuFixture g;
    make_program(&f);
    make_gpu_program(&g, "cuda:sm_80");
    f.p.nstep = 0, f.p.nref = 0, f.p.code_path = NULL;
    for (int i = 0; i < f.p.nfunction; i++) f.functions[i].from = f.functions[i].to = 0;
    assert_int_equal(save_all((const Program *[]){&f.p, &g.f.p}, 2, path_of("c.tvc")), E_OK);
    return load(path_of("c.tvc"), n);
}

static void refused(const char *bytes, int64_t n, const char *doing, int64_t at) {
    Package p;
    Fault why = {0};
    Err e = package_read(&p, bytes, n, NULL, &why);
    package_close(&p);
    if ((e != E_MALFORMED && e != E_DEVICE) || !*why.text)
        fail_msg("%s %lld: %d %s", doing, (long long)at, e, why.text);
}

static void every_byte_counts(void **state) {
    (void)state;
    int64_t n;
    char *bytes = small_package(&n);
    for (int64_t i = 0; i < n; i++)
        for (int flip = 0x80; flip; flip >>= 1) {
            bytes[i] = (char)(bytes[i] ^ flip);
            refused(bytes, n, "byte", i);
            bytes[i] = (char)(bytes[i] ^ flip);
        }
    Package p;
    Fault why;
    assert_int_equal(package_read(&p, bytes, n, NULL, &why), E_OK);
    package_close(&p);
    free(bytes);
}

static void every_cut_is_seen(void **state) {
    (void)state;
    int64_t n;
    char *bytes = small_package(&n);
    for (int64_t i = 0; i < n; i++) {
        char *cut = NULL;
        assert_int_equal(posix_memalign((void **)&cut, TVC_ALIGN, (size_t)i + 1), 0);
        memcpy(cut, bytes, (size_t)i);
        refused(cut, i, "cut at", i);
        free(cut);
    }
    free(bytes);
}

// Damage that keeps the hash right: numbers are looked at all the same. Any value of any 4 bytes
// before the weights either is refused or gives a program that a session can be opened on.
static void every_number_is_checked(void **state) {
    (void)state;
    static const int32_t values[] = {-1, 0, 1, 63, 1000, INT32_MAX, INT32_MIN};
    int64_t n, weights_at;
    char *bytes = small_package(&n);
    memcpy(&weights_at, bytes + offsetof(PackageHeader, weights.offset), 8);
    for (int64_t i = 0; i + 4 <= weights_at; i += 4)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            int32_t old;
            memcpy(&old, bytes + i, 4);
            memcpy(bytes + i, &values[v], 4);
            sign(bytes, n);
            Package p;
            Fault why = {0};
            if (!package_read(&p, bytes, n, NULL, &why) && p.program.arena_bytes + p.program.keep_bytes < 1 << 20)
                session_free(session_new(&p.program, &(SessionOptions){.device = "null"}, &why));
            package_close(&p);
            memcpy(bytes + i, &old, 4);
        }
    free(bytes);
}

typedef void Damage(GpuFixture *g);
#define DAMAGE(name, what) static void name(GpuFixture *g) { what; }
DAMAGE(no_rows, g->product.size[PRODUCT_M] = 0) DAMAGE(no_such_axis, g->product.grows = PRODUCT_AXES)
DAMAGE(grows_oddly, g->product.grows = PRODUCT_N) DAMAGE(no_a, g->product.a.ref = -1) DAMAGE(far_b, g->product.b.ref = 4)
DAMAGE(odd_c, g->product.c.ref = -2) DAMAGE(before_a, g->product.a.at = -1) DAMAGE(behind_a, g->product.a.at = 3)
DAMAGE(behind_b, g->product.b.step[PRODUCT_K] = 3) DAMAGE(behind_bias, g->product.bias.at = 3)
DAMAGE(strided_bias, g->product.bias.step[PRODUCT_N] = 2) DAMAGE(backwards, g->product.a.step[PRODUCT_M] = -4)
DAMAGE(strided_a, g->product.a.step[PRODUCT_K] = 2) DAMAGE(rows_overlap, g->product.d.step[PRODUCT_M] = 1)
DAMAGE(turned_d, g->product.d.step[PRODUCT_N] = 6; g->product.d.step[PRODUCT_M] = 1)
DAMAGE(endless, g->product.size[PRODUCT_COUNT] = INT32_MAX; g->product.a.step[PRODUCT_COUNT] = INT64_MAX / 8)
DAMAGE(writes_a, g->product.d.ref = 1) DAMAGE(other_type, g->f.descs[g->f.steps[1].ref + 1].type = DT_F16)
DAMAGE(no_type, g->f.descs[g->f.steps[1].ref + 3].type = DT_I32) DAMAGE(no_such_product, g->grids[1].product = 2)
DAMAGE(odd_product, g->grids[1].product = -1)

// Each alone, with a message that has the word.
static void all_refused(Damage *const *damage, size_t n, const char *word) {
    GpuFixture g;
    Fault f;
    make_gpu_program(&g, "cuda:sm_80");
    assert_int_equal(program_check(&g.f.p, &f), E_OK);
    for (size_t i = 0; i < n; i++) {
        make_gpu_program(&g, "cuda:sm_80");
        damage[i](&g);
        if (program_check(&g.f.p, &f) != E_MALFORMED || !strstr(f.text, word))
            fail_msg("%s %zu is not refused", word, i);
    }
}

static void products_are_checked(void **state) {
    (void)state;
    static Damage *const damage[] = {
        no_rows, no_such_axis, grows_oddly, no_a, far_b, odd_c, before_a, behind_a, behind_b, behind_bias, strided_bias,
        backwards, strided_a, rows_overlap, turned_d, endless, writes_a, other_type, no_type, no_such_product, odd_product};
    all_refused(damage, sizeof damage / sizeof *damage, "apply");
}

DAMAGE(before_numbers, g->grids[0].number = -1) DAMAGE(behind_numbers, g->grids[4].nnumber = 4)
DAMAGE(less_than_none, g->grids[0].nnumber = -1) DAMAGE(far_numbers, g->grids[4].number = INT32_MAX)
DAMAGE(too_many_numbers, g->f.p.nnumber = INT32_MAX; g->grids[0].nnumber = TVC_MOST_NUMBERS + 1)

static void numbers_are_checked(void **state) {
    (void)state;
    static Damage *const damage[] = {before_numbers, behind_numbers, less_than_none, far_numbers, too_many_numbers};
    all_refused(damage, sizeof damage / sizeof *damage, "grid");
}

DAMAGE(no_threads, g->grids[1].threads = 0) DAMAGE(many_threads, g->grids[1].threads = 1025)
DAMAGE(less_shared, g->grids[1].shared = -1) DAMAGE(much_shared, g->grids[1].shared = (48 << 10) + 1)
DAMAGE(before_part, g->grids[1].part = -1) DAMAGE(behind_part, g->grids[1].part = 2)
DAMAGE(less_work, g->grids[1].workspace = -1) DAMAGE(much_work, g->grids[1].workspace = (int64_t)INT32_MAX + 1)
DAMAGE(less_items, g->grids[1].axis[1].items = -1) DAMAGE(no_items_each, g->grids[1].axis[2].per_block = 0)
DAMAGE(odd_growth, g->grids[1].axis[0].grows = 2) DAMAGE(odd_batch, g->grids[1].axis[0].items = BATCH + 1)
DAMAGE(wide, g->grids[1].axis[0].items = BATCH * (int64_t)INT32_MAX) DAMAGE(deep, g->grids[1].axis[2].items = 2 * 65536)
DAMAGE(endless_axis, g->grids[1].axis[1].items = INT64_MAX)
DAMAGE(part_before, g->parts[1].offset = -128) DAMAGE(part_behind, g->parts[1].bytes = 1 << 20)
DAMAGE(part_odd, g->parts[1].offset = 129) DAMAGE(part_empty, g->parts[1].bytes = 0)
DAMAGE(part_endless, g->parts[1].bytes = INT64_MAX) DAMAGE(no_grid, g->f.steps[1].grid = -1)
DAMAGE(far_grid, g->f.steps[1].grid = 5)

static void grids_are_checked(void **state) {
    (void)state;
    static Damage *const damage[] = {
        no_threads, many_threads, less_shared, much_shared, before_part, behind_part, less_work, much_work, less_items,
        no_items_each, odd_growth, odd_batch, wide, deep, endless_axis, part_before, part_behind, part_odd, part_empty,
        part_endless, no_grid, far_grid};
    all_refused(damage, sizeof damage / sizeof *damage, "");
}

static Err reopen(char *bytes, int64_t n, Fault *why) {
    Package p;
    sign(bytes, n);
    Err e = package_read(&p, bytes, n, NULL, why);
    package_close(&p);
    return e;
}

static void other_machines(void **state) {
    (void)state;
    Fixture f;
    Fault why = {0};
    int64_t n;
    make_program(&f);
    f.p.isa = ISA_AVX512;
    assert_int_equal(save_as(&f.p, path_of("d.tvc")), E_OK);
    char *bytes = load(path_of("d.tvc"), &n);
    PackageHeader *h = (PackageHeader *)(void *)bytes;
    Err e = reopen(bytes, n, &why);
    const char *lack = isa_lacking(ISA_AVX512);
    assert_int_equal(e, lack ? E_DEVICE : E_OK);
    if (lack) assert_non_null(strstr(why.text, lack));
    PackageTarget *t = (PackageTarget *)(h + 1);
    t->machine = machine_host() == MACHINE_AARCH64 ? MACHINE_X86_64 : MACHINE_AARCH64;
    assert_int_equal(reopen(bytes, n, &why), E_DEVICE);
    assert_non_null(strstr(why.text, machine_name(t->machine)));
    t->machine = 77;
    assert_int_equal(reopen(bytes, n, &why), E_MALFORMED);
    t->machine = (int32_t)machine_host(), h->version = 99;
    assert_int_equal(reopen(bytes, n, &why), E_MALFORMED);
    assert_non_null(strstr(why.text, "99"));
    h->order = 0x04030201;
    assert_int_equal(reopen(bytes, n, &why), E_DEVICE);
    free(bytes);
}

// Of several targets the one that fits best is opened; they share their weights.
static void several_targets(void **state) {
    (void)state;
    Fixture f;
    GpuFixture g[3];
    static const char *const names[] = {"cuda:sm_80", "cuda:compute_75", "cuda:sm_90"};
    static const struct { const char *device, *chosen; } ask[] = {
        {"cuda:sm_80", "cuda:sm_80"}, {"cuda:sm_86", "cuda:sm_80"}, {"cuda:sm_90", "cuda:sm_90"},
        {"cuda:sm_120", "cuda:compute_75"}, {"cuda:sm_75", "cuda:compute_75"}, {"cpu", ""}, {NULL, ""}};
    Package p;
    Fault why = {0};
    make_program(&f);
    for (int i = 0; i < 3; i++) make_gpu_program(&g[i], names[i]);
    assert_int_equal(save_all((const Program *[]){&g[0].f.p, &f.p, &g[1].f.p, &g[2].f.p}, 4, path_of("e.tvc")), E_OK);
    for (size_t i = 0; i < sizeof ask / sizeof *ask; i++) {
        if (package_open(&p, path_of("e.tvc"), ask[i].device, &why)) fail_msg("%s: %s", ask[i].device, why.text);
        assert_string_equal(program_text(&p.program, p.program.target), ask[i].chosen);
        assert_memory_equal(p.program.weights[2], weight, sizeof weight);
        package_close(&p);
    }
    assert_int_equal(package_open(&p, path_of("e.tvc"), "cuda:sm_70", &why), E_DEVICE);
    package_close(&p);
    assert_int_equal(save_all((const Program *[]){&g[0].f.p}, 1, path_of("e.tvc")), E_OK);
    assert_int_equal(package_open(&p, path_of("e.tvc"), "cpu", &why), E_DEVICE);
    assert_non_null(strstr(why.text, "cuda:sm_80"));
    package_close(&p);
    assert_int_equal(package_open(&p, path_of("e.tvc"), NULL, &why), E_OK);
    assert_null(session_new(&p.program, &(SessionOptions){.device = "cpu"}, &why));
    assert_int_equal(why.code, E_DEVICE);
    package_close(&p);
}

static void files_that_are_none(void **state) {
    (void)state;
    Package p;
    Fault why;
    assert_int_equal(package_open(&p, path_of("none.tvc"), NULL, &why), E_IO);
    assert_int_equal(package_open(&p, folder, NULL, &why), E_IO);
    assert_int_equal(package_open(&p, "/dev/zero", NULL, &why), E_IO);
    fclose(fopen(path_of("empty.tvc"), "wb"));
    assert_int_equal(package_open(&p, path_of("empty.tvc"), NULL, &why), E_MALFORMED);
    assert_int_equal(package_open(&p, library, NULL, &why), E_MALFORMED);
    package_close(&p);
    Fixture f;
    make_program(&f);
    f.p.max_batch = 0;
    assert_int_equal(save_as(&f.p, path_of("none.tvc")), E_MALFORMED);       // nor is nonsense written
    assert_int_equal(package_open(&p, path_of("none.tvc"), NULL, &why), E_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(same_program_same_bytes),
        cmocka_unit_test(every_byte_counts),
        cmocka_unit_test(every_cut_is_seen),
        cmocka_unit_test(every_number_is_checked),
        cmocka_unit_test(products_are_checked), cmocka_unit_test(numbers_are_checked),
        cmocka_unit_test(grids_are_checked),
        cmocka_unit_test(other_machines),
        cmocka_unit_test(several_targets),
        cmocka_unit_test(files_that_are_none),
    };
    return cmocka_run_group_tests(tests, compile_code, remove_code);
}
