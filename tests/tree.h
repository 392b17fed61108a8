// tree.h -- a temporary folder of files for tests of datasets.
#ifndef TVC_TESTS_TREE_H
#define TVC_TESTS_TREE_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char tree_root[32];

static inline int tree_new(void **state) {
    (void)state;
    strcpy(tree_root, "/tmp/tvc-tree-XXXXXX");
    return mkdtemp(tree_root) ? 0 : -1;
}

static inline int tree_remove(void **state) {
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -r %s", tree_root);
    return system(command);
}

static inline const char *tree_path(const char *name) {          // good for eight more calls
    static char path[8][512];
    static unsigned next;
    char *p = path[next++ % 8];
    snprintf(p, 512, "%s/%s", tree_root, name);
    return p;
}

// A file, with the folders it lies in.
static inline void tree_put(const char *name, const void *bytes, size_t n) {
    char path[512];
    snprintf(path, sizeof path, "%s", tree_path(name));
    for (char *s = path + strlen(tree_root) + 1; (s = strchr(s, '/')); s++) {
        *s = 0;
        mkdir(path, 0700);
        *s = '/';
    }
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) abort();
}

static inline void tree_text(const char *name, const char *text) { tree_put(name, text, strlen(text)); }

// A picture of one grey, which says which picture it is: `side` pixels high and wide.
static inline void tree_picture(const char *name, int side, unsigned grey) {
    char bytes[64 + 64 * 64];
    int n = sprintf(bytes, "P5 %d %d 255\n", side, side);
    memset(bytes + n, (int)grey, (size_t)side * (size_t)side);
    tree_put(name, bytes, (size_t)n + (size_t)side * (size_t)side);
}

#endif
