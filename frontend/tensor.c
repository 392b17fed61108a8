// tensor.c -- TensorProto as it lies in the file: shape, type, and where the elements are.
//
// Elements stay in the mapping if they are raw, external, or one packed run of floats; typed fields
// otherwise are decoded into the arena. Keeps: the byte count equals count x element size.
#include "document.h"
#include "external.h"

enum { MAX_RANK = 1024, MAX_TYPE = 64 };

typedef struct Reading {
    Document *d;
    const Wire *w;
    TensorItem *item;
    Bytes raw;
    bool has_raw, external;
    uint32_t typed;      // which typed field holds values; 0: none
    size_t values, runs; // in it: values, and fields (1: one packed run)
    Bytes run;           // the first of them
    External where;
} Reading;

static const char *field_name(uint32_t number) {
    static const char *const name[] = {
        [T_DIMS] = "dims",          [T_TYPE] = "data_type",         [T_FLOAT] = "float_data",
        [T_INT32] = "int32_data",   [T_STRING] = "string_data",     [T_INT64] = "int64_data",
        [T_NAME] = "name",          [T_RAW] = "raw_data",           [T_DOUBLE] = "double_data",
        [T_UINT64] = "uint64_data", [T_LOCATION] = "data_location", [T_EXTERNAL] = "external_data[]"};
    return number < sizeof name / sizeof *name && name[number] ? name[number] : NULL;
}

static WireType unit_of(uint32_t number) {
    return number == T_FLOAT ? WIRE_32 : number == T_DOUBLE ? WIRE_64 : number == T_STRING ? WIRE_LEN : WIRE_VARINT;
}

// The typed field a type keeps its values in, as onnx.proto states it.
static uint32_t typed_field(DType t) {
    switch (t) {
    case DT_F32: return T_FLOAT;
    case DT_F64: return T_DOUBLE;
    case DT_I64: return T_INT64;
    case DT_U32:
    case DT_U64: return T_UINT64;
    default: return T_INT32;
    }
}

static void note_typed(Reading *r, const Field *f) {
    size_t n = f->number == T_STRING ? 1 : wire_count(r->w, f, unit_of(f->number), field_name(f->number));
    if (!n) return;
    if (r->typed && r->typed != f->number)
        wire_damage(r->w, f->whole.at, field_name(f->number), "values also in %s", field_name(r->typed));
    if (!r->typed) r->run = f->data;
    r->typed = f->number;
    r->values += n;
    r->runs++;
}

// First pass: everything but the values themselves.
static int note_fields(Reading *r) {
    Tensor *t = &r->item->view;
    size_t rank = 0;
    Wire w = *r->w;
    for (Field f; wire_next(&w, &f);) {
        const char *name = field_name(f.number);
        switch (f.number) {
        case T_DIMS: rank += wire_count(&w, &f, WIRE_VARINT, name); break;
        case T_TYPE: t->onnx_type = (int)wire_int(&w, &f, name); break;
        case T_NAME: t->name = doc_name(r->d, &w, &f, name); break;
        case T_RAW: r->raw = wire_bytes(&w, &f, name), r->has_raw = true; break;
        case T_SEGMENT:
            wire_damage(&w, f.whole.at, "segment", "tensors in several segments are no longer part of ONNX");
        case T_FLOAT:
        case T_INT32:
        case T_STRING:
        case T_INT64:
        case T_DOUBLE:
        case T_UINT64: note_typed(r, &f); break;
        case T_EXTERNAL: external_entry(r->d, &w, &f, &r->where); break;
        case T_LOCATION: r->external = wire_int(&w, &f, name) == 1; break;
        default: break;
        }
        if (rank > MAX_RANK) wire_damage(&w, f.whole.at, name, "more than %d dimensions", MAX_RANK);
    }
    return (int)rank;
}

static void read_dims(Reading *r, int rank) {
    Tensor *t = &r->item->view;
    int64_t *dim = DOC_NEW(r->d, int64_t, rank);
    size_t n = 0;
    Wire w = *r->w;
    for (Field f; wire_next(&w, &f);) {
        if (f.number != T_DIMS) continue;
        wire_varints(&w, &f, (uint64_t *)dim + n, "dims");
        n += wire_count(&w, &f, WIRE_VARINT, "dims");
    }
    t->rank = rank, t->dim = dim, t->count = 1;
    int64_t size = t->type ? dtypes[t->type].bytes : 1, bytes;
    for (int i = 0; i < rank; i++) {
        if (dim[i] < 0) wire_damage(r->w, r->w->begin, "dims", "dimension %d is %lld", i, (long long)dim[i]);
        if (__builtin_mul_overflow(t->count, dim[i], &t->count) || __builtin_mul_overflow(t->count, size, &bytes))
            wire_damage(r->w, r->w->begin, "dims", "their product does not fit in memory");
    }
}

