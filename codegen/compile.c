// compile.c -- the whole way from a Graph to a Program, in order.
#include "../passes/passes.h"
#include "../runtime/isa.h"
#include "link.h"
#include <time.h>
#include <xxhash.h>

double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int lanes_of(int isa) { return isa == ISA_AVX512 ? 16 : isa == ISA_AVX2 ? 8 : 4; }

// A Concat or Weave whose parts were all written into its buffer has nothing left to do.
static bool made_by_parts(const Node *n) {
    return op_joins(n) && n->in[0]->home == n && n->in[1]->home == n;
}

static bool has_kernel(const Node *n) {
    return n->stored && !op_is_leaf(n) && !n->head && !made_by_parts(n);
}

// ---- which kernels a function runs, in order ----

typedef struct Order {
    Graph *g;
    Unit **units;
    int n, fn;
    bool *mine, *last, *after, *done;    // by id: the function needs it; it is a store's value; made of one; it has its unit
} Order;

static void mark(Order *o, Node *root) {
    Node **todo = NULL;
    int n = 0, cap = 0;
    *STACK_PUSH(o->g->cx, todo, n, cap) = root;
    while (n) {
        Node *x = todo[--n];
        if (o->mine[x->id]) continue;
        o->mine[x->id] = true;
        for (int k = 0; k < x->nin; k++) *STACK_PUSH(o->g->cx, todo, n, cap) = x->in[k];
    }
}

static void add_unit(Order *o, Node *n) {
    if (o->done[n->id] || !has_kernel(n) || !o->mine[n->id] || n->frozen != (o->fn == 0)) return;
    o->done[n->id] = true;
    *VEC_PUSH(o->g->cx, *o->units, o->n) = (Unit){.k = kernel_of(o->g->cx, o->g, n, optab[n->op].name), .fn = o->fn};
}

// A store after what it is made of, other stores among it.
static void add_store(Order *o, Node *value) {
    Node **order = o->g->order;
    bool *below = NEW(o->g->cx, bool, o->g->norder);
    below[value->id] = true;
    for (int i = value->id; i >= 0; i--)
        for (int k = 0; below[i] && k < order[i]->nin; k++) below[order[i]->in[k]->id] = true;
    for (int i = 0; i <= value->id; i++)
        if (below[i]) add_unit(o, order[i]);
}

static void mark_function(Order *o, int fn) {
    Graph *g = o->g;
    size_t size = sizeof(bool) * (size_t)g->norder;
    o->fn = fn;
    memset(o->mine, 0, size), memset(o->last, 0, size), memset(o->done, 0, size), memset(o->after, 0, size);
    for (int i = 0; i < g->nroot; i++) {
        Root *r = &g->root[i];
        if (fn == 0 || r->fn == fn) mark(o, r->value);
        if (r->fn == fn && r->store) o->last[r->value->id] = true;
    }
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        for (int k = 0; k < n->nin; k++) o->after[i] |= o->last[n->in[k]->id] || o->after[n->in[k]->id];
    }
}

// What init leaves for others, one by one, each after what it alone is made of: little is alive at once.
static void init_units(Order *o) {
    Graph *g = o->g;
    Node **stack = NULL;
    bool *asked = NEW(g->cx, bool, g->norder);               // its operands have been
    int depth = 0, cap = 0;
    for (int i = 0; i < g->norder; i++) {
        Node *n = g->order[i];
        for (int k = 0; k < n->nin && !n->frozen; k++)
            if (n->in[k]->frozen) *STACK_PUSH(g->cx, stack, depth, cap) = n->in[k];
        while (depth) {
            Node *x = stack[depth - 1];
            bool ready = true;
            for (int k = 0; k < x->nin && !asked[x->id]; k++)
                ready = false, *STACK_PUSH(g->cx, stack, depth, cap) = x->in[k];
            asked[x->id] = true;
            if (ready) add_unit(o, x), depth--;
        }
    }
}

// Everything a function computes, then its stores and what is made of them.
static void function_units(Order *o, int fn) {
    Graph *g = o->g;
    mark_function(o, fn);
    int first = o->n;
    if (fn == 0) init_units(o);
    for (int i = 0; i < g->norder; i++)
        if (!o->last[i] && !o->after[i]) add_unit(o, g->order[i]);
    if (g->gpu) {
        for (int i = 0; i < g->norder; i++) add_unit(o, g->order[i]);
        CudaOptions options = cuda_options(g, fn);
        o->n = first + group_units(g->cx, *o->units + first, o->n - first, &options);
        return;
    }
    if (fn > 1) order_units(g->cx, *o->units + first, o->n - first);       // inference is a chain as it is
    for (int i = 0; i < g->nroot; i++)
        if (g->root[i].fn == fn && g->root[i].store) add_store(o, g->root[i].value);
    for (int i = 0; i < g->norder; i++) add_unit(o, g->order[i]);
}

static int kernels(Graph *g, Unit **units) {
    bool *by_id[4];
    for (int i = 0; i < 4; i++) by_id[i] = NEW(g->cx, bool, g->norder);
    Order o = {.g = g, .units = units, .mine = by_id[0], .last = by_id[1], .after = by_id[2], .done = by_id[3]};
    for (int fn = 0; fn < g->nfn; fn++) function_units(&o, fn);
    return o.n;
}

