// wire.h -- protobuf's wire format over bytes in memory, bounded and without copying.
//
// A Wire is a cursor over the fields of one message. Cursors are linked to the message they lie
// in, so that damage is reported by byte offset and field path:
//     model.onnx: damaged at byte 1234: graph.initializer[3].dims: a varint is cut off
// Nothing here recurses and nothing is allocated, except for messages.
#ifndef TVC_WIRE_H
#define TVC_WIRE_H
#include "../ir/base.h"
#include "../ir/file.h"

typedef enum WireType { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_LEN = 2, WIRE_32 = 5 } WireType;

typedef struct Wire Wire;
struct Wire {
    Cx *cx;
    const char *file;               // for messages
    const uint8_t *base;            // offsets in messages count from here
    const uint8_t *begin, *at, *end;
    const Wire *up;                 // the message this one lies in; NULL for the outermost
    const char *name;               // its field there: "graph"; "node[]" if repeated
};

typedef struct Field {
    uint32_t number;
    WireType type;
    uint64_t value;                 // of a varint
    Bytes data;                      // payload of the other three types
    Bytes whole;                     // tag included
} Field;

Wire wire_open(Cx *cx, const char *file, Bytes bytes);

// The message in field f of `up`, which must outlive it. Fails unless f is length-delimited.
Wire wire_into(const Wire *up, const Field *f, const char *name);

// The next field; false at the end. Fails with E_MALFORMED on bytes that are no field.
bool wire_next(Wire *w, Field *f);

// Scalars. `name` is the field's, for messages; a wrong wire type fails.
int64_t wire_int(const Wire *w, const Field *f, const char *name);
float wire_float(const Wire *w, const Field *f, const char *name);
Bytes wire_bytes(const Wire *w, const Field *f, const char *name);

// Repeated scalars, packed or not: how many values this one field holds, and the values.
// `unit` is WIRE_VARINT, WIRE_32 or WIRE_64.
size_t wire_count(const Wire *w, const Field *f, WireType unit, const char *name);
uint64_t wire_packed(Wire *w);                                  // the next varint of a packed run
void wire_varints(const Wire *w, const Field *f, uint64_t *out, const char *name);

// Give up: E_MALFORMED, or another code, naming file, byte and field path. `name` may be NULL.
_Noreturn void wire_damage(const Wire *w, const uint8_t *at, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
const char *wire_path(const Wire *w, const char *name);         // "graph.node[3].attribute[0].t"

// ---- checking a whole document ----
typedef enum MessageKind {
    MSG_MODEL, MSG_GRAPH, MSG_NODE, MSG_ATTRIBUTE, MSG_TENSOR, MSG_SPARSE, MSG_VALUE, MSG_TYPE, MSG_ELEMENT_TYPE,
    MSG_MAP_TYPE, MSG_SHAPED, MSG_SHAPE, MSG_FUNCTION, MSG_TRAINING, MSG_LEAF       // a leaf holds no messages
} MessageKind;

enum { WIRE_MAX_GRAPHS = 32, WIRE_MAX_TYPES = 16 };             // nesting, the outermost included

// Walk every message of the ONNX schema under w in file order, checking that all of it parses and
// nests no deeper than the limits; visit (or NULL) sees each message of kind `wanted`.
void wire_scan(Wire w, MessageKind kind, MessageKind wanted, void (*visit)(void *user, const Wire *message),
               void *user);

// ---- writing ----
// Where bytes go: a file, memory, or (both NULL) nowhere, only counting. What is written is a function
// that may be called twice, since a message is preceded by its length.
typedef struct WireOut { OutFile *file; uint8_t *memory; uint64_t n; } WireOut;
typedef void WireEmit(WireOut *o, const void *arg);

void wire_put(WireOut *o, Bytes b);                                      // as they are
void wire_put_int(WireOut *o, uint32_t number, int64_t v);
void wire_put_float(WireOut *o, uint32_t number, float v);
void wire_put_bytes(WireOut *o, uint32_t number, Bytes b);
void wire_put_string(WireOut *o, uint32_t number, const char *s);
void wire_put_message(WireOut *o, uint32_t number, WireEmit *emit, const void *arg);
uint64_t wire_size(WireEmit *emit, const void *arg);
Bytes wire_build(Cx *cx, WireEmit *emit, const void *arg);               // in the arena

#endif
