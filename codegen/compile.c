// compile.c -- the whole way from a Graph to a Program, in order.
#include "../passes/passes.h"
#include "../runtime/isa.h"
#include "link.h"
#include <time.h>
#include <xxhash.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int lanes_of(int isa) { return isa == ISA_AVX512 ? 16 : isa == ISA_AVX2 ? 8 : 4; }

// A Concat whose parts were all written into its buffer has nothing left to do.
static bool made_by_parts(const Node *n) {
    return n->op == OP_Concat && n->in[0]->home == n && n->in[1]->home == n;
}

static bool has_kernel(const Node *n) {
    return n->stored && !op_is_leaf(n) && !n->head && !made_by_parts(n);
}

// init's kernels first, then those of forward, each in graph order.
static int kernels(Graph *g, Unit **units) {
    int n = 0;
    for (int fn = 0; fn < 2; fn++)
        for (int i = 0; i < g->norder; i++) {
            Node *o = g->order[i];
            if (!has_kernel(o) || o->frozen != (fn == 0)) continue;
            g->cx->doing = NULL;
            Unit *u = VEC_PUSH(g->cx, *units, n);
            *u = (Unit){.k = kernel_of(g->cx, g, o, optab[o->op].name), .fn = fn};
        }
    return n;
}

static int print_all(Graph *g, Unit *u, int n) {
    int distinct = 0;
    for (int i = 0; i < n; i++) {
        if (u[i].k->hand) continue;
        u[i].text = render(g->cx, u[i].k, g->lanes, g->isa);
        XXH128_hash_t h = XXH3_128bits(u[i].text.s, strlen(u[i].text.s));
        snprintf(u[i].name, sizeof u[i].name, "k%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
        for (int j = 0; j < i && !u[i].again; j++) u[i].again = !strcmp(u[i].name, u[j].name);
        distinct += !u[i].again;
        if (debug() >= 4) fprintf(stderr, "%s", u[i].text.s);
    }
    return distinct;
}

// Without a C compiler every kernel becomes bytecode.
static int code_all(Graph *g, Unit *u, int n) {
    int formulas = 0;
    for (int i = 0; i < n; i++)
        if (!u[i].k->hand) u[i].formula = formula_of(g->cx, u[i].k), formulas++;
    return formulas;
}

static int count_unfused(Graph *g) {
    int n = 0;
    graph_sort(g);
    for (int i = 0; i < g->norder; i++) n += !op_is_leaf(g->order[i]) && !g->order[i]->frozen && op_kind(g->order[i]) != MOVE;
    return n;
}

Compiled *graph_compile(Graph *g, const CompileOptions *o) {
    static const CompileOptions usual = {.isa = -1};
    if (!o) o = &usual;
    double start = now();
    Compiled *c = NEW(g->cx, Compiled, 1);
    bool interpret = o->no_compiler || !find_compiler(g->cx);
    g->isa = interpret ? ISA_GENERIC : o->isa < 0 ? isa_host() : o->isa;
    g->lanes = interpret ? 1 : lanes_of(g->isa);
    c->target = cx_fmt(g->cx, "cpu:%s", isa_name(g->isa));
    expand_ops(g);
    c->kernels_unfused = count_unfused(g);
    g->direct = o->direct || interpret;
    run_passes(g);
    Unit *u = NULL;
    int n = kernels(g, &u);
    if (interpret) c->formulas = code_all(g, u, n);
    else c->distinct = print_all(g, u, n);
    c->program = program_of(g, u, n, 2);
    if (!interpret) {
        Built b = build_c(g, u, n, o);
        c->program->code_path = b.path;
        c->cached = b.cached, c->cc_seconds = b.seconds, c->compiler = b.compiler;
    }
    c->kernels_init = c->program->functions[0].to;
    c->kernels = c->program->functions[1].to - c->kernels_init;
    c->seconds = now() - start;
    return c;
}
