// print.c -- formulas as C. A value prints as an expression; a reduction, a guarded load or
// whatever is used more than once first prints its statements and is then a name. With a lane,
// every value is a vector. No byte of model text gets here: names are numbers.
#include "codegen.h"

static const struct { const char *infix, *name; int args; bool vector; } kop[] = {
#define KOP(name, n, class, infix, flt, integer) [K_##name] = {infix, #name, n, false},
#include "../runtime/kops.h"
};

// Operations the prelude also has on vectors of f32 (kernel_prelude.h).
static bool on_vectors(int op) {
    switch (op) {
    case K_ADD: case K_SUB: case K_MUL: case K_DIV: case K_MAX: case K_MIN: case K_NEG: case K_ABS: case K_SQRT:
    case K_EXP: case K_LOG: case K_TANH: case K_ERF: case K_FLOOR: case K_CEIL: case K_ROUND: case K_TRUNC:
    case K_EQ: case K_LT: case K_LE: case K_AND: case K_OR: case K_XOR: case K_NOT: case K_ISNAN: return true;
    default: return false;
    }
}

// ---- lines ----

static void vappend(Out *o, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    size_t n = (size_t)vsnprintf(NULL, 0, fmt, ap), need = o->len + n + 1;
    if (need > o->cap) {
        o->text = cx_grow(o->cx, o->text, o->len, need * 2);
        o->cap = need * 2;
    }
    vsnprintf(o->text + o->len, n + 1, fmt, again);
    o->len += n;
    va_end(again);
}

void append(Out *o, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vappend(o, fmt, ap);
    va_end(ap);
}

static void vline(Out *o, const char *fmt, va_list ap) {
    append(o, "%*s", o->depth * 4, "");
    vappend(o, fmt, ap);
    append(o, "\n");
}

void line(Out *o, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vline(o, fmt, ap);
    va_end(ap);
}

void begin(Out *o, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vline(o, fmt, ap);
    va_end(ap);
    o->depth++;
}

void end(Out *o) { o->depth--, line(o, "}"); }

// ---- names and scopes ----

int open_scope(Out *o) { return o->nnamed; }

void close_scope(Out *o, int mark) {
    while (o->nnamed > mark) o->named[--o->nnamed]->as = NULL;
}

void name_expr(Out *o, Expr *e, const char *name) {
    e->as = cx_fmt(o->cx, "%s", name);
    int n = o->nnamed;
    if (n % 64 == 0)
        o->named = cx_grow(o->cx, o->named, sizeof *o->named * (size_t)n, sizeof *o->named * (size_t)(n + 64));
    o->named[o->nnamed++] = e;
}

int buf_number(Kernel *k, Node *n) {
    int b = k->nout;
    while (k->buf[b] != n) b++;
    return b;
}

// ---- indices ----

const char *index_text(Out *o, Expr *e) {
    Cx *cx = o->cx;
    static const char *const sign[] = {[I_ADD] = "+", [I_MUL] = "*", [I_DIV] = "/", [I_MOD] = "%"};
    if (e->as) return e->as;
    if (e->op == I_VAR) return cx_fmt(cx, "v%d", (int)e->i);
    if (e->op == I_IMM) return numeral_text(o, e, NUMBER_EXTENT, e->i);
    bool divides = e->op == I_DIV || e->op == I_MOD;          // by a literal: by anything else it would be slow
    const char *a = index_text(o, e->a);
    const char *b = divides && e->b->op == I_IMM ? cx_fmt(cx, "%lld", (long long)e->b->i) : index_text(o, e->b);
    return cx_fmt(cx, "(%s %s %s)", a, sign[e->op], b);
}

// Indices read from data are values: name them before the index is printed.
static void name_data(Out *o, Expr *e) {
    if (!e || e->op == I_VAR || e->op == I_IMM || e->as) return;
    if (e->op != I_DATA) {
        name_data(o, e->a), name_data(o, e->b);
        return;
    }
    const char *v = value_text(o, e->a), *name = cx_fmt(o->cx, "d%d", o->nname++);
    line(o, "const %s %s = (%s)in_range((long)%s, %lldL, ctx);", o->index, name, o->index, v, (long long)e->i);
    name_expr(o, e, name);
}

static const char *index_of(Out *o, Expr *e) {
    name_data(o, e);
    return index_text(o, e);
}

const char *extent_text(Out *o, Expr *var) {
    int64_t n = o->k->extent[var->i];
    if (!var_is_open(o->k, var)) return cx_fmt(o->cx, "%lld", (long long)n);
    return cx_fmt(o->cx, "(%s)(%lld * ctx->batch)", o->index, (long long)(n / o->k->max_batch));
}

// ---- values ----

