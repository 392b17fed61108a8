// cublaslt.h -- NVIDIA's library of matrix products, opened at run time: the functions of libcublasLt that tvc uses.
// Nothing here needs a CUDA header or library to build, nor the library to run: who has none goes on without.
#ifndef TVC_CUBLASLT_H
#define TVC_CUBLASLT_H
#include "cuda_driver.h"

typedef struct LtHandle_ *LtHandle;
typedef struct LtProduct_ *LtProduct;                // what is computed
typedef struct LtLayout_ *LtLayout;                  // of a matrix: column by column
typedef struct LtWish_ *LtWish;                      // what an algorithm must hold to

typedef struct LtAlgorithm { uint64_t data[8]; } LtAlgorithm;

typedef struct LtFound {                             // cublasLtMatmulHeuristicResult_t
    LtAlgorithm algorithm;
    size_t workspace;                                // bytes
    int state;                                       // 0: may be used
    float waves;
    int reserved[4];
} LtFound;

// As in cublasLt.h. All return 0 for success.
//    ours              symbol                                  parameters
#define CUBLASLT_FUNCTIONS(X)                                                                                      \
    X(Create,           "cublasLtCreate",                       (LtHandle *h))                                     \
    X(Destroy,          "cublasLtDestroy",                      (LtHandle h))                                      \
    X(ProductCreate,    "cublasLtMatmulDescCreate",             (LtProduct *p, int compute, int scale))            \
    X(ProductDestroy,   "cublasLtMatmulDescDestroy",            (LtProduct p))                                     \
    X(ProductSet,       "cublasLtMatmulDescSetAttribute",       (LtProduct p, int what, const void *to, size_t n)) \
    X(LayoutCreate,     "cublasLtMatrixLayoutCreate",                                                              \
      (LtLayout *l, int type, uint64_t rows, uint64_t columns, int64_t step))                                      \
    X(LayoutDestroy,    "cublasLtMatrixLayoutDestroy",          (LtLayout l))                                      \
    X(LayoutSet,        "cublasLtMatrixLayoutSetAttribute",     (LtLayout l, int what, const void *to, size_t n))  \
    X(WishCreate,       "cublasLtMatmulPreferenceCreate",       (LtWish *w))                                       \
    X(WishDestroy,      "cublasLtMatmulPreferenceDestroy",      (LtWish w))                                        \
    X(WishSet,          "cublasLtMatmulPreferenceSetAttribute", (LtWish w, int what, const void *to, size_t n))    \
    X(Find,             "cublasLtMatmulAlgoGetHeuristic",                                                          \
      (LtHandle h, LtProduct p, LtLayout a, LtLayout b, LtLayout c, LtLayout d, LtWish w, int most, LtFound *found, \
       int *n))                                                                                                    \
    X(Multiply,         "cublasLtMatmul",                                                                          \
      (LtHandle h, LtProduct p, const void *alpha, CuPointer a, LtLayout la, CuPointer b, LtLayout lb,             \
       const void *beta, CuPointer c, LtLayout lc, CuPointer d, LtLayout ld, const LtAlgorithm *how,               \
       CuPointer workspace, size_t bytes, CuStream s))

typedef struct Cublaslt {
#define X(ours, symbol, parameters) int (*ours) parameters;
    CUBLASLT_FUNCTIONS(X)
#undef X
} Cublaslt;

// Of library_types.h, cublas_api.h and cublasLt.h, those with a meaning here (tests/test_cublaslt.c compares them).
enum { LT_F32 = 0, LT_F16 = 2, LT_BF16 = 14 };                           // cudaDataType_t
enum { LT_COMPUTE_F32 = 68, LT_COMPUTE_TF32 = 77 };                      // cublasComputeType_t: sums are f32 in both
enum { LT_TRANSPOSE_A = 3, LT_TRANSPOSE_B = 4, LT_EPILOGUE = 7, LT_BIAS_POINTER = 8, LT_BIAS_TYPE = 26 };
enum { LT_EPILOGUE_NONE = 1, LT_EPILOGUE_RELU = 2, LT_EPILOGUE_BIAS = 4, LT_EPILOGUE_RELU_BIAS = 6 };
enum { LT_ROWS = 2, LT_COLUMNS = 3, LT_COUNT = 5, LT_STRIDE = 6 };       // of a layout
enum { LT_MOST_WORKSPACE = 1, LT_REDUCTIONS = 3, LT_ALIGN_A = 5, LT_ALIGN_B = 6, LT_ALIGN_C = 7, LT_ALIGN_D = 8 };
enum { LT_REDUCE_IN_F32 = 2 };        // parts of a long sum are kept in f32, then added by another kernel, in order
enum { LT_NOT_SUPPORTED = 15 };                                          // cublasStatus_t

enum { CUBLASLT_OLDEST = 12 };                       // major version

// The library, opened once: libcublasLt.so of 13 or 12, not newer than the driver for CUDA `driver` (13000), or the
// file that TVC_CUBLASLT names (empty: as if there were none). NULL, *f says what is missing (E_DEVICE).
const Cublaslt *cublaslt(int driver, Fault *f);

Err cublaslt_version(int *major, int *minor, Fault *f);        // of what is found here; E_DEVICE: nothing

#endif
