// resample_avx2.c -- resample.c's sums for processors with AVX2; nothing at all for others.
#include "resample.h"
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

enum { HALF = 1 << (RESAMPLE_BITS - 1), BLOCK = 32 };            // BLOCK: bytes of a row made at a time

// Four rows at once, which share the weights, and four source pixels at once. vpmaddwd adds two
// products of 16 bits; so a weight is split into its upper part and its lower 15 bits.
AVX2 static void columns4_rgb(const Axis *a, const uint8_t *const in[4], uint8_t *const out[4]) {
    // Red, green and blue of pixels 0 and 1 side by side, then of pixels 2 and 3.
    const __m256i pairs = _mm256_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,
                                           6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
    const __m256i spread = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    for (int x = 0; x < a->count; x++) {
        const int32_t *w = weights_of(a, x);
        size_t at = 3 * (size_t)a->span[x].from;
        const __m256i zero = _mm256_setzero_si256();
        __m256i low[4] = {zero, zero, zero, zero}, high[4] = {zero, zero, zero, zero};
        for (int i = 0; i < a->span[x].count; i += 4, at += 12) {
            __m128i four = _mm_loadu_si128((const __m128i *)(w + i));
            __m128i lower = _mm_and_si128(four, _mm_set1_epi32(0x7fff)), upper = _mm_srai_epi32(four, 15);
            __m256i wl = _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(_mm_packs_epi32(lower, lower)), spread);
            __m256i wh = _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(_mm_packs_epi32(upper, upper)), spread);
#pragma GCC unroll 4
            for (int y = 0; y < 4; y++) {
                __m256i px = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(in[y] + at)));
                px = _mm256_shuffle_epi8(px, pairs);
                low[y] = _mm256_add_epi32(low[y], _mm256_madd_epi16(px, wl));
                high[y] = _mm256_add_epi32(high[y], _mm256_madd_epi16(px, wh));
            }
        }
        __m128i sum[4];
#pragma GCC unroll 4
        for (int y = 0; y < 4; y++) {
            __m256i both = _mm256_add_epi32(low[y], _mm256_slli_epi32(high[y], 15));
            __m128i one = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
            sum[y] = _mm_srai_epi32(_mm_add_epi32(one, _mm_set1_epi32(HALF)), RESAMPLE_BITS);
        }
        __m128i bytes = _mm_packus_epi16(_mm_packs_epi32(sum[0], sum[1]), _mm_packs_epi32(sum[2], sum[3]));
        uint8_t result[16];
        _mm_storeu_si128((__m128i *)result, bytes);
#pragma GCC unroll 4
        for (int y = 0; y < 4; y++) memcpy(out[y] + 3 * x, result + 4 * y, 3);
    }
}

AVX2 static void columns_grey(const Axis *a, const uint8_t *in, uint8_t *out) {
    for (int x = 0; x < a->count; x++) {
        const int32_t *w = weights_of(a, x);
        const uint8_t *s = in + a->span[x].from;
        __m256i sum = _mm256_setzero_si256();
        for (int i = 0; i < a->span[x].count; i += 8) {
            __m256i px = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(s + i)));
            sum = _mm256_add_epi32(sum, _mm256_mullo_epi32(px, _mm256_loadu_si256((const __m256i *)(w + i))));
        }
        __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1));
        four = _mm_srai_epi32(_mm_add_epi32(four, _mm_set1_epi32(HALF)), RESAMPLE_BITS);
        out[x] = (uint8_t)_mm_cvtsi128_si32(_mm_packus_epi16(_mm_packs_epi32(four, four), four));
    }
}

AVX2 static void row_block(const int32_t *w, int count, Rows in, uint8_t *out) {
    __m256i sum[4];
    for (int k = 0; k < 4; k++) sum[k] = _mm256_set1_epi32(HALF);
    for (int i = 0; i < count; i++, in.p += in.stride) {
        __m256i weight = _mm256_set1_epi32(w[i]);
#pragma GCC unroll 4
        for (int k = 0; k < 4; k++) {
            __m256i px = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(in.p + 8 * k)));
            sum[k] = _mm256_add_epi32(sum[k], _mm256_mullo_epi32(px, weight));
        }
    }
    for (int k = 0; k < 4; k++) sum[k] = _mm256_srai_epi32(sum[k], RESAMPLE_BITS);
    __m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(sum[0], sum[1]), _mm256_packs_epi32(sum[2], sum[3]));
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((__m256i *)out, bytes);
}

bool resample_columns_avx2(const Axis *a, int channels, Rows in, int n, uint8_t *out) {
    if (!__builtin_cpu_supports("avx2")) return false;
    size_t width = (size_t)a->count * (size_t)channels;
    for (int y = 0; channels == 1 && y < n; y++) columns_grey(a, in.p + (size_t)y * in.stride, out + (size_t)y * width);
    for (int y = 0; channels == 3 && y < n; y += 4) {
        const uint8_t *src[4];
        uint8_t *dst[4];
        for (int i = 0; i < 4; i++) {                            // the last group repeats the last row
            size_t row = (size_t)(y + i < n ? y + i : n - 1);
            src[i] = in.p + row * in.stride;
            dst[i] = out + row * width;
        }
        columns4_rgb(a, src, dst);
    }
    return true;
}

bool resample_row_avx2(const int32_t *w, int count, Rows in, size_t width, uint8_t *out) {
    if (width < BLOCK || !__builtin_cpu_supports("avx2")) return false;
    for (size_t x = 0; x < width; x += BLOCK) {
        size_t at = x + BLOCK <= width ? x : width - BLOCK;      // the last block overlaps the one before it
        row_block(w, count, (Rows){in.p + at, in.stride}, out + at);
    }
    return true;
}

#else
bool resample_columns_avx2(const Axis *a, int channels, Rows in, int n, uint8_t *out) {
    return (void)a, (void)channels, (void)in, (void)n, (void)out, false;
}
bool resample_row_avx2(const int32_t *w, int count, Rows in, size_t width, uint8_t *out) {
    return (void)w, (void)count, (void)in, (void)width, (void)out, false;
}
#endif
