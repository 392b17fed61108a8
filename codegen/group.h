// group.h -- kernels of one function of a GPU's program and what they wait for; private to group.c, carry.c and beside.c.
#ifndef TVC_GROUP_H
#define TVC_GROUP_H
#include "link.h"

typedef struct Plan {
    Cx *cx;
    Unit *u;
    int n;
    int **next, *nnext, *waits;       // those that need it; how many it needs
    int *level;                       // of the beginning: >= 0; of the end: likewise, in `late`
    bool *early, *late, *done;
} Plan;

Plan plan_units(Cx *cx, Unit *u, int n);         // with edges, and what stands at the beginning and at the end
bool is_product(const Unit *u);
Kernel *together(Cx *cx, Unit *const *u, int n); // one launch of them

// beside.c: in place, before they are ordered: products between beginning and end that may run side by side, as
// one. How many units are left.
int join_products(const Plan *p, const CudaOptions *options);

// carry.c: in place, before that: kernels of sums over a product's result that the product's kernel makes, too. How
// many units are left.
int carry_sums(const Plan *p, const CudaOptions *options);

#endif
