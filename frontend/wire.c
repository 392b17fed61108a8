// wire.c -- see wire.h. Every read is bounded by the message it lies in.
#include "wire.h"

Wire wire_open(Cx *cx, const char *file, Bytes bytes) {
    const uint8_t *end = bytes.n ? bytes.at + bytes.n : bytes.at;
    return (Wire){.cx = cx, .file = file, .base = bytes.at, .begin = bytes.at, .at = bytes.at, .end = end};
}

Wire wire_into(const Wire *up, const Field *f, const char *name) {
    Bytes s = wire_bytes(up, f, name);
    return (Wire){up->cx, up->file, up->base, s.at, s.at, s.at + s.n, up, name};
}

// ---- damage ----

// How many fields with the number of the one that holds w come before it in its message.
static size_t place_of(const Wire *w) {
    Wire up = *w->up;
    Field f;
    uint32_t number[2] = {0};
    for (int pass = 0; pass < 2; pass++) { // first which number, then how many
        size_t n = 0;
        for (up.at = up.begin; wire_next(&up, &f);) {
            if (f.type == WIRE_LEN && f.data.at == w->begin && f.data.at + f.data.n == w->end) {
                if (pass) return n;
                number[0] = f.number;
                break;
            }
            n += f.number == number[0];
        }
    }
    return 0;
}

static void append(char *buf, size_t size, const char *text) {
    size_t n = strlen(buf);
    snprintf(buf + n, size - n, "%s%s", n ? "." : "", text);
}

const char *wire_path(const Wire *w, const char *name) {
    enum { TAIL = 12 }; // deeper than that, the outermost are left out
    const Wire *chain[TAIL];
    int n = 0, depth = 0;
    for (const Wire *p = w; p->up; p = p->up, depth++)
        if (n < TAIL) chain[n++] = p;
    char buf[512] = "", one[64];
    if (depth > n) append(buf, sizeof buf, "..");
    while (n--) {
        size_t len = strlen(chain[n]->name);
        if (len > 2 && chain[n]->name[len - 1] == ']')
            snprintf(one, sizeof one, "%.*s[%zu]", (int)len - 2, chain[n]->name, place_of(chain[n]));
        else snprintf(one, sizeof one, "%s", chain[n]->name);
        append(buf, sizeof buf, one);
    }
    if (name) append(buf, sizeof buf, name);
    return cx_str(w->cx, buf, strlen(buf));
}

void wire_damage(const Wire *w, const uint8_t *at, const char *name, const char *fmt, ...) {
    char why[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    const char *path = wire_path(w, name);
    fail(w->cx, E_MALFORMED, "%s: damaged at byte %zu: %s%s%s", cx_show(w->cx, w->file), (size_t)(at - w->base), path,
         *path ? ": " : "", why);
}

// ---- reading ----

// A varint at *p, which moves past it; false if it is cut off or longer than 64 bits.
static bool varint(const uint8_t **p, const uint8_t *end, uint64_t *value) {
    const uint8_t *q = *p;
    uint64_t v = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (q == end) return false;
        uint8_t b = *q++;
        if (shift == 63 && b > 1) return false;
        v |= (uint64_t)(b & 127) << shift;
        if (!(b & 128)) return *value = v, *p = q, true;
    }
    return false;
}

static size_t fixed_size(WireType t) { return t == WIRE_32 ? 4 : 8; }

bool wire_next(Wire *w, Field *f) {
    const uint8_t *start = w->at;
    if (start == w->end) return false;
    uint64_t tag, n;
    if (!varint(&w->at, w->end, &tag)) wire_damage(w, start, NULL, "the tag of a field is cut off");
    if (tag >> 3 == 0 || tag >> 3 >= 1u << 29)
        wire_damage(w, start, NULL, "no field has number %llu", (unsigned long long)(tag >> 3));
    *f = (Field){.number = (uint32_t)(tag >> 3), .type = (WireType)(tag & 7), .data.at = w->at};
    switch (tag & 7) {
    case WIRE_VARINT:
        if (!varint(&w->at, w->end, &f->value))
            wire_damage(w, start, NULL, "a number in field %u is cut off", f->number);
        break;
    case WIRE_LEN:
        if (!varint(&w->at, w->end, &n)) wire_damage(w, start, NULL, "the length of field %u is cut off", f->number);
        if (n > (uint64_t)(w->end - w->at))
            wire_damage(w, start, NULL, "field %u claims %llu bytes, %zu are left", f->number, (unsigned long long)n,
                        (size_t)(w->end - w->at));
        f->data = (Bytes){w->at, (size_t)n};
        w->at += n;
        break;
    case WIRE_32:
    case WIRE_64:
        f->data.n = fixed_size(f->type);
        if (f->data.n > (size_t)(w->end - w->at)) wire_damage(w, start, NULL, "field %u is cut off", f->number);
        w->at += f->data.n;
        break;
    default:
        wire_damage(w, start, NULL, "field %u has wire type %d, which ONNX does not use", f->number, (int)(tag & 7));
    }
    f->whole = (Bytes){start, (size_t)(w->at - start)};
    return true;
}

