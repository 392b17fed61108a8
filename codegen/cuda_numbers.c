// cuda_numbers.c -- kernels of one form differ in numbers only: extents, strides, limits. Where a schedule asks for
// it those are arguments of the launch, so that one text, compiled once, serves all of them; a constant operand is as
// cheap as a literal. A quotient is a shift, or a product with a number prepared here.
#include "cuda.h"

typedef struct NumberKey { const void *of; int which; } NumberKey;

struct Numbers {
    int32_t *at;                      // what the launch passes
    NumberKey *key;
    int n, nkey;                      // as many of both
};

void use_numbers(Out *o) {
    if (!strcmp(o->index, "int")) o->numbers = NEW(o->cx, Numbers, 1);
}

int number_count(const Numbers *x) { return x ? x->n : 0; }

const int32_t *number_values(const Numbers *x) { return x ? x->at : NULL; }

static void add(Cx *cx, Numbers *x, NumberKey key, int32_t value) {
    *VEC_PUSH(cx, x->key, x->nkey) = key;
    *VEC_PUSH(cx, x->at, x->n) = value;
}

void add_numbers(Cx *cx, Numbers *x, const int32_t *at, int n) {
    for (int i = 0; i < n; i++) add(cx, x, (NumberKey){NULL, 0}, at[i]);
}

static const char *literal(Out *o, int64_t value) {
    return cx_fmt(o->cx, value < 0 ? "(%lld)" : "%lld", (long long)value);
}

const char *numeral_text(Out *o, const void *of, int which, int64_t value) {
    Numbers *x = o->numbers;
    if (!x || value != (int32_t)value || x->n >= TVC_MOST_NUMBERS) return literal(o, value);
    int i = 0;
    while (i < x->n && (x->key[i].of != of || x->key[i].which != which)) i++;
    if (i == x->n) add(o->cx, x, (NumberKey){of, which}, (int32_t)value);
    assert(x->at[i] == value);
    return cx_fmt(o->cx, "num[%d]", i);
}

// ---- quotients ----

// For 2 <= d and x < 2^31. With 2^(s-1) < d <= 2^s, m = 2^(31+s) / d rounded up is below 2^32, and m * d exceeds
// 2^(31+s) by less than 2^s; so x * m / 2^(31+s) exceeds x / d by less than x / 2^31 / d < 1 / d: no whole number lies
// in between. The upper half of x * m is already a shift by 32.
void quotient_numbers(int64_t d, uint32_t *m, int *shift) {
    int s = 1;
    while ((int64_t)1 << s < d) s++;
    *m = (uint32_t)((((uint64_t)1 << (31 + s)) + (uint64_t)d - 1) / (uint64_t)d), *shift = s - 1;
}

const char *quotient_text(Out *o, const void *of, int which, int64_t d, const char *x) {
    uint32_t m;
    int shift;
    if (!o->numbers || d < 2) return cx_fmt(o->cx, "(unsigned %s)%s / %lldu", o->index, x, (long long)d);
    quotient_numbers(d, &m, &shift);
    const char *factor = numeral_text(o, of, which, (int32_t)m);
    return cx_fmt(o->cx, "tvc_quotient((u32)%s, (u32)%s, %s)", x, factor, numeral_text(o, of, which + 1, shift));
}

static bool is_power(int64_t d) { return (d & (d - 1)) == 0; }

void divide(Out *o, const void *of, int64_t d, bool often, const char *x, const char *rest, const char *quotient) {
    const char *type = o->index, *q = quotient ? quotient : cx_fmt(o->cx, "r%d", o->nname++);
    if (!o->numbers) {
        line(o, "const %s %s = (%s)((unsigned %s)%s %% %lldu);", type, rest, type, type, x, (long long)d);
        if (quotient) line(o, "const unsigned %s %s = (unsigned %s)%s / %lldu;", type, q, type, x, (long long)d);
    } else if (is_power(d) && (often || d == 1)) {
        line(o, "const int %s = (int)((u32)%s & (u32)%s);", rest, x, numeral_text(o, of, NUMBER_QUOTIENT, d - 1));
        if (quotient)
            line(o, "const u32 %s = (u32)%s >> %s;", q, x,
                 numeral_text(o, of, NUMBER_QUOTIENT + 1, __builtin_ctzll((uint64_t)d)));
    } else {
        line(o, "const u32 %s = %s;", q, quotient_text(o, of, NUMBER_QUOTIENT, d, x));
        line(o, "const int %s = (int)((u32)%s - %s * (u32)%s);", rest, x, q, numeral_text(o, of, NUMBER_EXTENT, d));
    }
}
