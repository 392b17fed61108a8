// formula.c -- see formula.h: recursive descent, of bounded depth.
#include "formula.h"
#include <ctype.h>

enum { DEPTH = 100 };

typedef struct Reader {
    Cx *cx;
    const char *what, *text, *at;
    int depth, n;
    const Variable *variable;
} Reader;

static double sum(Reader *r);

_Noreturn static void bad(const Reader *r, const char *wanted) {
    fail(r->cx, E_USAGE, "%s '%s': %s expected at '%s'", r->what, cx_show(r->cx, r->text), wanted,
         *r->at ? cx_show(r->cx, r->at) : "the end");
}

static bool take(Reader *r, char c) {
    while (isspace((unsigned char)*r->at)) r->at++;
    if (*r->at != c) return false;
    r->at++;
    return true;
}

static void need(Reader *r, char c) {
    if (!take(r, c)) bad(r, (char[]){'\'', c, '\'', 0});
}

static bool is(const char *name, size_t n, const char *word) { return strlen(word) == n && memcmp(name, word, n) == 0; }

static double call(Reader *r, const char *name, size_t n) {
    static const struct { const char *name; double (*of)(double); } one[] = {
        {"exp", exp}, {"log", log}, {"sqrt", sqrt}, {"sin", sin}, {"cos", cos}, {"abs", fabs}, {"floor", floor}};
    static const struct { const char *name; double (*of)(double, double); } two[] = {{"min", fmin}, {"max", fmax}};
    double a = sum(r), b;
    for (size_t i = 0; i < sizeof one / sizeof *one; i++)
        if (is(name, n, one[i].name)) return need(r, ')'), one[i].of(a);
    need(r, ',');
    b = sum(r);
    need(r, ')');
    for (size_t i = 0; i < sizeof two / sizeof *two; i++)
        if (is(name, n, two[i].name)) return two[i].of(a, b);
    r->at = name;
    bad(r, "a function");
}

static double word(Reader *r) {
    const char *name = r->at;
    while (isalnum((unsigned char)*r->at) || *r->at == '_') r->at++;
    size_t n = (size_t)(r->at - name);
    if (take(r, '(')) return call(r, name, n);
    for (int i = 0; i < r->n; i++)
        if (is(name, n, r->variable[i].name)) return r->variable[i].value;
    if (is(name, n, "pi")) return M_PI;
    if (is(name, n, "e")) return M_E;
    r->at = name;
    bad(r, "a number or a variable");
}

static double number(Reader *r) {
    char *end;
    double v = strtod(r->at, &end);
    if (end == r->at) bad(r, "a number");
    r->at = end;
    return v;
}

static double atom(Reader *r) {
    if (take(r, '(')) {
        double v = sum(r);
        need(r, ')');
        return v;
    }
    return isalpha((unsigned char)*r->at)                    ? word(r)
           : isdigit((unsigned char)*r->at) || *r->at == '.' ? number(r)
                                                             : (bad(r, "a number"), 0);
}

// a sign binds less than a power: -2^2 is -4, 2^-1 is 0.5
static double power(Reader *r) {
    if (++r->depth > DEPTH) bad(r, "something less deep");
    double v = take(r, '-') ? -power(r) : take(r, '+') ? power(r) : atom(r);
    if (take(r, '^')) v = pow(v, power(r));
    r->depth--;
    return v;
}

static double product(Reader *r) {
    double v = power(r);
    for (;;) {
        if (take(r, '*')) v *= power(r);
        else if (take(r, '/')) v /= power(r);
        else return v;
    }
}

static double sum(Reader *r) {
    if (++r->depth > DEPTH) bad(r, "something less deep");
    double v = product(r);
    for (bool more = true; more;) {
        if (take(r, '+')) v += product(r);
        else if (take(r, '-')) v -= product(r);
        else more = false;
    }
    r->depth--;
    return v;
}

double formula_value(Cx *cx, const char *what, const char *text, int n, const Variable *variable) {
    Reader r = {.cx = cx, .what = what, .text = text, .at = text, .n = n, .variable = variable};
    double v = sum(&r);
    while (isspace((unsigned char)*r.at)) r.at++;
    if (*r.at) bad(&r, "the end");
    return v;
}
