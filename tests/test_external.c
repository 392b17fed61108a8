// Side files: what a model may name and what not, with and without openat2; ranges and keys.
#define _GNU_SOURCE
#include "frontend/external.h" // before cmocka.h, which has a macro called fail
#include "onnx_build.h"
#include "reading.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char folder[256];

static const char *in_folder(const char *name) {
    static char path[8][512];
    static int k;
    k = (k + 1) % 8;
    snprintf(path[k], sizeof path[k], "%s/%s", folder, name);
    return path[k];
}

// folder/outside.bin must never be read; the models lie in folder/m/.
static int make_folder(void **state) {
    (void)state;
    static const char bytes[24] = "twenty-three letters...";
    scratch_make(folder, sizeof folder);
    mkdir(in_folder("m"), 0777);
    mkdir(in_folder("m/sub"), 0777);
    mkdir(in_folder("out"), 0777);
    spill(in_folder("outside.bin"), bytes, 24);
    spill(in_folder("out/w.bin"), bytes, 24);
    spill(in_folder("m/w.bin"), bytes, 24);
    spill(in_folder("m/sub/w.bin"), bytes, 24);
    spill(in_folder("m/hard.bin"), bytes, 24);
    spill(in_folder("m/empty.bin"), bytes, 0);
    int failed = link(in_folder("m/hard.bin"), in_folder("m/hard2.bin")) |
                 symlink("../outside.bin", in_folder("m/link.bin")) | symlink("w.bin", in_folder("m/inner.bin")) |
                 symlink("../out", in_folder("m/folder")) | mkfifo(in_folder("m/fifo"), 0666);
    return failed;
}

static int remove_folder(void **state) { return (void)state, scratch_remove(folder), 0; }

// A model whose weight is 6 floats in a side file described by `entries`, keys and values in turn.
static Pb model_of(const char *const *entries) {
    static const int64_t dim[] = {2, 3};
    Pb g = {0}, t = onnx_tensor_head("w", 1, 2, dim);
    for (; *entries; entries += 2) pb_message(&t, 13, onnx_entry(entries[0], entries[1]));
    pb_int(&t, 14, 1);
    pb_message(&g, 5, t);
    pb_message(&g, 1, onnx_node("Identity", "n", "w", "y"));
    pb_message(&g, 12, onnx_value("y", 1, 2, dim));
    return onnx_model(g, 8, 13);
}

static Err outcome(const char *const *entries, const char *says) {
    Pb m = model_of(entries);
    Reading r = {.path = in_folder("m/model.onnx"), .bytes = {m.at, m.n}};
    Err e = reading_run(&r, reading_go);
    if (says && !strstr(r.cx->error, says)) fail_msg("'%s' is not in: %s", says, r.cx->error);
    if (!e) assert_memory_equal(model_init(r.model, "w")->data, "twenty-three letters...", 24);
    cx_free(r.cx);
    free(m.at);
    return e;
}

static Err outcome_at(const char *location, const char *says) {
    return outcome((const char *[]){"location", location, NULL}, says);
}