// Typed values into dst, each to its element size. Varints: the low bytes are the element's bits.
static void decode(const Reading *r, DType type, uint8_t *dst) {
    size_t size = (size_t)dtypes[type].bytes;
    Wire w = *r->w;
    for (Field f; wire_next(&w, &f);) {
        if (f.number != r->typed) continue;
        const char *name = field_name(f.number);
        size_t n = wire_count(&w, &f, unit_of(f.number), name);
        if (unit_of(f.number) != WIRE_VARINT) {
            memcpy(dst, f.data.at, n * size);
        } else if (f.type == WIRE_VARINT) {
            memcpy(dst, &f.value, size);
        } else {
            Wire packed = wire_into(&w, &f, name);
            for (size_t i = 0; i < n; i++) {
                uint64_t v = wire_packed(&packed);
                memcpy(dst + i * size, &v, size);
            }
        }
        dst += n * size;
    }
}

static const void *typed_data(Reading *r) {
    Tensor *t = &r->item->view;
    size_t size = (size_t)dtypes[t->type].bytes;
    if (r->typed && r->typed != typed_field(t->type))
        wire_damage(r->w, r->w->begin, field_name(r->typed), "is not where %s values are kept", dtypes[t->type].name);
    if (r->values != (uint64_t)t->count)
        wire_damage(r->w, r->w->begin, r->typed ? field_name(r->typed) : NULL,
                    "%zu values, its dimensions ask for %lld", r->values, (long long)t->count);
    if (r->runs == 1 && unit_of(r->typed) != WIRE_VARINT) return r->run.at;
    uint8_t *data = doc_alloc(r->d, (size_t)t->count, size);
    decode(r, t->type, data);
    return data;
}

static const void *find_data(Reading *r) {
    Tensor *t = &r->item->view;
    if (r->external) {
        if (r->has_raw || r->typed)
            wire_damage(r->w, r->w->begin, "data_location", "external, but values are here as well");
        return external_data(r->d, r->w, &r->where, &r->item->side,
                             t->type ? (int64_t)(t->count * dtypes[t->type].bytes) : -1);
    }
    if (r->has_raw && r->typed) wire_damage(r->w, r->raw.at, "raw_data", "values also in %s", field_name(r->typed));
    if (!t->type) return NULL;
    if (!r->has_raw) return typed_data(r);
    if (r->raw.n != (uint64_t)t->count * (uint64_t)dtypes[t->type].bytes)
        wire_damage(r->w, r->raw.at, "raw_data", "%zu bytes, its dimensions ask for %lld %s values", r->raw.n,
                    (long long)t->count, dtypes[t->type].name);
    return r->raw.at;
}

void read_tensor(Document *d, const Wire *w, TensorItem *item) {
    Reading r = {.d = d, .w = w, .item = item};
    item->item.bytes = (Bytes){w->begin, (size_t)(w->end - w->begin)};
    item->view.name = "";
    int rank = note_fields(&r);
    item->view.type = dtype_of_onnx(item->view.onnx_type);
    if (item->view.onnx_type <= 0 || item->view.onnx_type > MAX_TYPE)
        wire_damage(w, w->begin, "data_type", "no ONNX type has number %d", item->view.onnx_type);
    read_dims(&r, rank);
    item->view.data = find_data(&r);
}

Tensor *tensor_read_bytes(Cx *cx, const char *path, Bytes bytes) {
    path = cx_str(cx, path, strlen(path));
    Wire w = wire_open(cx, path, bytes);
    wire_scan(w, MSG_TENSOR, MSG_LEAF, NULL, NULL);
    TensorItem *t = NEW(cx, TensorItem, 1);
    read_tensor(document_new(cx, path, bytes), &w, t);
    return &t->view;
}

Tensor *tensor_read_pb(Cx *cx, const char *path) { return tensor_read_bytes(cx, path, file_map(cx, path)); }

void emit_tensor(WireOut *o, const void *tensor) {
    const Tensor *t = tensor;
    for (int i = 0; i < t->rank; i++) wire_put_int(o, T_DIMS, t->dim[i]);
    wire_put_int(o, T_TYPE, dtypes[t->type].onnx);
    if (t->name && *t->name) wire_put_string(o, T_NAME, t->name);
    wire_put_bytes(o, T_RAW, (Bytes){t->data, tensor_bytes(t)});
}

void tensor_write_pb(Cx *cx, const char *path, const Tensor *t) {
    WireOut o = {.file = file_create(cx, path)};
    emit_tensor(&o, t);
    file_commit(o.file);
}
