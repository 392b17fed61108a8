// import.h -- from the user's document to the compiler's graph. The opset history ends here.
//
// A row of import_rows.h names an ONNX operator and the function that builds it; rows may be limited
// to a range of opset versions, so old forms live beside new ones. Rows call nothing but this page
// and the graph builder.
//
// Two worlds. What a model computes about shapes (Shape, Gather, Concat, Mul ... on small integers)
// is evaluated here, at once. Where such a number depends on the free batch N, it is evaluated
// twice, at N = max_batch and at N = max_batch + 1: equal results are constants, results in the
// ratio of the two N are c x N, anything else is refused by node name. A Value therefore has a node
// (world 0) and, if it is a known integer that depends on N, a twin (world 1).
#ifndef TVC_IMPORT_H
#define TVC_IMPORT_H
#include "../ir/op.h"
#include "model.h"

typedef struct ShapeChoice { const char *input; int rank; int64_t dim[MAXDIM]; } ShapeChoice;

typedef struct Given { const char *input; const Tensor *value; } Given;

// A value of the document: its shape there, and whether it is known at import but not the same for every batch.
typedef struct Kept { Shape shape; bool varies; } Kept;

typedef struct ImportOptions {
    int64_t max_batch;                // 0 or 1: the batch stays as declared (1 where it is free)
    bool obey_training_mode;          // verify only: training-mode BatchNormalization and Dropout as written
    int nshape;
    const ShapeChoice *shape;         // sizes for inputs whose shape the model leaves open
    const char *const *keep;          // names of inner values to make roots of as well; NULL-terminated, or NULL. What
                                      // is no tensor of the graph (a shape that varies with the batch) is left out
    struct Kept *kept;                // not NULL: gets what they are, and no roots are made of them
    int ngiven;
    const Given *given;               // verify only: values of inputs; their shapes, not the declared ones, hold, and
                                      // their numbers answer where one must be known at import
} ImportOptions;

// Roots of function 1 in the order of the document's outputs (then `keep`), inputs in the order
// of its true inputs (initializers excepted). Initializers become Params (floats) or Consts
// (integers and bools); every node keeps its document node's number (Node.doc) and name.
Graph *model_import(Model *m, const ImportOptions *o);

// ---- for rows ----
typedef struct Import Import;
struct Import {
    Cx *cx;
    Graph *g;
    Model *m;
    const ImportOptions *o;
    const DocNode *n;                 // the node being imported
    int64_t opset;                    // version its domain is at
    int world;                        // 0, or 1 while twins are computed
    bool fold;                        // all inputs are known: the row builds what is computed at once
    struct Names *names, *rows;       // private: values by name, rows by operator
    struct Value *made;               // private: the node's outputs
    int64_t folded, work;             // private: bytes and work of computed constants, which are bounded
    size_t rooms;                     // private: bytes of the tables rows asked for
    bool told;                        // that training forms are taken as inference
    char doing[512];                  // private: what Cx.doing shows
};

typedef void ImportFn(Import *im, const DocNode *n);

bool in_given(Import *im, int k);                             // input k is present and not ""
Node *in(Import *im, int k);                                  // input k; fails, naming the node, if absent
Node *in_or(Import *im, int k, Node *otherwise);
void out(Import *im, int k, Node *value);                     // output k is value (ignored if the document does not name it)

// Rows of tokens x batch, as transformers with the batch second join them: the graph cannot, since the batch would not
// stay outermost, so it keeps the two axes apart ([tokens, batch, ...]) while the document has one. Operators that
// treat every row alike read and write such values; in() refuses them. `document`: the shape there.
Node *in_rows(Import *im, int k, Shape *document);
void out_rows(Import *im, int k, Node *apart, Shape document);
void out_sizes(Import *im, int k, int n, const int64_t *here, const int64_t *there);   // an i64 vector (n -1: scalar), both worlds
bool out_wanted(Import *im, int k);

// Numbers known at import. The readers fail, naming node and input, if input k depends on data; a sample given for
// verification answers them, but does not make in_known true.
bool in_known(Import *im, int k);                             // known, and the same for every batch
int in_ints(Import *im, int k, int64_t **v);                  // count; any integer type; refuses N
int in_floats(Import *im, int k, double **v);                 // any type; refuses N
Shape in_shape(Import *im, int k);                            // sizes; c x N becomes the batch axis; -1 and 0 pass through

int64_t attr_int(Import *im, const char *name, int64_t otherwise);
double attr_float(Import *im, const char *name, double otherwise);
const char *attr_string(Import *im, const char *name, const char *otherwise);
int attr_ints(Import *im, const char *name, const int64_t **v);   // count, or -1 if absent
// An attribute in old opsets, input k in new ones (axes of Squeeze, pads of Pad ...): count, or -1 if neither is given.
int ints_of(Import *im, const char *attr, int k, int64_t **v);
int attr_axis(Import *im, const char *name, int64_t otherwise, int rank);   // normalised to 0..rank-1; fails outside

// Where a Reshape to `want` (0: as x, unless zeros are sizes; -1: the rest) leads: a shape written for a batch of 1
// becomes one for the free batch where what it holds is one sample. Fails where the batch would be cut or mixed.
// x: the shape in the document; apart: in the graph, which differs for joined rows.
Shape reshape_target(Import *im, Shape x, Shape apart, Shape want, bool zeros_are_sizes);

// Room for a table a row computes, zeroed. All those of a document together are bounded: E_LIMIT beyond 32 MB.
void *import_room(Import *im, int64_t count, size_t size);

// Gives up; the message names the node.
_Noreturn void import_fail(Import *im, Err code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

enum { NEWEST = 1 << 30 };            // "to" of a row that still holds
#define ROW(op, from, to, fn) ImportFn import_##fn;
#include "import_rows.h"

#endif
