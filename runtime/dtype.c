// dtype.c -- the table of element types and conversion of single elements.
#include "dtype.h"
#include <math.h>
#include <string.h>

const DTypeInfo dtypes[NDTYPES] = {
    [DT_NONE] = {"none", "", 0, 0, DT_NONE},
    [DT_F32] = {"f32", "<f4", 1, 4, DT_F32},    [DT_F64] = {"f64", "<f8", 11, 8, DT_F64},
    [DT_F16] = {"f16", "<f2", 10, 2, DT_F32},   [DT_BF16] = {"bf16", "<V2", 16, 2, DT_F32},
    [DT_I8] = {"i8", "|i1", 3, 1, DT_I8},       [DT_I16] = {"i16", "<i2", 5, 2, DT_I16},
    [DT_I32] = {"i32", "<i4", 6, 4, DT_I32},    [DT_I64] = {"i64", "<i8", 7, 8, DT_I64},
    [DT_U8] = {"u8", "|u1", 2, 1, DT_U8},       [DT_U16] = {"u16", "<u2", 4, 2, DT_U16},
    [DT_U32] = {"u32", "<u4", 12, 4, DT_U32},   [DT_U64] = {"u64", "<u8", 13, 8, DT_U64},
    [DT_BOOL] = {"bool", "|b1", 9, 1, DT_BOOL},
};

DType dtype_of_onnx(int64_t code) {
    for (int t = 1; t < NDTYPES; t++)
        if (dtypes[t].onnx == code) return (DType)t;
    return DT_NONE;
}

DType dtype_find(const char *name) {
    for (int t = 1; t < NDTYPES; t++)
        if (!strcmp(dtypes[t].name, name)) return (DType)t;
    return DT_NONE;
}

static float float_of(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }
static uint32_t bits_of(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }

float f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 1023;
    if (e == 31) return float_of(sign | 0x7f800000 | m << 13);
    if (e) return float_of(sign | (e + 112) << 23 | m << 13);
    float f = (float)m * 0x1p-24f;                    // zero and subnormals
    return sign ? -f : f;
}

uint16_t f32_to_f16(float f) {
    uint32_t u = bits_of(f), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
    if (a > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (a >= 0x477ff000) return (uint16_t)(sign | 0x7c00);            // rounds to infinity
    if (a < 0x38800000)                                               // subnormal: let the FPU round
        return (uint16_t)(sign | (bits_of(float_of(a) + 0.5f) - 0x3f000000));
    uint32_t r = a - (112u << 23), odd = r >> 13 & 1;
    return (uint16_t)(sign | (r + 0xfff + odd) >> 13);
}

float bf16_to_f32(uint16_t h) { return float_of((uint32_t)h << 16); }

uint16_t f32_to_bf16(float f) {
    uint32_t u = bits_of(f);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

#define LOAD(T) (__extension__({ T v_; memcpy(&v_, p, sizeof v_); v_; }))
#define STORE(T, x) do { T v_ = (T)(x); memcpy(p, &v_, sizeof v_); } while (0)

double dtype_get_f(DType t, const void *p) {
    switch (t) {
    case DT_F32: return (double)LOAD(float);
    case DT_F64: return LOAD(double);
    case DT_F16: return (double)f16_to_f32(LOAD(uint16_t));
    case DT_BF16: return (double)bf16_to_f32(LOAD(uint16_t));
    case DT_U64: return (double)LOAD(uint64_t);
    default: return (double)dtype_get_i(t, p);
    }
}

static int64_t saturate(double v) {
    if (v != v) return 0;
    if (v >= 0x1p63) return INT64_MAX;
    return v < -0x1p63 ? INT64_MIN : (int64_t)v;
}

int64_t dtype_get_i(DType t, const void *p) {
    switch (t) {
    case DT_I8: return LOAD(int8_t);
    case DT_I16: return LOAD(int16_t);
    case DT_I32: return LOAD(int32_t);
    case DT_I64: return LOAD(int64_t);
    case DT_U8: return LOAD(uint8_t);
    case DT_U16: return LOAD(uint16_t);
    case DT_U32: return LOAD(uint32_t);
    case DT_U64: return (int64_t)LOAD(uint64_t);
    case DT_BOOL: return LOAD(uint8_t) != 0;
    case DT_NONE: case NDTYPES: return 0;
    default: return saturate(dtype_get_f(t, p));
    }
}

void dtype_set_f(DType t, void *p, double v) {
    switch (t) {
    case DT_F32: STORE(float, v); break;
    case DT_F64: STORE(double, v); break;
    case DT_F16: STORE(uint16_t, f32_to_f16((float)v)); break;
    case DT_BF16: STORE(uint16_t, f32_to_bf16((float)v)); break;
    case DT_BOOL: STORE(uint8_t, v != 0); break;
    case DT_U64: STORE(uint64_t, v >= 0x1p63 ? (v >= 0x1p64 ? UINT64_MAX : (uint64_t)v) : (uint64_t)saturate(v)); break;
    default: dtype_set_i(t, p, saturate(v));
    }
}

void dtype_set_i(DType t, void *p, int64_t v) {
    switch (t) {
    case DT_I8: case DT_U8: STORE(uint8_t, (uint64_t)v); break;
    case DT_I16: case DT_U16: STORE(uint16_t, (uint64_t)v); break;
    case DT_I32: case DT_U32: STORE(uint32_t, (uint64_t)v); break;
    case DT_I64: case DT_U64: STORE(uint64_t, (uint64_t)v); break;
    case DT_BOOL: STORE(uint8_t, v != 0); break;
    case DT_NONE: case NDTYPES: break;
    default: dtype_set_f(t, p, (double)v);
    }
}
