// cuda_epilogue.c -- what becomes of the sums of a tile (cuda_tile.h): f, printed from the formula on the
// accumulators. A thread holds pairs of sums strewn over 16 rows; through shared memory it gets as many neighbours
// as 16 bytes of the result hold, so that whatever the formula reads is read in whole vectors as well. Each warp
// works on 16 of its rows at a time, and the code for them stands there once: the accumulators move up, or, where
// blocks share the sums, all parts of those 16 rows are added up.
#include "cuda_tile.h"

static int pieces_of_part(const Tile *t) { return t->bm * t->bn / 4; }

// Each thread leaves its sums as they lie, 16 bytes beside those of the next thread.
void tile_join(Out *o, Tile *t, Grid *l) {
    int64_t m = blocks_along(&t->m, t->bm), n = blocks_along(&t->n, t->bn), z = blocks_along(&t->z, 1);
    int pieces = pieces_of_part(t);
    if (t->parts == 1) return;
    const char *row = "(int)block_y";
    if (t->z.n) row = cx_fmt(o->cx, "((int)z * %s + %s)", numeral_text(o, &t->n, NUMBER_BLOCKS, n), row);
    line(o, "const int group = %s * %s + (int)block;", row, numeral_text(o, &t->m, NUMBER_BLOCKS, m));
    split_workspace(o, l, "group", m * n * z, t->parts, pieces);
    tile_unrolled(o, "i", t->wm / ROWS), tile_unrolled(o, "j", WN / 8);
    line(o, "f32x4 x = {{acc[i][j][0], acc[i][j][1], acc[i][j][2], acc[i][j][3]}};");
    line(o, "parts[block_part * %d + (i * %d + j) * %d + (int)threadIdx.x] = x;", pieces, WN / 8, t->threads);
    end(o), end(o);
    line(o, "__syncthreads();");
    line(o, "if (!tvc_last(count, (u32)%s, (u32 *)pool)) return;", tile_parts(o, t));
}

// What the blocks have left for rows c.., in their order. As many loads are under way as there are unrolled.
static void sum_parts(Out *o, Tile *t) {
    line(o, "f32 sum[%d][4] = {{0}};", WN / 8);
    line(o, "#pragma unroll 2");
    begin(o, "for (int p = 0; p < %s; p++) {", tile_parts(o, t));
    tile_unrolled(o, "j", WN / 8);
    line(o, "const f32x4 y = tvc_fresh_4(&parts[p * %d + (c / %d + j) * %d + (int)threadIdx.x]);", pieces_of_part(t),
         ROWS / (WN / 8), t->threads);
    tile_unrolled(o, "q", 4);
    line(o, "sum[j][q] += y.x[q];");
    end(o), end(o), end(o);
}

// Rows of further pieces are permuted alike.
static bool is_regular(const Tile *t) { return t->vec >= 4; }

static void sums_of_own(Out *o, Tile *t) {            // what this thread works on, in w
    line(o, "f32 w[%d];", t->vec);
    int part = t->vec < 4 ? t->vec : 4;
    for (int q = 0; q < t->vec; q += part) {
        const char *at = is_regular(t) ? cx_fmt(o->cx, "(get ^ %d) + u * %d", q, t->vec * 32) : "tvc_own(row, col)";
        if (part == 1) { line(o, "w[0] = own[%s];", at); continue; }
        line(o, "const f32x%d x%d = *(const f32x%d *)&own[%s];", part, q, part, at);
        for (int e = 0; e < part; e++) line(o, "w[%d] = x%d.x[%d];", q + e, q, e);
    }
}

static void results(Out *o, Tile *t) {
    int pieces = ROWS * WN / 32 / t->vec;
    line(o, "#pragma unroll %d", is_regular(t) ? 1 : 4);               // many loads each: registers are scarce
    begin(o, "for (int u = 0; u < %d; u++) {", pieces);
    line(o, "const int p = lane + u * 32, row = p / %d, col = p %% %d * %d;", WN / t->vec, WN / t->vec, t->vec);
    line(o, "const int m = m0 + wm + c + row, n = n0 + wn + col;");
    const char *rows = tile_bound(o, &t->m);
    begin(o, "if (m < %s && n < %s) {", rows, tile_bound(o, &t->n));
    int mark = open_scope(o);
    tile_variables(o, &t->m, "m"), tile_variables(o, &t->n, "n");
    sums_of_own(o, t);
    name_expr(o, t->sum, t->vec == 1 ? "w[0]" : "w[e]");
    if (t->vec > 1) store_neighbours(o, t->n.v[t->n.n - 1], t->vec);
    else store(o, 0, o->k->body);
    sums_add(o, t);
    close_scope(o, mark);
    end(o), end(o);
}

static void put_sums(Out *o, const char *sums) {
    line(o, "f32x2 x;");
    for (int j = 0; j < WN / 8; j++)
        for (int h = 0; h < 2; h++) {
            line(o, "x.x[0] = %s[%d][%d], x.x[1] = %s[%d][%d];", sums, j, h * 2, sums, j, h * 2 + 1);
            line(o, "*(f32x2 *)&own[(put ^ %d) + %d] = x;", j * 8, h * 8 * WN);
        }
}

static void move_up(Out *o, const Tile *t) {
    tile_unrolled(o, "i", t->wm / ROWS - 1), tile_unrolled(o, "j", WN / 8), tile_unrolled(o, "q", 4);
    line(o, "acc[i][j][q] = acc[i + 1][j][q];");
    end(o), end(o), end(o);
}

void tile_epilogue(Out *o, Tile *t) {
    bool shared = t->parts > 1;
    line(o, "__syncthreads();");                      // others may still read their fragments
    line(o, "f32 *const own = (f32 *)pool + warp * %d;", ROWS * WN);
    line(o, "const int put = tvc_own(lane >> 2, (lane & 3) * 2);");
    if (is_regular(t))
        line(o, "const int get = tvc_own(lane / %d, lane %% %d * %d);", WN / t->vec, WN / t->vec, t->vec);
    sums_begin(o, t);
    line(o, "#pragma unroll 1");
    begin(o, "for (int c = 0; c < %d; c += %d) {", t->wm, ROWS);
    if (shared) sum_parts(o, t);
    put_sums(o, shared ? "sum" : "acc[0]");
    line(o, "tvc_syncwarp();");
    results(o, t);
    line(o, "tvc_syncwarp();");
    if (!shared) move_up(o, t);
    end(o);
}
