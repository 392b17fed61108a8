// pool.h -- more hands. pool_run cuts 0..n into chunks; whoever is free takes the next one, the
// caller included, and returns when all are done.
//
// Work must not depend on which thread does it, nor on where the cuts fall. One pool serves one
// caller at a time, and not from inside its own work. Every chunk runs in the default floating
// point environment (round to nearest, subnormals kept), whatever the caller had set.
#ifndef TVC_POOL_H
#define TVC_POOL_H
#include <stdint.h>

typedef struct Pool Pool;
typedef void PoolFn(int64_t lo, int64_t hi, void *arg);

Pool *pool_new(int threads);            // 0: one per processor this process may use. NULL: no memory.
                                        // Runs with fewer where the system refuses a thread.
void pool_free(Pool *p);                // NULL is fine
int pool_threads(const Pool *p);        // the caller counted
int pool_processors(void);              // that this process may use
void pool_run(Pool *p, PoolFn *fn, int64_t n, void *arg);

#endif
