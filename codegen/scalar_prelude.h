// Types and scalar operations that generated kernels of every target may use. A target may have said
// beforehand what a HELPER is and how mathematical functions are called, what a run's Ctx holds (CTX), and
// that it converts halves by itself (OWN_HALVES); what is said here is for C.
#ifndef HELPER
#define HELPER static inline __attribute__((always_inline, unused))
#define MATH(f) __builtin_##f
#define INF_f32 __builtin_inff()
#define INF_f64 __builtin_inf()
#define NAN_f32 __builtin_nanf("")
#define NAN_f64 __builtin_nan("")
typedef int bool_;
#define bool bool_
#endif
#ifndef CTX
#define CTX { i64 batch; i32 *error; u64 seed, step; }
#define SEED(ctx) (ctx)->seed
#define STEP(ctx) (ctx)->step
#endif
typedef float f32; typedef double f64; typedef signed char i8; typedef short i16; typedef int i32; typedef long i64;
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned u32; typedef unsigned long u64;
typedef struct CTX Ctx;

HELPER long in_range(long i, long n, const Ctx *ctx) {
    if ((u64)i < (u64)n) return i;
    *ctx->error = 1;
    return 0;
}

// ---- half precision ----
#ifndef OWN_HALVES
HELPER f32 bits_f32(u32 u) { f32 f; __builtin_memcpy(&f, &u, 4); return f; }
HELPER u32 f32_bits(f32 f) { u32 u; __builtin_memcpy(&u, &f, 4); return u; }
HELPER f32 bf16_to_f32(u16 h) { return bits_f32((u32)h << 16); }
HELPER u16 f32_to_bf16(f32 f) {
    u32 u = f32_bits(f);
    return (u & 0x7fffffff) > 0x7f800000 ? u >> 16 | 0x40 : (u + 0x7fff + (u >> 16 & 1)) >> 16;
}
HELPER f32 f16_to_f32(u16 h) {
    u32 sign = (u32)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 1023;
    if (e == 31) return bits_f32(sign | 0x7f800000 | m << 13);
    if (e) return bits_f32(sign | (e + 112) << 23 | m << 13);
    f32 f = (f32)m * 0x1p-24f;
    return sign ? -f : f;
}
HELPER u16 f32_to_f16(f32 f) {
    u32 u = f32_bits(f), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
    if (a > 0x7f800000) return sign | 0x7e00;
    if (a >= 0x477ff000) return sign | 0x7c00;
    if (a < 0x38800000) return sign | (f32_bits(bits_f32(a) + 0.5f) - 0x3f000000);
    u32 r = a - (112u << 23);
    return (sign | (r + 0xfff + (r >> 13 & 1)) >> 13);
}
#endif

// ---- integers: they wrap; division by zero raises the error flag ----
#define INTEGER(t, wide)                                                                                      \
    HELPER t ADD_##t(t a, t b) { return (t)((u64)a + (u64)b); }                                               \
    HELPER t SUB_##t(t a, t b) { return (t)((u64)a - (u64)b); }                                               \
    HELPER t MUL_##t(t a, t b) { return (t)((u64)a * (u64)b); }                                               \
    HELPER t NEG_##t(t a) { return (t)(0 - (u64)a); }                                                         \
    HELPER t MAX_##t(t a, t b) { return a > b ? a : b; }                                                      \
    HELPER t MIN_##t(t a, t b) { return a < b ? a : b; }                                                      \
    HELPER t ABS_##t(t a) { return a < 0 ? NEG_##t(a) : a; }                                                  \
    HELPER t SIGN_##t(t a) { return (t)((a > 0) - (a < 0)); }                                                 \
    HELPER t BAND_##t(t a, t b) { return a & b; }                                                             \
    HELPER t BOR_##t(t a, t b) { return a | b; }                                                              \
    HELPER t BXOR_##t(t a, t b) { return a ^ b; }                                                             \
    HELPER t BNOT_##t(t a) { return (t)~a; }                                                                  \
    HELPER t SHL_##t(t a, t b) { return (u64)b > 63 ? 0 : (t)((u64)a << b); }                                 \
    HELPER t SHR_##t(t a, t b) { return (u64)b > 63 ? 0 : (t)((wide)a >> b); }                                \
    HELPER t DIV_##t(t a, t b, const Ctx *c) {                                                                \
        if (b == 0) { *c->error = 1; return 0; }                                                              \
        return (t)-1 < 0 && b == (t)-1 ? NEG_##t(a) : (t)(a / b);                                             \
    }                                                                                                         \
    HELPER t FMOD_##t(t a, t b, const Ctx *c) {                                                               \
        if (b == 0) { *c->error = 1; return 0; }                                                              \
        return (t)-1 < 0 && b == (t)-1 ? 0 : (t)(a % b);                                                      \
    }                                                                                                         \
    HELPER t MOD_##t(t a, t b, const Ctx *c) {                                                                \
        t r = FMOD_##t(a, b, c);                                                                              \
        return r && (r < 0) != (b < 0) ? (t)(r + b) : r;                                                      \
    }                                                                                                         \
    HELPER t POW_##t(t a, t b) {                                                                              \
        if (b < 0) return a == 1 ? 1 : (t)-1 < 0 && a == (t)-1 ? (b & 1 ? (t)-1 : 1) : 0;                     \
        t r = 1;                                                                                              \
        for (; b; b = (t)(b >> 1), a = MUL_##t(a, a))                                                         \
            if (b & 1) r = MUL_##t(r, a);                                                                     \
        return r;                                                                                             \
    }
