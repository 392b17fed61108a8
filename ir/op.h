// op.h -- what a line of ops.h means.
#ifndef TVC_OP_H
#define TVC_OP_H
#include "graph.h"
#include "kernel.h"

typedef enum OpKind {
    LEAF,                  // no inputs
    EWISE, COMM,           // element-wise; COMM also commutes
    MOVE,                  // each element is an element of the input, or a constant
    MIX,                   // a few elements, weighted by a small constant table
    REDUCE,                // many elements of one input to one
    CONTRACT,              // sum of products of two inputs
    BODY,                  // no formula: a hand-written body of the same name (runtime/bodies.h)
} OpKind;

typedef void InferFn(Graph *g, Node *n);              // sets n->shape, and n->type if not in[0]'s
typedef Node *ExpandFn(Graph *g, Node *n);            // NULL: leave it as it is
typedef Expr *EmitFn(Kernel *k, Node *n, Expr **at);

typedef struct OpDef {
    const char *name;
    int nin;
    OpKind kind;
    InferFn *infer;
    ExpandFn *expand;
    EmitFn *emit;
} OpDef;

extern const OpDef optab[NOPS];
Op op_find(const char *name, size_t len);             // NOPS if unknown

// Replace every operator by what it expands to, until none does (expand.c).
void expand_ops(Graph *g);

#define OP(name, in, kind, I, X, E) InferFn infer_##I; ExpandFn expand_##X; EmitFn emit_##E;
#include "ops.h"

static inline OpKind op_kind(const Node *n) { return optab[n->op].kind; }
static inline bool op_is_leaf(const Node *n) { return op_kind(n) == LEAF; }
static inline bool op_is_ewise(const Node *n) { return op_kind(n) == EWISE || op_kind(n) == COMM; }
static inline bool op_is_splat(const Node *n) { return n->op == OP_Const && !n->data; }
static inline bool op_joins(const Node *n) { return n->op == OP_Concat || n->op == OP_Weave; }      // its inputs lie in its buffer
static inline bool op_has_expand(Op o) { return optab[o].expand != expand__; }
static inline bool op_has_emit(Op o) { return optab[o].emit != emit__; }

double splat_value(const Node *n);                    // of a Const without data
void *splat_data(Cx *cx, const Node *n);              // its one element, in memory

// ---- movement (ops/move.c) ----
// The next shortest runs of axes, *i.. of x and *j.. of y, that hold the same number of elements; both shapes do.
void next_group(Shape x, Shape y, int *i, int *j);
bool batch_outermost(Shape s);                                               // or there is none
Node *node_transpose(Graph *g, Node *x, const int64_t *perm);                // these four: x itself where nothing moves
Node *node_expand(Graph *g, Node *x, Shape s);
Node *node_slice(Graph *g, Node *x, int axis, int64_t from, int64_t size);
Node *node_concat(Graph *g, int axis, int n, Node *const *x);                // n >= 1

// ---- constants and reductions (ops/reduce.c, norm.c) ----
Node *node_zeros(Graph *g, Node *like);                                      // of like's type and shape
Node *node_reduce_all(Graph *g, Op reduction, Node *x);                      // over every axis: a scalar
Node *node_per_channel(Graph *g, Node *v, int rank);                         // [C], to broadcast against [N, C, ..] of that rank

// ---- by index (ops/index.c) ----
Node *graph_ints(Graph *g, int64_t n, const int64_t *v);                     // a Const vector of i64; v is copied
Node *node_iota(Graph *g, Shape s, int axis);                                // i64: the index along that axis

// ---- spatial operators: convolutions and pools, any number of image axes ----
// attr.i = {group, then per image axis: kernel, stride, dilation, pad before, pad after}
typedef struct Window {
    int rank;              // image axes
    int64_t group;
    struct { int64_t kernel, stride, dilation, before, after; } axis[MAXDIM];
} Window;
Window window_of(const Node *n);
Attr window_attr(Cx *cx, const Window *w);
void window_shape(Graph *g, const Window *w, Shape x, Shape *y);             // sets the image axes of y; fails if none fits
Expr *window_tap(Kernel *k, const Window *w, int axis, Expr *at, Expr *r);   // at*stride + r*dilation - before

#endif
