// document.h -- what lies behind a Model: where everything is in the file, and the edits. Only
// the files that make up the Model room include this.
//
// Every item of the view (node, tensor, value, metadata entry) is its public struct with an Item
// in front, which remembers the bytes of its message. The parts of ModelProto and GraphProto are
// kept in file order; a part either belongs to an item or is written back as it stands.
#ifndef TVC_DOCUMENT_H
#define TVC_DOCUMENT_H
#include "model.h"
#include "names.h"
#include "wire.h"
#include <protobuf-c/protobuf-c.h>

// Field numbers of ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto.
enum { M_IR = 1, M_PRODUCER = 2, M_GRAPH = 7, M_OPSET = 8, M_META = 14, M_FUNCTION = 25 };
enum { G_NODE = 1, G_NAME = 2, G_INIT = 5, G_INPUT = 11, G_OUTPUT = 12, G_VALUE = 13, G_SPARSE = 15 };
enum { N_INPUT = 1, N_OUTPUT = 2, N_NAME = 3, N_OP = 4, N_ATTRIBUTE = 5, N_DOMAIN = 7 };
enum { A_NAME = 1, A_F = 2, A_I = 3, A_S = 4, A_T = 5, A_G = 6, A_FLOATS = 7, A_INTS = 8, A_STRINGS = 9, A_TENSORS = 10,
       A_GRAPHS = 11, A_TYPE = 20, A_REF = 21 };
enum { T_DIMS = 1, T_TYPE = 2, T_SEGMENT = 3, T_FLOAT = 4, T_INT32 = 5, T_STRING = 6, T_INT64 = 7, T_NAME = 8,
       T_RAW = 9, T_DOUBLE = 10, T_UINT64 = 11, T_EXTERNAL = 13, T_LOCATION = 14 };

// One field of a message, tag included. It stands for an item of the view, for one that is gone
// (`dropped`), or for itself.
typedef struct Part { Bytes whole; uint32_t number; bool item, dropped; } Part;

typedef struct Item {
    Part *part;                     // where it stood in the file; NULL if new or moved
    Bytes bytes;                    // of its message
} Item;

typedef struct NodeItem {
    Item item;                      // if edited, only fields other than input, output and attribute count
    DocNode view;
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
    Item item;                      // if edited, only fields that are not about the data count
    Tensor view;
    SideFile *side;                 // NULL: the elements are in the model
    bool edited;
} TensorItem;

typedef struct ValueItem { Item item; ValueInfo view; } ValueItem;      // bytes are always current
typedef struct MetaItem { Item item; Meta view; } MetaItem;

// From a view to its item.
static inline Item *item_of(const void *view) { return (Item *)(uintptr_t)view - 1; }
static inline NodeItem *node_item(const DocNode *n) { return (NodeItem *)item_of(n); }
static inline TensorItem *tensor_item(const Tensor *t) { return (TensorItem *)item_of(t); }
static inline ValueItem *value_item(const ValueInfo *v) { return (ValueItem *)item_of(v); }

// What a name stands for. One record for every value name; kept up to date by edits.
typedef struct Def {
    TensorItem *init;
    NodeItem *node;                 // that produces it
    ValueItem *input, *output, *value;
    bool sparse;                    // a sparse initializer
    bool label;                     // the name of a node
} Def;

typedef struct Document {
    Cx *cx;
    const char *file;               // for messages
    Bytes bytes, mapped;            // the file; the same where it was mapped here, else nothing
    size_t allowed;                 // cx->used may grow up to this while reading
    int nmodel, ngraph;             // parts
    Part *model, *graph;
    int room[16];                   // of the view's lists, by field number; 0: none beyond what is used
    bool edited;
    Names names;                    // value and node names -> Def
    int folder;                     // the model's, for side files; -1 until one is needed
    SideFile *side;
    char *pool;                     // room for short strings
    size_t pool_left;
    int *order;                     // of nodes; NULL after an edit
} Document;

Document *document_new(Cx *cx, const char *path, Bytes bytes);
int doc_folder(Document *d);                                       // the model's, open; for side files

// Memory while reading is bounded: 48 MB + 3 x the file's size. Beyond, E_LIMIT.
void doc_check(Document *d, size_t bytes);                         // fails if that many more are too many
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
Meta read_entry(Document *d, const Wire *w);                       // a StringStringEntryProto

void emit_tensor(WireOut *o, const void *tensor);                  // a Tensor as a TensorProto

// Name every value, fail on duplicates. Order and undefined values: model_order().
void check_names(Model *m);

#endif
