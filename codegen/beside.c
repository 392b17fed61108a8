// beside.c -- products that share a launch: alone, few of them fill a GPU.
//
//     those that wait for the same kernels: the phases of a strided convolution's gradient, the two ways into a
//     residual block
//     gradients of weights, which nothing waits for but updates, if their text is the same
//
// No kernel comes to wait for itself by that: one that stands between two that need the same would have to stand
// before both, and between gradients of weights there is nothing. What a library may compute stays alone.
#include "group.h"

enum { MOSTBESIDE = 4 };

typedef struct Beside {
    const Plan *p;
    const CudaOptions *options;
    int **needs, *nneeds;             // kernels it waits for, but for those of the beginning; in order
    bool *last;                       // none but those of the end wait for it
    CudaForm *form;
    bool *formed, *taken, *gone;      // gone: its launch stands in another's place
} Beside;

static bool may(const Beside *b, int i) {
    const Plan *p = b->p;
    return !p->early[i] && !p->late[i] && is_product(&p->u[i]) && !p->u[i].k->hand && p->u[i].k->nout == 1 &&
           !b->taken[i];
}

static void find_needs(Beside *b) {
    const Plan *p = b->p;
    for (int i = 0; i < p->n; i++) {
        b->last[i] = true;
        for (int k = 0; k < p->nnext[i]; k++) {
            int to = p->next[i][k];
            b->last[i] &= p->late[to];
            if (!p->early[i]) *VEC_PUSH(p->cx, b->needs[to], b->nneeds[to]) = i;
        }
    }
}

static const CudaForm *form_of(Beside *b, int i) {
    if (!b->formed[i]) b->form[i] = cuda_form(b->p->cx, b->p->u[i].k, b->options), b->formed[i] = true;
    return &b->form[i];
}

static bool fit_together(Beside *b, int i, int j) {
    const Kernel *x = b->p->u[i].k, *y = b->p->u[j].k;
    int n = b->nneeds[i];
    bool same = n == b->nneeds[j] && (!n || !memcmp(b->needs[i], b->needs[j], sizeof **b->needs * (size_t)n));
    bool last = b->last[i] && b->last[j] && same_shape(x->out->shape, y->out->shape);
    if (b->last[i] != b->last[j] || (!same && !last)) return false;
    const CudaForm *f = form_of(b, i), *g = form_of(b, j);
    return f->tile && g->tile && !f->library && !g->library && f->threads == g->threads &&
           (!last || f->text == g->text);
}

static int beside(Beside *b, int i, int *with) {
    int n = 0;
    with[n++] = i;
    for (int j = i + 1; j < b->p->n && n < MOSTBESIDE; j++)
        if (may(b, j) && fit_together(b, i, j)) with[n++] = j;
    return n;
}

int join_products(const Plan *p, const CudaOptions *options) {
    Cx *cx = p->cx;
    Beside b = {.p = p,
                .options = options,
                .needs = NEW(cx, int *, p->n),
                .nneeds = NEW(cx, int, p->n),
                .last = NEW(cx, bool, p->n),
                .form = NEW(cx, CudaForm, p->n),
                .formed = NEW(cx, bool, p->n),
                .taken = NEW(cx, bool, p->n),
                .gone = NEW(cx, bool, p->n)};
    int left = 0;
    find_needs(&b);
    for (int i = 0; i < p->n; i++) {
        int with[MOSTBESIDE], n = may(&b, i) ? beside(&b, i, with) : 0;
        if (n < 2) continue;
        Unit *u[MOSTBESIDE];
        for (int k = 0; k < n; k++) u[k] = &p->u[with[k]], b.taken[with[k]] = true, b.gone[with[k]] = k < n - 1;
        u[n - 1]->k = together(cx, u, n);                // in the place of the last, when all of them can run
    }
    for (int i = 0; i < p->n; i++)
        if (!b.gone[i]) p->u[left++] = p->u[i];
    return left;
}
