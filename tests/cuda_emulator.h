// cuda_emulator.h -- runs generated CUDA on the CPU, one block after the other: a fiber per thread,
// barriers and warp collectives as rendezvous. Twin of codegen/cuda_prelude.h; x86-64. Three thread
// schedules: 0 round robin, 1 random, 2 greedy (a warp runs until it blocks). What cannot be right on
// a device ends the process with a message.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CTX { i64 batch; i32 *error; const u64 *seed; void *work; const void *numbers; }    // the last for callers
#define SEED(ctx) (ctx)->seed[0]
#define STEP(ctx) (ctx)->seed[1]
#include "scalar_prelude.h"

#define TVC_KERNEL(threads) static void
#define __shared__ static
#define __align__(n) __attribute__((aligned(n)))
#define __restrict__
#include "cuda_vectors.h"

// ---- fibers ----

typedef struct { unsigned x, y, z; } Place;
enum { RUNNING, AT_BARRIER, IN_WARP, DONE };
enum { STACK = 64 * 1024, COPIES = 512, MAXTHREADS = 512 };
typedef struct Copy { void *to; const void *from; int size, bytes, group; } Copy;
typedef struct Fiber { void *sp; Place at; int state, lane, warp, number, ncopy, group, fences; Copy copy[COPIES]; } Fiber;
typedef struct Warp { uint64_t slot[2][32][4]; int arrived, phase; const char *what; } Warp;

static struct {
    Place block;
    int n, now, mode;
    unsigned random;
    Fiber *f;
    Warp warp[MAXTHREADS / 32];
    void *sp;
    void (*body)(void **, Ctx);
    void **buf;
    Ctx ctx;
} E;
static Fiber *self;
#define threadIdx (self->at)
#define blockIdx (E.block)

void emu_swap(void **from, void *to);
__asm__(".text\n.local emu_swap\n.type emu_swap,@function\nemu_swap:\n"
        " push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n mov %rsp,(%rdi)\n mov %rsi,%rsp\n"
        " pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n");

static void wrong(const char *what) {
    fprintf(stderr, "emulator: %s (block %u,%u,%u thread %d)\n", what, E.block.x, E.block.y, E.block.z,
            self ? self->number : 0);
    fflush(stderr), abort();
}

static void go(int i) {
    Fiber *from = self;
    E.now = i;
    if (from == &E.f[i]) return;
    self = &E.f[i];
    emu_swap(&from->sp, self->sp);
}

static int pick(void) {
    int now = E.now;
    if (E.mode == 1) now = (int)((E.random = E.random * 1664525u + 1013904223u) >> 8) % E.n;
    for (int k = 1; E.mode == 2 && k <= 32; k++) {
        int i = (now & ~31) + ((now + k) & 31);
        if (i < E.n && E.f[i].state == RUNNING) return i;
    }
    for (int k = 1; k <= E.n; k++)
        if (E.f[(now + k) % E.n].state == RUNNING) return (now + k) % E.n;
    return -1;
}

static void next(void) {
    for (;;) {
        int i = pick(), waiting = 0, done = 0;
        if (i >= 0) { go(i); return; }
        for (i = 0; i < E.n; i++) waiting += E.f[i].state == AT_BARRIER, done += E.f[i].state == DONE;
        if (done == E.n) { void *gone; emu_swap(&gone, E.sp); }
        if (waiting + done != E.n) wrong("threads of a warp wait for others that never come");
        if (done) wrong("__syncthreads() is not reached by every thread");
        for (i = 0; i < E.n; i++) E.f[i].state = RUNNING;
    }
}

static void __syncthreads(void) { self->state = AT_BARRIER, next(); }

static void meet(const char *what) {
    Warp *w = &E.warp[self->warp];
    if (w->arrived == 0) w->what = what;
    else if (strcmp(w->what, what)) wrong("threads of a warp meet in different operations");
    if (++w->arrived < 32) { self->state = IN_WARP, next(); return; }
    w->arrived = 0, w->phase ^= 1;
    for (int i = self->warp * 32; i < self->warp * 32 + 32; i++)
        if (E.f[i].state == IN_WARP) E.f[i].state = RUNNING;
}

// What the 32 threads of a warp bring to an operation, by lane.
static uint64_t (*exchange(const void *mine, size_t n, const char *what))[4] {
    Warp *w = &E.warp[self->warp];
    int phase = w->phase;
    memcpy(w->slot[phase][self->lane], mine, n);
    meet(what);
    return w->slot[phase];
}

static void shuffle(void *v, size_t n, int m) { memcpy(v, exchange(v, n, "shuffle")[(self->lane ^ m) & 31], n); }
static void tvc_syncwarp(void) { meet("__syncwarp"); }
#define tvc_shfl_xor(v, m) ({ __typeof__(v) v_ = (v); shuffle(&v_, sizeof v_, m); v_; })

