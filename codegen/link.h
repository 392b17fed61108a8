// link.h -- the steps between kernels and a Program; private to codegen/.
#ifndef TVC_LINK_H
#define TVC_LINK_H
#include "cuda.h"
#include "compile.h"
#include "formula.h"

typedef struct Unit {                 // one kernel on its way into a step
    Kernel *k;
    int fn;                           // function it belongs to
    Text text;
    char name[40];                    // symbol: a hash of its text
    uint64_t hash;
    bool again;                       // same text as an earlier unit, which has it
    Formula formula;                  // instead of text, where there is no C compiler
} Unit;

// When a buffer is alive, in steps of its function, both ends included.
typedef struct Life {
    Node *n;
    int64_t bytes;                    // rounded up to TVC_ALIGN
    int from, to;
    int64_t offset;                   // set by plan
} Life;

// Greedy by size: each buffer at the lowest place that is free for all of its life. Returns the
// bytes needed; *bound is the greatest sum of bytes alive at one step.
int64_t plan(Cx *cx, Life *l, int n, int64_t *bound);

void order_units(Cx *cx, Unit *u, int n);        // order.c: in place, before stores

// group.c: for a GPU, in place: an order that holds, several units in one launch (Kernel.part). How many are left.
int group_units(Cx *cx, Unit *u, int n, const CudaOptions *options);

// target: NULL for the CPU, else as in program.h; then each unit has its grid, the binary that holds it included.
Program *program_of(Graph *g, Unit *u, int nunit, const char *target);

// target_c.c: the shared object holding every distinct unit, from the cache or the C compiler.
typedef struct Built { const char *path, *compiler; bool cached; double seconds; } Built;
Built build_c(Graph *g, Unit *u, int nunit, const CompileOptions *o);
const char *find_compiler(Cx *cx);

// compile_cuda.c: text, grid and machine code of every unit with a formula, for the architecture of
// "cuda:ARCH"; c->cuda and counts. Then the binaries go into c->program.
void compile_cuda(Graph *g, Unit *u, int nunit, const CompileOptions *o, Compiled *c);
void link_cuda(Cx *cx, Compiled *c);
CudaOptions cuda_options(const Graph *g, int fn);        // of that function's kernels
const char *cuda_arch(const CompileOptions *o);  // "sm_90", or NULL: the target is no GPU

double seconds_now(void);                        // compile.c

// Was this text seen before? Names units by their text; returns how many are different (compile.c).
typedef Text PrintFn(Graph *g, Unit *u);
int print_all(Graph *g, Unit *u, int n, PrintFn *print);

#endif
