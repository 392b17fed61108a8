// replay.c -- runs a fuzz target without libFuzzer: every seed of a folder as it is, cut short
// and with bytes changed. The changes come from a fixed sequence, so that a failure repeats.
//
// usage: fuzz_NAME CORPUS_FOLDER [CHANGES_PER_SEED]
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CHANGES = 200, PATH_ROOM = 4096 };

static uint64_t next_random(uint64_t *state) {       // splitmix64
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint8_t *read_seed(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    uint8_t *data = NULL;
    if (fseek(f, 0, SEEK_END) == 0) {
        long end = ftell(f);
        *size = end < 0 ? 0 : (size_t)end;
        data = malloc(*size + 1);
        rewind(f);
        if (data && fread(data, 1, *size, f) != *size) *size = 0;
    }
    fclose(f);
    return data;
}

// The target gets a block of exactly `size` bytes, so that a read behind its end is caught.
static void run_copy(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) return;
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void run_changed(const uint8_t *data, size_t size, uint64_t *state) {
    static const uint8_t special[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    uint8_t *copy = malloc(size);
    if (!copy) return;
    memcpy(copy, data, size);
    size_t cut = next_random(state) % 3 ? size : (size_t)(next_random(state) % size);
    for (uint64_t n = next_random(state) % 4 + (cut == size); n; n--) {
        uint64_t r = next_random(state);
        copy[r % size] = r >> 63 ? special[(r >> 48) % sizeof special] : (uint8_t)(r >> 40);
    }
    run_copy(copy, cut);
    free(copy);
}

static int run_seed(const char *path, long changes) {
    size_t size = 0;
    uint8_t *data = read_seed(path, &size);
    if (!data) {
        fprintf(stderr, "%s cannot be read\n", path);
        return 1;
    }
    run_copy(data, size);
    uint64_t state = size;
    for (long i = 0; i < changes && size; i++) run_changed(data, size, &state);
    free(data);
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: %s CORPUS_FOLDER [CHANGES_PER_SEED]\n", argv[0]);
        return 2;
    }
    long changes = argc > 2 ? atol(argv[2]) : CHANGES;
    struct dirent **entry;
    int n = scandir(argv[1], &entry, NULL, alphasort), failed = 0, seeds = 0;
    run_copy((const uint8_t *)"", 0);
    for (int i = 0; i < n; i++) {
        char path[PATH_ROOM];
        if (entry[i]->d_name[0] != '.' &&
            snprintf(path, sizeof path, "%s/%s", argv[1], entry[i]->d_name) < (int)sizeof path)
            failed += run_seed(path, changes), seeds++;
        free(entry[i]);
    }
    if (n >= 0) free(entry);
    printf("%d seeds, %ld changes of each\n", seeds, changes);
    return failed || !seeds;
}
