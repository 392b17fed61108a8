// net.c -- see net.h.
#include "net.h"

enum { OPSET = 13 };

static const char *named(Net *n, const char *layer, const char *part) {
    return cx_fmt(n->k.m->cx, "%s.%s", layer, part);
}

Net net_begin(Cx *cx, const char *name, const Surgery *s, int64_t channels, int64_t side) {
    Dim dim[] = {{-1, "N"}, {channels, NULL}, {side, NULL}, {side, NULL}};
    ValueInfo input = {.name = "input", .type = DT_F32, .rank = 4, .dim = dim};
    return (Net){.k = {.m = model_new(cx, name, OPSET, &input), .s = s}, .x = input.name, .channels = channels};
}

static void layer(Net *n, const char *op, const char *name, int nin, const char **in, int nattr, const NewAttr *attr) {
    n->x = add_node(&n->k, &n->at, op, name, nin, in, nattr, attr);
}

// A vector of `channels` ones or zeros.
static const char *filled(Net *n, const char *name, double v) {
    Tensor *t = tensor_new(n->k.m, DT_F32, 1, &n->channels);
    for (int64_t i = 0; i < t->count; i++) dtype_set_f(DT_F32, (char *)t->data + i * dtypes[DT_F32].bytes, v);
    put_init(&n->k, name, t);
    return name;
}

void net_conv_bn(Net *n, const char *conv, const char *bn, int64_t channels, int64_t kernel, int64_t stride) {
    int64_t dim[] = {channels, n->channels, kernel, kernel}, strides[] = {stride, stride}, p = kernel / 2,
            pads[] = {p, p, p, p};
    const char *weight = named(n, conv, "weight");
    put_init(&n->k, weight, fresh_tensor(&n->k, DT_F32, 4, dim, sqrt(6 / (double)(channels * kernel * kernel))));
    NewAttr attr[] = {{.name = "kernel_shape", .kind = ATTR_IS, .n = 2, .is = dim + 2},
                      {.name = "pads", .kind = ATTR_IS, .n = 4, .is = pads},
                      {.name = "strides", .kind = ATTR_IS, .n = 2, .is = strides}};
    layer(n, "Conv", conv, 2, (const char *[]){n->x, weight}, 3, attr);
    n->channels = channels;
    const char *in[] = {n->x, filled(n, named(n, bn, "weight"), 1), filled(n, named(n, bn, "bias"), 0),
                        filled(n, named(n, bn, "running_mean"), 0), filled(n, named(n, bn, "running_var"), 1)};
    layer(n, "BatchNormalization", bn, 5, in, 0, NULL);
}

void net_relu(Net *n, const char *name) { layer(n, "Relu", name, 1, &n->x, 0, NULL); }

void net_add(Net *n, const char *name, const char *other) {
    layer(n, "Add", name, 2, (const char *[]){n->x, other}, 0, NULL);
}

void net_max_pool(Net *n, const char *name, int64_t kernel, int64_t stride) {
    int64_t kernels[] = {kernel, kernel}, strides[] = {stride, stride}, p = kernel / 2, pads[] = {p, p, p, p};
    NewAttr attr[] = {{.name = "kernel_shape", .kind = ATTR_IS, .n = 2, .is = kernels},
                      {.name = "pads", .kind = ATTR_IS, .n = 4, .is = pads},
                      {.name = "strides", .kind = ATTR_IS, .n = 2, .is = strides}};
    layer(n, "MaxPool", name, 1, &n->x, 3, attr);
}

void net_classify(Net *n, const char *name, int64_t classes) {
    layer(n, "GlobalAveragePool", "avgpool", 1, &n->x, 0, NULL);
    layer(n, "Flatten", "flatten", 1, &n->x, 0, NULL);
    n->x = add_linear(&n->k, &n->at, n->x, name, "Gemm", 0, DT_F32, n->channels, classes);
    Dim dim[] = {{-1, "N"}, {classes, NULL}};
    model_set_outputs(n->k.m, 1, &(ValueInfo){.name = n->x, .type = DT_F32, .rank = 2, .dim = dim});
}
