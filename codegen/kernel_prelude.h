// What generated kernels in C may use besides scalar_prelude.h, which comes before this text, as does
// LANES (floats per vector). No headers: parsing one costs more than compiling ten kernels.

// Elements in memory: weights lie wherever their file was mapped.
#define MEM(t, m) typedef t m __attribute__((aligned(1), may_alias))
MEM(f32, m_f32); MEM(f64, m_f64); MEM(i8, m_i8); MEM(i16, m_i16); MEM(i32, m_i32); MEM(i64, m_i64);
MEM(u8, m_u8); MEM(u16, m_u16); MEM(u32, m_u32); MEM(u64, m_u64); MEM(u8, m_bool);

#define KERNEL(name) __attribute__((visibility("default"))) void name(long lo, long hi, void *const *buf, const Ctx *ctx)
#define TILE static __attribute__((noinline))

// ---- vectors of LANES floats; truth is a mask of all ones ----
typedef f32 vf __attribute__((vector_size(LANES * 4)));
typedef i32 vi __attribute__((vector_size(LANES * 4)));
typedef vf m_vf __attribute__((aligned(1), may_alias));
#define LD(p) (*(const m_vf *)(p))
#define ST(p, v) (*(m_vf *)(p) = (v))
HELPER vf splat(f32 x) { return x - (vf){0}; }
HELPER vi isplat(i32 x) { return x - (vi){0}; }
HELPER vi vmask(bool b) { return isplat(-b); }
HELPER vf vselect(vi m, vf a, vf b) { return (vf)(((vi)a & m) | ((vi)b & ~m)); }
HELPER vf MAX_v(vf a, vf b) { return vselect(a > b, a, b); }
HELPER vf MIN_v(vf a, vf b) { return vselect(a < b, a, b); }
HELPER vf NEG_v(vf a) { return -a; }
HELPER vf ABS_v(vf a) { return (vf)((vi)a & 0x7fffffff); }
HELPER vi ISNAN_v(vf a) { return a != a; }
HELPER vf SQRT_v(vf a) { for (int i = 0; i < LANES; i++) a[i] = __builtin_sqrtf(a[i]); return a; }
HELPER f32 hsum(vf a) {
    f32 s[LANES];
    for (int i = 0; i < LANES; i++) s[i] = a[i];
    for (int n = LANES / 2; n; n /= 2)
        for (int i = 0; i < n; i++) s[i] += s[i + n];
    return s[0];
}
HELPER f32 hmax(vf a) { f32 m = a[0]; for (int i = 1; i < LANES; i++) m = m > a[i] ? m : a[i]; return m; }
HELPER f32 hmin(vf a) { f32 m = a[0]; for (int i = 1; i < LANES; i++) m = m < a[i] ? m : a[i]; return m; }

// Whole numbers lie on their own beyond 2^23; NaN stays NaN.
HELPER vf whole_v(vf a, vf r) { return vselect(ABS_v(a) < splat(0x1p23f), (vf)((vi)r | ((vi)a & (-0x7fffffff - 1))), a); }
HELPER vf TRUNC_v(vf a) { return whole_v(a, __builtin_convertvector(__builtin_convertvector(a, vi), vf)); }
HELPER vf FLOOR_v(vf a) { vf t = TRUNC_v(a); return vselect(t > a, t - splat(1), t); }
HELPER vf CEIL_v(vf a) { vf t = TRUNC_v(a); return vselect(t < a, (vf)((vi)(t + splat(1)) | ((vi)a & (-0x7fffffff - 1))), t); }
HELPER vf ROUND_v(vf a) { vf m = splat(0x1.8p23f); return whole_v(a, ABS_v((a + m) - m)); }

