// cuda.h -- kernels as CUDA C for a grid of threads, from the same formulas as for the CPU. The text
// has no headers but cuda_prelude.h and no names but those; "$" stands for the kernel's name.
// Every buffer begins at a multiple of 16 bytes.
#ifndef TVC_CUDA_H
#define TVC_CUDA_H
#include "codegen.h"

typedef struct CudaOptions {
    bool tf32;                        // products of f32 on tensor cores keep 11 bits; else 22 (three products)
    int parts;                        // blocks that share a sum; 0: as many as its shape wants
} CudaOptions;

// Parameters of the kernel: k's buffers in order, then a Ctx by value (cuda_prelude.h).
Text render_cuda(Cx *cx, Kernel *k, const CudaOptions *options);

typedef struct CudaForm {             // what a kernel would be beside others in one launch (Kernel.part)
    uint64_t text;                    // a hash, numbers included: equal ones share their text there
    int threads;
    bool tile, library;               // products on tensor cores; a library may compute it, too
} CudaForm;
CudaForm cuda_form(Cx *cx, Kernel *k, const CudaOptions *options);

// ---- rewriting (merge.c) ----
Kernel *kernel_merged(Kernel *k);                     // the same kernel with as few variables as possible

// ---- numbers as arguments (cuda_numbers.c) ----
void use_numbers(Out *o);             // from here on numeral_text() gives arguments, where indices are of 32 bits
int number_count(const Numbers *x);   // NULL: none
const int32_t *number_values(const Numbers *x);
void add_numbers(Cx *cx, Numbers *x, const int32_t *at, int n);       // behind the others, for whoever knows where
void quotient_numbers(int64_t d, uint32_t *m, int *shift);   // 2 <= d: x / d == (x * m >> 32) >> shift, 0 <= x < 2^31
const char *quotient_text(Out *o, const void *of, int which, int64_t d, const char *x);     // takes two numbers: which, which + 1
// Declares x % d as `rest` and, unless it is NULL, x / d as `quotient`; takes NUMBER_QUOTIENT and the one after it.
// often: powers of two are a form of their own, which is cheaper.
void divide(Out *o, const void *of, int64_t d, bool often, const char *x, const char *rest, const char *quotient);

// ---- several blocks for the same results (cuda_split.c) ----
int split_parts(int64_t groups, int64_t most);        // how many shall share each of so many groups of results
// Declares `count` and `parts`: in the workspace, of group `group`, which leaves `pieces` of 16 bytes for each part.
void split_workspace(Out *o, Grid *l, const char *group, int64_t groups, int parts, int64_t pieces);

enum { MOSTTURNS = 2048 };
// Declares `turns`, so many counts, and `sums_left`, so many bytes: in the workspace, beside the others.
void turns_workspace(Out *o, Grid *l, int64_t turns, int64_t bytes);

// ---- sums over a product's result, in the same kernel (carry.c, cuda_sums.c) ----
// The product's kernel, whose last results are the fold's (Kernel.nsum). NULL if the fold is not made of sums over all
// axes but one, of formulas of the product's result and of what lies as it does.
Kernel *kernel_with_sums(const Kernel *product, const Kernel *fold);

// ---- what schedules share (cuda_render.c) ----
typedef bool CudaSchedule(Out *o, Grid *l, const CudaOptions *options);
CudaSchedule cuda_tile, cuda_rows, cuda_fold, cuda_taps, cuda_each;

int cuda_axes(Out *o, Expr **v);                      // the output's: what grows first, what is contiguous last
int64_t vars_size(const Kernel *k, Expr **v, int n);  // at maximum batch
bool vars_grow(const Kernel *k, Expr **v, int n);
const char *size_text(Out *o, const void *of, int64_t size, bool grows);     // of: as in numeral_text
void unflatten(Out *o, Expr **v, int n, const char *flat);    // one number into variables, the last fastest
void unflatten_from(Out *o, Expr **v, int n, const char *flat, int first);     // into v[first..] only
int64_t index_at_zero(const Expr *e);                 // an affine index where all variables are 0
bool contiguous(Kernel *k, Expr *index, Expr *v, int64_t n);  // n neighbours along v begin at a multiple of n
bool touches(const Expr *e, const Expr *v);           // does value or index e depend on v?

// ---- threads that share reductions (cuda_fold.c): each has its part in a variable, then that of all ----
typedef struct Partial { Expr *const *of; const char *const *acc; int n; } Partial;     // the reductions, the variables
void partial_lanes(Out *o, Partial p, int lanes);     // of so many threads of a warp, side by side
void partial_shared(Out *o, Grid *l, Partial p, int lanes);          // declares what partial_warps needs
void partial_warps(Out *o, Partial p, int lanes);     // of the block's 8 warps, for so many results in each; after it

// ---- n elements side by side along v (cuda_neighbours.c) ----
bool neighbours(Out *o, Expr *e, Expr *v, int n, int bytes);  // is e made of whole vectors of at most so many bytes?
bool vector_fits(DType t, int n, int bytes);          // is there a type of n such elements? Beyond 16 bytes of f32 only
void load_neighbours(Out *o, Expr *e, Expr *v, int n);        // what of e lies so is read; element [e] of each is named
void store_neighbours(Out *o, Expr *v, int n);                // computes and stores all results

#endif
