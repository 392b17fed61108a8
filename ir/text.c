// text.c -- graphs as text, one line a node: written, and read back.
//
//     graph batch 4 lanes 16 isa 2
//       %0 = Input : f32[N,3,8,8] "x"
//       %1 = Param train : f32[8,3,3,3] "w"
//       %2 = Const 0.5 : f32[]
//       %3 = Const [1,2,3] : i64[3]
//       %4 = Reshape %0 {N,192} : f32[N,192] "flat"
//       %5 = Pad %4 {0,1,1,1,N,194} (-inf) : f32[N,194]
//       output "y" = %5
//       update "w" of %1 = %6 in 2
//
// N is the batch, 2N an axis of twice its size. An operator may carry a tag (Relu@1: Node.again),
// numbers in braces (Attr.i) and in parentheses (Attr.f, f2). `in 2` names a function other than
// 1. Constants of many elements are written [...] and read back as zeros; those of Params are not
// written at all. Names are escaped as "\x22". A line that starts with # is a comment. Text is for
// dumps and tests: that an operator's numbers are as many as it needs is not checked.
#include "op.h"
#include <errno.h>

enum { SHOWN = 64, NODES = 1 << 16 };     // elements of a constant that are written; nodes that are read

// ---- writing ----

static void print_name(const char *s, FILE *f) {
    fputc('"', f);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < 0x20 || c > 0x7e || c == '"' || c == '\\') fprintf(f, "\\x%02x", c);
        else fputc(c, f);
    }
    fputc('"', f);
}

static void print_real(double v, FILE *f) {
    char s[32];
    snprintf(s, sizeof s, "%.9g", v);
    fprintf(f, strtod(s, NULL) == v || v != v ? "%.9g" : "%.17g", v);
}

static void print_element(DType t, const void *p, FILE *f) {
    if (dtype_is_float(t)) print_real(dtype_get_f(t, p), f);
    else fprintf(f, "%lld", (long long)dtype_get_i(t, p));
}

// Numbers, the batch-th of them (from 1) as a multiple of N.
static void print_ints(const Graph *g, int n, const int64_t *v, int batch, FILE *f) {
    for (int i = 0; i < n; i++) {
        int64_t c = v[i] / g->max_batch;
        if (i) fputc(',', f);
        if (i + 1 != batch) fprintf(f, "%lld", (long long)v[i]);
        else if (c == 1) fputc('N', f);
        else fprintf(f, "%lldN", (long long)c);
    }
}

static void print_elements(const Node *n, FILE *f) {
    int64_t count = numel(n->shape);
    for (int64_t i = 0; i < count && count <= SHOWN; i++) {
        if (i) fputc(',', f);
        print_element(n->type, (const char *)n->data + i * dtypes[n->type].bytes, f);
    }
    if (count > SHOWN) fputs("...", f);
}

static void print_const(const Node *n, FILE *f) {
    if (n->data) fputs(" [", f), print_elements(n, f), fputc(']', f);
    else if (dtype_is_float(n->type)) fputc(' ', f), print_real(n->attr.f, f);
    else fprintf(f, " %lld", (long long)n->attr.i[0]);
}

static void print_attr(const Graph *g, Attr a, FILE *f) {
    if (a.n) fputs(" {", f), print_ints(g, a.n, a.i, a.batch, f), fputc('}', f);
    if (a.f == 0 && !signbit(a.f) && a.f2 == 0) return;
    fputs(" (", f), print_real(a.f, f);
    if (a.f2 != 0) fputc(',', f), print_real(a.f2, f);
    fputc(')', f);
}

static void print_node(const Graph *g, const Node *n, FILE *f) {
    fprintf(f, "  %%%d = %s", n->id, optab[n->op].name);
    if (n->again) fprintf(f, "@%u", n->again);
    if (n->train) fputs(" train", f);
    for (int k = 0; k < n->nin; k++) fprintf(f, "%s%%%d", k ? "," : " ", n->in[k]->id);
    if (n->op == OP_Const) print_const(n, f);
    else print_attr(g, n->attr, f);
    fprintf(f, " : %s[", dtypes[n->type].name);
    print_ints(g, n->shape.n, n->shape.d, n->shape.batch, f), fputc(']', f);
    if (n->name) fputc(' ', f), print_name(n->name, f);
    fputc('\n', f);
}

void graph_print(Graph *g, FILE *f) {
    graph_sort(g);
    fprintf(f, "graph batch %lld lanes %d isa %d\n", (long long)g->max_batch, g->lanes, g->isa);
    for (int i = 0; i < g->norder; i++) print_node(g, g->order[i], f);
    for (int i = 0; i < g->nroot; i++) {
        const Root *r = &g->root[i];
        fputs(r->store ? "  update " : "  output ", f), print_name(r->name, f);
        if (r->store) fprintf(f, " of %%%d", r->store->id);
        fprintf(f, " = %%%d", r->value->id);
        if (r->fn != 1) fprintf(f, " in %d", r->fn);
        fputc('\n', f);
    }
}

