// value.c -- ValueInfoProto and metadata entries, which protobuf-c unpacks: they are small.
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

void read_value(Document *d, const Wire *w, ValueItem *item) {
    Onnx__ValueInfoProto *p = (void *)doc_unpack(d, w, &onnx__value_info_proto__descriptor);
    item->item.bytes = (Bytes){w->begin, (size_t)(w->end - w->begin)};
    item->view = (ValueInfo){.name = p->name ? p->name : "", .rank = -1, .kind = "none"};
    if (p->type) read_type(d, p->type, &item->view);
}

void read_meta(Document *d, const Wire *w, MetaItem *item) {
    Onnx__StringStringEntryProto *p = (void *)doc_unpack(d, w, &onnx__string_string_entry_proto__descriptor);
    item->item.bytes = (Bytes){w->begin, (size_t)(w->end - w->begin)};
    item->view = (Meta){p->key ? p->key : "", p->value ? p->value : ""};
}
