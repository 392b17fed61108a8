// resample.h -- weighted sums along one axis of an image: the inner loops of resize.c. Private to data/.
#ifndef TVC_RESAMPLE_H
#define TVC_RESAMPLE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RESAMPLE_BITS = 22,             // of a weight's fraction
       RESAMPLE_GROUP = 8 };           // weights are padded with zeros to a multiple of this

typedef struct Span { int from, count; } Span;       // the source elements of one result element

typedef struct Axis {
    int count;                         // result elements
    int most;                          // weights kept for each, a multiple of RESAMPLE_GROUP
    const Span *span;
    const int32_t *weight;             // [count][most]
} Axis;

static inline const int32_t *weights_of(const Axis *a, int i) { return a->weight + (size_t)i * (size_t)a->most; }

typedef struct Rows { const uint8_t *p; size_t stride; } Rows;

// Each of n rows to a->count pixels of 1 or 3 channels, packed in `out`. Up to IMAGE_SLACK bytes
// behind the last pixel of `in` are read.
void resample_columns(const Axis *a, int channels, Rows in, int n, uint8_t *out);

// a->count rows of `width` bytes, packed in `out`; `in` starts at the source's row `top`.
void resample_rows(const Axis *a, Rows in, int top, size_t width, uint8_t *out);

// What these two choose from; the AVX2 ones return false, having done nothing, where they cannot.
void resample_columns_plain(const Axis *a, int channels, Rows in, int n, uint8_t *out);
bool resample_columns_avx2(const Axis *a, int channels, Rows in, int n, uint8_t *out);
void resample_row_plain(const int32_t *w, int count, Rows in, size_t width, uint8_t *out);
bool resample_row_avx2(const int32_t *w, int count, Rows in, size_t width, uint8_t *out);

#endif