// Was a kernel of this name seen before? `seen` is a table of 2^bits places, never full.
static bool seen_before(const char **seen, int bits, const char *name, uint64_t hash) {
    size_t mask = ((size_t)1 << bits) - 1, i = (size_t)hash & mask;
    for (; seen[i]; i = (i + 1) & mask)
        if (!strcmp(seen[i], name)) return true;
    seen[i] = name;
    return false;
}

static Text print_c(Graph *g, Unit *u) { return render(g->cx, u->k, g->lanes, g->isa); }

static void *copy(Cx *cx, const void *at, size_t n) {
    void *to = malloc(n + !n);
    if (!to) fail(cx, E_LIMIT, "out of memory");
    return n ? memcpy(to, at, n) : to;
}

// The text of a kernel, malloc's, and its numbers; nothing else that printing it took: of hundreds of kernels that
// would add up.
static char *print_unit(Graph *g, Unit *u, PrintFn *print) {
    Kernel before = *u->k;
    CxMark mark_ = cx_mark(g->cx);
    Text t = print(g, u);
    XXH128_hash_t h = XXH3_128bits(t.s, strlen(t.s));
    snprintf(u->name, sizeof u->name, "k%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
    u->hash = h.low64;
    size_t numbers = sizeof *t.number * (size_t)t.nnumber;
    char *s = copy(g->cx, t.s, strlen(t.s) + 1), *number = copy(g->cx, t.number, numbers);
    cx_release(g->cx, mark_);
    *u->k = before;
    u->text = t;
    u->text.number = memcpy(NEW(g->cx, int32_t, t.nnumber), number, numbers);
    u->text.s = NULL;
    free(number);
    return s;
}

int print_all(Graph *g, Unit *u, int n, PrintFn *print) {
    int distinct = 0, bits = 4;
    while (n * 2 >= 1 << bits) bits++;
    const char **seen = NEW(g->cx, const char *, (size_t)1 << bits);
    for (int i = 0; i < n; i++) {
        if (u[i].k->hand) continue;
        char *s = print_unit(g, &u[i], print);
        if (debug() >= 4) fprintf(stderr, "%s", s);
        u[i].again = seen_before(seen, bits, u[i].name, u[i].hash);
        distinct += !u[i].again;
        if (!u[i].again) u[i].text.s = cx_str(g->cx, s, strlen(s));
        free(s);
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
    for (int i = 0; i < g->norder; i++)
        n += !op_is_leaf(g->order[i]) && !g->order[i]->frozen && op_kind(g->order[i]) != MOVE;
    return n;
}

// For the CPU: bytecode or C.
static void target_cpu(Graph *g, Compiled *c, const CompileOptions *o, bool interpret) {
    g->isa = interpret ? ISA_GENERIC : o->isa < 0 ? isa_host() : o->isa;
    g->lanes = interpret ? 1 : lanes_of(g->isa);
    g->direct = o->direct || interpret;
    c->target = cx_fmt(g->cx, "cpu:%s", isa_name(g->isa));
}

static void target_gpu(Graph *g, Compiled *c, const CompileOptions *o) {
    static const DType product[] = {[PRECISION_BF16] = DT_BF16, [PRECISION_FP16] = DT_F16, [PRECISION_TF32] = DT_F32};
    g->isa = ISA_GENERIC, g->lanes = 1, g->gpu = true;
    Precision prefix = o->frozen ? *o->frozen : o->precision;
    g->product = product[o->precision], g->tf32 = o->precision == PRECISION_TF32;
    g->prefix_product = product[prefix], g->prefix_tf32 = prefix == PRECISION_TF32;
    c->target = o->target;
}

static void build(Graph *g, Unit *u, int n, Compiled *c, const CompileOptions *o) {
    Built b = build_c(g, u, n, o);
    c->program->code_path = b.path;
    c->cached = b.cached, c->cc_seconds = b.seconds, c->compiler = b.compiler;
}

static Compiled *compile(Graph *g, const CompileOptions *o) {
    double start = seconds_now();
    Compiled *c = NEW(g->cx, Compiled, 1);
    bool gpu = cuda_arch(o) != NULL, interpret = !gpu && (o->no_compiler || !find_compiler(g->cx));
    if (gpu) target_gpu(g, c, o);
    else target_cpu(g, c, o, interpret);
    expand_ops(g);
    c->kernels_unfused = count_unfused(g);
    run_passes(g);
    Unit *u = NULL;
    int n = kernels(g, &u);
    if (gpu) compile_cuda(g, u, n, o, c);
    else if (interpret) c->formulas = code_all(g, u, n);
    else c->distinct = print_all(g, u, n, print_c);
    c->program = program_of(g, u, n, gpu ? c->target : NULL);
    if (gpu) link_cuda(g->cx, c);
    else if (!interpret) build(g, u, n, c, o);
    c->kernels_init = c->program->functions[0].to;
    c->kernels = c->program->functions[1].to - c->kernels_init;
    c->seconds = seconds_now() - start;
    return c;
}

Compiled *graph_compile(Graph *g, const CompileOptions *o) {
    static const CompileOptions usual = {.isa = -1};
    Cx *cx = g->cx;
    const char *doing = cx->doing;
    size_t limit = cx_allow(cx, g->memory * (size_t)(g->nfn - 1));
    if (g->file) cx->doing = g->file;
    Compiled *c = compile(g, o ? o : &usual);
    cx->doing = doing, cx->limit = limit;
    return c;
}
