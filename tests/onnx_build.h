// onnx_build.h -- ONNX files made by hand, well-formed or not, for tests.
//
// A Pb is a message in the making. pb_message() appends a finished message to another and frees it,
// so that models are written inside out:
//     Pb graph = {0};
//     pb_message(&graph, 1, onnx_node("Relu", "r", "x", "y"));
#ifndef TVC_TESTS_ONNX_BUILD_H
#define TVC_TESTS_ONNX_BUILD_H
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct Pb { uint8_t *at; size_t n, room; } Pb;

static inline void pb_raw(Pb *p, const void *data, size_t n) {
    if (p->n + n > p->room) {
        p->room = 2 * (p->n + n);
        p->at = realloc(p->at, p->room);
        if (!p->at) abort();
    }
    if (n) memcpy(p->at + p->n, data, n);
    p->n += n;
}

static inline void pb_varint(Pb *p, uint64_t v) {
    do {
        uint8_t b = (uint8_t)(v > 127 ? v | 128 : v);
        pb_raw(p, &b, 1);
    } while (v >>= 7);
}

static inline void pb_int(Pb *p, uint32_t field, int64_t v) {
    pb_varint(p, (uint64_t)field << 3);
    pb_varint(p, (uint64_t)v);
}

static inline void pb_float(Pb *p, uint32_t field, float v) {
    pb_varint(p, (uint64_t)field << 3 | 5);
    pb_raw(p, &v, 4);
}

static inline void pb_bytes(Pb *p, uint32_t field, const void *data, size_t n) {
    pb_varint(p, (uint64_t)field << 3 | 2);
    pb_varint(p, n);
    pb_raw(p, data, n);
}

static inline void pb_text(Pb *p, uint32_t field, const char *s) { pb_bytes(p, field, s, strlen(s)); }

static inline void pb_message(Pb *p, uint32_t field, Pb in) {
    pb_bytes(p, field, in.at, in.n);
    free(in.at);
}

// A list "a,b,,c" as repeated strings.
static inline void pb_texts(Pb *p, uint32_t field, const char *list) {
    for (const char *s = list; *list; s++)
        if (*s == ',' || !*s) {
            pb_bytes(p, field, list, (size_t)(s - list));
            if (!*s) return;
            list = s + 1;
        }
}

static inline Pb onnx_entry(const char *key, const char *value) {
    Pb e = {0};
    pb_text(&e, 1, key);
    pb_text(&e, 2, value);
    return e;
}

// A node without attributes; append them as field 5.
static inline Pb onnx_node(const char *op, const char *name, const char *inputs, const char *outputs) {
    Pb n = {0};
    pb_texts(&n, 1, inputs);
    pb_texts(&n, 2, outputs);
    pb_text(&n, 3, name);
    pb_text(&n, 4, op);
    return n;
}

static inline Pb onnx_attr_int(const char *name, int64_t v) {
    Pb a = {0};
    pb_text(&a, 1, name);
    pb_int(&a, 3, v);
    pb_int(&a, 20, 2);
    return a;
}

static inline Pb onnx_attr_ints(const char *name, int n, const int64_t *v) {
    Pb a = {0};
    pb_text(&a, 1, name);
    for (int i = 0; i < n; i++) pb_int(&a, 8, v[i]);
    pb_int(&a, 20, 7);
    return a;
}

// A tensor's shape and type without elements; append those as the field wanted.
static inline Pb onnx_tensor_head(const char *name, int type, int rank, const int64_t *dim) {
    Pb t = {0};
    for (int i = 0; i < rank; i++) pb_int(&t, 1, dim[i]);
    pb_int(&t, 2, type);
    pb_text(&t, 8, name);
    return t;
}

static inline Pb onnx_tensor(const char *name, int type, int rank, const int64_t *dim, const void *data, size_t bytes) {
    Pb t = onnx_tensor_head(name, type, rank, dim);
    pb_bytes(&t, 9, data, bytes);
    return t;
}

// A value of tensor type; dim < 0: unknown.
static inline Pb onnx_value(const char *name, int type, int rank, const int64_t *dim) {
    Pb shape = {0}, tensor = {0}, t = {0}, v = {0};
    for (int i = 0; i < rank; i++) {
        Pb d = {0};
        if (dim[i] >= 0) pb_int(&d, 1, dim[i]);
        pb_message(&shape, 1, d);
    }
    pb_int(&tensor, 1, type);
    pb_message(&tensor, 2, shape);
    pb_message(&t, 1, tensor);
    pb_text(&v, 1, name);
    pb_message(&v, 2, t);
    return v;
}

// A ModelProto around a graph.
static inline Pb onnx_model(Pb graph, int ir, int opset) {
    Pb m = {0}, o = {0};
    pb_int(&m, 1, ir);
    pb_text(&m, 2, "onnx_build");
    pb_message(&m, 7, graph);
    pb_text(&o, 1, "");
    pb_int(&o, 2, opset);
    pb_message(&m, 8, o);
    return m;
}

// A graph inside `depth` - 1 others, by way of If nodes. Written from the outside in, lengths first, so
// that 100000 levels stay linear.
static inline Pb onnx_nested(int depth) {
    size_t *length = calloc((size_t)depth + 1, 3 * sizeof *length), n = 0;
    Pb p = {0};
    for (int i = 1; i < depth; i++) {               // length[3i..]: attribute, node, graph around the i-th
        for (int k = 0; k < 3; k++) {
            length[3 * i + k] = n;
            n += 1;
            for (size_t v = length[3 * i + k]; v > 127; v >>= 7) n++;
            n++;
        }
    }
    for (int i = depth - 1; i > 0; i--) {
        static const uint32_t field[3] = {6, 5, 1};
        for (int k = 2; k >= 0; k--) {
            pb_varint(&p, field[k] << 3 | 2);
            pb_varint(&p, length[3 * i + k]);
        }
    }
    free(length);
    return p;
}

#endif
