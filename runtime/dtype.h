// dtype.h -- the element types tvc computes with. One line each.
//
//   name   ONNX   bytes  C type       value: the type formulas compute in
#ifndef TVC_DTYPE_H
#define TVC_DTYPE_H
#include <stdbool.h>
#include <stdint.h>

#define TVC_DTYPES(X)                     \
    X(F32,   1,  4, float,    F32)        \
    X(F64,  11,  8, double,   F64)        \
    X(F16,  10,  2, uint16_t, F32)        \
    X(BF16, 16,  2, uint16_t, F32)        \
    X(I8,    3,  1, int8_t,   I8)         \
    X(I16,   5,  2, int16_t,  I16)        \
    X(I32,   6,  4, int32_t,  I32)        \
    X(I64,   7,  8, int64_t,  I64)        \
    X(U8,    2,  1, uint8_t,  U8)         \
    X(U16,   4,  2, uint16_t, U16)        \
    X(U32,  12,  4, uint32_t, U32)        \
    X(U64,  13,  8, uint64_t, U64)        \
    X(BOOL,  9,  1, uint8_t,  BOOL)

typedef enum DType {
    DT_NONE,
#define X(name, onnx, bytes, c, value) DT_##name,
    TVC_DTYPES(X)
#undef X
    NDTYPES
} DType;

typedef struct DTypeInfo {
    const char *name;      // "f32": how messages, text graphs and generated code call it
    const char *numpy;     // "<f4": in .npy files; bf16 has none and says "<V2"
    int onnx, bytes;
    DType value;
} DTypeInfo;

extern const DTypeInfo dtypes[NDTYPES];               // dtype.c

DType dtype_of_onnx(int64_t code);                    // DT_NONE if tvc has no such type
DType dtype_find(const char *name);                   // by our own name; DT_NONE if unknown

static inline bool dtype_is_float(DType t) { return t >= DT_F32 && t <= DT_BF16; }
static inline bool dtype_is_narrow(DType t) { return t == DT_F16 || t == DT_BF16; }
static inline bool dtype_is_int(DType t) { return t >= DT_I8 && t <= DT_U64; }
static inline bool dtype_is_signed(DType t) { return t <= DT_I64; }

// IEEE conversions, round to nearest even.
float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float f);
float bf16_to_f32(uint16_t h);
uint16_t f32_to_bf16(float f);

// One element, wherever it lies (no alignment asked).
double dtype_get_f(DType t, const void *p);           // any type as a double
int64_t dtype_get_i(DType t, const void *p);          // any type as an integer; floats truncate, saturating
void dtype_set_f(DType t, void *p, double v);         // rounds floats; integers truncate, saturating
void dtype_set_i(DType t, void *p, int64_t v);        // integers wrap
#endif
