// philox.h -- counter-based random numbers: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel
// random numbers: as easy as 1, 2, 3", SC 2011). The same (key, stream, index) gives the same
// number on any machine, in any order, on any number of threads.
#ifndef TVC_PHILOX_H
#define TVC_PHILOX_H
#include <stdint.h>

static inline void philox(uint64_t key, uint64_t hi, uint64_t lo, uint32_t out[4]) {
    uint32_t c[4] = {(uint32_t)lo, (uint32_t)(lo >> 32), (uint32_t)hi, (uint32_t)(hi >> 32)};
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
        uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t x = (uint32_t)(b >> 32) ^ c[1] ^ k0, z = (uint32_t)(a >> 32) ^ c[3] ^ k1;
        c[0] = x, c[1] = (uint32_t)b, c[2] = z, c[3] = (uint32_t)a;
    }
    for (int i = 0; i < 4; i++) out[i] = c[i];
}

// Every step of a run draws numbers of its own.
static inline uint64_t philox_key(uint64_t seed, uint64_t step) { return seed + step * 0x9E3779B97F4A7C15u; }

// Uniform in [0, 1), 24 bits: element `index` of stream `stream`. Four elements share a block.
static inline float philox_uniform(uint64_t key, uint64_t stream, uint64_t index) {
    uint32_t r[4];
    philox(key, stream, index >> 2, r);
    return (float)(r[index & 3] >> 8) * 0x1p-24f;
}

#endif
