// rewrite.c -- the engine behind rules.c: match a text pattern against nodes, build the other side.
#include "rewrite.h"
#include "passes.h"
#include <ctype.h>

typedef struct Match {
    const char *p;                      // where we are in the pattern
    Node *var[26];
} Match;

static Op read_op(Match *m) {
    const char *s = m->p;
    while (isalnum((unsigned char)*m->p)) m->p++;
    Op o = op_find(s, (size_t)(m->p - s));
    assert(o != NOPS && "no such operator in a rule");
    return o;
}

static void skip(Match *m) {            // over one whole term, unmatched
    int depth = 0;
    do {
        if (*m->p == '(') depth++;
        if (*m->p == ')') depth--;
        m->p++;
    } while (*m->p && (depth > 0 || (*m->p != ',' && *m->p != ')')));
}

static double number(Match *m) {
    char *end;
    double f = strtod(m->p, &end);
    m->p = end;
    return f;
}

static bool match(Match *m, Node *n, bool swap);

static bool match_op(Match *m, Node *n, bool swap) {
    Match saved = *m;
    if (read_op(m) != n->op) return *m = saved, skip(m), false;
    m->p++;                             // (
    for (int i = 0; i < n->nin; i++) {
        if (!match(m, n->in[swap ? n->nin - 1 - i : i], false)) {
            *m = saved;
            if (op_kind(n) == COMM && !swap) return match(m, n, true);
            return skip(m), false;
        }
        m->p++;                         // , or )
    }
    return true;
}

static bool match(Match *m, Node *n, bool swap) {
    while (*m->p == ' ') m->p++;
    if (isupper((unsigned char)*m->p)) return match_op(m, n, swap);
    if (!islower((unsigned char)*m->p)) {
        double f = number(m);
        return op_is_splat(n) && splat_value(n) == f;
    }
    Node **v = &m->var[*m->p++ - 'a'];
    bool literal = *m->p == '!';
    m->p += literal;
    if ((*v && *v != n) || (literal && !op_is_splat(n))) return false;
    *v = n;
    return true;
}

static Node *build(Graph *g, Match *m, DType t) {
    while (*m->p == ' ') m->p++;
    if (isupper((unsigned char)*m->p)) {
        Op op = read_op(m);
        Node *arg[MAXIN];
        int n = 0;
        do {
            m->p++;                     // ( or ,
            arg[n++] = build(g, m, t);
        } while (*m->p == ',');
        m->p++;                         // )
        Node *made = graph_op(g, op, (Attr){0}, n, arg), *known = fold_node(g, made);
        return known ? known : made;
    }
    if (!islower((unsigned char)*m->p)) return graph_scalar(g, t, number(m));
    Node *n = m->var[*m->p++ - 'a'];
    m->p += *m->p == '!';
    return n;
}

static Node *apply(Graph *g, Node *n, void *env) {
    (void)env;
    if (op_is_leaf(n)) return NULL;
    for (int i = 0; i < nrules; i++) {
        Match m = {.p = rules[i].from};
        if ((rules[i].floats_only && !dtype_is_float(n->type)) || !match(&m, n, false)) continue;
        m.p = rules[i].to;
        Node *to = build(g, &m, n->type);
        if (to == n || !same_shape(to->shape, n->shape) || to->type != n->type) continue;
        return to;
    }
    return NULL;
}

void simplify(Graph *g) { while (graph_map(g, apply, NULL)) {} }
