// value.c -- ValueInfoProto, whose types protobuf-c unpacks, and entries of key and value.
#include "document.h"
#include <onnx.pb-c.h>

static void read_shape(Document *d, const Onnx__TensorShapeProto *shape, ValueInfo *v) {
    if (!shape) return;
    v->rank = (int)shape->n_dim;
    v->dim = DOC_NEW(d, Dim, shape->n_dim);
    for (size_t i = 0; i < shape->n_dim; i++) {
        const Onnx__TensorShapeProto__Dimension *dim = shape->dim[i];
        v->dim[i].value = -1;
        if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE && dim->dim_value >= 0)
            v->dim[i].value = dim->dim_value;
        if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM) v->dim[i].param = dim->dim_param;
    }
}

static void read_type(Document *d, const Onnx__TypeProto *type, ValueInfo *v) {
    switch (type->value_case) {
    case ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE:
        v->kind = "tensor";
        if (!type->tensor_type) return;
        v->onnx_type = type->tensor_type->elem_type;
        v->type = dtype_of_onnx(v->onnx_type);
        read_shape(d, type->tensor_type->shape, v);
        break;
    case ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE: v->kind = "sequence"; break;
    case ONNX__TYPE_PROTO__VALUE_MAP_TYPE: v->kind = "map"; break;
    case ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE: v->kind = "optional"; break;
    case ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE: v->kind = "sparse"; break;
    default: break;
    }
}

// protobuf-c would end the name at a NUL within, and two names could become one.
static const char *value_name(Document *d, const Wire *whole) {
    const char *name = "";
    Wire w = *whole;
    for (Field f; wire_next(&w, &f);)
        if (f.number == 1) name = doc_name(d, &w, &f, "name");
    return name;
}

void read_value(Document *d, const Wire *w, ValueItem *item) {
    Onnx__ValueInfoProto *p = (void *)doc_unpack(d, w, &onnx__value_info_proto__descriptor);
    item->item.bytes = (Bytes){w->begin, (size_t)(w->end - w->begin)};
    item->view = (ValueInfo){.name = value_name(d, w), .rank = -1, .kind = "none"};
    if (p->type) read_type(d, p->type, &item->view);
}

Meta read_entry(Document *d, const Wire *whole) {
    Meta e = {"", ""};
    Wire w = *whole;
    for (Field f; wire_next(&w, &f);) {
        if (f.number == 1) e.key = doc_name(d, &w, &f, "key");
        if (f.number == 2) e.value = doc_name(d, &w, &f, "value");
    }
    return e;
}

void read_meta(Document *d, const Wire *w, MetaItem *item) {
    item->item.bytes = (Bytes){w->begin, (size_t)(w->end - w->begin)};
    item->view = read_entry(d, w);
}
