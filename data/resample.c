// resample.c -- Pillow's fixed-point sums.
//
// A result is (2^21 + sum of pixel * weight) >> 22, clipped to 0..255. The sums are of 32-bit
// integers, so that they may be grouped in any way: all versions give the same bytes.
#include "resample.h"

static uint8_t clip(int32_t v) {
    v >>= RESAMPLE_BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static void columns_of_row(const Axis *a, int channels, const uint8_t *in, uint8_t *out) {
    for (int x = 0; x < a->count; x++) {
        const int32_t *w = weights_of(a, x);
        for (int c = 0; c < channels; c++) {
            const uint8_t *s = in + (size_t)a->span[x].from * (size_t)channels + c;
            int32_t sum = 1 << (RESAMPLE_BITS - 1);
            for (int i = 0; i < a->span[x].count; i++, s += channels) sum += *s * w[i];
            *out++ = clip(sum);
        }
    }
}

void resample_columns_plain(const Axis *a, int channels, Rows in, int n, uint8_t *out) {
    size_t width = (size_t)a->count * (size_t)channels;
    for (int y = 0; y < n; y++) columns_of_row(a, channels, in.p + (size_t)y * in.stride, out + (size_t)y * width);
}

void resample_row_plain(const int32_t *w, int count, Rows in, size_t width, uint8_t *out) {
    for (size_t x = 0; x < width; x++) {
        const uint8_t *s = in.p + x;
        int32_t sum = 1 << (RESAMPLE_BITS - 1);
        for (int i = 0; i < count; i++, s += in.stride) sum += *s * w[i];
        out[x] = clip(sum);
    }
}

void resample_columns(const Axis *a, int channels, Rows in, int n, uint8_t *out) {
    if (!resample_columns_avx2(a, channels, in, n, out)) resample_columns_plain(a, channels, in, n, out);
}

void resample_rows(const Axis *a, Rows in, int top, size_t width, uint8_t *out) {
    for (int y = 0; y < a->count; y++, out += width) {
        Rows from = {in.p + (size_t)(a->span[y].from - top) * in.stride, in.stride};
        const int32_t *w = weights_of(a, y);
        int count = a->span[y].count;
        if (!resample_row_avx2(w, count, from, width, out)) resample_row_plain(w, count, from, width, out);
    }
}
