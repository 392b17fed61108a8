// bodies.h -- the hand-written kernels: what is no formula of one output element.
//
// To add one: a line here, a function body_NAME in a file runtime/body_*.c that says what it
// computes and what its attributes are, a case in tests/test_bodies.c. NAME is the operator's in
// ir/ops.h. A body runs in one thread, allocates nothing, trusts its descs, and answers data out
// of range by *ctx->error = 1.
#ifndef TVC_BODIES_H
#define TVC_BODIES_H
#include "program.h"

//    name            file
#define TVC_BODIES(X)                           \
    X(TopKValues)     /* body_topk.c         */ \
    X(TopKIndices)                              \
    X(CumSum)         /* body_cumsum.c       */ \
    X(ScatterElements) /* body_scatter.c     */ \
    X(ScatterND)                                \
    X(Bits)           /* body_bits.c         */ \
    X(RoiAlign)       /* body_region.c       */ \
    X(RoiAlignDx)                               \
    X(MaxRoiPool)                               \
    X(MaxRoiPoolDx)                             \
    X(Eliminate)      /* body_eliminate.c    */

#define X(name) BodyFn body_##name;
TVC_BODIES(X)
#undef X

// A tensor as outer x size x inner elements around one axis: element j of a row is at
// (o * size + j) * inner + i.
typedef struct Rows { int64_t outer, size, inner; } Rows;

static inline Rows rows_of(const TensorDesc *d, int64_t axis) {
    Rows r = {1, d->dim[axis], 1};
    for (int i = 0; i < axis; i++) r.outer *= d->dim[i];
    for (int i = (int)axis + 1; i < d->rank; i++) r.inner *= d->dim[i];
    return r;
}

#endif
