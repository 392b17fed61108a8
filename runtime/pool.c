// pool.c -- a chunk-claiming pool: short spin, then futex.
//
// One atomic ticket: generation << 32 | chunks not yet claimed. Claiming a chunk is one
// compare-and-swap. The job (function, range) is read only after a claim succeeded, and the
// launcher changes it only when every claimed chunk is finished, so a thread that wakes late
// finds an empty ticket or the next job, never half of one. A thread that was slow to wake
// costs nothing: nobody waits for threads, only for chunks that were really claimed.
#define _GNU_SOURCE            // CPU_COUNT
#include "pool.h"
#include "fpstate.h"
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { MAX_THREADS = 256, CHUNKS_PER_THREAD = 8, SPIN_NS = 50000, PAUSES_PER_LOOK = 32 };

struct Pool {
    _Alignas(64) _Atomic uint64_t ticket;
    _Alignas(64) _Atomic uint32_t unfinished;    // chunks; the launcher sleeps on it
    _Atomic bool launcher_sleeps;
    _Alignas(64) _Atomic uint32_t bell;          // rung once per job; workers sleep on it
    _Atomic uint32_t sleepers;
    _Atomic bool stop;
    _Alignas(64) PoolFn *fn;                     // the job
    void *arg;
    int64_t n;
    uint32_t nchunk;
    int nworker;
    pthread_t worker[];
};

static void futex_wait(_Atomic uint32_t *word, uint32_t seen) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, uint32_t threads) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, threads, NULL, NULL, 0);
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void pause_cpu(void) {
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

// Spin while *word == seen, at most SPIN_NS. True if it changed.
static bool spin_while(_Atomic uint32_t *word, uint32_t seen) {
    int64_t end = now_ns() + SPIN_NS;
    do {
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != seen) return true;
            pause_cpu();
        }
    } while (now_ns() < end);
    return false;
}

// The number of a chunk that is ours now, counted from the end; 0: none left.
static uint32_t claim(Pool *p) {
    uint64_t t = atomic_load_explicit(&p->ticket, memory_order_relaxed);
    while ((uint32_t)t)
        if (atomic_compare_exchange_weak_explicit(&p->ticket, &t, t - 1, memory_order_acquire, memory_order_relaxed))
            return (uint32_t)t;
    return 0;
}

static void run_chunk(const Pool *p, int64_t i) {
    int64_t each = p->n / p->nchunk, longer = p->n % p->nchunk;
    int64_t lo = i * each + (i < longer ? i : longer);
    p->fn(lo, lo + each + (i < longer), p->arg);
}

static void work(Pool *p) {
    for (uint32_t c; (c = claim(p));) {
        run_chunk(p, (int64_t)p->nchunk - c);
        if (atomic_fetch_sub(&p->unfinished, 1) == 1 && atomic_load(&p->launcher_sleeps)) futex_wake(&p->unfinished, 1);
    }
}

static void *worker_main(void *arg) {
    Pool *p = arg;
    fp_enter();
    for (;;) {
        uint32_t seen = atomic_load(&p->bell);
        work(p);
        if (atomic_load(&p->stop)) return NULL;
        if (spin_while(&p->bell, seen)) continue;
        atomic_fetch_add(&p->sleepers, 1);       // before looking at the bell once more, inside the futex
        futex_wait(&p->bell, seen);
        atomic_fetch_sub(&p->sleepers, 1);
    }
}

static void ring(Pool *p, uint32_t threads) {
    atomic_fetch_add(&p->bell, 1);               // before looking for sleepers
    if (atomic_load(&p->sleepers)) futex_wake(&p->bell, threads);
}

static void await_chunks(Pool *p) {
    for (uint32_t left; (left = atomic_load(&p->unfinished));) {
        if (spin_while(&p->unfinished, left)) continue;
        atomic_store(&p->launcher_sleeps, true);
        futex_wait(&p->unfinished, left);
        atomic_store(&p->launcher_sleeps, false);
    }
}

static void run_shared(Pool *p, PoolFn *fn, int64_t n, void *arg) {
    int64_t most = (int64_t)CHUNKS_PER_THREAD * pool_threads(p);
    uint32_t nchunk = (uint32_t)(n < most ? n : most);
    p->fn = fn, p->arg = arg, p->n = n, p->nchunk = nchunk;
    atomic_store(&p->unfinished, nchunk);
    uint64_t generation = (atomic_load_explicit(&p->ticket, memory_order_relaxed) >> 32) + 1;
    atomic_store_explicit(&p->ticket, generation << 32 | nchunk, memory_order_release);
    ring(p, nchunk - 1);
    work(p);
    await_chunks(p);
}

void pool_run(Pool *p, PoolFn *fn, int64_t n, void *arg) {
    if (n <= 0) return;
    FpState caller = fp_enter();
    if (n == 1 || !p->nworker)
        fn(0, n, arg);
    else
        run_shared(p, fn, n, arg);
    fp_leave(caller);
}

int pool_threads(const Pool *p) { return p->nworker + 1; }

int pool_processors(void) {
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set)) return CPU_COUNT(&set);
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

// Workers take no signals: the host's handlers run in the host's threads.
static void start_workers(Pool *p, int count) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (p->nworker < count && !pthread_create(&p->worker[p->nworker], NULL, worker_main, p)) p->nworker++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

Pool *pool_new(int threads) {
    if (threads < 1) threads = pool_processors();
    if (threads < 1) threads = 1;
    if (threads > MAX_THREADS) threads = MAX_THREADS;
    size_t size = sizeof(Pool) + (size_t)threads * sizeof(pthread_t);
    Pool *p = aligned_alloc(64, (size + 63) & ~(size_t)63);
    if (!p) return NULL;
    *p = (Pool){0};
    start_workers(p, threads - 1);
    return p;
}

void pool_free(Pool *p) {
    if (!p) return;
    atomic_store(&p->stop, true);
    ring(p, INT_MAX);
    for (int i = 0; i < p->nworker; i++) pthread_join(p->worker[i], NULL);
    free(p);
}
