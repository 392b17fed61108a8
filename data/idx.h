// idx.h -- idx-ubyte files, plain or gzipped: the form MNIST and Fashion-MNIST come in.
#ifndef TVC_IDX_H
#define TVC_IDX_H
#include "../ir/base.h"

typedef struct IdxImages {             // grey pictures, all of one size
    int64_t total;                     // in the file
    int64_t first, count;              // those read
    int height, width;
    const uint8_t *pixel;              // [count][height][width], in the arena
} IdxImages;

typedef struct IdxLabels { int64_t count; const uint8_t *label; } IdxLabels;

// Pictures first..last, both included; last -1: to the end. A range the file does not have fails
// with E_USAGE, anything wrong with the file with E_MALFORMED. Only the range is kept in memory.
IdxImages idx_images(Cx *cx, const char *path, int64_t first, int64_t last);
IdxLabels idx_labels(Cx *cx, const char *path);

// The labels that belong to a file of images by its name (images-idx3 -> labels-idx1), or NULL.
const char *idx_labels_path(Cx *cx, const char *images);

// Does this file begin as an idx file, or as any gzipped file, does? False if it cannot be read.
bool idx_looks_like(const char *path);

#endif
