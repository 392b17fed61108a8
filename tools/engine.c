// engine.c -- one face for sessions and the evaluator.
#include "engine.h"
#include "../ir/eval.h"
#include "../ir/op.h"
#include <fcntl.h>
#include <unistd.h>

// ---- compiled ----
static void free_session(void *s) { session_free(s); }

static Engine *engine_of_program(Cx *cx, const Program *p, const char *file, const EngineOptions *o) {
    Engine *e = NEW(cx, Engine, 1);
    Fault f;
    *e = (Engine){.cx = cx, .file = file, .program = p, .max_batch = p->max_batch, .batch = p->max_batch};
    e->session = session_new(p, &o->session, &f);
    cx->doing = file;
    if (!e->session) fail(cx, f.code, "%s", f.text);
    if (*session_note(e->session)) cx_note(cx, "%s", session_note(e->session));
    cx->doing = NULL;
    cx_defer(cx, free_session, e->session);
    e->slot = NEW(cx, int, p->nslot);
    for (int i = 0; i < p->nslot; i++)
        if (p->slots[i].role == SLOT_INPUT) e->slot[e->ninput++] = i;
    for (int i = 0; i < p->nslot; i++)
        if (p->slots[i].role == SLOT_OUTPUT) e->slot[e->ninput + e->noutput++] = i;
    return e;
}

// ---- the evaluator ----
static Engine *engine_of_eval(Graph *g) {
    Engine *e = NEW(g->cx, Engine, 1);
    expand_ops(g);
    *e = (Engine){.cx = g->cx,
                  .file = g->file,
                  .graph = g,
                  .max_batch = g->max_batch,
                  .batch = g->max_batch,
                  .ninput = g->ninput,
                  .noutput = g->nroot};
    e->result = NEW(g->cx, void *, g->nroot);
    for (int i = 0; i < g->ninput; i++) {
        TensorDesc d = node_desc(g->input[i]);
        g->input[i]->data = cx_alloc(g->cx, (size_t)desc_bytes(&d));
    }
    return e;
}

Engine *engine_of_graph(Graph *g, const EngineOptions *o) {
    if (o->eval) return engine_of_eval(g);
    Compiled *c = graph_compile(g, &o->compile);
    if (c->formulas && !c->compiler)
        cx_note(g->cx, "no C compiler was found (cc, gcc, clang): generic kernels run instead, slower");
    Engine *e = engine_of_program(g->cx, c->program, g->file, o);
    e->compiled = c;
    return e;
}

// ---- packages ----
static void close_package(void *p) { package_close(p); }

bool is_package(const char *path) {
    char magic[8] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;
    bool yes = read(fd, magic, sizeof magic) == sizeof magic && memcmp(magic, PACKAGE_MAGIC, sizeof magic) == 0;
    close(fd);
    return yes;
}

// Where no device was asked for, the CPU does what no target of the package does on the GPU.
Package *package_of_file(Cx *cx, const char *path, const EngineOptions *o) {
    if (!is_package(path)) return NULL;
    Package *p = NEW(cx, Package, 1);
    cx_defer(cx, close_package, p);
    Fault f;
    const char *gpu = o->compile.target;
    Err e = package_open(p, path, gpu ? gpu : o->session.device ? "cpu" : NULL, &f);
    if (e == E_DEVICE && gpu && !o->session.device) {
        package_close(p);
        e = package_open(p, path, "cpu", &f);
    }
    if (e) fail(cx, f.code, "%s: %s", cx_show(cx, path), f.text);
    return p;
}

Engine *engine_of_package(Cx *cx, const Package *p, const char *path, const EngineOptions *o) {
    return engine_of_program(cx, &p->program, cx_show(cx, path), o);
}

// ---- both ----
const char *engine_input_name(const Engine *e, int i) {
    return e->graph ? e->graph->input[i]->name : program_text(e->program, e->program->slots[e->slot[i]].name);
}

const char *engine_output_name(const Engine *e, int i) {
    return e->graph ? e->graph->root[i].name : program_text(e->program, e->program->slots[e->slot[e->ninput + i]].name);
}

static TensorDesc at_batch(const Engine *e, const Node *n) {
    TensorDesc d = node_desc(n);
    if (d.batch) d.dim[d.batch - 1] = d.dim[d.batch - 1] / e->max_batch * e->batch;
    return d;
}

TensorDesc engine_input(const Engine *e, int i) {
    return e->graph ? at_batch(e, e->graph->input[i]) : session_desc(e->session, e->slot[i]);
}

TensorDesc engine_output(const Engine *e, int i) {
    return e->graph ? at_batch(e, e->graph->root[i].value) : session_desc(e->session, e->slot[e->ninput + i]);
}

void engine_set_batch(Engine *e, int64_t n) {
    Fault f;
    if (e->session && session_set_batch(e->session, n, &f)) fail(e->cx, f.code, "%s", f.text);
    e->batch = n;
}

void engine_write(Engine *e, int i, const void *data) {
    TensorDesc d = engine_input(e, i);
    if (e->graph) memcpy((void *)e->graph->input[i]->data, data, (size_t)desc_bytes(&d));
    else session_write(e->session, e->slot[i], data);
}

void engine_start(Engine *e) {
    Fault f;
    const char *before = e->cx->doing;
    e->cx->doing = e->file;
    if (e->graph) graph_eval(e->graph, e->batch, e->result, NULL, NULL);
    else if (session_start(e->session, 1, &f)) fail(e->cx, f.code, "%s", f.text);
    e->cx->doing = before;
}

void engine_wait(Engine *e) {
    Fault f;
    const char *before = e->cx->doing;
    e->cx->doing = e->file;
    if (e->session && session_wait(e->session, &f)) fail(e->cx, f.code, "%s", f.text);
    e->cx->doing = before;
}

void engine_run(Engine *e) {
    engine_start(e);
    engine_wait(e);
}

bool engine_ahead(const Engine *e) { return e->session && session_ahead(e->session); }

const void *engine_read(const Engine *e, int i) {
    if (e->graph) return e->result[i];
    const void *data = session_view(e->session, e->slot[e->ninput + i]);
    if (!data) fail(e->cx, E_DEVICE, "'%s' cannot be read from the device", cx_show(e->cx, engine_output_name(e, i)));
    return data;
}
