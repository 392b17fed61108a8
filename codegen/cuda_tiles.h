// Tiles of products on tensor cores, in terms of the wrappers of cuda_prelude.h.

// Element (row, col) of a tile with `cols` columns in shared memory, `per` elements to 16 bytes. Pieces of
// 16 bytes are permuted, so that the rows a fragment is made of lie in different banks.
HELPER int tvc_at(int row, int col, int cols, int per) {
    int swap = cols / per == 4 ? row >> 1 & 3 : per == 4 ? (row & 3) << 1 : row & 7;
    return row * cols + ((col / per) ^ swap) * per + col % per;
}

// Products of f32: rounded to 11 bits; or as three products of what 11 bits hold and what is left.
HELPER void tvc_mma_tf32(f32 *d, const u32 *a, const u32 *b) {
    const u32 x[4] = {tvc_tf32(a[0]), tvc_tf32(a[1]), tvc_tf32(a[2]), tvc_tf32(a[3])};
    const u32 y[2] = {tvc_tf32(b[0]), tvc_tf32(b[1])};
    tvc_mma_8(d, x, y);
}
HELPER u32 tvc_left(u32 x) { return tvc_tf32(tvc_bits(tvc_float(x) - tvc_float(tvc_tf32(x)))); }
HELPER void tvc_mma_f32(f32 *d, const u32 *a, const u32 *b) {
    const u32 x[4] = {tvc_left(a[0]), tvc_left(a[1]), tvc_left(a[2]), tvc_left(a[3])};
    const u32 y[2] = {tvc_left(b[0]), tvc_left(b[1])};
    tvc_mma_tf32(d, x, b);
    tvc_mma_tf32(d, a, y);
    tvc_mma_tf32(d, a, b);
}
