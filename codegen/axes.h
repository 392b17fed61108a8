// axes.h -- how the interpreter walks over a kernel's results: which axes become one, which one
// blocks run along; and indices in terms of what is left.
#ifndef TVC_AXES_H
#define TVC_AXES_H
#include "ir/kernel.h"

enum { MAX_TERMS = 24 };

typedef struct Affine {               // base + sum of coef * variable
    int64_t base;
    int n;
    int64_t var[MAX_TERMS], coef[MAX_TERMS];
} Affine;

typedef struct Rest { Expr *e[MAX_TERMS]; int64_t coef[MAX_TERMS]; int n; } Rest;      // terms that are no variables

typedef struct Axes {
    Kernel *k;
    int64_t *extent;                  // per variable, merged ones included
    bool *grows, *merged;             // merged: its place is counted by another variable
    int lane;                         // the variable blocks run along, or -1
    int nouter, outer[MAXDIM];        // the other output axes, slowest first; what grows comes first
} Axes;

Axes axes_of(Kernel *k);
bool affine_of(const Axes *x, Expr *index, Affine *a, Rest *rest);      // false: too many terms
bool affine_add(Affine *a, int64_t var, int64_t coef);                  // false: too many terms
int64_t affine_coef(const Affine *a, int64_t var);

#endif
