// constants.c -- see constants.h.
#include "constants.h"
#include "../passes/surgery_graph.h"

enum { MOST_BYTES = 1 << 30 };         // of one that is a shape and a number only

static const char *const makers[] = {"Constant", "ConstantOfShape", NULL};

// NULL: not of several floats, or not understood.
static const Tensor *weight_of(Model *m, const char *value) {
    Constant c;
    if (!constant_of(m, value, &c) || !dtype_is_float(c.type)) return NULL;
    if (c.tensor) return c.as_stored && c.tensor->count > 1 ? c.tensor : NULL;
    int64_t count = 1, size = dtypes[c.type].bytes;
    for (int d = 0; d < c.rank; d++)
        if (__builtin_mul_overflow(count, c.dim[d], &count) || count > MOST_BYTES / size) return NULL;
    if (count < 2) return NULL;
    Tensor *t = tensor_new(m, c.type, c.rank, c.dim);
    for (int64_t i = 0; i < count; i++) dtype_set_f(c.type, (char *)t->data + i * size, c.fill);
    return t;
}

void constants_to_initializers(Model *m) {
    for (int i = m->nnode; i-- > 0;) {
        DocNode *n = m->node[i];
        if (!op_among(n, makers) || n->nout != 1 || value_is_output(m, n->out[0])) continue;
        const char *name = n->out[0];
        const Tensor *t = weight_of(m, name);
        if (!t) continue;
        Tensor mine = *t;
        mine.name = name;
        model_remove_node(m, n);
        model_set_init(m, name, &mine);
    }
}