INTEGER(i8, i64) INTEGER(i16, i64) INTEGER(i32, i64) INTEGER(i64, i64)
INTEGER(u8, u64) INTEGER(u16, u64) INTEGER(u32, u64) INTEGER(u64, u64)
HELPER bool MAX_bool(bool a, bool b) { return a | b; }
HELPER bool MIN_bool(bool a, bool b) { return a & b; }
HELPER bool ADD_bool(bool a, bool b) { return a | b; }
HELPER bool MUL_bool(bool a, bool b) { return a & b; }
HELPER bool NOT_bool(bool a) { return !a; }

// Floats to integers: towards zero, saturating; NaN is 0. Narrow types wrap what 64 bits hold.
HELPER i64 i64_of_f64(f64 a) { return a != a ? 0 : a >= 0x1p63 ? 0x7fffffffffffffffL : a < -0x1p63 ? -0x7fffffffffffffffL - 1 : (i64)a; }
HELPER u64 u64_of_f64(f64 a) { return a >= 0x1p63 ? (a >= 0x1p64 ? ~0ul : (u64)a) : (u64)i64_of_f64(a); }
#define FROM_FLOAT(t, via) HELPER t t##_of_f64(f64 a) { return (t)via(a); } HELPER t t##_of_f32(f32 a) { return (t)via((f64)a); }
HELPER i64 i64_of_f32(f32 a) { return i64_of_f64((f64)a); }
HELPER u64 u64_of_f32(f32 a) { return u64_of_f64((f64)a); }
FROM_FLOAT(i8, i64_of_f64) FROM_FLOAT(i16, i64_of_f64) FROM_FLOAT(i32, i64_of_f64)
FROM_FLOAT(u8, i64_of_f64) FROM_FLOAT(u16, i64_of_f64) FROM_FLOAT(u32, i64_of_f64)

// ---- floats ----
#define FLOATING(t, s)                                                                                        \
    HELPER t MAX_##t(t a, t b) { return a > b ? a : b; }                                                      \
    HELPER t MIN_##t(t a, t b) { return a < b ? a : b; }                                                      \
    HELPER t NEG_##t(t a) { return -a; }                                                                      \
    HELPER t ABS_##t(t a) { return MATH(fabs##s)(a); }                                                        \
    HELPER t SIGN_##t(t a) { return a > 0 ? 1 : a < 0 ? -1 : a; }                                             \
    HELPER t POW_##t(t a, t b) { return MATH(pow##s)(a, b); }                                                 \
    HELPER t FMOD_##t(t a, t b) { return MATH(fmod##s)(a, b); }                                               \
    HELPER t MOD_##t(t a, t b) { t r = MATH(fmod##s)(a, b); return r != 0 && (r < 0) != (b < 0) ? r + b : r; } \
    HELPER t FLOOR_##t(t a) { return MATH(floor##s)(a); }                                                     \
    HELPER t CEIL_##t(t a) { return MATH(ceil##s)(a); }                                                       \
    HELPER t ROUND_##t(t a) { return MATH(nearbyint##s)(a); }                                                 \
    HELPER t TRUNC_##t(t a) { return MATH(trunc##s)(a); }                                                     \
    HELPER t SQRT_##t(t a) { return MATH(sqrt##s)(a); }                                                       \
    HELPER t EXP_##t(t a) { return MATH(exp##s)(a); }                                                         \
    HELPER t LOG_##t(t a) { return MATH(log##s)(a); }                                                         \
    HELPER t LOG1P_##t(t a) { return MATH(log1p##s)(a); }                                                     \
    HELPER t SIN_##t(t a) { return MATH(sin##s)(a); }                                                         \
    HELPER t COS_##t(t a) { return MATH(cos##s)(a); }                                                         \
    HELPER t TAN_##t(t a) { return MATH(tan##s)(a); }                                                         \
    HELPER t ASIN_##t(t a) { return MATH(asin##s)(a); }                                                       \
    HELPER t ACOS_##t(t a) { return MATH(acos##s)(a); }                                                       \
    HELPER t ATAN_##t(t a) { return MATH(atan##s)(a); }                                                       \
    HELPER t SINH_##t(t a) { return MATH(sinh##s)(a); }                                                       \
    HELPER t COSH_##t(t a) { return MATH(cosh##s)(a); }                                                       \
    HELPER t TANH_##t(t a) { return MATH(tanh##s)(a); }                                                       \
    HELPER t ASINH_##t(t a) { return MATH(asinh##s)(a); }                                                     \
    HELPER t ACOSH_##t(t a) { return MATH(acosh##s)(a); }                                                     \
    HELPER t ATANH_##t(t a) { return MATH(atanh##s)(a); }                                                     \
    HELPER t ERF_##t(t a) { return MATH(erf##s)(a); }                                                         \
    HELPER bool ISNAN_##t(t a) { return a != a; }                                                             \
    HELPER bool ISINF_##t(t a) { return MATH(fabs##s)(a) == INF_##t; }
FLOATING(f32, f) FLOATING(f64, )

// ---- random numbers: Philox 4x32-10, as runtime/philox.h ----
HELPER f32 random_f32(const Ctx *ctx, u64 stream, u64 index) {
    u32 c[4] = {(u32)(index >> 2), (u32)(index >> 34), (u32)stream, (u32)(stream >> 32)};
    u64 key = SEED(ctx) + STEP(ctx) * 0x9E3779B97F4A7C15u;
    u32 k0 = (u32)key, k1 = (u32)(key >> 32);
    for (int r = 0; r < 10; r++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        u64 a = (u64)0xD2511F53u * c[0], b = (u64)0xCD9E8D57u * c[2];
        u32 x = (u32)(b >> 32) ^ c[1] ^ k0, z = (u32)(a >> 32) ^ c[3] ^ k1;
        c[0] = x, c[1] = (u32)b, c[2] = z, c[3] = (u32)a;
    }
    return (f32)(c[index & 3] >> 8) * 0x1p-24f;
}