static void want_type(const Wire *w, const Field *f, WireType type, const char *name) {
    if (f->type != type)
        wire_damage(w, f->whole.at, name, "has wire type %d where %d belongs", (int)f->type, (int)type);
}

int64_t wire_int(const Wire *w, const Field *f, const char *name) {
    want_type(w, f, WIRE_VARINT, name);
    return (int64_t)f->value;
}

float wire_float(const Wire *w, const Field *f, const char *name) {
    want_type(w, f, WIRE_32, name);
    float v;
    memcpy(&v, f->data.at, sizeof v);
    return v;
}

Bytes wire_bytes(const Wire *w, const Field *f, const char *name) {
    want_type(w, f, WIRE_LEN, name);
    return f->data;
}

size_t wire_count(const Wire *w, const Field *f, WireType unit, const char *name) {
    if (f->type == unit) return 1;
    Bytes s = wire_bytes(w, f, name);
    if (unit != WIRE_VARINT) {
        if (s.n % fixed_size(unit)) wire_damage(w, f->whole.at, name, "%zu bytes are no whole number of values", s.n);
        return s.n / fixed_size(unit);
    }
    if (s.n && s.at[s.n - 1] > 127) wire_damage(w, s.at + s.n - 1, name, "a packed number is cut off");
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += s.at[i] < 128;
    return n;
}

uint64_t wire_packed(Wire *w) {
    uint64_t v;
    const uint8_t *start = w->at;
    if (!varint(&w->at, w->end, &v)) wire_damage(w, start, NULL, "a packed number is longer than 64 bits");
    return v;
}

void wire_varints(const Wire *w, const Field *f, uint64_t *out, const char *name) {
    if (f->type == WIRE_VARINT) {
        *out = f->value;
        return;
    }
    Wire packed = wire_into(w, f, name);
    while (packed.at < packed.end) *out++ = wire_packed(&packed);
}

// ---- checking a whole document ----

typedef struct Child {
    const char *name;
    MessageKind kind;
} Child;

// The messages of onnx.proto that hold messages, by field number. What has no name here is a
// scalar, a string, or of no concern.
enum { NCHILD = 26 };
// clang-format off
static const Child CHILDREN[][NCHILD] = {
    [MSG_MODEL] = {[7] = {"graph", MSG_GRAPH}, [20] = {"training_info[]", MSG_TRAINING},
        [25] = {"functions[]", MSG_FUNCTION}, [14] = {"metadata_props[]", MSG_LEAF},
        [8] = {"opset_import[]", MSG_LEAF}},
    [MSG_GRAPH] = {[1] = {"node[]", MSG_NODE}, [5] = {"initializer[]", MSG_TENSOR}, [11] = {"input[]", MSG_VALUE},
        [12] = {"output[]", MSG_VALUE}, [13] = {"value_info[]", MSG_VALUE},
        [15] = {"sparse_initializer[]", MSG_SPARSE}},
    [MSG_NODE] = {[5] = {"attribute[]", MSG_ATTRIBUTE}},
    [MSG_ATTRIBUTE] = {[5] = {"t", MSG_TENSOR}, [6] = {"g", MSG_GRAPH}, [10] = {"tensors[]", MSG_TENSOR},
        [11] = {"graphs[]", MSG_GRAPH}, [14] = {"tp", MSG_TYPE}, [15] = {"type_protos[]", MSG_TYPE},
        [22] = {"sparse_tensor", MSG_SPARSE}, [23] = {"sparse_tensors[]", MSG_SPARSE}},
    [MSG_SPARSE] = {[1] = {"values", MSG_TENSOR}, [2] = {"indices", MSG_TENSOR}},
    [MSG_TENSOR] = {[13] = {"external_data[]", MSG_LEAF}},
    [MSG_VALUE] = {[2] = {"type", MSG_TYPE}},
    [MSG_TYPE] = {[1] = {"tensor_type", MSG_SHAPED}, [8] = {"sparse_tensor_type", MSG_SHAPED},
        [4] = {"sequence_type", MSG_ELEMENT_TYPE}, [9] = {"optional_type", MSG_ELEMENT_TYPE},
        [5] = {"map_type", MSG_MAP_TYPE}},
    [MSG_ELEMENT_TYPE] = {[1] = {"elem_type", MSG_TYPE}},
    [MSG_MAP_TYPE] = {[2] = {"value_type", MSG_TYPE}},
    [MSG_SHAPED] = {[2] = {"shape", MSG_SHAPE}},
    [MSG_SHAPE] = {[1] = {"dim[]", MSG_LEAF}},
    [MSG_FUNCTION] = {[7] = {"node[]", MSG_NODE}, [11] = {"attribute_proto[]", MSG_ATTRIBUTE},
        [9] = {"opset_import[]", MSG_LEAF}, [12] = {"value_info[]", MSG_VALUE}},
    [MSG_TRAINING] = {[1] = {"initialization", MSG_GRAPH}, [2] = {"algorithm", MSG_GRAPH},
        [3] = {"initialization_binding[]", MSG_LEAF}, [4] = {"update_binding[]", MSG_LEAF}},
    [MSG_LEAF] = {{0}},
};
// clang-format on

