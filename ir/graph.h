// graph.h -- the tensor-level IR. It has one noun: the Node.
//
// A node is an operator applied to nodes, and also the tensor it yields. Nodes are immutable and
// hash-consed: asking twice for the same thing gives the same node, and a node no root can reach
// does not exist. So common subexpressions and dead code need no pass.
//
// The batch. Sizes are stated for the largest batch the graph is made for (graph->max_batch). At
// most one axis of a tensor grows with the batch: shape.batch names it, its size is then c * N
// with N up to max_batch. N never enters a stride; it is only the bound of a loop (and a factor
// of a mean's divisor, see BatchSize).
#ifndef TVC_GRAPH_H
#define TVC_GRAPH_H
#include "base.h"
#include "../runtime/dtype.h"
#include "../runtime/program.h"

enum { MAXDIM = TVC_MAXDIM, MAXIN = 8 };

typedef enum Op {
#define OP(name, ...) OP_##name,
#include "ops.h"
    NOPS
} Op;

typedef struct Shape {
    int n;
    int batch;             // 1 + the axis that grows with the batch, or 0
    int64_t d[MAXDIM];
} Shape;

// What distinguishes two uses of one operator. Each operator's file says what its numbers mean.
typedef struct Attr {
    int n;
    int batch;             // of a shape given as attribute: as Shape.batch
    const int64_t *i;      // n numbers: axes, permutation, sizes ...
    double f, f2;
} Attr;

// Where element at[] of a stored node lies in its buffer: base + sum at[d] * stride[d], in elements.
typedef struct View {
    int64_t stride[MAXDIM], base, room;           // room: elements the buffer takes
} View;

typedef struct Node Node;
struct Node {
    Op op;
    DType type;
    Shape shape;
    Attr attr;
    int nin;
    Node **in;
    uint32_t again;        // recomputed on purpose: a tag that keeps it apart from its twin
    const char *name;      // as in the model, or NULL
    int doc;               // 1 + number of the document's node it comes from, or 0
    const void *data;      // Const, Param: row-major elements at any alignment, borrowed; or NULL
    bool train;            // Param: changes from call to call; not init's to use
    bool frozen;           // depends on no Input, trainable Param, chance or batch: belongs to init

    // Scratch. Valid only inside the pass that filled it.
    uint64_t stamp;        // graph_sort: last visit
    int id, uses;          // graph_sort: place in order; edges and roots that use it
    bool stored;           // fuse: has a buffer of its own
    int64_t halo[MAXDIM];  // fuse: elements of padding kept on both sides of each axis
    double halo_value;     // fuse: what the padding holds
    View view;             // fuse: how it lies in its buffer
    Node *home;            // fuse: lies inside the buffer of this node, by its view; or NULL
    Node *head, *mate;     // fuse: made by the kernel of head; the next of those it makes
    int maker;             // link: which kernel makes it
    int buffer;            // link: its buffer's number in the Program
    Node *to;              // graph_map: replacement
};

// What the graph is for. With a store (a trained Param or an Input of value's shape), `value` becomes
// the store's new contents: that is all a training step adds to an inference graph. Stores happen
// after everything else in their function, in the order of the roots: one that reads what another
// replaces stands before it.
typedef struct Root {
    const char *name;
    Node *value, *store;
    int fn;                // which function of the program computes it (1: forward; init is 0)
} Root;

typedef struct Graph {
    Cx *cx;
    const char *file;      // where it came from, ready to be shown, for messages; or NULL
    size_t memory;         // bytes that compiling it may take for each function; 0: no limit
    int64_t max_batch;     // 1: fixed
    int lanes;             // floats per vector of the target: the block of blocked layouts
    int isa;               // ISA_* the code is for
    bool direct;           // no Winograd convolutions
    bool gpu;              // for a grid of threads: no blocks, channels last
    DType product;         // GPU: the type of factors and images, if it is one of 16 bits (passes/precision.c)
    bool tf32;             // GPU: factors of f32 count with 11 bits
    int prefix;            // the function of what is frozen before anything is trained; 0: there is none
    DType prefix_product;  // GPU: as product and tf32, of what only that function needs
    bool prefix_tf32;
    Root *root;
    int nroot;
    const char *const *fn; // names of the program's functions; [0] is "init"
    int nfn;
    Node **input;          // Inputs in the order they were declared, used or not
    int ninput;
    Node **order;          // graph_sort: every live node, inputs first
    int norder;
    Node **hash;
    int nhash, caphash;
    uint64_t stamp;
} Graph;

Graph *graph_new(Cx *cx, int64_t max_batch);
Node *graph_input(Graph *g, const char *name, DType t, Shape s);
Node *graph_param(Graph *g, const char *name, DType t, Shape s, const void *data);
Node *graph_const(Graph *g, DType t, Shape s, const void *data);        // data borrowed
Node *graph_scalar(Graph *g, DType t, double v);                        // interned; rank 0
Node *graph_scalar_i(Graph *g, DType t, int64_t v);                     // exact for 64-bit integers
Node *graph_op(Graph *g, Op op, Attr at, int nin, Node *const *in);
Node *graph_again(Graph *g, Node *n, uint32_t tag);                     // the same, kept apart
void graph_root(Graph *g, const char *name, Node *value, Node *store, int fn);

void graph_sort(Graph *g);
void graph_refreeze(Graph *g);                    // after Params' `train` changed: every node's `frozen`, by the roots
// Rebuild the graph bottom-up, replacing every node n for which fn(g, n, env) is not NULL.
// Returns the number of replacements. Scratch fields are stale afterwards.
typedef Node *MapFn(Graph *g, Node *n, void *env);
int graph_map(Graph *g, MapFn *fn, void *env);
void graph_print(Graph *g, FILE *f);                                    // text.c says how it looks
Graph *graph_parse(Cx *cx, const char *text);                           // back; fails with the line's number

#define op1(g, o, a)       graph_op(g, OP_##o, (Attr){0}, 1, (Node *[]){a})
#define op2(g, o, a, b)    graph_op(g, OP_##o, (Attr){0}, 2, (Node *[]){a, b})
#define op3(g, o, a, b, c) graph_op(g, OP_##o, (Attr){0}, 3, (Node *[]){a, b, c})
#define op1a(g, o, a, at)  graph_op(g, OP_##o, at, 1, (Node *[]){a})

#define AXES(...)  ((Attr){.n = sizeof((int64_t[]){__VA_ARGS__}) / 8, .i = (int64_t[]){__VA_ARGS__}})
#define SHAPE(...) ((Shape){.n = sizeof((int64_t[]){__VA_ARGS__}) / 8, .d = {__VA_ARGS__}})

int64_t numel(Shape s);                           // at maximum batch
Attr shape_attr(const Shape *s);                  // borrows s until graph_op copies it
Shape attr_shape(Attr a);
bool same_shape(Shape a, Shape b);                // sizes and batch axis
bool same_dims(Shape a, Shape b);                 // sizes only
const char *shape_str(Cx *cx, Shape s);           // "[N,3,224,224]"
Shape bcast_shape(Graph *g, const char *what, Shape a, Shape b);

Node *node_reshape(Graph *g, Node *x, Shape s);   // x itself if it has that shape
Node *node_cast(Graph *g, Node *x, DType t);      // x itself if it has that type
Node *node_like(Graph *g, Node *like, double v);  // scalar constant of like's type

Node *owner(Node *n);                             // whose buffer n lies in
void view_set(Node *n);                           // row-major from shape and halo
TensorDesc node_desc(const Node *n);

#endif
