// document.h -- what lies behind a Model: where everything is in the file, and the edits. Only
// the files that make up the Model room include this.
//
// Every item of the view (node, tensor, value, metadata entry) starts with its public struct and
// remembers the bytes of its message. The parts of ModelProto and GraphProto are kept in file
// order; a part either belongs to an item or is written back as it stands.
#ifndef TVC_DOCUMENT_H
#define TVC_DOCUMENT_H
#include "model.h"
#include "names.h"
#include "wire.h"
#include <protobuf-c/protobuf-c.h>

typedef struct Part { Bytes whole; uint32_t number; void *item; } Part;   // item NULL: verbatim

typedef struct NodeItem {
    DocNode view;
    Bytes bytes;                    // NodeProto; if edited only its fields other than input, output, attribute count
    Bytes *attr;                    // AttributeProto of each attribute of the view
    bool edited;
} NodeItem;

typedef struct SideFile {           // a file of external data beside the model
    struct SideFile *next;
    const char *location;
    Bytes bytes;
    bool verified;                  // its checksum was compared
} SideFile;

typedef struct TensorItem {
    Tensor view;
    Bytes bytes;                    // TensorProto; if edited only its fields other than the data count
    bool edited, external;
} TensorItem;

typedef struct ValueItem { ValueInfo view; Bytes bytes; } ValueItem;      // bytes: always current
typedef struct MetaItem { Meta view; Bytes bytes; } MetaItem;

// What a name stands for. One record for every value name; kept up to date by edits.
typedef struct Def {
    TensorItem *init;
    NodeItem *node;                 // that produces it
    int place;                      // among that node's outputs
    ValueItem *input, *output, *value;
    bool sparse;                    // a sparse initializer
    bool label;                     // the name of a node
} Def;

typedef struct Document {
    Cx *cx;
    const char *file;               // for messages
    Bytes bytes;
    size_t allowed;                 // cx->used may grow up to this while reading
    int nmodel, ngraph;             // parts
    Part *model, *graph;
    Names names;                    // value and node names -> Def
    int folder;                     // the model's, for side files; -1 until one is needed
    SideFile *side;
    char *pool;                     // room for short strings
    size_t pool_left;
    int *order;                     // of nodes; NULL after an edit
} Document;

// Memory while reading is bounded: 48 MB + 3 x the file's size. Beyond, E_LIMIT.
void *doc_alloc(Document *d, size_t n, size_t size);
#define DOC_NEW(d, T, n) ((T *)doc_alloc(d, (size_t)(n), sizeof(T)))
char *doc_string(Document *d, Bytes s);                            // NUL-terminated copy
const char *doc_name(Document *d, const Wire *w, const Field *f, const char *name);   // fails on a NUL within

// protobuf-c, for small messages: allocates from the arena within the same bound. Fails on damage.
ProtobufCMessage *doc_unpack(Document *d, const Wire *w, const ProtobufCMessageDescriptor *type);

Def *doc_def(Document *d, const char *name);                       // found or made; NULL for ""
Def *doc_find(const Document *d, const char *name);                // NULL if there is none

// Views of messages. Each w covers one whole message.
void read_tensor(Document *d, const Wire *w, TensorItem *t);       // tensor.c
void read_node(Document *d, const Wire *w, NodeItem *n);           // node.c
void read_attribute(Document *d, const Wire *w, AttrValue *a);
void read_value(Document *d, const Wire *w, ValueItem *v);         // value.c
void read_meta(Document *d, const Wire *w, MetaItem *m);

// Name every value, fail on duplicates. Order and undefined values: model_order().
void check_names(Model *m);

#endif
