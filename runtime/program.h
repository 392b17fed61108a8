// program.h -- all that is left of a model once compiled, and all the runtime knows of it.
//
// A Program is plain data in one relocatable block: arrays of fixed-size records that name each
// other by number, strings by offset into `text`. It holds no weights: those are Slots with a
// borrowed pointer (a mapped model file, or the package's own weight section).
//
// A program is for one target: the CPU, or a kind of GPU. For a GPU, STEP_CODE names a kernel in one of
// the program's binaries (`parts` of its code) and has a Grid; bodies run on the host in any case.
//
// Memory of a session has three spaces:
//   ARENA   scratch. Laid out by codegen/plan; buffers share room when not alive together.
//           Inputs and outputs of functions live here too.
//   KEEP    what outlives a call: results of `init` (folded BatchNorms, packed weights),
//           trainable parameters, optimizer state, running statistics.
//   WEIGHT  read-only leaves, used where the file was mapped: `offset` is the slot's number.
//           Such bytes may lie at any address: kernels must not assume alignment.
#ifndef TVC_PROGRAM_H
#define TVC_PROGRAM_H
#include "dtype.h"
#include "error.h"
#include <stddef.h>
#include <stdint.h>

enum { TVC_MAXDIM = 8, TVC_ALIGN = 64 };

typedef struct TensorDesc {           // a dense row-major tensor
    DType type;
    int32_t rank;
    int32_t batch;                    // 1 + the axis that grows with the batch; 0: none
    int32_t pad_;
    int64_t dim[TVC_MAXDIM];          // at the compiled maximum batch
} TensorDesc;

typedef enum Space { SPACE_ARENA, SPACE_KEEP, SPACE_WEIGHT } Space;

typedef struct Buffer {
    int64_t offset, bytes;            // bytes from the start of its space; WEIGHT: slot number
    int32_t space;
    int32_t pad_;
} Buffer;

// The state a kernel may look at besides its buffers.
typedef struct KernelCtx {
    int64_t batch;                    // how many of the compiled maximum batch are in use
    int32_t *error;                   // set to 1 when data asked for something out of range
    uint64_t seed, step;              // for random operators: Philox key and counter
} KernelCtx;

// Generated kernels: do units lo..hi. Any split of 0..units may run in parallel.
typedef void KernelFn(int64_t lo, int64_t hi, void *const *buf, const KernelCtx *ctx);

// Hand-written kernels (runtime/bodies.c): for what is no formula of one output element.
typedef struct BodyArgs {
    void *const *buf;                 // buf[0] is written, buf[1..] are read
    const TensorDesc *desc;           // of each buffer, batch axis already at its run-time size
    int32_t nbuf, nattr;
    const int64_t *attr;              // as the graph node had it
    double f, f2;
    const KernelCtx *ctx;
} BodyArgs;
typedef void BodyFn(const BodyArgs *a);
BodyFn *body_find(const char *name);  // bodies.c; NULL if there is none

typedef enum StepKind {
    STEP_CODE,                        // `entry` is a symbol of the program's code
    STEP_BODY,                        // `entry` is a hand-written body
    STEP_FORMULA,                     // no compiler: `formula` is run by the interpreter
} StepKind;

typedef struct Step {
    int32_t kind;
    int32_t entry;                    // text: symbol, or body's name
    int32_t label;                    // text: for profiles and messages
    int32_t per_batch;                // the slowest part of a unit's number is the batch axis
    int64_t units;                    // at maximum batch; per_batch: units * batch / max_batch are run
    int32_t ref, nref, nwritten;      // buffers: refs[ref .. ref+nref), written ones first
    int32_t param, nparam;            // BODY: params[..]; descs follow the refs one to one
    int32_t formula, nformula;        // FORMULA: bytecode in params[..]
    int32_t grid;                     // CODE for a GPU: how its kernel is started
    double flops, bytes;              // at maximum batch: for profiles
    double f, f2;                     // BODY: attributes
} Step;

enum { TVC_MOST_NUMBERS = 1024 };     // of a kernel: with its pointers they fit 32 kB (codegen/group.c)

// How a kernel of a GPU is started: blocks along x, y, z, each of `threads` threads. Along an axis that
// grows, items are those of the maximum batch.
typedef struct GridAxis {
    int64_t items, per_block;
    int32_t grows, pad_;
} GridAxis;

typedef struct Grid {
    GridAxis axis[3];
    int32_t threads, shared;          // shared: bytes of shared memory, all of it static
    int32_t part;                     // the binary that holds the kernel
    int32_t registers, spilled;       // per thread; bytes stored for want of registers or on a stack: for reports
    int32_t product;                  // 1 + the number of the Product it computes; 0: it is none
    int64_t workspace;                // bytes that its blocks leave parts of their results in; see codegen/cuda_split.c
    int32_t number, nnumber;          // numbers[number .. +nnumber) are its last argument, as one array; none: no argument
} Grid;