HELPER f32 tvc_float(u32 u) { f32 f; memcpy(&f, &u, 4); return f; }
HELPER u32 tvc_bits(f32 f) { u32 u; memcpy(&u, &f, 4); return u; }
HELPER u32 tvc_tf32(u32 u) { return (u + 0x1000) & ~0x1fffu; }        // half away from zero

// ---- tensor cores ----

unsigned long emu_fragments, emu_conflicts;                           // rows of an 8x8 matrix that share banks

static void count_banks(uint64_t (*s)[4]) {
    for (int m = 0; self->lane == 0 && m < 4; m++) {
        int banks = 0;
        for (int i = 0; i < 8; i++) banks |= 1 << (s[m * 8 + i][0] >> 4 & 7);
        emu_fragments++, emu_conflicts += 8 - (unsigned)__builtin_popcount((unsigned)banks);
    }
}

typedef uint64_t Shared;
#define tvc_shared(p) ((Shared)(uintptr_t)(p))

static uint64_t (*rows(Shared a, const char *what))[4] {
    uint64_t (*s)[4] = exchange(&a, 8, what);
    if (a & 15) wrong("ldmatrix: an address is no multiple of 16");
    count_banks(s);
    return s;
}

HELPER void tvc_ldmatrix(u32 *r, Shared p) {
    uint64_t (*s)[4] = rows(p, "ldmatrix");
    for (int m = 0; m < 4; m++) memcpy(&r[m], (const u32 *)(uintptr_t)s[m * 8 + self->lane / 4][0] + self->lane % 4, 4);
}

HELPER void tvc_ldmatrix_trans(u32 *r, Shared p) {
    uint64_t (*s)[4] = rows(p, "ldmatrix.trans");
    for (int m = 0; m < 4; m++) {
        const u16 *x = (const u16 *)(uintptr_t)s[m * 8 + self->lane % 4 * 2][0],
                  *y = (const u16 *)(uintptr_t)s[m * 8 + self->lane % 4 * 2 + 1][0];
        r[m] = x[self->lane / 4] | (u32)y[self->lane / 4] << 16;
    }
}

static uint64_t (*fragments(const u32 *a, const u32 *b))[4] {
    u32 v[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
    return exchange(v, sizeof v, "mma");
}

static f32 halves[1 << 16];           // every f16 as f32: products are most of the work
__attribute__((constructor)) static void make_halves(void) {
    for (u32 h = 0; h < 1 << 16; h++) halves[h] = f16_to_f32((u16)h);
}
#define FROM_f16(h) halves[h]
#define FROM_bf16(h) bf16_to_f32(h)

// m16n8k16: element (row, k) of A is in lane row % 8 * 4 + k % 8 / 2, register row / 8 + k / 8 * 2
#define MMA_16(T)                                                                                             \
    static void mma_##T(f32 *d, const u32 *a, const u32 *b) {                                                 \
        uint64_t (*s)[4] = fragments(a, b);                                                                   \
        for (int i = 0; i < 4; i++) {                                                                         \
            int row = (self->lane >> 2) + (i >> 1) * 8, col = (self->lane & 3) * 2 + (i & 1);                 \
            for (int k = 0; k < 16; k++) {                                                                    \
                const u16 *x = (const u16 *)((const u32 *)s[(row & 7) * 4 + (k & 7) / 2] + (row >> 3) + (k >> 3) * 2); \
                const u16 *y = (const u16 *)((const u32 *)s[col * 4 + (k & 7) / 2] + 4 + (k >> 3));           \
                d[i] += FROM_##T(x[k & 1]) * FROM_##T(y[k & 1]);                                              \
            }                                                                                                 \
        }                                                                                                     \
    }
MMA_16(f16) MMA_16(bf16)

// m16n8k8: element (row, k) of A is in lane row % 8 * 4 + k % 4, register row / 8 + k / 4 * 2
static void mma_8(f32 *d, const u32 *a, const u32 *b) {
    uint64_t (*s)[4] = fragments(a, b);
    for (int i = 0; i < 4; i++) {
        int row = (self->lane >> 2) + (i >> 1) * 8, col = (self->lane & 3) * 2 + (i & 1);
        for (int k = 0; k < 8; k++) {
            u32 x = ((const u32 *)s[(row & 7) * 4 + (k & 3)])[(row >> 3) + (k >> 2) * 2];
            u32 y = ((const u32 *)s[col * 4 + (k & 3)])[4 + (k >> 2)];
            d[i] += tvc_float(x) * tvc_float(y);
        }
    }
}