// ---- reading ----

typedef struct Text {
    Cx *cx;
    Graph *g;
    const char *at;
    int line;
    Node **node;                      // by the number the text gives them
} Text;

static _Noreturn void bad(Text *t, const char *what) {
    char rest[24];
    snprintf(rest, sizeof rest, "%.*s", (int)strcspn(t->at, "\n"), t->at);
    fail(t->cx, E_MALFORMED, "line %d: %s at '%s'", t->line, what, cx_show(t->cx, rest));
}

// To the next word of this line.
static void skip_blanks(Text *t) { t->at += strspn(t->at, " \t\r"); }

// To the first word of the next line that has one; false at the end.
static bool next_line(Text *t) {
    for (;;) {
        t->at += strspn(t->at, " \t\r");
        if (*t->at == '#') t->at += strcspn(t->at, "\n");
        if (!*t->at) return false;
        if (*t->at != '\n') return true;
        t->at++, t->line++;
    }
}

static bool try(Text *t, const char *s) {
    skip_blanks(t);
    size_t n = strlen(s);
    if (strncmp(t->at, s, n)) return false;
    t->at += n;
    return true;
}

static void want(Text *t, const char *s) {
    if (!try(t, s)) bad(t, cx_fmt(t->cx, "expected '%s'", s));
}

