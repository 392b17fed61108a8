// library.c -- see library.h.
#include "library.h"
#include <dlfcn.h>
#include <string.h>

const char *library_fill(void *lib, const LibraryEntry *entry, size_t n, void *table) {
    for (size_t i = 0; i < n; i++) {
        void *fn = dlsym(lib, entry[i].symbol);
        if (!fn) return entry[i].symbol;
        memcpy((char *)table + entry[i].at, &fn, sizeof fn);
    }
    return NULL;
}
