// Neighbours in memory that are read and written at once.
#define VECTOR(t, n) typedef struct __align__(sizeof(t) * n) { t x[n]; } t##x##n;
VECTOR(u8, 2) VECTOR(u8, 4) VECTOR(u8, 8) VECTOR(u8, 16) VECTOR(i8, 2) VECTOR(i8, 4) VECTOR(i8, 8) VECTOR(i8, 16)
VECTOR(u16, 2) VECTOR(u16, 4) VECTOR(u16, 8) VECTOR(i16, 2) VECTOR(i16, 4) VECTOR(i16, 8)
VECTOR(u32, 2) VECTOR(u32, 4) VECTOR(i32, 2) VECTOR(i32, 4) VECTOR(f32, 2) VECTOR(f32, 4)
VECTOR(u64, 2) VECTOR(i64, 2) VECTOR(f64, 2)
typedef struct __align__(16) { f32 x[8]; } f32x8;
