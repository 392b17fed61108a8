// interp_check.c -- bytecode looked over before it runs: one walk along the table of operands.
#include "interp.h"
#include "arith.h"
#include <stdbool.h>

typedef struct Check {
    const FormulaHeader *h;
    int nwritten;
    const int64_t *at, *end;
} Check;

static const char *const operands[FORMULA_NOPS] = {
#define X(name, text) [FORMULA_##name] = text,
    FORMULA_OPS(X)
#undef X
};

static const int64_t far = (int64_t)1 << 40;               // factors and steps of indices stay below

static bool next(Check *c, int64_t lo, int64_t hi, int64_t *value) {
    if (c->at >= c->end || *c->at < lo || *c->at > hi) return false;
    *value = *c->at++;
    return true;
}

static bool affine_ok(Check *c, bool forward) {
    int64_t n, v;
    if (!next(c, INT64_MIN, INT64_MAX, &v) || !next(c, forward ? 0 : -far, far, &v) ||
        !next(c, 0, FORMULA_MAX_VARS, &n))
        return false;
    while (n--)
        if (!next(c, 0, c->h->nvar - 1, &v) || !next(c, -far, far, &v)) return false;
    return true;
}

static bool list_ok(Check *c, char kind) {
    int64_t n, v;
    if (!next(c, 0, kind == 'R' ? INT32_MAX : FORMULA_MAX_SUMS, &n)) return false;
    for (; n--; ) {
        if (kind == 'V' && !next(c, 0, c->h->nvar - 1, &v)) return false;
        if (kind == 'G' && (!next(c, 0, INT64_MAX, &v) || !affine_ok(c, true))) return false;
        for (int i = 0; kind == 'R' && i < 4; i++)
            if (!next(c, i ? 0 : -far, far, &v)) return false;
    }
    return true;
}

// One word of kind `kind`; *nested collects the lengths of nested code.
static bool operand_ok(Check *c, char kind, int64_t *nested, int *nnested) {
    int64_t v;
    switch (kind) {
    case 'r': return next(c, 0, c->h->nreg - 1, &v);
    case 'q': return next(c, -1, c->h->nreg - 1, &v);
    case 'b': return next(c, 0, c->h->nbuf - 1, &v);
    case 'm': return next(c, -1, c->h->nbuf - 1, &v);
    case 'w': return next(c, 0, c->nwritten - 1, &v);
    case 's': return next(c, DT_F32, DT_BOOL, &v);
    case 't': return next(c, DT_F32, DT_BOOL, &v) && dtypes[v].value == (DType)v;
    case 'k': return next(c, 0, NARITH - 1, &v);
    case 'o':
        return next(c, 0, NARITH - 1, &v) && (v == ARITH_ADD || v == ARITH_MUL || v == ARITH_MAX || v == ARITH_MIN);
    case 'v': return next(c, 0, c->h->nvar - 1, &v);
    case 'n': return next(c, 0, INT64_MAX, &v);
    case 'i': return next(c, INT64_MIN, INT64_MAX, &v);
    case 'x': return affine_ok(c, false);
    case 'l': return next(c, 0, c->end - c->at, &nested[(*nnested)++]);
    default: return list_ok(c, kind);
    }
}

// The instructions up to c->end. Depth is bounded, so is this recursion.
static bool code_ok(Check *c, int depth) {
    while (c->at < c->end) {
        int64_t op, nested[2];
        int n = 0;
        if (depth > FORMULA_MAX_DEPTH || !next(c, 0, FORMULA_NOPS - 1, &op)) return false;
        for (const char *o = operands[op]; *o; o++)
            if (!operand_ok(c, *o, nested, &n)) return false;
        for (int i = 0; i < n; i++) {
            Check inner = *c;
            if (nested[i] > c->end - c->at) return false;
            inner.end = c->at + nested[i];
            if (!code_ok(&inner, depth + 1)) return false;
            c->at = inner.end;
        }
    }
    return true;
}

static bool header_ok(const FormulaHeader *h, int64_t words, int nref) {
    return h->version == FORMULA_VERSION && h->nbuf == nref && h->block >= 1 && h->block <= FORMULA_MAX_BLOCK &&
           h->nreg >= 1 && h->nreg <= FORMULA_CELLS / h->block && h->nvar >= 0 && h->nvar <= FORMULA_MAX_VARS &&
           h->nouter >= 0 && h->nouter <= TVC_MAXDIM && h->lane >= -1 && h->lane < h->nvar &&
           2 * h->nvar + h->nouter <= words;
}

static bool grows(const int64_t *vars, int64_t v) { return vars[2 * v + 1]; }

// Variables and outer axes, and how many units they make.
static bool loops_ok(Check *c, int64_t max_batch, const Step *s) {
    const FormulaHeader *h = c->h;
    const int64_t *vars = c->at;
    int64_t units = 1, v, extent;
    for (int64_t i = 0; i < h->nvar; i++)
        if (!next(c, 0, far, &extent) || !next(c, 0, 1, &v) || (v && extent % max_batch)) return false;
    bool any_grows = false;
    for (int64_t i = 0; i < h->nouter; i++) {
        if (!next(c, 0, h->nvar - 1, &v) || (grows(vars, v) && (i || max_batch == 1))) return false;
        any_grows |= grows(vars, v);
        if (__builtin_mul_overflow(units, vars[2 * v], &units)) return false;
    }
    if (h->lane >= 0 && !grows(vars, h->lane)) {
        int64_t blocks = (vars[2 * h->lane] + h->block - 1) / h->block;
        if (__builtin_mul_overflow(units, blocks, &units)) return false;
    }
    return units == s->units && any_grows == (s->per_batch != 0);
}

Err formula_check(const Program *p, const Step *s, Fault *f) {
    const int64_t *code = p->params + s->formula;
    int64_t words = s->nformula - (int64_t)(sizeof(FormulaHeader) / sizeof(int64_t));
    const FormulaHeader *h = (const FormulaHeader *)code;
    Check c = {h, s->nwritten, code + sizeof *h / sizeof(int64_t), code + s->nformula};
    if (words < 0 || !header_ok(h, words, s->nref) || !loops_ok(&c, p->max_batch, s) || !code_ok(&c, 0))
        return fault(f, E_MALFORMED, "step '%s': its formula makes no sense", program_text(p, s->label));
    return E_OK;
}
