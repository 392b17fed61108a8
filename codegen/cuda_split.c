// cuda_split.c -- results that are too few for a GPU's many processors: several blocks share the sums of each and
// leave their parts in the workspace; the last one of them to get there adds the parts up, in their order, whatever
// the order in which they came, and goes on with the formula round the sums. The workspace begins with a count for
// each such group of blocks, which is zero again when the kernel has run. Sums over what tiles store (cuda_sums.c) have
// the last of the counts, and lie behind the parts.
#include "cuda.h"

enum { COUNTS = 4096, PROCESSORS = 132, BLOCKS = 2 };  // groups at most; blocks that a processor runs at a time

int split_parts(int64_t groups, int64_t most) {
    int64_t wanted = PROCESSORS * BLOCKS / groups;
    if (wanted > most) wanted = most;
    return wanted < 2 || groups > COUNTS ? 1 : (int)wanted;
}

void split_workspace(Out *o, Grid *l, const char *group, int64_t groups, int parts, int64_t pieces) {
    l->workspace = COUNTS * 4 + groups * parts * pieces * 16;
    line(o, "u32 *const count = (u32 *)ctx->work + %s;", group);
    line(o, "f32x4 *const parts = (f32x4 *)((char *)ctx->work + %d) + (long)%s * %s;", COUNTS * 4, group,
         numeral_text(o, l, NUMBER_EXTENT, parts * pieces));
}

void turns_workspace(Out *o, Grid *l, int64_t turns, int64_t bytes) {
    if (l->workspace == 0) l->workspace = COUNTS * 4;
    line(o, "u32 *const turns = (u32 *)ctx->work + %s;", numeral_text(o, l, NUMBER_AT_ZERO, COUNTS - turns));
    line(o, "f32 *const sums_left = (f32 *)((char *)ctx->work + %s);",
         numeral_text(o, l, NUMBER_BLOCKS, l->workspace));
    l->workspace += bytes;
}
