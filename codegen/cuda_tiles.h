// Tiles of products on tensor cores, and blocks that work on the same results, in terms of the wrappers of cuda_prelude.h.

// x / d, with what codegen/cuda_numbers.c has prepared for d.
HELPER u32 tvc_quotient(u32 x, u32 m, int shift) { return (u32)((u64)x * m >> 32) >> shift; }

// Element (row, col) of a tile with `cols` columns in shared memory, `per` elements to 16 bytes. Pieces of
// 16 bytes are permuted, so that the rows a fragment is made of lie in different banks.
HELPER int tvc_at(int row, int col, int cols, int per) {
    int swap = cols / per == 4 ? row >> 1 & 3 : per == 4 ? (row & 3) << 1 : row & 7;
    return row * cols + ((col / per) ^ swap) * per + col % per;
}

// Products of f32: rounded to 11 bits; or as three products of what 11 bits hold and what is left.
#define CONVERTED(x, how) {how(x[0]), how(x[1]), how(x[2]), how(x[3])}
HELPER void tvc_mma_tf32(f32 (*d)[4], const u32 *a, const u32 (*b)[4]) {
    const u32 x[4] = CONVERTED(a, tvc_tf32), y[2][4] = {CONVERTED(b[0], tvc_tf32), CONVERTED(b[1], tvc_tf32)};
    tvc_mma_8(d, x, y);
}
HELPER u32 tvc_left(u32 x) { return tvc_tf32(tvc_bits(tvc_float(x) - tvc_float(tvc_tf32(x)))); }
HELPER void tvc_mma_f32(f32 (*d)[4], const u32 *a, const u32 (*b)[4]) {
    const u32 x[4] = CONVERTED(a, tvc_left), y[2][4] = {CONVERTED(b[0], tvc_left), CONVERTED(b[1], tvc_left)};
    tvc_mma_tf32(d, x, b);
    tvc_mma_tf32(d, a, y);
    tvc_mma_tf32(d, a, b);
}

// Element (row, col) of 16 by 32 sums that a warp passes on to its threads: pieces of 16 bytes are permuted, so that
// neither writing them as they come out of the products nor reading them in rows meets a bank twice.
HELPER int tvc_own(int row, int col) { return row * 32 + ((col >> 2) ^ (row & 3) << 1 ^ (row & 1)) * 4 + (col & 3); }

// Whether this block is the last of `blocks` that have come here, and may read what the others have written before.
HELPER int tvc_last(u32 *count, u32 blocks, u32 *shared) {
    tvc_fence();
    __syncthreads();
    if (threadIdx.x == 0) {
        const u32 before = tvc_count(count);
        *shared = before;
        if (before == blocks - 1) *count = 0;
    }
    __syncthreads();
    const int last = *shared == blocks - 1;
    __syncthreads();
    tvc_fence();
    return last;
}

// What `of` blocks, of which this is number `at`, have in shared memory at `sums`, n numbers each, is added up in the
// order of their numbers. True in the last of them to come here, whose `sums` are those of all. What lies behind `sums`
// in shared memory is lost. Loops are not unrolled where time is not lost in them: every kernel with sums has this text.
HELPER int tvc_gather(f32 *sums, int n, f32 *left, u32 *count, int at, int of, int threads) {
#pragma unroll 1
    for (int i = (int)threadIdx.x; i < n; i += threads) left[at * n + i] = sums[i];
    if (!tvc_last(count, (u32)of, (u32 *)(sums + n))) return 0;
#pragma unroll 1
    for (int i = (int)threadIdx.x; i < n; i += threads) {
        f32 s = 0;
#pragma unroll 4
        for (int p = 0; p < of; p++) s += tvc_fresh(&left[p * n + i]);
        sums[i] = s;
    }
    __syncthreads();
    return 1;
}