int64_t grid_blocks(const Grid *g, int axis, int64_t batch, int64_t max_batch);    // program.c

// A kernel of a GPU that is a plain product of matrices, so that a library may do it instead. With relu only if set,
//     d[m, n] = relu(alpha * (sum over k of a[m, k] * b[k, n]) + c[m, n] + bias[n])
// for each of `count` such products side by side. Element types are those of the operands' descs: a's and b's
// are one, c's and d's are one.
typedef enum ProductAxis { PRODUCT_M, PRODUCT_N, PRODUCT_K, PRODUCT_COUNT, PRODUCT_AXES } ProductAxis;

typedef struct Operand {
    int32_t ref, pad_;                // which of the step's refs; -1: there is none (c, bias)
    int64_t at;                       // element with which it begins
    int64_t step[PRODUCT_AXES];       // elements from one to the next along an axis; 0: it does not move
} Operand;

typedef struct Product {
    int64_t size[PRODUCT_AXES];       // at maximum batch
    Operand a, b, c, d, bias;         // of the two axes of a and of b one has a step of 1; n of c, d and bias has
    int32_t grows;                    // the axis whose size grows with the batch, or -1
    int32_t relu, tf32;               // tf32: of f32 factors only 11 bits count
    int32_t pad_;
    double alpha;
} Product;

// Which of its products a GPU's session leaves to NVIDIA's library: those it should be better at; none; all it takes.
typedef enum Cublas { CUBLAS_AUTO, CUBLAS_NEVER, CUBLAS_ALWAYS } Cublas;

typedef struct Part { int64_t offset, bytes; } Part;      // of the code: one binary for a GPU

typedef enum SlotRole {
    SLOT_INPUT, SLOT_OUTPUT,          // written, read by the caller
    SLOT_WEIGHT,                      // frozen: in space WEIGHT
    SLOT_PARAM,                       // trainable: copied to KEEP when a session opens
    SLOT_STATE,                       // optimizer moments, running statistics, step count, rates
    SLOT_VALUE,                       // a value inside the graph, kept readable on request
} SlotRole;

typedef struct Slot {                 // a place the caller can name
    int32_t name;                     // text
    int32_t role;
    int32_t buffer;                   // number, or -1
    int32_t update;                   // buffer with its next contents after a step, or -1: in place
    int32_t fns;                      // bit per function that uses it
    int32_t pad_;
    TensorDesc desc;
    int64_t weight;                   // offset in a package's weight section, or -1
} Slot;

typedef struct Function {             // steps[from .. to)
    int32_t name, from, to, pad_;
    int64_t arena_bytes;              // of ARENA that it uses, at maximum batch
    int64_t live_bound;               // greatest sum of its ARENA buffers alive at one step: no plan needs less
} Function;

typedef struct Program {
    int64_t arena_bytes, keep_bytes;  // of a session at maximum batch; of all functions the most
    int64_t max_batch;                // 1: fixed
    int32_t nstep, nbuffer, nref, nparam, nslot, nfunction, ngrid, nproduct, npart, nnumber;
    int64_t ntext;
    Step *steps;
    Buffer *buffers;
    int32_t *refs;                    // buffer numbers
    TensorDesc *descs;                // one per ref
    int64_t *params;
    Slot *slots;
    Function *functions;              // functions[0] is `init`
    Grid *grids;
    Product *products;
    int32_t *numbers;                 // of grids: what kernels of one text differ in, see codegen/cuda_numbers.c
    Part *parts;
    char *text;                       // NUL-terminated strings; text[0] is ""
    int32_t target;                   // text: "" for the CPU, "cuda:sm_90" or (PTX) "cuda:compute_90" for a GPU
    int32_t isa;                      // CPU: ISA_* the code needs
    int32_t lanes;                    // CPU: vector width in floats the code was made for
    const void **weights;             // per slot: the bytes of WEIGHT, PARAM and STATE slots, or NULL: zeros
    const char *code_path;            // shared object to dlopen, or NULL
    const void *code;                 // or its bytes (a package)
    int64_t code_bytes;
} Program;

enum { ISA_GENERIC, ISA_AVX2, ISA_AVX512 };      // AVX2 means AVX2 + FMA + F16C; AVX512: F, BW, DQ, VL too

static inline const char *program_text(const Program *p, int32_t at) { return p->text + at; }

int64_t desc_elements(const TensorDesc *d);      // program.c; -1: does not fit 63 bits, or a negative dimension
int64_t desc_bytes(const TensorDesc *d);         // the same, -1 also without a type

// Is every number in range, every text ended, every buffer inside its space? After E_OK nothing
// in the runtime reads or writes outside of what the program names. E_MALFORMED otherwise.
Err program_check(const Program *p, Fault *f);
int program_function(const Program *p, const char *name);      // its number, or -1

#endif
