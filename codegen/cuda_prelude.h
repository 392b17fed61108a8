// What generated CUDA may use besides the language, on the device. tests/cuda_emulator.h is its twin on
// the CPU; scalar_prelude.h and cuda_vectors.h are the same text on both sides. No other headers.
#define HELPER static __device__ __forceinline__
#define MATH(f) f
#define INF_f32 __int_as_float(0x7f800000)
#define INF_f64 __longlong_as_double(0x7ff0000000000000ll)
#define NAN_f32 __int_as_float(0x7fc00000)
#define NAN_f64 __longlong_as_double(0x7ff8000000000000ll)
#define CTX { i64 batch; i32 *error; const u64 *seed; }
#define SEED(ctx) (ctx)->seed[0]
#define STEP(ctx) (ctx)->seed[1]
#include "scalar_prelude.h"

#define TVC_KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)
#define tvc_shfl_xor(v, m) __shfl_xor_sync(0xffffffffu, v, m)

HELPER f32 f16_to_f32(u16 h) { f32 f; asm("cvt.f32.f16 %0,%1;" : "=f"(f) : "h"(h)); return f; }
HELPER u16 f32_to_f16(f32 f) { u16 h; asm("cvt.rn.f16.f32 %0,%1;" : "=h"(h) : "f"(f)); return h; }
HELPER f32 bf16_to_f32(u16 h) { return __uint_as_float((u32)h << 16); }
HELPER u16 f32_to_bf16(f32 f) { u16 h; asm("cvt.rn.bf16.f32 %0,%1;" : "=h"(h) : "f"(f)); return h; }

#include "cuda_vectors.h"