static const Child *child_of(MessageKind in, uint32_t number) {
    return number < NCHILD && CHILDREN[in][number].name ? &CHILDREN[in][number] : NULL;
}

typedef struct Frame {
    Wire w;
    MessageKind kind;
    int graphs, types;
} Frame;

void wire_scan(Wire w, MessageKind kind, MessageKind wanted, void (*visit)(void *, const Wire *), void *user) {
    // A subgraph is three messages deep, a type two; the rest is the way to the first and past the last.
    Frame stack[3 * WIRE_MAX_GRAPHS + 2 * WIRE_MAX_TYPES + 16];
    int top = 0;
    stack[0] = (Frame){w, kind, kind == MSG_GRAPH, kind == MSG_TYPE};
    if (visit && kind == wanted) visit(user, &stack[0].w);
    for (Field f; top >= 0;) {
        Frame *s = &stack[top];
        if (!wire_next(&s->w, &f)) {
            top--;
            continue;
        }
        const Child *c = child_of(s->kind, f.number);
        if (!c) continue;
        Frame *in = &stack[top + 1];
        *in = (Frame){wire_into(&s->w, &f, c->name), c->kind, s->graphs + (c->kind == MSG_GRAPH),
                      s->types + (c->kind == MSG_TYPE)};
        if (in->graphs > WIRE_MAX_GRAPHS)
            wire_damage(&s->w, f.whole.at, c->name, "graphs nested deeper than %d", WIRE_MAX_GRAPHS);
        if (in->types > WIRE_MAX_TYPES)
            wire_damage(&s->w, f.whole.at, c->name, "types nested deeper than %d", WIRE_MAX_TYPES);
        if (visit && c->kind == wanted) visit(user, &in->w);
        top++;
    }
}

// ---- writing ----

void wire_put(WireOut *o, Bytes b) {
    if (o->file) file_write(o->file, b.at, b.n);
    else if (o->memory && b.n) memcpy(o->memory + o->n, b.at, b.n);
    o->n += b.n;
}

static void put_varint(WireOut *o, uint64_t v) {
    uint8_t buf[10];
    size_t n = 0;
    for (; v > 127; v >>= 7) buf[n++] = (uint8_t)(v | 128);
    buf[n++] = (uint8_t)v;
    wire_put(o, (Bytes){buf, n});
}

static void put_tag(WireOut *o, uint32_t number, WireType type) { put_varint(o, (uint64_t)number << 3 | type); }

void wire_put_int(WireOut *o, uint32_t number, int64_t v) {
    put_tag(o, number, WIRE_VARINT);
    put_varint(o, (uint64_t)v);
}

void wire_put_float(WireOut *o, uint32_t number, float v) {
    put_tag(o, number, WIRE_32);
    wire_put(o, (Bytes){(const uint8_t *)&v, sizeof v});
}

void wire_put_bytes(WireOut *o, uint32_t number, Bytes b) {
    put_tag(o, number, WIRE_LEN);
    put_varint(o, b.n);
    wire_put(o, b);
}

void wire_put_string(WireOut *o, uint32_t number, const char *s) {
    wire_put_bytes(o, number, (Bytes){(const uint8_t *)s, strlen(s)});
}

void wire_put_message(WireOut *o, uint32_t number, WireEmit *emit, const void *arg) {
    put_tag(o, number, WIRE_LEN);
    put_varint(o, wire_size(emit, arg));
    emit(o, arg);
}

uint64_t wire_size(WireEmit *emit, const void *arg) {
    WireOut count = {0};
    emit(&count, arg);
    return count.n;
}

Bytes wire_build(Cx *cx, WireEmit *emit, const void *arg) {
    Bytes b = {NULL, (size_t)wire_size(emit, arg)};
    WireOut o = {.memory = cx_alloc(cx, b.n)};
    b.at = o.memory;
    emit(&o, arg);
    return b;
}