static const char *c_type(Out *o, DType t) {
    if (o->lane && t == DT_F32) return "vf";
    if (o->lane && t == DT_BOOL) return "vi";
    return dtypes[t].name;
}

static const char *imm_text(Out *o, Expr *e) {
    const char *s;
    if (!dtype_is_float(e->type)) {
        s = e->i == INT64_MIN ? "(-9223372036854775807L - 1)" : cx_fmt(o->cx, "%lldL", (long long)e->i);
        s = cx_fmt(o->cx, "((%s)%s)", dtypes[e->type].name, s);
    } else if (isnan(e->f)) s = cx_fmt(o->cx, "NAN_%s", dtypes[e->type].name);
    else if (isinf(e->f)) s = cx_fmt(o->cx, e->f < 0 ? "(-INF_%s)" : "INF_%s", dtypes[e->type].name);
    else s = cx_fmt(o->cx, "%s%a%s%s", e->f < 0 || signbit(e->f) ? "(" : "", e->f, e->type == DT_F32 ? "f" : "",
                    e->f < 0 || signbit(e->f) ? ")" : "");
    return o->lane ? cx_fmt(o->cx, e->type == DT_BOOL ? "vmask(%s)" : "splat(%s)", s) : s;
}

const char *memory_type(DType t) {
    return dtype_is_narrow(t) ? "u16" : t == DT_BOOL ? "u8" : dtypes[t].name;
}

const char *from_memory(Out *o, DType t, const char *x) {
    if (dtype_is_narrow(t)) return cx_fmt(o->cx, "%s_to_f32(%s)", dtypes[t].name, x);
    return t == DT_BOOL ? cx_fmt(o->cx, "(%s != 0)", x) : x;
}

const char *to_memory(Out *o, DType t, const char *x) {
    return dtype_is_narrow(t) ? cx_fmt(o->cx, "f32_to_%s(%s)", dtypes[t].name, x) : x;
}

static const char *load_text(Out *o, Expr *e) {
    int b = buf_number(o->k, e->buf);
    const char *at = index_of(o, e->a);
    DType t = e->buf->type;
    if (!o->lane || t != DT_F32) return from_memory(o, t, cx_fmt(o->cx, "b%d[%s]", b, at));
    return cx_fmt(o->cx, ix_coef(e->a, o->lane) ? "LD(b%d + %s)" : "splat(b%d[%s])", b, at);
}

const char *fold_text(Out *o, Expr *e, const char *acc, const char *x) {
    const char *kind = o->lane ? "v" : dtypes[e->type].name;
    switch (e->op) {
    case K_SUM:
        return dtype_is_float(e->type) ? cx_fmt(o->cx, "%s + %s", acc, x)
                                       : cx_fmt(o->cx, "ADD_%s(%s, %s)", kind, acc, x);
    case K_PROD:
        return dtype_is_float(e->type) ? cx_fmt(o->cx, "%s * %s", acc, x)
                                       : cx_fmt(o->cx, "MUL_%s(%s, %s)", kind, acc, x);
    default:     return cx_fmt(o->cx, "%s_%s(%s, %s)", e->op == K_MAXIMUM ? "MAX" : "MIN", kind, acc, x);
    }
}

static Expr *neutral(Out *o, Expr *e) {
    DType t = e->type;
    if (e->op == K_SUM || e->op == K_PROD) return k_imm_i(o->k, t, e->op == K_PROD);
    bool max = e->op == K_MAXIMUM;
    if (dtype_is_float(t)) return k_imm(o->k, t, max ? -INFINITY : INFINITY);
    int bits = dtypes[t].bytes * 8;
    if (t == DT_BOOL) return k_imm_i(o->k, t, !max);
    if (!dtype_is_signed(t)) return k_imm_i(o->k, t, max ? 0 : bits == 64 ? -1 : (int64_t)(UINT64_MAX >> (64 - bits)));
    int64_t top = (int64_t)(UINT64_MAX >> (65 - bits));
    return k_imm_i(o->k, t, max ? -top - 1 : top);
}

const char *neutral_text(Out *o, Expr *e) { return imm_text(o, neutral(o, e)); }

// Nested reductions of one kind share an accumulator, sums that round excepted: adding partial sums of like
// size keeps their errors small.
static const char *reduce_text(Out *o, Expr *e) {
    bool rounds = e->op == K_SUM && dtype_is_float(e->type);
    const char *acc = cx_fmt(o->cx, "a%d", o->nname++);
    line(o, "%s %s = %s;", c_type(o, e->type), acc, neutral_text(o, e));
    int mark = open_scope(o), depth = 0;
    Expr *x = e;
    for (; x->op == e->op && !x->as && !(rounds && depth); x = x->a, depth++) loop(o, x->b);
    const char *v = value_text(o, x);
    line(o, "%s = %s;", acc, fold_text(o, e, acc, v));
    close_scope(o, mark);
    while (depth--) end(o);
    return acc;
}

