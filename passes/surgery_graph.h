// surgery_graph.h -- what the surgeon's files share: constants, neighbours, sweeping, new nodes and weights.
#ifndef TVC_SURGERY_GRAPH_H
#define TVC_SURGERY_GRAPH_H
#include "surgery.h"

static inline bool op_is(const DocNode *n, const char *op) { return n->domain[0] == 0 && strcmp(n->op, op) == 0; }
bool op_among(const DocNode *n, const char *const *ops);                   // NULL-terminated

// ---- constants: initializers, behind Identity, Reshape, Transpose, Cast ..., Constant, ConstantOfShape ----
typedef struct Constant {
    int rank;
    int64_t dim[MAXDIM];
    DType type;
    const Tensor *tensor;             // where its numbers come from; NULL: all are `fill`
    bool as_stored;                   // they are the tensor's, in its order
    double fill;
    const void *source;               // tells two constants apart, and shared ones together
} Constant;

bool constant_of(Model *m, const char *value, Constant *c);                // false: not constant, or not understood
int constant_ints(Model *m, const char *value, const int64_t **v);         // count, or -1
bool constant_float(Model *m, const char *value, double *v);               // a single number

// Is n a layer that could be a head? Fills *h, or says in *why what speaks against it. (surgery_find.c)
bool heads_layer(Model *m, DocNode *n, Head *h, const char **why);

// ---- neighbours ----
int value_users(Model *m, const char *value);                              // inputs of nodes and graph outputs
bool value_is_output(Model *m, const char *value);
// Per node of the document: does its value depend on `value`?
bool *depends_on(Model *m, const char *value);

// ---- sweeping: remove what an edit has made useless, and nothing that was useless before ----
typedef struct Reach Reach;
Reach *reach_mark(Model *m);                                               // before the edit
void reach_sweep(Model *m, Reach *before);                                 // after it

// ---- new things (surgery_make.c) ----
typedef struct Maker {
    Model *m;
    const Surgery *s;
    uint64_t streams;                 // random streams used so far
    const char **made;                // initializers that are new or new in content
    int nmade;
} Maker;

Tensor *tensor_new(Model *m, DType t, int rank, const int64_t *dim);       // all zero; its data may be written
// Uniform within +-bound, of the maker's next random stream.
Tensor *fresh_tensor(Maker *k, DType t, int rank, const int64_t *dim, double bound);
// PyTorch's default for the weight and bias of Linear and Conv.
static inline double usual_bound(int64_t fan_in) { return 1 / sqrt((double)fan_in); }
Tensor *ints_tensor(Maker *k, int n, const int64_t *v);                    // a vector of int64
void put_init(Maker *k, const char *name, const Tensor *t);
// Make input `at` of n, a constant, hold t: in place if nobody else looks at it.
void replace_constant(Maker *k, DocNode *n, int at, const Tensor *t);

// Nodes are put before node number *at, which moves on. Each returns the name of its value.
const char *add_node(Maker *k, int *at, const char *op, const char *like, int nin, const char **in, int nattr,
                     const NewAttr *attr);
// A layer with bias, written as `kind` says: Gemm, MatMul (and Add), or a 1x1 Conv over `spatial` axes.
const char *add_linear(Maker *k, int *at, const char *x, const char *name, const char *kind, int spatial, DType t,
                       int64_t from, int64_t to);
// The hidden layers that are wanted, each with Relu and Dropout; *features becomes the last one's size.
const char *add_hidden(Maker *k, int *at, const char *x, const char *kind, int spatial, DType t, int64_t *features);
int node_opset(const Model *m);                                            // version of ai.onnx

// ---- the edits ----
void replace_head(Maker *k, Head *h);                                      // surgery_head.c
void append_head(Maker *k);
void change_channels(Maker *k);                                            // surgery_input.c
void write_eval_form(Model *m);                                            // surgery_form.c
void cut_at(Model *m, const Surgery *s);
void drop_aux(Model *m, const Heads *h);
void free_the_batch(Maker *k);                                             // surgery_batch.c
void freeze_params(Maker *k, const Heads *h);                              // surgery_freeze.c

// The shape of a value, by importing the document. Fails if that cannot be imported.
Shape value_shape(Model *m, const Surgery *s, const char *value, DType *t);

#endif
