// kernel.h -- the scalar-level IR: one element of a tensor as a formula over elements of others.
// Nothing here knows of C, CUDA, threads or tiles.
//
// Two small languages share one struct. Values have a DType (that of dtypes[].value: f16 and bf16
// compute as f32). Indices are 64-bit integers over the loop variables, kept in simplest form.
// Expressions are hash-consed within a kernel: equal ones are the same pointer.
#ifndef TVC_KERNEL_H
#define TVC_KERNEL_H
#include "graph.h"

typedef enum KOp {
#define KOP(name, ...) K_##name,
#include "../runtime/kops.h"
    NKOPS,
    K_IMM = NKOPS,         // the constant f (floats) or i (integers, bool)
    K_LOAD,                // buf[index a]
    K_SUM, K_PROD, K_MAXIMUM, K_MINIMUM,     // of value a, over variable b
    K_INSIDE,              // a where 0 <= index b < i, else c; a is not evaluated outside
    K_SELECT,              // a (bool) ? b : c
    K_CAST,                // a, as type
    K_INDEX,               // index a, as a value of type i64
    K_BATCH,               // i times the batch in use, as a value of type i64
    K_RANDOM,              // uniform in [0, 1), f32: element index a of stream i
} KOp;

typedef enum { I_VAR, I_IMM, I_ADD, I_MUL, I_DIV, I_MOD, I_DATA } IOp;   // DIV, MOD as in C

typedef struct Expr Expr;
struct Expr {
    bool is_index;
    int op;                // KOp, or IOp if is_index
    DType type;            // of a value
    Expr *a, *b, *c;
    double f;              // K_IMM
    int64_t i;             // K_IMM of integers, I_IMM: value. I_VAR: number. K_INSIDE, I_DATA: extent
    Node *buf;             // K_LOAD: whose elements, at flat index a
    int id;                // in order of making: operands come before their users
    char *as;              // schedules: what it is called, once printed
};

// I_DATA: the value a (any integer type) as an index: a where 0 <= a < i; else 0, and the
// run's error flag is raised.

typedef struct Kernel {
    Cx *cx;
    const char *name;
    int64_t max_batch;
    Node *out;             // out[axis...] = body, for every value of the axes, in any order
    Expr *body;
    Expr *axis[MAXDIM];    // a variable per dimension; the constant 0 where its size is 1
    int nout;              // it may have more results, over the same axes (or of size 1 where that is a row: its
    Node **outs;           // view then has stride 0): the sums in their formulas run over the same variables
    Expr **bodies;         // outs[0] is out, bodies[0] is body
    int nsum;              // GPU: the last of them are sums over the others' elements (codegen/carry.c)
    Node *anchor;          // the CONTRACT or REDUCE node whose loops this kernel holds, or NULL
    struct Kernel **part;  // GPU: kernels in one launch, whose results and buffers these are; their formulas count,
    int npart;             // not body and axes
    const char *hand;      // a hand-written body instead of formulas: its name, or NULL
    int nbuf;              // buf[0..nout) are the results, the rest are what it reads
    Node **buf;
    int nvar, capvar, naxis;      // naxis: the first are those of the axes
    int64_t *extent;       // of each variable, at maximum batch
    bool *grows;           // the variable's bound grows with the batch
    struct Pulled { Node *n; Expr *at[MAXDIM], *e; } *pulled;      // reductions in the formula being built
    int npulled;
    int nexpr, caphash;
    Expr **expr, **hash;   // all expressions by id; the interning table
} Kernel;

// The kernel for n, with every input that is not `stored` folded into its formula.
Kernel *kernel_of(Cx *cx, Graph *g, Node *n, const char *name);

// For emit_* functions: build formulas.
Expr *expr_intern(Kernel *k, Expr e);                       // the one such expression of this kernel
Expr *pull(Kernel *k, Node *n, Expr **at);                  // element of n
Expr *pull_bcast(Kernel *k, Node *n, int i, Expr **at);     // of n's input i, at n's index
Expr *pull_padded(Kernel *k, Node *n, Expr **at, double otherwise);   // at may step outside n
Expr *k_imm(Kernel *k, DType t, double f);
Expr *k_imm_i(Kernel *k, DType t, int64_t i);
Expr *k1(Kernel *k, KOp op, Expr *a);
Expr *k2(Kernel *k, KOp op, Expr *a, Expr *b);
Expr *k_select(Kernel *k, Expr *cond, Expr *a, Expr *b);
Expr *k_cast(Kernel *k, DType t, Expr *a);                  // to the value type of t
Expr *k_index(Kernel *k, Expr *index);                      // an index as an i64 value
Expr *k_batch(Kernel *k, int64_t factor);                   // factor * batch in use, i64
Expr *k_random(Kernel *k, Expr *index, int64_t stream);
Expr *k_inside(Kernel *k, Expr *index, int64_t extent, Expr *value, Expr *otherwise);
Expr *k_reduce(Kernel *k, KOp op, Expr *var, Expr *body);   // body itself when var is a constant
Expr *k_var(Kernel *k, int64_t extent, bool grows);         // the constant 0 when extent is 1 and fixed
Expr *k_axis(Kernel *k, Shape s, int d);                    // a variable for axis d of s

Expr *ix_imm(Kernel *k, int64_t i);
Expr *ix_data(Kernel *k, Expr *value, int64_t extent);
Expr *ix(Kernel *k, IOp op, Expr *a, Expr *b);              // simplified
Expr *ix_add(Kernel *k, Expr *a, int64_t i);
Expr *ix_mul(Kernel *k, Expr *a, int64_t i);
Expr *ix_flat(Kernel *k, Shape s, Expr **at);               // row-major number of an element
void ix_split(Kernel *k, Shape s, Expr *flat, Expr **at);   // and back
Expr *ix_view(Kernel *k, Node *n, Expr **at);               // where in n's buffer
Expr *ix_result(Kernel *k, int i);                          // where outs[i] is written, at the kernel's axes

// What schedules ask of an index: how it moves with a variable (IX_WILD: not evenly), its range.
#define IX_WILD INT64_MAX
int64_t ix_coef(Expr *e, Expr *var);
void ix_range(Kernel *k, Expr *e, int64_t *lo, int64_t *hi);

// Rebuild e with every variable v replaced by to[v] where that is not NULL. Loops keep their variables.
Expr *expr_subst(Kernel *k, Expr *e, Expr **to);
Expr *expr_put(Kernel *k, Expr *e, Expr *old, Expr *new);   // or with one part replaced
Expr *expr_import(Kernel *k, Expr *e, Expr **to, int n, Expr **old, Expr **new);       // of another kernel: with both
Kernel *kernel_copy(const Kernel *k);                       // to be rewritten; the original stays as it is
bool expr_is_reduce(const Expr *e);
bool expr_is_sum(const Expr *e);
Expr *expr_find(Expr *e, bool (*is)(const Expr *));         // first (outermost) match in a value, or NULL

// Run the kernel here and now, `batch` in use: constant folding, reference results, the "eval"
// device. buf[i] is the start of k->buf[i]'s buffer, laid out by its view. Returns true, or
// false if data asked for something out of range.
bool kernel_eval(Kernel *k, void *const *buf, int64_t batch);

#endif