#define MMA(T)                                                                                                \
    HELPER void tvc_mma_##T(f32 (*d)[4], const u32 *a, const u32 (*b)[4]) {                                   \
        for (int j = 0; j < 4; j++) mma_##T(d[j], a, &b[j / 2][j % 2 * 2]);                                   \
    }
MMA(f16) MMA(bf16) MMA(8)

// ---- asynchronous copies: they happen when they are waited for; until then there is NaN ----

static void copy(Shared at, const void *from, int size, int bytes) {
    void *to = (void *)(uintptr_t)at;
    if (((uintptr_t)to | (uintptr_t)from) & (uintptr_t)(size - 1)) wrong("cp.async: an address is misaligned");
    if (bytes < 0 || bytes > size) wrong("cp.async: bytes out of range");
    if (self->ncopy == COPIES) wrong("too many asynchronous copies");
    self->copy[self->ncopy++] = (Copy){to, from, size, bytes, self->group};
    memset(to, 0xff, (size_t)size);
}
#define tvc_copy_16(to, from, bytes) copy(to, from, 16, bytes)
#define tvc_copy_8(to, from, bytes) copy(to, from, 8, bytes)
#define tvc_copy_4(to, from, bytes) copy(to, from, 4, bytes)
#define tvc_commit() ((void)self->group++)

static void tvc_wait(int n) {
    int left = 0;
    for (int i = 0; i < self->ncopy; i++) {
        Copy *q = &self->copy[i];
        if (q->group >= self->group - n) self->copy[left++] = *q;
        else memset(q->to, 0, (size_t)q->size), memcpy(q->to, q->from, (size_t)q->bytes);
    }
    self->ncopy = left;
}
// Between blocks: they run one after the other, in an order of each schedule's own.
// Every thread fences what it wrote before its block is counted, and before it reads what others wrote.
#define tvc_fence() ((void)self->fences++)
static u32 tvc_count(u32 *p) {
    for (int i = 0; i < E.n; i++)
        if (E.f[i].fences % 2 == 0) wrong("a block is counted before all of its threads have called __threadfence()");
    return (*p)++;
}
static void may_read(void) {
    if (self->fences == 0 || self->fences % 2) wrong("what other blocks wrote is read before __threadfence()");
}
static f32 tvc_fresh(const f32 *p) { return may_read(), *p; }
static f32x4 tvc_fresh_4(const f32x4 *p) { return may_read(), *p; }
#include "cuda_tiles.h"

// ---- starting a kernel ----

static void entry(void) {
    E.body(E.buf, E.ctx);
    if (self->ncopy) wrong("an asynchronous copy is never waited for");
    self->state = DONE;
    next();
    abort();
}

static int64_t common_factor(int64_t a, int64_t b) { return b ? common_factor(b, a % b) : a; }

// Far from the one before, and all of them in turn.
static int64_t scattered(int64_t i, int64_t blocks) {
    int64_t step = blocks * 5 / 8 + 1;
    while (common_factor(step, blocks) != 1) step++;
    return (blocks / 2 + i * step) % blocks;
}

static void launch(const int64_t *grid, int threads, int mode, void (*body)(void **, Ctx), void **buf, Ctx ctx) {
    if (threads % 32 || threads > MAXTHREADS) wrong("a block of whole warps is expected");
    E.n = threads, E.mode = mode, E.random = 7, E.body = body, E.buf = buf, E.ctx = ctx;
    E.f = calloc((size_t)threads, sizeof *E.f);
    size_t room = (size_t)threads * STACK;
    char *stack = mmap(0, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int64_t blocks = grid[0] * grid[1] * grid[2];
    for (int64_t i = 0; i < blocks; i++) {
        int64_t b = mode == 0 ? i : mode == 1 ? scattered(i, blocks) : blocks - 1 - i;
        E.block =
            (Place){(unsigned)(b % grid[0]), (unsigned)(b / grid[0] % grid[1]), (unsigned)(b / grid[0] / grid[1])};
        memset(E.warp, 0, sizeof E.warp);
        for (int i = 0; i < threads; i++) {
            Fiber *f = &E.f[i];
            f->number = i, f->lane = i & 31, f->warp = i >> 5, f->state = RUNNING, f->ncopy = f->group = f->fences = 0,
            f->at.x = (unsigned)i;
            void **sp = (void **)(stack + (size_t)(i + 1) * STACK - 64);
            *--sp = 0, *--sp = (void *)entry;
            for (int k = 0; k < 6; k++) *--sp = 0;
            f->sp = sp;
        }
        E.now = 0, self = &E.f[0];
        emu_swap(&E.sp, self->sp);
    }
    munmap(stack, room), free(E.f);
    self = NULL;
}
