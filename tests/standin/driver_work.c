// driver_work.c -- of the driver's stand-in: streams and what is given to them, events, copies, graphs. See driver.c.
#define _GNU_SOURCE
#include "driver.h"
#include <string.h>
#include <time.h>

static int nstream;                   // ever made

// ---- doing what was given ----

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_until(Stream *s, uint64_t seq);

static void run_kernel(Op *o) {
    for (int i = 0; i < o->f->buffers; i++)
        if (!memory_of(o->arg[i], 0, false)) wrong("a kernel was given a pointer to no memory of the device");
    if (!memory_of(o->ctx.error, 4, false) || !memory_of(o->ctx.seed, 16, false))
        wrong("error flag or seed lie nowhere");
    o->ctx.numbers = o->numbers;
    o->f->run(o->grid, o->f->threads, 0, o->arg, o->ctx);
}

static void run_host(Op *o) {
    open_memory(false);
    o->host(o->from);
    open_memory(true);
}

static void run_ops(Ops *ops);

static void run(Op *o) {
    switch (o->kind) {
    case COPY: memmove(o->to, o->from, o->bytes); break;
    case SET: memset(o->to, o->fill, o->bytes); break;
    case KERNEL: run_kernel(o); break;
    case HOST: run_host(o); break;
    case WORK: o->work(o->arg); break;
    case RECORD: o->event->when = now(); break;
    case WAIT: run_until(o->on, o->seq); break;
    case GRAPH: run_ops(&o->exec->ops); break;
    }
}

static void run_ops(Ops *ops) {
    for (uint64_t i = 0; i < ops->n; i++) run(&ops->at[i]);
}

static void run_until(Stream *s, uint64_t seq) {
    while (s && s->done < seq) {
        Op o = s->queue.at[s->done];
        run(&o);
        s->done++;
    }
}

void run_stream(Stream *s, uint64_t seq) {
    open_memory(true);
    run_until(s, seq);
    open_memory(false);
}

static bool is_early(const Stream *s) {
    const char *order = getenv("STANDIN_ORDER");
    return order && (!strcmp(order, "early") || (!strcmp(order, "ahead") && !s->first));
}

static void push(Ops *ops, Op o) {
    if (ops->n == ops->cap) ops->at = counted(realloc(ops->at, sizeof o * (ops->cap = ops->cap * 2 + 64)));
    ops->at[ops->n++] = o;
}

int give(Stream *s, Op o) {
    if (!s) wrong("the legacy stream is used");
    if (s->capturing) return push(&s->captured, o), 0;
    push(&s->queue, o);
    if (is_early(s)) run_stream(s, s->queue.n);
    return 0;
}

// ---- streams and events ----

int cuStreamCreate(Stream **s, unsigned flags) {
    ENTER_IN_CONTEXT
    if (flags != 1) wrong("a stream that waits for the legacy stream");
    *s = object(sizeof **s);
    (*s)->first = nstream++ % 2 == 0, (*s)->next = streams, streams = *s;
    return live++, 0;
}

int cuStreamDestroy_v2(Stream *s) {
    ENTER_IN_CONTEXT
    run_stream(s, s->queue.n);
    Stream **at = &streams;
    while (*at != s) at = &(*at)->next;
    *at = s->next;
    free(s->queue.at), free(s->captured.at), free(s);
    return live--, 0;
}

int cuStreamSynchronize(Stream *s) {
    ENTER_IN_CONTEXT
    if (s->capturing) return CAPTURE;
    return run_stream(s, s->queue.n), 0;
}

int cuStreamWaitEvent(Stream *s, Event *e, unsigned flags) {
    ENTER_IN_CONTEXT
    return flags ? INVALID_VALUE : give(s, (Op){.kind = WAIT, .on = e->s, .seq = e->seq});
}

int cuEventCreate(Event **e, unsigned flags) {
    ENTER_IN_CONTEXT return (void)flags, *e = object(sizeof **e), live++, 0;
}

