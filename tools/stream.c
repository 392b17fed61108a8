// stream.c -- see stream.h.
#include "stream.h"

typedef struct Load { int n, *picture; } Load;            // a batch

typedef struct Flow {
    const Stream *s;
    const Pictures *pictures;
    int next, most;                   // the next picture to be read; pictures in a batch
    Scratch *scratch;
    char *prepared, *typed;           // of a batch: as the preparer leaves it; in the input's type (perhaps the same)
    Fault fault;                      // of the picture that ends the request, once everything before it came out
    int culprit;
} Flow;

static void free_scratch(void *s) { scratch_free(s); }

int stream_batch(const Stream *s) {
    TensorDesc d = engine_input(s->e, 0);
    return (int)(desc_elements(&d) / (int64_t)preparer_numbers(s->prepare));
}

// Reads and prepares the next pictures; fewer where they end, or where one ends the request.
static void fill(Flow *f, Load *l) {
    size_t each = preparer_size(f->s->prepare);
    for (l->n = 0; l->n < f->most && f->next < f->pictures->n && !f->fault.code; f->next++) {
        Fault bad;
        const Picture *p = &f->pictures->at[f->next];
        char *out = f->prepared + each * (size_t)l->n;
        if (!prepare_picture(f->s->prepare, f->scratch, p, out, &bad)) l->picture[l->n++] = f->next;
        else if (f->s->bad) f->s->bad(f->s->user, f->next, bad.text);
        else f->fault = bad, f->culprit = f->next;
    }
}

static void put(Flow *f, int n) {
    DType t = engine_input(f->s->e, 0).type;
    int64_t count = (int64_t)preparer_numbers(f->s->prepare) * n;
    const float *value = (const float *)(const void *)f->prepared;
    if (f->typed != f->prepared)
        for (int64_t i = 0; i < count; i++) dtype_set_f(t, f->typed + i * dtypes[t].bytes, (double)value[i]);
    engine_write(f->s->e, 0, f->typed);
}

static void set_batch(Flow *f, int n) {
    Engine *e = f->s->e;
    if (engine_input(e, 0).batch) engine_set_batch(e, n * e->max_batch / f->most);
}

static void run(Flow *f, Load *now, Load *then) {
    Engine *e = f->s->e;
    bool sent = false;                // the batch lies in the device
    for (fill(f, now); now->n;) {
        if (!sent) set_batch(f, now->n), put(f, now->n);
        if (f->s->feed) f->s->feed(f->s->user);
        engine_start(e);
        fill(f, then);
        sent = then->n == now->n && engine_ahead(e);
        if (sent) put(f, then->n);
        engine_wait(e);
        f->s->take(f->s->user, now->n, now->picture, engine_read(e, 0));
        Load taken = *now;
        *now = *then, *then = taken;
    }
}

void stream_run(const Stream *s, const Pictures *pictures) {
    Cx *cx = s->e->cx;
    TensorDesc in = engine_input(s->e, 0), out = engine_output(s->e, 0);
    Flow f = {.s = s, .pictures = pictures, .most = stream_batch(s), .scratch = NEW(cx, Scratch, 1)};
    if (desc_elements(&out) % f.most) fail(cx, E_UNSUPPORTED, "the first output is not one row of scores a picture");
    cx_defer(cx, free_scratch, f.scratch);
    f.prepared = f.typed = NEW(cx, char, ck_mul(cx, preparer_size(s->prepare), (size_t)f.most));
    if (!s->prepare->bytes && in.type != DT_F32) f.typed = NEW(cx, char, desc_bytes(&in));
    Load a = {0, NEW(cx, int, f.most)}, b = {0, NEW(cx, int, f.most)};
    run(&f, &a, &b);
    if (f.fault.code) fail(cx, f.fault.code, "image '%s': %s", cx_show(cx, pictures->at[f.culprit].name), f.fault.text);
}
