// surgery_make.c -- new weights and new nodes, in the document's own opset.
#include "../runtime/philox.h"
#include "surgery_graph.h"

// ---- weights ----
Tensor *tensor_new(Model *m, DType t, int rank, const int64_t *dim) {
    Tensor *r = NEW(m->cx, Tensor, 1);
    int64_t *own = NEW(m->cx, int64_t, rank ? rank : 1);
    size_t count = 1;
    for (int d = 0; d < rank; d++) count = ck_mul(m->cx, count, (size_t)(own[d] = dim[d]));
    size_t bytes = ck_mul(m->cx, count, (size_t)dtypes[t].bytes);
    *r =
        (Tensor){.name = "", .onnx_type = dtypes[t].onnx, .type = t, .rank = rank, .dim = own, .count = (int64_t)count};
    r->data = cx_alloc(m->cx, bytes);
    return r;
}

Tensor *fresh_tensor(Maker *k, DType t, int rank, const int64_t *dim, double bound) {
    Tensor *r = tensor_new(k->m, t, rank, dim);
    uint64_t stream = k->streams++;
    for (int64_t i = 0; i < r->count; i++) {
        double u = (double)philox_uniform(k->s->seed, stream, (uint64_t)i);
        dtype_set_f(t, (char *)r->data + i * dtypes[t].bytes, (2 * u - 1) * bound);
    }
    return r;
}

void put_init(Maker *k, const char *name, const Tensor *t) {
    model_set_init(k->m, name, t);
    *VEC_PUSH(k->m->cx, k->made, k->nmade) = name;
}

static const char *put_new(Maker *k, const char *like, const Tensor *t) {
    const char *name = model_fresh_name(k->m, like);
    put_init(k, name, t);
    return name;
}

Tensor *ints_tensor(Maker *k, int n, const int64_t *v) {
    Tensor *t = tensor_new(k->m, DT_I64, 1, (int64_t[]){n});
    memcpy((void *)t->data, v, sizeof *v * (size_t)n);
    return t;
}

void replace_constant(Maker *k, DocNode *n, int at, const Tensor *t) {
    const char *value = n->in[at];
    DocNode *maker = model_producer(k->m, value);
    if (value_users(k->m, value) == 1 && (!maker || maker->nout == 1)) {
        if (maker) model_remove_node(k->m, maker);
        put_init(k, value, t);
    } else {
        model_set_input(k->m, n, at, put_new(k, value, t));
    }
}

// ---- nodes ----
const char *add_node(Maker *k, int *at, const char *op, const char *like, int nin, const char **in, int nattr,
                     const NewAttr *attr) {
    const char *name = model_fresh_name(k->m, like);
    const char *out = model_fresh_name(k->m, cx_fmt(k->m->cx, "%s_output", name));
    model_add_node(k->m, (*at)++, op, "", name, nin, in, 1, &out, nattr, attr);
    return out;
}

static const char *add_dropout(Maker *k, int *at, const char *x, double p) {
    int opset = node_opset(k->m);
    if (opset < 12) {
        NewAttr attr[] = {{.name = "ratio", .kind = ATTR_F, .f = (float)p},
                          {.name = "is_test", .kind = ATTR_I, .i = 1}};
        return add_node(k, at, "Dropout", "head.dropout", 1, &x, opset < 7 ? 2 : 1, attr);
    }
    Tensor *ratio = tensor_new(k->m, DT_F32, 0, NULL);
    dtype_set_f(DT_F32, (void *)ratio->data, p);
    const char *in[] = {x, put_new(k, "head.dropout.ratio", ratio)};
    return add_node(k, at, "Dropout", "head.dropout", 2, in, 0, NULL);
}

static const NewAttr broadcast = {.name = "broadcast", .kind = ATTR_I, .i = 1};          // before opset 7 one had to ask for it

const char *add_linear(Maker *k, int *at, const char *x, const char *name, const char *kind, int spatial, DType t,
                       int64_t from, int64_t to) {
    Model *m = k->m;
    bool old = node_opset(m) < 7, conv = strcmp(kind, "Conv") == 0, matmul = strcmp(kind, "MatMul") == 0;
    int64_t dim[MAXDIM] = {to, from, 1, 1, 1, 1, 1, 1}, transposed[] = {from, to}, ones[] = {1, 1, 1, 1, 1, 1};
    Tensor *weight = fresh_tensor(k, t, 2 + (conv ? spatial : 0), matmul ? transposed : dim, usual_bound(from));
    Tensor *bias = fresh_tensor(k, t, 1, &to, usual_bound(from));
    const char *in[] = {x, put_new(k, cx_fmt(m->cx, "%s.weight", name), weight),
                        put_new(k, cx_fmt(m->cx, "%s.bias", name), bias)};
    if (conv) {
        NewAttr kernel = {.name = "kernel_shape", .kind = ATTR_IS, .n = spatial, .is = ones};
        return add_node(k, at, "Conv", name, 3, in, 1, &kernel);
    }
    if (matmul) {
        const char *sum[] = {add_node(k, at, "MatMul", name, 2, in, 0, NULL), in[2]};
        return add_node(k, at, "Add", cx_fmt(m->cx, "%s.add", name), 2, sum, old, &broadcast);
    }
    NewAttr attr[] = {{.name = "transB", .kind = ATTR_I, .i = 1}, broadcast};
    return add_node(k, at, "Gemm", name, 3, in, old ? 2 : 1, attr);
}

const char *add_hidden(Maker *k, int *at, const char *x, const char *kind, int spatial, DType t, int64_t *features) {
    const Surgery *s = k->s;
    for (int i = 0; i < s->nhidden; i++) {
        x = add_linear(k, at, x, cx_fmt(k->m->cx, "head.hidden%d", i), kind, spatial, t, *features, s->hidden[i]);
        x = add_node(k, at, "Relu", "head.relu", 1, &x, 0, NULL);
        if (s->dropout > 0) x = add_dropout(k, at, x, s->dropout);
        *features = s->hidden[i];
    }
    return s->nhidden == 0 && s->dropout > 0 ? add_dropout(k, at, x, s->dropout) : x;
}