// exp: x = n ln2 + r, |r| <= ln2/2; a polynomial in r, scaled by 2^n in two steps.
HELPER vf EXP_v(vf x) {
    vf c = MIN_v(MAX_v(splat(-104.f), x), splat(89.f)), m = splat(0x1.8p23f);
    vf n = (c * splat(0x1.715476p+0f) + m) - m;
    vf r = c - n * splat(0x1.62e4p-1f), p;
    r = r - n * splat(0x1.7f7d1cp-20f);
    p = splat(0x1.a26762p-13f);
    p = p * r + splat(0x1.6d2e00p-10f);
    p = p * r + splat(0x1.110ff2p-7f);
    p = p * r + splat(0x1.555502p-5f);
    p = p * r + splat(0x1.555556p-3f);
    p = p * r + splat(0x1p-1f);
    p = p * r * r + r + splat(1);
    vi e = __builtin_convertvector(n, vi), h = e >> 1;
    vf y = p * (vf)((h + 127) << 23) * (vf)((e - h + 127) << 23);
    return vselect(x != x, x, y);
}

// log: x = m 2^e with m in [sqrt(1/2), sqrt 2); a series in s = (m-1)/(m+1).
HELPER vf LOG_v(vf x) {
    vi tiny = x < splat(0x1p-126f);
    vf y = vselect(tiny, x * splat(0x1p23f), x);
    vi b = (vi)y - 0x3f3504f3, e = b >> 23;
    vf m = (vf)((b & 0x7fffff) + 0x3f3504f3), s = (m - splat(1)) / (m + splat(1)), z = s * s;
    vf p = splat(0.2388885f);
    p = p * z + splat(0.2850119f), p = p * z + splat(0.4000078f), p = p * z + splat(0.6666666f);
    vf n = __builtin_convertvector(e, vf) - vselect(tiny, splat(23), splat(0));
    vf r = n * splat(0x1.62e4p-1f) + (n * splat(0x1.7f7d1cp-20f) + (splat(2) * s + s * z * p));
    r = vselect(x == splat(__builtin_inff()), x, r);
    r = vselect(x == splat(0), splat(-__builtin_inff()), r);
    return vselect(x < splat(0), splat(__builtin_nanf("")), vselect(x != x, x, r));
}

// tanh: (e - 1) / (e + 1) with e = exp 2|x|; an odd series near 0.
HELPER vf TANH_v(vf x) {
    vf a = ABS_v(x), z = x * x, e = EXP_v(splat(2) * MIN_v(a, splat(10.f)));
    vf big = (e - splat(1)) / (e + splat(1)), p = splat(0.0214f);
    p = p * z + splat(-0.05387f), p = p * z + splat(0.13333f), p = p * z + splat(-0.3333333f);
    vf y = vselect(a < splat(0.3f), a + a * z * p, big);
    return vselect(x != x, x, (vf)((vi)y | ((vi)x & (-0x7fffffff - 1))));
}

// erf: an odd polynomial up to 1; beyond it 1 - exp(q(|x|)), q fitted to log(1 - erf) up to 4.
HELPER vf ERF_v(vf x) {
    vf a = ABS_v(x), z = x * x, m = MIN_v(a, splat(4.f)), p = splat(-0x1.44ceae0000000p-17f), q = splat(0x1.c7384e0000000p-23f);
    p = p * z + splat(0x1.d8b8140000000p-14f), p = p * z + splat(-0x1.bcd7ca0000000p-11f), p = p * z + splat(0x1.562b180000000p-8f);
    p = p * z + splat(-0x1.b829d80000000p-6f), p = p * z + splat(0x1.ce2f0a0000000p-4f), p = p * z + splat(-0x1.8127460000000p-2f);
    p = p * z + splat(0x1.20dd760000000p+0f);
    q = q * m + splat(-0x1.9f45ea0000000p-16f), q = q * m + splat(0x1.e2b4560000000p-12f), q = q * m + splat(-0x1.17e0660000000p-8f);
    q = q * m + splat(0x1.9f50860000000p-6f), q = q * m + splat(-0x1.bcda120000000p-4f), q = q * m + splat(-0x1.4421360000000p-1f);
    q = q * m + splat(-0x1.2130b20000000p+0f), q = q * m + splat(0x1.a7ba900000000p-13f);
    vf big = splat(1) - EXP_v(q);
    vf y = vselect(a < splat(1), x * p, (vf)((vi)big | ((vi)x & (-0x7fffffff - 1))));
    return vselect(x != x, x, y);
}

HELPER void fill_f32(m_f32 *p, long n, f32 v) { for (long i = 0; i < n; i++) p[i] = v; }
