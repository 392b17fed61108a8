// interp.h -- one kernel's formulas as bytecode, for machines without a C compiler.
//
// The code computes a block of up to 256 elements at a time: neighbours along one output axis, the
// lane. A register is a column of that many values: float for F32, double for F64, int64_t for
// everything else (BOOL is 0 or 1; other integers are kept within their type).
//
// Code is a list of 64-bit words: a header, the variables, the outer axes, instructions.
//   header     version, buffers, registers, block, variables, outer axes, lane (a variable, or -1)
//   variable   extent at maximum batch, whether it grows with the batch: two words each
//   outer axes variables, slowest first; what grows comes first
// A unit is one place of the outer axes and one block of the lane; where the lane itself grows
// with the batch, a unit holds all of the lane's blocks.
//
// Operands of an instruction, one word each unless said otherwise:
//   r register   b buffer   w buffer that is written   s element type   t value type   k Arith
//   n count >= 0   i any number   q register or -1   v variable   m buffer or -1   o folding Arith
//   x affine index: base, step per lane, count, then (variable, factor) each; the lane variable
//     stands for the first element of the block
//   V count, then variables     G count, then (extent, x) each     R count, then (offset, elements,
//     repeats, stride) each     l words of the nested code that follows all operands
#ifndef TVC_INTERP_H
#define TVC_INTERP_H
#include "program.h"

//        name       operands   meaning
#define FORMULA_OPS(X)                                                                                   \
    X(IMM,     "rti")       /* dst = bits i: a float's are those of the double                      */   \
    X(AFFINE,  "rx")        /* dst = index, I64                                                     */   \
    X(LOAD,    "rbsx")      /* dst = buf[index]                                                     */   \
    X(GATHER,  "rbsr")      /* dst = buf[register]                                                  */   \
    X(DATA,    "rrn")       /* dst = a where 0 <= a < n; else 0, and the error flag                 */   \
    X(ARITH,   "rtkrr")     /* dst = a op b, operands of type t; one operand: twice the same        */   \
    X(SELECT,  "rtrrr")     /* dst = a ? b : c                                                      */   \
    X(CAST,    "rttr")      /* dst (first type) = a (second type)                                   */   \
    X(BATCH,   "ri")        /* dst = i * batch in use, I64                                          */   \
    X(UNIFORM, "vr")        /* variable = register, the same in all lanes                           */   \
    X(RANDOM,  "rir")       /* dst = element a of stream i, F32                                     */   \
    X(REDUCE,  "rtovrl")    /* dst = all of the register over v, after running the code for each    */   \
    X(INSIDE,  "rtnqxrrll") /* 0 <= q or x < n: first code, first register; else the second         */   \
    X(SUMPROD, "rVbxmxG")   /* dst = sum over V of b[x] * m[x], all F32, where every G is inside    */   \
    X(STORE,   "wsxtr")     /* buf[index] = value of type t                                         */   \
    X(FILL,    "wstixVR")   /* where all of V are 0: buf[index + R] = bits i                        */

typedef enum FormulaOp {
#define X(name, operands) FORMULA_##name,
    FORMULA_OPS(X)
#undef X
    FORMULA_NOPS
} FormulaOp;

enum {
    FORMULA_VERSION = 1,
    FORMULA_MAX_BLOCK = 256,
    FORMULA_CELLS = 8192,             // registers * block: a thread's memory
    FORMULA_MAX_VARS = 64,
    FORMULA_MAX_SUMS = 8,             // variables, and conditions, of a SUMPROD
    FORMULA_MAX_DEPTH = 48,           // of nested code
};

typedef struct FormulaHeader {
    int64_t version, nbuf, nreg, block, nvar, nouter, lane;
} FormulaHeader;

typedef struct FormulaArgs {
    const int64_t *code;
    int64_t ncode;
    int64_t max_batch;
    void *const *buf;
    const int64_t *room;              // bytes of each buffer: nothing is read or written outside of them
    const KernelCtx *ctx;
} FormulaArgs;

// Is every operand in range, and does the step's unit count fit? E_MALFORMED otherwise. After
// E_OK formula_run reads and writes only buffers, whatever the code says.
Err formula_check(const Program *p, const Step *s, Fault *f);

void formula_run(int64_t lo, int64_t hi, const FormulaArgs *a);

#endif