static bool is_load(const Expr *e) { return e->op == K_LOAD || expr_is_reduce(e) || e->op == K_INSIDE; }

// The value is only computed where the index is inside: its loads could reach outside elsewhere.
static const char *inside_text(Out *o, Expr *e) {
    const char *at = index_of(o, e->b), *name = cx_fmt(o->cx, "x%d", o->nname++);
    const char *test = cx_fmt(o->cx, "(unsigned %s)%s < (unsigned %s)%s", o->index, at, o->index,
                              numeral_text(o, e, NUMBER_EXTENT, e->i));
    line(o, "%s %s;", c_type(o, e->type), name);
    Expr *part[] = {e->a, e->c};
    for (int i = 0; i < 2; i++) {
        begin(o, i ? "} else {" : "if (%s) {", test);
        int mark = open_scope(o);
        line(o, "%s = %s;", name, value_text(o, part[i]));
        close_scope(o, mark);
        o->depth--;
    }
    line(o, "}");
    return name;
}

static const char *select_text(Out *o, Expr *e) {
    const char *c = value_text(o, e->a);
    if (o->lane) {
        const char *a = value_text(o, e->b), *b = value_text(o, e->c);
        return cx_fmt(o->cx, "vselect(%s, %s, %s)", c, a, b);
    }
    const char *a = value_text(o, e->b), *b = value_text(o, e->c);
    return cx_fmt(o->cx, "(%s ? %s : %s)", c, a, b);
}

static const char *op_text(Out *o, Expr *e) {
    const char *a = value_text(o, e->a), *b = e->b ? value_text(o, e->b) : NULL;
    DType t = e->a->type;
    bool guarded = e->op == K_DIV || e->op == K_MOD || e->op == K_FMOD;
    if (o->lane && e->op == K_NOT) return cx_fmt(o->cx, "(~%s)", a);
    if (kop[e->op].infix && (dtype_is_float(t) || t == DT_BOOL || e->op == K_EQ || e->op == K_LT || e->op == K_LE))
        return cx_fmt(o->cx, "(%s %s %s)", a, kop[e->op].infix, b);
    const char *kind = o->lane ? "v" : dtypes[t].name;
    if (!b) return cx_fmt(o->cx, "%s_%s(%s)", kop[e->op].name, kind, a);
    return cx_fmt(o->cx, "%s_%s(%s, %s%s)", kop[e->op].name, kind, a, b, guarded && dtype_is_int(t) ? ", ctx" : "");
}

static const char *cast_text(Out *o, Expr *e) {
    const char *a = value_text(o, e->a);
    if (o->lane && e->a->op == K_INDEX) return cx_fmt(o->cx, "splat((f32)%s)", a);
    if (o->lane) return cx_fmt(o->cx, "vselect(%s, splat(1), splat(0))", a);
    const char *to = dtypes[e->type].name, *from = dtypes[e->a->type].name;
    if (dtype_is_float(e->a->type) && dtype_is_int(e->type)) return cx_fmt(o->cx, "%s_of_%s(%s)", to, from, a);
    if (e->type == DT_BOOL) return cx_fmt(o->cx, "(%s != 0)", a);
    return cx_fmt(o->cx, "((%s)%s)", to, a);
}

static const char *fresh_text(Out *o, Expr *e) {
    if (e->op < NKOPS) return op_text(o, e);
    switch (e->op) {
    case K_IMM: return imm_text(o, e);
    case K_LOAD: return load_text(o, e);
    case K_INSIDE: return inside_text(o, e);
    case K_SELECT: return select_text(o, e);
    case K_CAST: return cast_text(o, e);
    case K_INDEX: return cx_fmt(o->cx, "((i64)%s)", index_of(o, e->a));
    case K_BATCH: return cx_fmt(o->cx, "((i64)%s * ctx->batch)", numeral_text(o, e, NUMBER_EXTENT, e->i));
    case K_RANDOM: return cx_fmt(o->cx, "random_f32(ctx, %lldL, %s)", (long long)e->i, index_of(o, e->a));
    default: return reduce_text(o, e);
    }
}

void count_uses(Out *o, Expr *e) {
    if (!e || o->uses[e->id]++) return;
    count_uses(o, e->a), count_uses(o, e->c);
    if (!expr_is_reduce(e)) count_uses(o, e->b);
}

