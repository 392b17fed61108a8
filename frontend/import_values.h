// import_values.h -- private to the importer's core: what a name stands for, and computing known numbers.
#ifndef TVC_IMPORT_VALUES_H
#define TVC_IMPORT_VALUES_H
#include "import.h"

enum { KNOWN_MAX = 4096 };            // elements of a tensor that is computed at import

typedef struct Value {
    Node *node;                       // world 0
    Node *twin;                       // world 1, if the value is known and depends on N; same shape as node
    const Shape *joined;              // what the document gives it, if the node keeps apart what that joins with the batch
} Value;

Value *import_value(Import *im, const char *name);            // import.c; never NULL
bool is_known(const Node *n);                                 // a small Const
Node *known_eval(Import *im, Node *n);                        // n as a small Const, or NULL if it depends on data
bool known_same(const Node *a, const Node *b);                // two Consts of equal contents
Node *known_as_data(Import *im, const Value *v, const char *name);   // for use inside the graph
Node *known_sizes(Import *im, int n, const int64_t *v);       // an i64 vector; n -1: a scalar
#endif
