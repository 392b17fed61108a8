// import_einsum.c -- Einsum, taken apart: diagonals by masking and sums, then operand by operand a
// product (broadcast where nothing is summed, MatMul elsewhere), at last the order asked for.
//
// Every axis of an operand carries a label: one of 52 letters, or its place in the ellipsis, counted
// from the right. A label of size 1 in one operand and more in another broadcasts: it is dropped.
#include "build.h"

enum { LETTERS = 52, LABELS = LETTERS + MAXDIM, ELLIPSIS = -1 };

typedef struct Term { Node *x; int n, label[MAXDIM]; } Term;  // x has n axes
typedef uint64_t Set;                                         // of labels

static Set bit(int label) { return (Set)1 << label; }

static Set labels_of(const Term *t) {
    Set s = 0;
    for (int i = 0; i < t->n; i++) s |= bit(t->label[i]);
    return s;
}

static int find(const Term *t, int label) {
    for (int i = 0; i < t->n; i++)
        if (t->label[i] == label) return i;
    return -1;
}

// ---- the equation ----

// Reads one term up to a comma, an arrow or the end: letters, and ELLIPSIS at most once. Returns their count.
static int read_term(Import *im, const char **p, int *label) {
    int n = 0;
    bool dots = false;
    for (; **p && **p != ',' && **p != '-'; ++*p) {
        bool lower = **p >= 'a' && **p <= 'z', upper = **p >= 'A' && **p <= 'Z';
        if (**p == ' ') continue;
        if (n == MAXDIM + 1) import_fail(im, E_UNSUPPORTED, "a term of its equation has more than %d labels", MAXDIM);
        if (lower || upper) {
            label[n++] = upper ? **p - 'A' : **p - 'a' + 26;  // capitals come first, as in ASCII
        } else {
            if (strncmp(*p, "...", 3) || dots)
                import_fail(im, E_MALFORMED, "its equation is wrong at '%s'", cx_show(im->cx, *p));
            label[n++] = ELLIPSIS, dots = true, *p += 2;
        }
    }
    return n;
}

// The ellipsis becomes `dots` labels of its own; returns how many labels there are then.
static int spelled_out(Import *im, const int *label, int n, int dots, int *to) {
    int m = 0;
    for (int i = 0; i < n; i++) {
        int count = label[i] == ELLIPSIS ? dots : 1;
        if (m + count > MAXDIM) import_fail(im, E_UNSUPPORTED, "more than %d axes", MAXDIM);
        for (int k = 0; k < count; k++) to[m++] = label[i] == ELLIPSIS ? LETTERS + dots - 1 - k : label[i];
    }
    return m;
}

static bool has_dots(const int *label, int n) {
    for (int i = 0; i < n; i++)
        if (label[i] == ELLIPSIS) return true;
    return false;
}

static Term read_operand(Import *im, int k, const char **p, int *dots) {
    int label[MAXDIM + 1], n = read_term(im, p, label);
    Term t = {.x = in(im, k)};
    int rest = t.x->shape.n - n + 1;
    if (!has_dots(label, n)) rest = 0;
    if (rest < 0 || (!has_dots(label, n) && n != t.x->shape.n))
        import_fail(im, E_MALFORMED, "its equation gives input %d, of shape %s, %d labels", k,
                    shape_str(im->cx, t.x->shape), n);
    t.n = spelled_out(im, label, n, rest, t.label);
    if (rest > *dots) *dots = rest;
    return t;
}

// Without an arrow: the ellipsis, then every label that occurs once, in alphabetical order.
static int implied(const Term *t, int nterm, int dots, int *label) {
    int seen[LABELS] = {0}, n = 0;
    for (int i = 0; i < nterm; i++)
        for (int d = 0; d < t[i].n; d++) seen[t[i].label[d]]++;
    if (dots) label[n++] = ELLIPSIS;
    for (int l = 0; l < LETTERS && n <= MAXDIM; l++)
        if (seen[l] == 1) label[n++] = l;
    return n;
}

static void read_result(Import *im, const char *p, const Term *t, int nterm, int dots, Term *result) {
    int label[MAXDIM + 1], n;
    if (*p && strncmp(p, "->", 2)) import_fail(im, E_MALFORMED, "its equation is wrong at '%s'", cx_show(im->cx, p));
    bool arrow = *p != 0;
    if (arrow) p += 2;
    n = arrow ? read_term(im, &p, label) : implied(t, nterm, dots, label);
    if (n > MAXDIM) import_fail(im, E_UNSUPPORTED, "more than %d axes", MAXDIM);
    if (arrow && *p) import_fail(im, E_MALFORMED, "its equation is wrong at '%s'", cx_show(im->cx, p));
    result->n = spelled_out(im, label, n, dots, result->label);
    Set given = 0, made = 0;
    for (int i = 0; i < nterm; i++) given |= labels_of(&t[i]);
    for (int i = 0; i < result->n; made |= bit(result->label[i++]))
        if (!(given >> result->label[i] & 1) || made >> result->label[i] & 1)
            import_fail(im, E_MALFORMED, "a label of its equation's result is in no term, or there twice");
}

// ---- one operand ----

static void drop_axis(Term *t, int i) {
    for (int d = i + 1; d < t->n; d++) t->label[d - 1] = t->label[d];
    t->n--;
}

static void sum_axis(Graph *g, Term *t, int i) {
    t->x = squeezed(g, reduced(g, OP_ReduceSum, t->x, AXES(i)), AXES(i));
    drop_axis(t, i);
}

