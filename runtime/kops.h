// kops.h -- every scalar operation a formula may contain. The printers read the first columns, the
// evaluator and the interpreter run the last two (with arith.h). Packages hold the operations'
// numbers: new ones go to the end, or PACKAGE_VERSION grows.
//
//   class   A  arithmetic: operands and result of one type      C  comparison: bool of two of one type
//           F  the same, floating point only                    L  logic: bool of bools
//           I  the same, integers and bool only                 P  predicate: bool of one float
//   infix   how C writes it on floats; NULL: a call of name_type (helpers in the target's prologue)
//   float   meaning on doubles a, b (rounded to the type afterwards)
//   int     meaning on int64_t a, b (wrapped to the type afterwards; U64 has its own cases in arith.h)
//
//   name    args class infix     float                          int
KOP( ADD,    2,   A,    "+",      a + b,                         wrap_add(a, b)            )
KOP( SUB,    2,   A,    "-",      a - b,                         wrap_sub(a, b)            )
KOP( MUL,    2,   A,    "*",      a * b,                         wrap_mul(a, b)            )
KOP( DIV,    2,   A,    "/",      a / b,                         safe_div(a, b)            )   // integers towards zero; by 0: error, 0
KOP( FMOD,   2,   A,    NULL,     fmod(a, b),                    safe_rem(a, b)            )   // sign of a
KOP( MOD,    2,   A,    NULL,     floor_mod(a, b),               safe_mod(a, b)            )   // sign of b
KOP( POW,    2,   A,    NULL,     pow(a, b),                     int_pow(a, b)             )
KOP( MAX,    2,   A,    NULL,     a > b ? a : b,                 a > b ? a : b             )   // of NaN: b
KOP( MIN,    2,   A,    NULL,     a < b ? a : b,                 a < b ? a : b             )
KOP( NEG,    1,   A,    NULL,     -a,                            wrap_sub(0, a)            )
KOP( ABS,    1,   A,    NULL,     fabs(a),                       a < 0 ? wrap_sub(0, a) : a)
KOP( SIGN,   1,   A,    NULL,     a > 0 ? 1 : a < 0 ? -1 : a,    (a > 0) - (a < 0)         )
KOP( FLOOR,  1,   F,    NULL,     floor(a),                      a                         )
KOP( CEIL,   1,   F,    NULL,     ceil(a),                       a                         )
KOP( ROUND,  1,   F,    NULL,     nearbyint(a),                  a                         )   // half to even
KOP( TRUNC,  1,   F,    NULL,     trunc(a),                      a                         )
KOP( SQRT,   1,   F,    NULL,     sqrt(a),                       a                         )
KOP( EXP,    1,   F,    NULL,     exp(a),                        a                         )
KOP( LOG,    1,   F,    NULL,     log(a),                        a                         )
KOP( LOG1P,  1,   F,    NULL,     log1p(a),                      a                         )
KOP( SIN,    1,   F,    NULL,     sin(a),                        a                         )
KOP( COS,    1,   F,    NULL,     cos(a),                        a                         )
KOP( TAN,    1,   F,    NULL,     tan(a),                        a                         )
KOP( ASIN,   1,   F,    NULL,     asin(a),                       a                         )
KOP( ACOS,   1,   F,    NULL,     acos(a),                       a                         )
KOP( ATAN,   1,   F,    NULL,     atan(a),                       a                         )
KOP( SINH,   1,   F,    NULL,     sinh(a),                       a                         )
KOP( COSH,   1,   F,    NULL,     cosh(a),                       a                         )
KOP( TANH,   1,   F,    NULL,     tanh(a),                       a                         )
KOP( ASINH,  1,   F,    NULL,     asinh(a),                      a                         )
KOP( ACOSH,  1,   F,    NULL,     acosh(a),                      a                         )
KOP( ATANH,  1,   F,    NULL,     atanh(a),                      a                         )
KOP( ERF,    1,   F,    NULL,     erf(a),                        a                         )
KOP( BAND,   2,   I,    NULL,     0,                             a & b                     )
KOP( BOR,    2,   I,    NULL,     0,                             a | b                     )
KOP( BXOR,   2,   I,    NULL,     0,                             a ^ b                     )
KOP( BNOT,   1,   I,    NULL,     0,                             ~a                        )
KOP( SHL,    2,   I,    NULL,     0,                             safe_shl(a, b)            )   // by 64 or more: 0
KOP( SHR,    2,   I,    NULL,     0,                             safe_shr(a, b)            )
KOP( EQ,     2,   C,    "==",     a == b,                        a == b                    )
KOP( LT,     2,   C,    "<",      a < b,                         a < b                     )
KOP( LE,     2,   C,    "<=",     a <= b,                        a <= b                    )
KOP( AND,    2,   L,    "&",      0,                             a & b                     )
KOP( OR,     2,   L,    "|",      0,                             a | b                     )
KOP( XOR,    2,   L,    "^",      0,                             a ^ b                     )
KOP( NOT,    1,   L,    NULL,     0,                             !a                        )
KOP( ISNAN,  1,   P,    NULL,     a != a,                        0                         )
KOP( ISINF,  1,   P,    NULL,     isinf(a) != 0,                 0                         )
#undef KOP
