// body_eliminate.c -- Eliminate: square matrices made upper triangular, determinants kept.
//     buf   y, x   [.., M, M], floats
// Gauss's elimination with the largest pivot of each column; where two rows change places, one
// changes its sign. The product of the diagonal is the determinant.
#include "bodies.h"
#include <math.h>
#include <string.h>

typedef struct Matrix { DType type; char *at; int64_t m; } Matrix;

static char *cell(const Matrix *a, int64_t i, int64_t j) { return a->at + (i * a->m + j) * dtypes[a->type].bytes; }
static double get(const Matrix *a, int64_t i, int64_t j) { return dtype_get_f(a->type, cell(a, i, j)); }
static void set(const Matrix *a, int64_t i, int64_t j, double v) { dtype_set_f(a->type, cell(a, i, j), v); }

static void swap_rows(const Matrix *a, int64_t p, int64_t q) {
    for (int64_t j = 0; j < a->m; j++) {
        double t = get(a, p, j);
        set(a, p, j, get(a, q, j)), set(a, q, j, -t);
    }
}

static void eliminate(const Matrix *a) {
    for (int64_t k = 0; k < a->m; k++) {
        int64_t pivot = k;
        for (int64_t i = k + 1; i < a->m; i++)
            if (fabs(get(a, i, k)) > fabs(get(a, pivot, k))) pivot = i;
        if (pivot != k) swap_rows(a, k, pivot);
        double top = get(a, k, k);
        for (int64_t i = k + 1; i < a->m && top != 0; i++) {
            double factor = get(a, i, k) / top;
            set(a, i, k, 0);
            for (int64_t j = k + 1; j < a->m; j++) set(a, i, j, get(a, i, j) - factor * get(a, k, j));
        }
    }
}

void body_Eliminate(const BodyArgs *a) {
    const TensorDesc *d = &a->desc[0];
    int64_t m = d->dim[d->rank - 1], bytes = dtypes[d->type].bytes * m * m, n = 1;
    for (int i = 0; i < d->rank - 2; i++) n *= d->dim[i];
    if (n > 0 && m > 0) memcpy(a->buf[0], a->buf[1], (size_t)(n * bytes));
    for (int64_t i = 0; i < n; i++) eliminate(&(Matrix){d->type, (char *)a->buf[0] + i * bytes, m});
}