// A label twice: what lies off the diagonal becomes 0, then one of the axes is summed away.
static void take_diagonals(Import *im, Term *t) {
    Graph *g = im->g;
    for (int k = t->n - 1; k > 0; k--) {
        int i = find(t, t->label[k]);
        if (i == k) continue;
        if (t->x->shape.d[i] != t->x->shape.d[k])
            import_fail(im, E_MALFORMED, "a label of its equation stands for sizes %lld and %lld",
                        (long long)t->x->shape.d[i], (long long)t->x->shape.d[k]);
        Node *on = op2(g, Equal, iota_along(g, t->x->shape, i), iota_along(g, t->x->shape, k));
        t->x = op3(g, Where, on, t->x, node_like(g, t->x, 0));
        sum_axis(g, t, k);
    }
}

static void drop_ones(Import *im, Term *t, const int64_t *size) {
    for (int d = t->n - 1; d >= 0; d--) {
        int64_t here = t->x->shape.d[d], want = size[t->label[d]];
        if (here == want) continue;
        if (here != 1)
            import_fail(im, E_MALFORMED, "a label of its equation stands for sizes %lld and %lld", (long long)here,
                        (long long)want);
        t->x = squeezed(im->g, t->x, AXES(d));
        drop_axis(t, d);
    }
}

static void sum_all_but(Graph *g, Term *t, Set keep) {
    for (int d = t->n - 1; d >= 0; d--)
        if (!(keep >> t->label[d] & 1)) sum_axis(g, t, d);
}

static void reordered(Graph *g, Term *t, const int *order) {
    int64_t perm[MAXDIM];
    for (int i = 0; i < t->n; i++) perm[i] = find(t, order[i]);
    t->x = node_transpose(g, t->x, perm);
    memcpy(t->label, order, sizeof *order * (size_t)t->n);
}

// ---- two operands ----

static int append(int *order, int n, const Term *t, Set which) {
    for (int i = 0; i < t->n; i++)
        if (which >> t->label[i] & 1) order[n++] = t->label[i];
    return n;
}

// x as matrices: after `lead` axes, those before `split` are the rows, the others the columns.
static Node *matrices(Graph *g, Node *x, int lead, int split) {
    Shape s = {.n = lead + 2, .batch = x->shape.batch};
    memcpy(s.d, x->shape.d, sizeof *s.d * (size_t)lead);
    s.d[lead] = s.d[lead + 1] = 1;
    for (int d = lead; d < x->shape.n; d++) {
        int to = d < split ? lead : lead + 1;
        s.d[to] *= x->shape.d[d];
        if (x->shape.batch == d + 1) s.batch = to + 1;
    }
    return node_reshape(g, x, s);
}

static Shape joined_shape(Import *im, const Term *a, const Term *b, int shared, int summed) {
    Shape s = a->x->shape, t = b->x->shape;
    s.n -= summed;
    if (s.n + t.n - shared - summed > MAXDIM) import_fail(im, E_UNSUPPORTED, "more than %d axes in a product", MAXDIM);
    for (int d = shared + summed; d < t.n; d++) {
        s.d[s.n++] = t.d[d];
        if (t.batch == d + 1) s.batch = s.n;
    }
    return s;
}

// Sums over the labels of both that nothing else needs; the result's labels: shared, a's own, b's own.
static Term product(Import *im, Term a, Term b, Set needed) {
    Graph *g = im->g;
    sum_all_but(g, &a, needed | labels_of(&b)), sum_all_but(g, &b, needed | labels_of(&a));
    Set common = labels_of(&a) & labels_of(&b), keep = common & needed, sum = common & ~needed;
    int left[MAXDIM], right[MAXDIM], shared = append(left, 0, &a, keep);
    int own = append(left, shared, &a, ~common), summed = append(left, own, &a, sum) - own;
    memcpy(right, left, sizeof *left * (size_t)shared);
    memcpy(right + shared, left + own, sizeof *left * (size_t)summed);
    append(right, shared + summed, &b, ~common);
    reordered(g, &a, left), reordered(g, &b, right);
    Term y = {.n = append(y.label, append(y.label, 0, &a, ~sum), &b, ~common)};
    Shape s = joined_shape(im, &a, &b, shared, summed);
    if (shared + 2 > MAXDIM) import_fail(im, E_UNSUPPORTED, "more than %d axes in a product", MAXDIM);
    Node *l = matrices(g, a.x, shared, own), *r = matrices(g, b.x, shared, shared + summed);
    y.x = node_reshape(g, summed ? op2(g, MatMul, l, r) : op2(g, Mul, l, r), s);
    return y;
}

void import_einsum(Import *im, const DocNode *n) {
    const char *p = attr_string(im, "equation", "");
    Term *t = NEW(im->cx, Term, n->nin + 1), result = {0};
    int64_t size[LABELS] = {0};
    int dots = 0;
    if (n->nin < 1) import_fail(im, E_MALFORMED, "it has no inputs");
    for (int k = 0; k < n->nin; k++) {
        if (k && *p++ != ',') import_fail(im, E_MALFORMED, "its equation has fewer terms than it has inputs");
        t[k] = read_operand(im, k, &p, &dots);
    }
    read_result(im, p, t, n->nin, dots, &result);
    for (int k = 0; k < n->nin; k++) {
        take_diagonals(im, &t[k]);
        for (int d = 0; d < t[k].n; d++) {
            int64_t *s = &size[t[k].label[d]], here = t[k].x->shape.d[d];
            if (*s == 0 || *s == 1) *s = here;
        }
    }
    for (int k = 0; k < n->nin; k++) drop_ones(im, &t[k], size);
    Term all = t[0];
    for (int k = 1; k < n->nin; k++) {
        Set needed = labels_of(&result);
        for (int i = k + 1; i < n->nin; i++) needed |= labels_of(&t[i]);
        all = product(im, all, t[k], needed);
    }
    sum_all_but(im->g, &all, labels_of(&result));
    reordered(im->g, &all, result.label);
    out(im, 0, all.x);
}
