// model.h -- the Model: the user's ONNX document, read, edited and written back.
//
// What the structs show is a decoded view. The document itself stays the mapped file: what
// nobody touched is written back byte for byte, in its old place and order, unknown fields
// included. Change a Model only through the functions below, never through the pointers.
//
// All strings are NUL-terminated, borrowed from the model's arena, and may hold anything at
// all: show them with cx_show. Errors go to fail() with E_MALFORMED, E_UNSUPPORTED, E_IO, E_LIMIT.
#ifndef TVC_MODEL_H
#define TVC_MODEL_H
#include "../ir/base.h"
#include "../ir/file.h"
#include "../runtime/dtype.h"

typedef struct Tensor {               // a TensorProto, wherever its bytes lie
    const char *name;
    int onnx_type;                    // as written in the file
    DType type;                       // DT_NONE: strings, complex and other types tvc does not compute with
    int rank;
    const int64_t *dim;               // all >= 0; product and byte count checked to fit
    int64_t count;                    // elements
    const void *data;                 // little-endian, any alignment, count * size bytes; borrowed
} Tensor;                             // (from the mapping if raw; decoded into the arena if typed fields)

static inline size_t tensor_bytes(const Tensor *t) { return (size_t)t->count * (size_t)dtypes[t->type].bytes; }

typedef struct Dim { int64_t value; const char *param; } Dim;     // value -1: unknown, then param may name it

typedef struct ValueInfo {            // an input, an output, or a value with a stated type
    const char *name;
    int onnx_type;                    // 0: not stated or no tensor
    DType type;
    int rank;                         // -1: not stated
    Dim *dim;
    const char *kind;                 // "tensor", "sequence", "optional", "map", "sparse" or "none"
} ValueInfo;

typedef enum AttrKind { ATTR_NONE, ATTR_F = 1, ATTR_I = 2, ATTR_S = 3, ATTR_T = 4, ATTR_G = 5,
                        ATTR_FS = 6, ATTR_IS = 7, ATTR_SS = 8, ATTR_TS = 9, ATTR_GS = 10, ATTR_OTHER = 99 } AttrKind;

typedef struct AttrValue {            // one attribute of a node
    const char *name;
    AttrKind kind;                    // from `type`, or from the field present in old files; ATTR_TS, ATTR_G,
                                      // ATTR_GS (subgraphs) and ATTR_OTHER come without their value
    float f;
    int64_t i;
    const char *s; size_t slen;
    Tensor *t;
    int n;                            // of fs, is or ss
    const float *fs;
    const int64_t *is;
    const char **ss;
} AttrValue;

typedef struct DocNode {
    const char *op, *domain, *name;   // domain "" is ai.onnx ("ai.onnx" is read as "")
    int nin, nout;
    const char **in, **out;           // "" where an optional one is absent
    int nattr;
    AttrValue *attr;
    int index;                        // place in Model.node; -1 once removed
} DocNode;

// The newest versions whose operators and fields are known; a file of newer ones is read with a note.
enum { NEWEST_IR = 14, NEWEST_OPSET = 28 };

typedef struct OpsetId { const char *domain; int64_t version; } OpsetId;
typedef struct FunctionId { const char *domain, *name; } FunctionId;
typedef struct Meta { const char *key, *value; } Meta;

typedef struct Model {
    Cx *cx;
    const char *path;                 // as given; for messages
    int64_t ir_version;
    const char *producer, *graph_name;
    int nopset;    OpsetId *opset;
    int nmeta;     Meta **meta;       // metadata_props
    int nnode;     DocNode **node;    // in file order
    int ninit;     Tensor **init;     // initializers
    int ninput;    ValueInfo **input; // graph inputs, as listed (old files list initializers here too)
    int noutput;   ValueInfo **output;
    int nvalue;    ValueInfo **value; // value_info
    int nsparse;   const char **sparse;       // names of sparse initializers, whose contents are not read
    int nfunction; FunctionId *function;      // local functions, whose bodies are not read
    int64_t file_bytes;
    size_t memory;                    // bytes that are left of what a file of this size may take before it runs
    int64_t inline_limit;             // weights of a longer file go to a side file when written (2 GiB - 1)
    struct Document *doc;             // private: where everything lies in the file, and the edits
} Model;

