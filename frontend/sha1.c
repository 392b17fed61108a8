// sha1.c -- FIPS 180-4.
#include "sha1.h"
#include <string.h>

static uint32_t rotate(uint32_t v, int n) { return v << n | v >> (32 - n); }

static uint32_t big_endian(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void block(uint32_t s[5], const uint8_t *p) {
    uint32_t w[80], a = s[0], b = s[1], c = s[2], d = s[3], e = s[4];
    for (int i = 0; i < 16; i++) w[i] = big_endian(p + 4 * i);
    for (int i = 16; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 || i >= 60 ? b ^ c ^ d : (b & c) | (b & d) | (c & d);
        uint32_t k = i < 20 ? 0x5a827999 : i < 40 ? 0x6ed9eba1 : i < 60 ? 0x8f1bbcdc : 0xca62c1d6;
        uint32_t t = rotate(a, 5) + f + e + k + w[i];
        e = d, d = c, c = rotate(b, 30), b = a, a = t;
    }
    s[0] += a, s[1] += b, s[2] += c, s[3] += d, s[4] += e;
}

Sha1 sha1_start(void) { return (Sha1){.state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}}; }

void sha1_add(Sha1 *h, const void *data, size_t n) {
    const uint8_t *p = data;
    size_t held = h->n % 64;
    h->n += n;
    if (held) {
        size_t k = n < 64 - held ? n : 64 - held;
        memcpy(h->block + held, p, k);
        p += k, n -= k;
        if (held + k < 64) return;
        block(h->state, h->block);
    }
    for (; n >= 64; p += 64, n -= 64) block(h->state, p);
    if (n) memcpy(h->block, p, n);
}

void sha1_text(Sha1 *h, char out[SHA1_TEXT]) {
    static const char digit[] = "0123456789abcdef";
    uint64_t bits = h->n * 8;
    uint8_t end[72] = {0x80}, *length = end + (h->n % 64 < 56 ? 56 : 120) - h->n % 64;
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)(bits >> (56 - 8 * i));
    sha1_add(h, end, (size_t)(length + 8 - end));
    for (int i = 0; i < 40; i++) out[i] = digit[h->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
    out[40] = 0;
}