const char *value_text(Out *o, Expr *e) {
    if (e->as) return e->as;
    if (!o->uses) {
        o->uses = NEW(o->cx, int, o->k->nexpr);
        for (int i = 0; i < o->k->nout; i++) count_uses(o, o->k->bodies[i]);
    }
    const char *s = fresh_text(o, e);
    bool shared = e->op != K_IMM && o->uses[e->id] > 1;
    if (is_load(e) && e->op != K_LOAD) name_expr(o, e, s);            // already in a local
    else if (shared || strlen(s) > 400) {
        const char *name = cx_fmt(o->cx, "x%d", o->nname++);
        line(o, "const %s %s = %s;", c_type(o, e->type), name, s);
        name_expr(o, e, name);
        return name;
    }
    return s;
}

// ---- results ----

const char *out_index(Out *o, int i) { return index_of(o, ix_result(o->k, i)); }

void store(Out *o, int i, Expr *e) {
    const char *v = value_text(o, e), *at = out_index(o, i);
    DType t = o->k->outs[i]->type;
    if (o->lane && t == DT_F32) line(o, "ST(b%d + %s, %s);", i, at, v);
    else line(o, "b%d[%s] = %s;", i, at, to_memory(o, t, v));
}

void locals(Out *o) {
    for (int i = 0; i < o->k->nbuf; i++) {
        const char *write = i < o->k->nout ? "" : "const ";
        line(o, "%sm_%s *restrict const b%d = buf[%d];", write, memory_type(o->k->buf[i]->type), i, i);
    }
}

// ---- loops ----

void loop(Out *o, Expr *var) {
    int v = (int)var->i;
    begin(o, "for (%s v%d = 0; v%d < %s; v%d++) {", o->index, v, v, extent_text(o, var), v);
}

void unpack(Out *o, Expr **v, int n) {
    if (n) line(o, "long rest = u;");
    for (int i = n - 1; i >= 0; i--) {
        int64_t e = o->k->extent[v[i]->i];
        if (i) line(o, "const long v%d = rest %% %lldL; rest /= %lldL;", (int)v[i]->i, (long long)e, (long long)e);
        else line(o, "const long v%d = rest;", (int)v[i]->i);
    }
}

int unit_axes(Out *o, Expr **v, int most) {
    Kernel *k = o->k;
    int n = 0, rank = k->out->shape.n;
    int64_t units = 1;
    for (int d = 0; d < rank; d++)                     // the batch is the slowest part of a unit
        if (k->axis[d]->op == I_VAR && k->grows[k->axis[d]->i]) v[n++] = k->axis[d], units *= k->extent[k->axis[d]->i];
    o->per_batch = n > 0 && k->max_batch > 1;
    for (int d = 0; d < rank && n < most; d++)
        if (k->axis[d]->op == I_VAR && k->axis[d] != o->lane && !k->grows[k->axis[d]->i])
            v[n++] = k->axis[d], units *= k->extent[k->axis[d]->i];
    o->units = units;
    return n;
}

// ---- vectors ----

bool var_is_open(const Kernel *k, const Expr *v) { return v && k->max_batch > 1 && k->grows[v->i]; }

bool index_has_data(const Expr *e) {
    return e &&
           (e->op == I_DATA || (e->op != I_VAR && e->op != I_IMM && (index_has_data(e->a) || index_has_data(e->b))));
}

bool vectorizes(Out *o, Expr *e, Expr *lane) {
    if (!e) return true;
    if (e->is_index) return ix_coef(e, lane) == 0 && !index_has_data(e);
    bool fits = e->type == DT_F32 || (e->type == DT_BOOL && e->op != K_LOAD);
    if (!fits) return false;
    if (e->op == K_LOAD) {
        int64_t c = ix_coef(e->a, lane);
        return e->buf->type == DT_F32 && (c == 0 || c == 1) && !index_has_data(e->a);
    }
    if (e->op < NKOPS && !on_vectors(e->op)) return false;
    if (e->op == K_CAST && e->a->op == K_INDEX) return vectorizes(o, e->a->a, lane);       // the same for all lanes
    if (e->op == K_RANDOM || (e->op == K_CAST && (e->type != DT_F32 || e->a->type != DT_BOOL))) return false;
    return vectorizes(o, e->a, lane) && (expr_is_reduce(e) ? e->b != lane : vectorizes(o, e->b, lane)) &&
           vectorizes(o, e->c, lane);
}

Expr *lane_of(Out *o) {
    Kernel *k = o->k;
    for (int d = k->out->shape.n - 1; d >= 0; d--) {
        Expr *v = k->axis[d];
        if (v->op != I_VAR) continue;
        bool fits = !(k->grows[v->i] && k->max_batch > 1) && k->extent[v->i] >= o->lanes;
        for (int i = 0; fits && i < k->nout; i++)
            fits = k->outs[i]->type == DT_F32 && k->outs[i]->view.stride[d] == 1 && vectorizes(o, k->bodies[i], v);
        return fits ? v : NULL;
    }
    return NULL;
}
