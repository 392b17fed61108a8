// factors.h -- a formula as f(sum over r.. of A * B), and how its loads move; private to codegen/.
#ifndef TVC_FACTORS_H
#define TVC_FACTORS_H
#include "codegen.h"

enum { MAXRED = 16 };

typedef struct Factors {
    Expr *sum;                        // the outermost K_SUM of the only result
    Expr *a, *b;                      // bare loads of f32
    Expr *red[MAXRED];                // the summed variables, outermost first
    int nred;
} Factors;

bool factors_of(Kernel *k, Factors *f);               // false: the formula has another form
int64_t var_extent(const Kernel *k, const Expr *v);   // 1 for NULL
int64_t out_coef(Kernel *k, Expr *v);                 // how the result's place moves with v

#endif