// ---- reading (read.c, external.c) ----
// Map and check the file. No element data is copied unless stored in typed fields.
Model *model_read(Cx *cx, const char *path);
void model_rest(const Model *m);                                           // its weights were copied: the file's pages are not needed in memory
Model *model_read_bytes(Cx *cx, const char *path, Bytes bytes);            // borrowed; side files lie beside `path`

// A document to be built: without nodes, its one input also its output. `name` is the graph's, and stands for the path.
Model *model_new(Cx *cx, const char *name, int64_t opset, const ValueInfo *input);        // new.c

const AttrValue *node_attr(const DocNode *n, const char *name);            // NULL if absent
int64_t node_int(const DocNode *n, const char *name, int64_t otherwise);
float node_float(const DocNode *n, const char *name, float otherwise);
const char *node_string(const DocNode *n, const char *name, const char *otherwise);

Tensor *model_init(const Model *m, const char *name);                      // initializer by name, or NULL
DocNode *model_producer(const Model *m, const char *value);                // node that makes it, or NULL
int64_t model_opset(const Model *m, const char *domain);                   // 0 if not imported
ValueInfo *model_value(const Model *m, const char *name);                  // input, output or value_info, or NULL
const char *model_meta(const Model *m, const char *key);                   // NULL if absent
const char *node_label(Cx *cx, const DocNode *n);                          // "node 'conv1' (Conv)", ready to be shown

// Indices into m->node, producers before users, file order otherwise. Fails if a node or an output
// uses what nothing defines, or if there is a cycle. Valid until the next edit.
const int *model_order(Model *m);

// A lone TensorProto file (test data .pb).
Tensor *tensor_read_pb(Cx *cx, const char *path);
Tensor *tensor_read_bytes(Cx *cx, const char *path, Bytes bytes);          // borrowed; side files lie beside `path`
void tensor_write_pb(Cx *cx, const char *path, const Tensor *t);

// ---- editing (edit.c) ----
typedef struct NewAttr {
    const char *name;
    AttrKind kind;                    // up to ATTR_SS, no graphs
    int64_t i;
    float f;
    const char *s;
    const Tensor *t;
    int n;                            // of is, fs or ss
    const int64_t *is;
    const float *fs;
    const char **ss;
} NewAttr;

// Insert a node before node number `at` (m->nnode: at the end).
DocNode *model_add_node(Model *m, int at, const char *op, const char *domain, const char *name,
                        int nin, const char **in, int nout, const char **out, int nattr, const NewAttr *attr);
void model_remove_node(Model *m, DocNode *n);
void model_set_input(Model *m, DocNode *n, int k, const char *value);      // rewires input k; grows the list if needed
void model_set_output(Model *m, DocNode *n, int k, const char *value);
void model_trim_outputs(Model *m, DocNode *n, int nout);                   // drops outputs from nout on
void model_set_attr(Model *m, DocNode *n, NewAttr a);                      // adds or replaces
void model_remove_attr(Model *m, DocNode *n, const char *name);
void model_set_init(Model *m, const char *name, const Tensor *t);          // adds or replaces; its data is borrowed
void model_remove_init(Model *m, const char *name);                        // and an input of the same name
void model_set_meta(Model *m, const char *key, const char *value);         // value NULL removes
void model_set_value(Model *m, const ValueInfo *v);                        // of an input or output, else value_info
void model_remove_value(Model *m, const char *name);                       // from value_info
void model_add_input(Model *m, const ValueInfo *v);
void model_set_outputs(Model *m, int n, const ValueInfo *v);               // without type: as already declared
const char *model_fresh_name(Model *m, const char *like);                  // a value/node name not in use

// ---- writing (write.c) ----
// The loaded document with its edits, to a temporary name, fsynced, renamed. Without edits the
// bytes are identical. Side files are copied beside `path`; new or changed weights beyond 2 GiB
// in all go to a side file. `path` may be the input itself.
void model_write(Model *m, const char *path);
Bytes model_bytes(Model *m);                                               // the same in the arena, without side files

#endif
