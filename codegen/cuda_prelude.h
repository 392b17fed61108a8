// What generated CUDA may use besides the language, on the device. tests/cuda_emulator.h is its twin on
// the CPU; scalar_prelude.h, cuda_vectors.h and cuda_tiles.h are the same text on both sides. No other headers.
#define HELPER static __device__ __forceinline__
#define MATH(f) f
#define INF_f32 __int_as_float(0x7f800000)
#define INF_f64 __longlong_as_double(0x7ff0000000000000ll)
#define NAN_f32 __int_as_float(0x7fc00000)
#define NAN_f64 __longlong_as_double(0x7ff8000000000000ll)
#define CTX { i64 batch; i32 *error; const u64 *seed; void *work; }
#define SEED(ctx) (ctx)->seed[0]
#define STEP(ctx) (ctx)->seed[1]
#define OWN_HALVES
#include "scalar_prelude.h"

#define TVC_KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)
#define tvc_syncwarp() __syncwarp()
#define tvc_shfl_xor(v, m) __shfl_xor_sync(0xffffffffu, v, m)

HELPER f32 f16_to_f32(u16 h) { f32 f; asm("cvt.f32.f16 %0,%1;" : "=f"(f) : "h"(h)); return f; }
HELPER u16 f32_to_f16(f32 f) { u16 h; asm("cvt.rn.f16.f32 %0,%1;" : "=h"(h) : "f"(f)); return h; }
HELPER f32 bf16_to_f32(u16 h) { return __uint_as_float((u32)h << 16); }
HELPER u16 f32_to_bf16(f32 f) { u16 h; asm("cvt.rn.bf16.f32 %0,%1;" : "=h"(h) : "f"(f)); return h; }

HELPER f32 tvc_float(u32 u) { return __uint_as_float(u); }
HELPER u32 tvc_bits(f32 f) { return __float_as_uint(f); }
HELPER u32 tvc_tf32(u32 u) { u32 r; asm("cvt.rna.tf32.f32 %0,%1;" : "=r"(r) : "f"(tvc_float(u))); return r; }

// ---- tensor cores ----
typedef u32 Shared;                   // an address in shared memory
HELPER Shared tvc_shared(const void *p) {
    u32 r;
    asm("{.reg .u64 t; cvta.to.shared.u64 t,%1; cvt.u32.u64 %0,t;}" : "=r"(r) : "l"(p));
    return r;
}
#define LDMATRIX(name, how)                                                                                   \
    HELPER void name(u32 *r, Shared p) {                                                                      \
        asm volatile("ldmatrix.sync.aligned.m8n8.x4" how ".shared.b16 {%0,%1,%2,%3},[%4];"                    \
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(p) : "memory");                   \
    }
LDMATRIX(tvc_ldmatrix, "") LDMATRIX(tvc_ldmatrix_trans, ".trans")
// 16 rows by four times 8 columns: a is A's fragment, b two times two of B's.
#define ONE(how, d, a, b0, b1) "mma.sync.aligned." how " {" d "},{" a "},{" b0 "," b1 "},{" d "};\n"
#define A4 "%16,%17,%18,%19"
#define SUMS(d) "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
#define FOUR(x) "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3])
#define MMA(name, how)                                                                                        \
    HELPER void name(f32 (*d)[4], const u32 *a, const u32 (*b)[4]) {                                          \
        asm volatile(ONE(how, "%0,%1,%2,%3", A4, "%20", "%21") ONE(how, "%4,%5,%6,%7", A4, "%22", "%23")      \
                     ONE(how, "%8,%9,%10,%11", A4, "%24", "%25") ONE(how, "%12,%13,%14,%15", A4, "%26", "%27") \
                     : SUMS(d[0]), SUMS(d[1]), SUMS(d[2]), SUMS(d[3])                                         \
                     : FOUR(a), FOUR(b[0]), FOUR(b[1]));                                                      \
    }
MMA(tvc_mma_f16, "m16n8k16.row.col.f32.f16.f16.f32") MMA(tvc_mma_bf16, "m16n8k16.row.col.f32.bf16.bf16.f32")
MMA(tvc_mma_8, "m16n8k8.row.col.f32.tf32.tf32.f32")

// ---- copies to shared memory: `size` bytes, the first `bytes` of them from memory, the rest zero ----
#define COPY(size, how)                                                                                       \
    HELPER void tvc_copy_##size(Shared to, const void *from, int bytes) {                                     \
        asm volatile("cp.async." how ".shared.global [%0],[%1]," #size ",%2;"                                 \
                     :: "r"(to), "l"(from), "r"(bytes) : "memory");                                           \
    }
COPY(16, "cg") COPY(8, "ca") COPY(4, "ca")
#define tvc_commit() asm volatile("cp.async.commit_group;" ::: "memory")
#define tvc_wait(n) asm volatile("cp.async.wait_group %0;" :: "n"(n) : "memory")

#include "cuda_vectors.h"

// ---- between blocks ----
#define tvc_fence() __threadfence()
#define tvc_count(p) atomicAdd(p, 1u)
HELPER f32 tvc_fresh(const f32 *p) {                  // what other blocks have written: not from this processor's cache
    f32 v;
    asm volatile("ld.global.cg.f32 %0,[%1];" : "=f"(v) : "l"(p) : "memory");
    return v;
}
HELPER f32x4 tvc_fresh_4(const f32x4 *p) {
    f32x4 v;
    asm volatile("ld.global.cg.v4.f32 {%0,%1,%2,%3},[%4];"
                 : "=f"(v.x[0]), "=f"(v.x[1]), "=f"(v.x[2]), "=f"(v.x[3]) : "l"(p) : "memory");
    return v;
}
#include "cuda_tiles.h"
