// rules.c -- what is equal, as equations from left to right. Each keeps shape and type (the engine
// checks), and no rule changes what NaN or infinity would give.
#include "rewrite.h"

const Rule rules[] = {
    // identities
    {"Add(x, 0)",               "x", false},
    {"Sub(x, 0)",               "x", false},
    {"Mul(x, 1)",               "x", false},
    {"Div(x, 1)",               "x", false},
    {"Neg(Neg(x))",             "x", false},
    {"Not(Not(x))",             "x", false},
    {"Relu(Relu(x))",           "Relu(x)", false},
    {"Sub(x, Neg(y))",          "Add(x, y)", false},
    {"Add(x, Neg(y))",          "Sub(x, y)", false},

    // literals together, so that fold can finish them; division by a literal becomes a product
    {"Mul(Mul(x, a!), b!)",     "Mul(x, Mul(a, b))", true},
    {"Add(Add(x, a!), b!)",     "Add(x, Add(a, b))", true},
    {"Div(x, a!)",              "Mul(x, Div(1, a))", true},
};
const int nrules = sizeof rules / sizeof *rules;
