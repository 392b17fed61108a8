// formula.h -- a number from a text like "0.95^epoch" or "0.5 * (1 + cos(pi * epoch / epochs))".
//
//   + - * / ^ (right to left, before a sign) and parentheses; numbers; pi, e and the variables given;
//   exp log sqrt sin cos abs floor of one argument, min max of two
#ifndef TVC_FORMULA_H
#define TVC_FORMULA_H
#include "../ir/base.h"

typedef struct Variable { const char *name; double value; } Variable;

// Fails with E_USAGE where the text is no formula, pointing at the place; `what` is for the message.
double formula_value(Cx *cx, const char *what, const char *text, int n, const Variable *variable);

#endif
