// cuda_tile.h -- a sum of products as a tiled matrix product, found by how its two factors move; private
// to cuda_cast.c, which finds it, cuda_tile.c, which prints it, and cuda_product.c. For out[..] = f(sum of A * B)
//
//     M   axes that move A and not B             K   the summed variables
//     N   axes that move B and not A             z   axes that move both, or neither
//
// B is the factor that moves with the axis along which the result is contiguous. m, n and k walk their
// variables as one flat index each. Whatever lies outside (a K_INSIDE round a factor, the ragged end of m,
// n or k) is staged as zero and adds nothing to the sum.
#ifndef TVC_CUDA_TILE_H
#define TVC_CUDA_TILE_H
#include "cuda.h"

enum { STAGES = 3, ROW = 64, WN = 32, ROWS = 16, MAXGUARD = 8, MAXSUMS = 4 };
// ROW: bytes of k in a tile; WN: columns of a warp; ROWS: of a warp, that the epilogue works on at a time

typedef struct Group {                // one flat index over variables, the last one fastest
    Expr *v[MAXDIM * 2];
    int n;
    int64_t size, last;               // last: extent of the last variable, rounded up to whole vectors
    bool grows;
} Group;

typedef enum Staging {                // how a factor gets into shared memory
    COPIED,                           // a bare load: asynchronous copies, vec elements each
    COMPUTED,                         // a formula of aligned loads: the main one copied likewise; the thread that
                                      // copied it puts the formula's values in its place when it has arrived
    SCALAR,                           // anything else, element by element by its formula
} Staging;

typedef struct Factor {
    Expr *f, *inner, *load;           // inner: f without its guards; load: what is staged of it, or NULL
    Expr *guard[MAXGUARD];
    int nguard, vec, tile;            // tile: BM or BN
    Staging how;
    Expr *run;                        // the variable along which it is contiguous, or NULL
    bool kmajor;                      // rows of the tile run along k; else along m (n)
    Group *own;
    const char *id, *flat, *base;     // "a", "m", "m0"
} Factor;

typedef struct Tile {
    Expr *sum;
    Group m, n, k, z;
    Factor a, b;
    DType type;
    int per, bk;                      // elements in 16 bytes; of k in a tile
    int bm, bn, wm, wn, threads;      // of a block, of a warp
    int parts;                        // blocks that share the sum over k
    int vec;                          // neighbours that the epilogue works on at once
    Expr *total[MAXSUMS], *stored;    // sums over the rows of each column, and in them what the tile stores
    int ntotal;
} Tile;

bool tile_cast(Out *o, Tile *t, const CudaOptions *options);  // false: the formula has another form
void tile_join(Out *o, Tile *t, Grid *l);             // where blocks share a sum: only the last one goes on, with all of it
void tile_epilogue(Out *o, Tile *t);

// At maximum batch: how many blocks of `tile` lie along a group.
static inline int64_t blocks_along(const Group *g, int64_t tile) { return g->n ? (g->size + tile - 1) / tile : 1; }

// cuda_sums.c: of what the tile stores, where the kernel has such results (Kernel.nsum)
bool sums_find(Out *o, Tile *t);                      // false: they have another form
void sums_begin(Out *o, const Tile *t);               // before the first result
void sums_add(Out *o, const Tile *t);                 // after those of a piece were stored
void sums_end(Out *o, Tile *t, Grid *l);              // after the last one

// ---- what both print ----
const char *tile_bound(Out *o, Group *g);             // the group's size, as it is at run time
const char *tile_parts(Out *o, Tile *t);
void tile_variables(Out *o, Group *g, const char *flat);
void tile_variables_of(Out *o, Group *g, const char *flat, const Expr *of, const Expr *known); // those in `of`, outside `known`
void tile_unrolled(Out *o, const char *index, int n); // begins a loop

// cuda_product.c: in o->product, where the whole kernel is what a library computes, too (runtime/program.h).
void tile_product(Out *o, const Tile *t, const CudaOptions *options);

#endif