static size_t word(Text *t) {
    skip_blanks(t);
    return strspn(t->at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
}

static int64_t read_int(Text *t) {
    skip_blanks(t);
    char *end;
    errno = 0;
    long long v = strtoll(t->at, &end, 10);
    if (end == t->at || errno) bad(t, "expected a whole number");
    t->at = end;
    return v;
}

static double read_real(Text *t) {
    char *end;
    double v = strtod(t->at, &end);
    if (end == t->at) bad(t, "expected a number");
    t->at = end;
    return v;
}

// {1,2N,3} or [1,2N,3], behind the opening bracket; a multiple of N names the batch.
static Attr read_list(Text *t, const char *close) {
    Attr a = {0};
    int64_t *v = NULL;
    while (!try(t, close)) {
        if (a.n) want(t, ",");
        skip_blanks(t);
        int64_t x = *t->at == 'N' ? 1 : read_int(t);
        if (*t->at == 'N') {
            t->at++, a.batch = a.n + 1;
            if (__builtin_mul_overflow(x, t->g->max_batch, &x)) bad(t, "a size out of range");
        }
        *VEC_PUSH(t->cx, v, a.n) = x;
    }
    a.i = v;
    return a;
}

static const char *read_name(Text *t) {
    want(t, "\"");
    size_t n = strcspn(t->at, "\"\n"), len = 0;
    char *s = cx_str(t->cx, t->at, n);
    for (size_t i = 0; i < n; i++) {
        unsigned code;
        bool escaped = s[i] == '\\' && n - i >= 4 && sscanf(s + i, "\\x%2x", &code) == 1;
        s[len++] = escaped ? (char)code : s[i];
        i += escaped ? 3 : 0;
    }
    s[len] = 0;
    t->at += n;
    want(t, "\"");
    return s;
}

static Node **read_number(Text *t) {
    want(t, "%");
    int64_t i = read_int(t);
    if (i < 0 || i >= NODES) bad(t, "a node's number is out of range");
    return &t->node[i];
}

static Node *read_node(Text *t) {
    Node *n = *read_number(t);
    if (!n) bad(t, "a node that is not defined before");
    return n;
}

static DType read_type(Text *t) {
    size_t n = word(t);
    DType type = dtype_find(cx_str(t->cx, t->at, n));
    if (type == DT_NONE) bad(t, "unknown type");
    t->at += n;
    return type;
}

static Shape read_shape(Text *t) {
    want(t, "[");
    Attr a = read_list(t, "]");
    if (a.n > MAXDIM) bad(t, "too many axes");
    return attr_shape(a);
}

static int64_t elements(Text *t, DType type, Shape s) {
    size_t n = (size_t)dtypes[type].bytes;
    for (int d = 0; d < s.n; d++) {
        if (s.d[d] < 0) bad(t, "a negative size");
        n = ck_mul(t->cx, n, (size_t)s.d[d]);
    }
    return (int64_t)(n / (size_t)dtypes[type].bytes);
}

static void read_element(Text *t, DType type, void *p) {
    skip_blanks(t);
    if (dtype_is_float(type)) dtype_set_f(type, p, read_real(t));
    else dtype_set_i(type, p, read_int(t));
}

// Numbers in brackets, now that type and shape are known; at most what was written is allocated.
static const void *read_data(Text *t, const char *from, DType type, Shape s) {
    int64_t count = elements(t, type, s), bytes = dtypes[type].bytes;
    Text at = {.cx = t->cx, .at = from, .line = t->line};
    if (try(&at, "...")) {
        if (count > 1 << 20) bad(t, "a constant of so many elements");
        return NEW(t->cx, char, count * bytes);
    }
    if (count > (int64_t)strlen(from)) bad(t, "too few numbers for its shape");
    char *data = NEW(t->cx, char, count * bytes + 1);
    for (int64_t i = 0; i < count; i++) {
        if (i) want(&at, ",");
        read_element(&at, type, data + i * bytes);
    }
    want(&at, "]");
    return data;
}

// Input, Param, Const, behind the operator's name.
static Node *read_leaf(Text *t, Op op) {
    bool train = try(t, "train");
    const char *data = NULL, *splat = NULL;
    skip_blanks(t);
    if (try(t, "[")) data = t->at, t->at += strcspn(t->at, "]\n"), want(t, "]");
    else splat = t->at, t->at += strcspn(t->at, " :\n");
    want(t, ":");
    DType type = read_type(t);
    Shape s = read_shape(t);
    if (op == OP_Input) return graph_input(t->g, "", type, s);
    const void *bytes = data ? read_data(t, data, type, s) : NULL;
    if (op == OP_Param) {
        Node *n = graph_param(t->g, "", type, s, bytes);
        n->train = train;
        return n;
    }
    if (bytes) return graph_const(t->g, type, s, bytes);
    Text at = {.cx = t->cx, .at = splat, .line = t->line};
    if (s.n) bad(t, "a constant with a shape needs numbers in brackets");
    return dtype_is_float(type) ? graph_scalar(t->g, type, read_real(&at)) : graph_scalar_i(t->g, type, read_int(&at));
}

static Attr read_attr(Text *t) {
    Attr a = {0};
    if (try(t, "{")) a = read_list(t, "}");
    if (!try(t, "(")) return a;
    a.f = read_real(t);
    if (try(t, ",")) a.f2 = read_real(t);
    want(t, ")");
    return a;
}

// An operator behind its name. What it says of type and shape must be what follows from its inputs.
static Node *read_op(Text *t, Op op, uint32_t again) {
    Node *in[MAXIN];
    int nin = 0;
    skip_blanks(t);
    while (*t->at == '%') {
        if (nin == MAXIN) bad(t, "too many inputs");
        in[nin++] = read_node(t);
        try(t, ",");
        skip_blanks(t);
    }
    Attr a = read_attr(t);
    Node *n = graph_op(t->g, op, a, nin, in);
    if (again) n = graph_again(t->g, n, again);
    want(t, ":");
    DType type = read_type(t);
    Shape s = read_shape(t);
    if (type != n->type || !same_shape(s, n->shape))
        bad(t, cx_fmt(t->cx, "%s yields %s%s", optab[op].name, dtypes[n->type].name, shape_str(t->cx, n->shape)));
    return n;
}

static void read_node_line(Text *t) {
    Node **slot = read_number(t);
    want(t, "=");
    size_t len = word(t);
    Op op = op_find(t->at, len);
    if (op == NOPS) bad(t, "unknown operator");
    t->at += len;
    int64_t again = try(t, "@") ? read_int(t) : 0;
    if (*slot) bad(t, "a number given twice");
    Node *n = optab[op].kind == LEAF ? read_leaf(t, op) : read_op(t, op, (uint32_t)again);
    skip_blanks(t);
    if (*t->at == '"') n->name = read_name(t);
    *slot = n;
}

static void read_root_line(Text *t, bool update) {
    const char *name = read_name(t);
    Node *store = NULL;
    if (update) want(t, "of"), store = read_node(t);
    want(t, "=");
    Node *value = read_node(t);
    graph_root(t->g, name, value, store, try(t, "in") ? (int)read_int(t) : 1);
}

static void read_header(Text *t) {
    int64_t batch = 1;
    want(t, "graph");
    if (try(t, "batch")) batch = read_int(t);
    if (batch < 1) bad(t, "a batch below 1");
    t->g = graph_new(t->cx, batch);
    if (try(t, "lanes")) t->g->lanes = (int)read_int(t);
    if (try(t, "isa")) t->g->isa = (int)read_int(t);
}

Graph *graph_parse(Cx *cx, const char *text) {
    Text t = {.cx = cx, .at = text, .line = 1, .node = NEW(cx, Node *, NODES)};
    if (!next_line(&t)) bad(&t, "nothing to read");
    read_header(&t);
    for (;;) {
        skip_blanks(&t);
        if (*t.at && *t.at != '\n') bad(&t, "something left over");
        if (!next_line(&t)) return t.g;
        if (*t.at == '%') read_node_line(&t);
        else if (try(&t, "output")) read_root_line(&t, false);
        else if (try(&t, "update")) read_root_line(&t, true);
        else bad(&t, "expected a node, an output or an update");
    }
}