static void locations(void **state) {
    (void)state;
    static const struct {
        const char *location;
        Err outcome;
        const char *says;
    } rows[] = {
        {"w.bin", E_OK, NULL},
        {"sub/w.bin", E_OK, NULL},
        {"../outside.bin", E_MALFORMED, "leads out of the model's folder"},
        {"sub/../../outside.bin", E_MALFORMED, "leads out"},
        {"sub/..", E_MALFORMED, "leads out"},
        {"..", E_MALFORMED, "leads out"},
        {"/etc/passwd", E_MALFORMED, "is an absolute path"},
        {"/proc/self/mem", E_MALFORMED, "is an absolute path"},
        {"sub\\..\\..\\outside.bin", E_MALFORMED, "holds a backslash"},
        {"", E_MALFORMED, "is empty"},
        {".", E_MALFORMED, "has an empty component"},
        {"sub//w.bin", E_MALFORMED, "has an empty component"},
        {"./w.bin", E_MALFORMED, "has an empty component"},
        {"w.bin/", E_MALFORMED, "has an empty component"},
        {"link.bin", E_MALFORMED, "side file 'link.bin'"},
        {"inner.bin", E_MALFORMED, "side file 'inner.bin'"},
        {"folder/w.bin", E_MALFORMED, "goes through a link"},
        {"hard.bin", E_MALFORMED, "has several names (hard links)"},
        {"fifo", E_MALFORMED, "is no regular file"},
        {"sub", E_MALFORMED, "is no regular file"},
        {"absent.bin", E_IO, "its side file 'absent.bin' is missing"},
        {"w.bin/x", E_MALFORMED, "goes through a link"},
        {"empty.bin", E_MALFORMED, "lie beyond the 0 of 'empty.bin'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(outcome_at(rows[i].location, rows[i].says), rows[i].outcome);
    Pb g = {0}, t = {0}, entry = {0};
    pb_text(&entry, 1, "location");
    pb_bytes(&entry, 2, "w.bin\0/../../outside.bin", 25);
    pb_message(&t, 13, entry);
    pb_message(&g, 5, t);
    Pb m = onnx_model(g, 8, 13);
    char error[1024];
    assert_int_equal(model_outcome(m.at, m.n, error, sizeof error), E_MALFORMED);
    assert_non_null(strstr(error, "graph.initializer[0].external_data[0].value: holds a NUL byte"));
    free(m.at);
    char longest[600];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(outcome_at(longest, NULL), E_MALFORMED);
}

// Makes openat2 look as on kernels before 5.6, then runs the same table, in a process of its own.
static void locations_without_openat2(void **state) {
    pid_t child = fork();
    if (!child) {
        struct sock_filter program[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog filter = {4, program};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) _exit(77);
        if (syscall(SYS_openat2, -1, "", NULL, 0) != -1 || errno != ENOSYS) _exit(77);
        locations(state);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) skip();
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void ranges_and_keys(void **state) {
    (void)state;
    static const struct {
        const char *entries[9];
        Err outcome;
        const char *says;
    } rows[] = {
        {{"location", "w.bin", "offset", "0", "length", "24"}, E_OK, NULL},
        {{"location", "w.bin", "__class__", "evil", "basepath", "/"}, E_OK, NULL},
        {{"location", "w.bin", "checksum", "c4a0f7e3fd54e6d4f83b4ccbe6e9a4ecbeb5ac2d"}, E_MALFORMED, "checksum"},
        {{"location", "w.bin", "offset", "1"}, E_MALFORMED, "bytes 1 + 24 lie beyond the 24"},
        {{"location", "w.bin", "offset", "-1"}, E_MALFORMED, "offset '-1' is no size"},
        {{"location", "w.bin", "offset", "9223372036854775808"}, E_MALFORMED, "is no size in bytes"},
        {{"location", "w.bin", "offset", "9223372036854775807", "length", "9223372036854775807"},
         E_MALFORMED,
         "lie beyond"},
        {{"location", "w.bin", "offset", "18446744073709551600"}, E_MALFORMED, "is no size in bytes"},
        {{"location", "w.bin", "length", "1125899906842624"}, E_MALFORMED, "lie beyond"},
        {{"location", "w.bin", "length", "12"}, E_MALFORMED, "12 bytes, its dimensions ask for 24"},
        {{"location", "w.bin", "offset", ""}, E_MALFORMED, "is no size"},
        {{"location", "w.bin", "offset", "0x0"}, E_MALFORMED, "is no size"},
        {{"location", "w.bin", "offset", " 0"}, E_MALFORMED, "is no size"},
        {{"location", "w.bin", "location", "w.bin"}, E_MALFORMED, "location is given twice"},
        {{"offset", "0"}, E_MALFORMED, "no location is given"},
        {{NULL}, E_MALFORMED, "no location is given"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(outcome(rows[i].entries, rows[i].says), rows[i].outcome);
}

// Swaps a file for a symbolic link and back while it is being opened.
static void exchange(pid_t reader) {
    while (!kill(reader, 0)) {
        unlink(in_folder("m/race.bin"));
        if (symlink("../outside.bin", in_folder("m/race.bin"))) _exit(1);
        unlink(in_folder("m/race.bin"));
        spill(in_folder("m/race.bin"), "inside", 6);
    }
    _exit(0);
}

static void a_race_leads_nowhere(void **state) {
    (void)state;
    pid_t self = getpid(), child = fork();
    if (!child) exchange(self);
    int at = open(in_folder("m"), O_RDONLY | O_DIRECTORY), opened = 0;
    for (int i = 0; i < 10000; i++) {
        const char *why;
        char got[8] = "";
        int fd = open_beneath(at, "race.bin", &why);
        if (fd < 0) continue;
        opened += read(fd, got, 7) == 6;
        assert_string_not_equal(got, "twenty-");
        close(fd);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(at);
    (void)opened; // how often it was there is chance
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(locations),
        cmocka_unit_test(locations_without_openat2),
        cmocka_unit_test(ranges_and_keys),
        cmocka_unit_test(a_race_leads_nowhere),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
