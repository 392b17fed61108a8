// codegen.h -- from kernels to text. A schedule looks at the shape of a formula, never at an
// operator's name, and prints loops around it; the first of the list (render.c) that fits is taken.
#ifndef TVC_CODEGEN_H
#define TVC_CODEGEN_H
#include "../ir/op.h"
#include "../runtime/program.h"

typedef struct Numbers Numbers;

// A kernel on its way to text. "$" in the text stands for the kernel's name: link.c names
// kernels by their content, so that equal ones exist once.
typedef struct Out {
    Cx *cx;
    Kernel *k;
    int lanes;                        // floats per vector
    int isa;                          // ISA_*: how many registers there are
    char *before;                     // finished helper functions
    char *text;                       // finished lines of the kernel itself
    size_t len, cap;
    const char *index;                // the type of indices: "long", or "int" where all are proved to fit
    int depth;                        // of indentation
    int nname;                        // local names given out
    Expr *lane;                       // the variable that runs along a vector, or NULL: scalars
    Expr **named;                     // expressions with a name in the open scopes
    int nnamed;
    int *uses;                        // by expression id: how many formulas name it; NULL until counted
    int64_t units;                    // what lo..hi counts, at maximum batch
    bool per_batch;                   // the slowest part of a unit's number is the batch axis
    int64_t flat;                     // CUDA: the text says `size` for this number; 0: it does not
    int pool;                         // CUDA: bytes of shared memory that the text has as `pool`, 128-byte aligned
    Product product;                  // CUDA: what the kernel is for a library (cuda_product.c); size 0: nothing
    Numbers *numbers;                 // CUDA: those that are arguments (cuda_numbers.c); NULL: all are in the text
} Out;

// A number in the text: a literal, or an argument of the launch, `num[3]`, one for all that ask with the same `of`
// and `which`. What a form can do without (a factor of 1) stays out of the text or must not.
enum { NUMBER_EXTENT, NUMBER_AT_ZERO, NUMBER_BLOCKS, NUMBER_QUOTIENT = 4, NUMBER_STEP = 8 };
const char *numeral_text(Out *o, const void *of, int which, int64_t value);

typedef struct Text {
    const char *s;
    const int32_t *number;            // CUDA: the launch's arguments besides buffers and Ctx
    int nnumber;
    int64_t units;
    bool per_batch;
    const char *schedule;
    Grid grid;                        // CUDA (cuda.h): how it is started, instead of units
    Product product;                  // CUDA: as in Out
} Text;
Text render(Cx *cx, Kernel *k, int lanes, int isa);

// ---- printing (print.c) ----
void append(Out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));   // as it is
void line(Out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void begin(Out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));   // a line, then one deeper
void end(Out *o);                     // "}" one level back
const char *index_text(Out *o, Expr *e);
const char *extent_text(Out *o, Expr *var);           // the bound of a variable's loop, as it is at run time
const char *value_text(Out *o, Expr *e);              // prints the statements e needs first, then names it
void name_expr(Out *o, Expr *e, const char *name);    // e is already in that local
void store(Out *o, int result, Expr *e);              // bodies[result] = e goes to its place
const char *out_index(Out *o, int result);
const char *memory_type(DType t);                     // "u16" for halves: how elements lie in memory
const char *from_memory(Out *o, DType t, const char *x);      // an element x as a value, and back
const char *to_memory(Out *o, DType t, const char *x);
const char *fold_text(Out *o, Expr *reduction, const char *acc, const char *x);
const char *neutral_text(Out *o, Expr *reduction);    // what its accumulator begins with
int buf_number(Kernel *k, Node *n);
void loop(Out *o, Expr *var);
int open_scope(Out *o);
void close_scope(Out *o, int mark);                   // forgets the names given since
void locals(Out *o);                                  // the buffers by name
void unpack(Out *o, Expr **v, int n);                 // the variables of unit u; slowest first
int unit_axes(Out *o, Expr **v, int most);            // output axes fit for units: batch first; fills v, sets units
void count_uses(Out *o, Expr *e);                     // into o->uses, which must have room for every expression
bool index_has_data(const Expr *e);                   // an index read from data is in it
bool var_is_open(const Kernel *k, const Expr *v);     // its bound is known only at run time
bool vectorizes(Out *o, Expr *e, Expr *lane);         // every load walks with the lane, or stands still
Expr *lane_of(Out *o);                                // the output axis a vector can run along, or NULL

// ---- padding (halo.c) ----
int padded_from(const Node *n);                       // the first axis with padding; the rank if none
void clear_halo(Out *o, int result, int from);        // axes before `from`, none of them padded, are open loops
void clear_halos(Out *o, Expr **v, int n);            // of all results, by the unit of v that begins the padded axes

// ---- schedules ----
typedef bool Schedule(Out *o);
Schedule schedule_unroll, schedule_slices, schedule_tile, schedule_dot, schedule_taps, schedule_shifts, schedule_lanes,
    schedule_plain;

#endif