int cuEventDestroy_v2(Event *e) { ENTER_IN_CONTEXT return free(e), live--, 0; }

int cuEventRecord(Event *e, Stream *s) {
    ENTER_IN_CONTEXT
    if (s->capturing) return CAPTURE;
    e->s = s, e->seq = s->queue.n + 1;
    return give(s, (Op){.kind = RECORD, .event = e});
}

int cuEventSynchronize(Event *e) {
    ENTER_IN_CONTEXT
    return run_stream(e->s, e->seq), 0;
}

int cuEventElapsedTime(float *ms, Event *a, Event *b) {
    ENTER_IN_CONTEXT
    if (!a->s || !b->s || a->s->done < a->seq || b->s->done < b->seq) return NOT_READY;
    return *ms = (float)(1e3 * (b->when - a->when)), 0;
}

// ---- copies ----

int cuMemsetD8Async(uint64_t p, unsigned char x, size_t n, Stream *s) {
    ENTER_IN_CONTEXT
    char *to = (char *)(uintptr_t)p;
    return memory_of(to, n, false) ? give(s, (Op){.kind = SET, .to = to, .fill = x, .bytes = n}) : INVALID_VALUE;
}

int cuMemcpyHtoDAsync_v2(uint64_t p, const void *from, size_t n, Stream *s) {
    ENTER_IN_CONTEXT
    char *to = (char *)(uintptr_t)p;
    if (!memory_of(from, n, true)) wrong("an asynchronous copy from memory that is not pinned");
    return memory_of(to, n, false) ? give(s, (Op){.kind = COPY, .to = to, .from = (char *)(uintptr_t)from, .bytes = n})
                                   : INVALID_VALUE;
}

int cuMemcpyDtoHAsync_v2(void *to, uint64_t p, size_t n, Stream *s) {
    ENTER_IN_CONTEXT
    char *from = (char *)(uintptr_t)p;
    if (!memory_of(to, n, true)) wrong("an asynchronous copy to memory that is not pinned");
    if (!memory_of(from, n, false)) return INVALID_VALUE;
    if (!s->capturing) memset(to, 0xff, n);
    return give(s, (Op){.kind = COPY, .to = to, .from = from, .bytes = n});
}

int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t n, Stream *s) {
    ENTER_IN_CONTEXT
    char *a = (char *)(uintptr_t)to, *b = (char *)(uintptr_t)from;
    if (!memory_of(a, n, false) || !memory_of(b, n, false)) return INVALID_VALUE;
    return give(s, (Op){.kind = COPY, .to = a, .from = b, .bytes = n});
}

// ---- graphs ----

int cuStreamBeginCapture_v2(Stream *s, int mode) {
    ENTER_IN_CONTEXT
    if (s->capturing || mode != 1) return CAPTURE;
    return s->capturing = true, s->captured = (Ops){0}, 0;
}

// However it ends, it has ended.
int cuStreamEndCapture(Stream *s, Exec **g) {
    Ops ops = s->captured;
    bool was = s->capturing;
    s->captured = (Ops){0}, s->capturing = false;
    ENTER_IN_CONTEXT
    if (!was) return CAPTURE;
    *g = object(sizeof **g);
    (*g)->ops = ops;
    return live++, 0;
}

int cuGraphInstantiateWithFlags(Exec **e, Exec *g, unsigned long long flags) {
    ENTER_IN_CONTEXT
    if (flags) return INVALID_VALUE;
    *e = object(sizeof **e);
    for (uint64_t i = 0; i < g->ops.n; i++) push(&(*e)->ops, g->ops.at[i]);
    return live++, 0;
}

int cuGraphLaunch(Exec *e, Stream *s) { ENTER_IN_CONTEXT return give(s, (Op){.kind = GRAPH, .exec = e}); }

int cuGraphExecDestroy(Exec *e) { ENTER_IN_CONTEXT return free(e->ops.at), free(e), live--, 0; }

int cuGraphDestroy(Exec *g) { ENTER_IN_CONTEXT return free(g->ops.at), free(g), live--, 0; }
