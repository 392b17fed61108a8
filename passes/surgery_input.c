// surgery_input.c -- another number of input channels: the first convolution keeps what it learnt.
//
// The picture may pass through operators that treat all channels alike before it meets the
// convolution; what has numbers for each channel stands in the way, and is named.
#include "surgery_graph.h"

static const char *const alike[] = {"Identity", "Cast", "Dropout", "Add", "Sub", "Mul",
                                    "Div",      "Relu", "Clip",    "Pad", NULL};

static const ValueInfo *picture_input(Model *m) {
    for (int i = 0; i < m->ninput; i++)
        if (!model_init(m, m->input[i]->name)) {
            if (m->input[i]->rank >= 3) return m->input[i];
            fail(m->cx, E_UNSUPPORTED, "input '%s' has no channels to change", cx_show(m->cx, m->input[i]->name));
        }
    fail(m->cx, E_UNSUPPORTED, "the model has no input");
}

static void refuse_per_channel(Model *m, const DocNode *n) {
    for (int i = 0; i < n->nin; i++) {
        Constant c;
        if (!n->in[i][0] || !constant_of(m, n->in[i], &c) || op_is(n, "Pad")) continue;
        for (int d = 0; d < c.rank; d++)
            if (c.dim[d] != 1)
                fail(m->cx, E_UNSUPPORTED,
                     "%s has numbers for each channel of the picture: they would not fit another number of them",
                     node_label(m->cx, n));
    }
}

static void set_channels(Model *m, const char *name, int64_t channels) {
    const ValueInfo *old = model_value(m, name);
    if (!old || old->rank < 2 || old->dim[1].value < 0) return;
    ValueInfo v = *old;
    v.dim = NEW(m->cx, Dim, v.rank);
    memcpy(v.dim, old->dim, sizeof *v.dim * (size_t)v.rank);
    v.dim[1] = (Dim){.value = channels};
    model_set_value(m, &v);
}

// One filter of the new number of channels from one of the old: arrays [channel][pixel].
static void adapt_filter(const double *old, int64_t nold, double *new, int64_t nnew, int64_t pixels, InputInit init) {
    for (int64_t p = 0; p < pixels; p++) {
        double sum = 0;
        for (int64_t c = 0; c < nold; c++) sum += old[c * pixels + p];
        for (int64_t c = 0; c < nnew; c++) {
            if (nnew == 1) new[p] = sum;
            else if (c < nold) new[c * pixels + p] = old[c * pixels + p];
            else if (init != INPUT_FRESH) new[c * pixels + p] = init == INPUT_MEAN ? sum / (double)nold : 0;
        }
    }
}

static void change_conv(Maker *k, DocNode *n) {
    Model *m = k->m;
    Constant w;
    if (n->nin < 2 || !constant_of(m, n->in[1], &w) || (w.tensor && !w.as_stored) || w.rank < 3)
        fail(m->cx, E_UNSUPPORTED, "the weights of %s are no plain constant", node_label(m->cx, n));
    if (node_int(n, "group", 1) != 1)
        fail(m->cx, E_UNSUPPORTED, "%s treats its channels in groups: their number cannot be changed",
             node_label(m->cx, n));
    int64_t from = w.dim[1], to = k->s->channels, pixels = 1, filters = w.dim[0];
    if (from < 1) fail(m->cx, E_UNSUPPORTED, "%s reads no channels", node_label(m->cx, n));
    for (int d = 2; d < w.rank; d++) pixels *= w.dim[d];
    w.dim[1] = to;
    Tensor *t = fresh_tensor(k, w.type, w.rank, w.dim, usual_bound(to * pixels));
    int bytes = dtypes[w.type].bytes;
    double *old = NEW(m->cx, double, ck_mul(m->cx, (size_t)from, (size_t)pixels));
    double *new = NEW(m->cx, double, ck_mul(m->cx, (size_t)to, (size_t)pixels));
    for (int64_t f = 0; f < filters; f++) {
        const char *in = w.tensor ? (const char *)w.tensor->data + f * from * pixels * bytes : NULL;
        char *out = (char *)t->data + f * to * pixels * bytes;
        for (int64_t i = 0; i < from * pixels; i++) old[i] = in ? dtype_get_f(w.type, in + i * bytes) : w.fill;
        for (int64_t i = 0; i < to * pixels; i++) new[i] = dtype_get_f(w.type, out + i * bytes);
        adapt_filter(old, from, new, to, pixels, k->s->input_init);
        for (int64_t i = 0; i < to * pixels; i++) dtype_set_f(w.type, out + i * bytes, new[i]);
    }
    replace_constant(k, n, 1, t);
}

void change_channels(Maker *k) {
    Model *m = k->m;
    const ValueInfo *picture = picture_input(m);
    const char *name = picture->name;
    bool *is_picture = NEW(m->cx, bool, m->nnode);
    DocNode **conv = NULL;
    int nconv = 0;
    const int *order = model_order(m);
    for (int i = 0; i < m->nnode; i++) {
        DocNode *n = m->node[order[i]];
        bool sees = false;
        for (int j = 0; j < n->nin; j++) {
            const DocNode *from = model_producer(m, n->in[j]);
            sees |= strcmp(n->in[j], name) == 0 || (from && is_picture[from->index]);
        }
        if (!sees) continue;
        if (op_is(n, "Conv")) *VEC_PUSH(m->cx, conv, nconv) = n;
        else if (!op_among(n, alike))
            fail(m->cx, E_UNSUPPORTED, "%s stands between the picture '%s' and the first convolution",
                 node_label(m->cx, n), cx_show(m->cx, name));
        else refuse_per_channel(m, n), is_picture[n->index] = n->nout > 0;
    }
    if (nconv == 0) fail(m->cx, E_UNSUPPORTED, "no convolution reads input '%s'", cx_show(m->cx, name));
    for (int i = 0; i < m->nnode; i++)
        if (is_picture[i]) set_channels(m, m->node[i]->out[0], k->s->channels);
    set_channels(m, name, k->s->channels);
    for (int i = 0; i < nconv; i++) change_conv(k, conv[i]);
}
