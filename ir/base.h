// base.h -- what every compile-time file stands on: an arena, and a way to fail.
#ifndef TVC_BASE_H
#define TVC_BASE_H

#include "runtime/error.h"

#include <assert.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// One Cx per request. Everything allocated while serving it lives in its arena and dies with
// it; nothing is freed piece by piece, so nothing can leak. What is not memory (mappings,
// files, libraries) is registered with cx_defer and let go in reverse order.
typedef struct Cx Cx;
struct Cx {
    struct Block *blocks;
    struct Deferred *deferred;
    size_t used, limit;              // bytes handed out, and how many may be (0: no limit)
    jmp_buf *landing;                // where fail() goes; set only by cx_guard()
    const char *doing;               // for messages: "model.onnx", "pass fold"; or NULL
    Err code;
    char error[1024];                // one line, printable ASCII and UTF-8 only
    void (*log)(void *user, const char *line);   // notes for the user; NULL: silent
    void *log_user;
};

Cx *cx_new(void);                                // NULL if there is no memory at all
void cx_free(Cx *cx);                            // NULL is fine
void *cx_alloc(Cx *cx, size_t size);             // zeroed, 16-byte aligned, never NULL
void *cx_grow(Cx *cx, void *old, size_t old_size, size_t size);   // a larger copy
char *cx_str(Cx *cx, const char *s, size_t len); // a copy with a NUL behind
char *cx_fmt(Cx *cx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void cx_defer(Cx *cx, void (*fn)(void *), void *arg);

// From here on no more than so many bytes (0: as before), until cx->limit is set to what this returns.
size_t cx_allow(Cx *cx, size_t bytes);

// Give back what was allocated since the mark (deferred clean-up excepted): for loops whose
// rounds leave nothing behind.
typedef struct CxMark { struct Block *block; size_t in_block, used; } CxMark;
CxMark cx_mark(Cx *cx);
void cx_release(Cx *cx, CxMark mark);

// A note for the user that is neither data nor an error.
void cx_note(Cx *cx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// Text from a file as it may be shown: control and non-UTF-8 bytes escaped, long ones cut.
const char *cx_show(Cx *cx, const char *s);

// Run fn(arg). Returns true, or false with cx->code and cx->error set if anything under it
// called fail(); cx->doing and cx->limit are then as before. Entry points are the only callers; never across threads or callbacks.
bool cx_guard(Cx *cx, void (*fn)(void *), void *arg);

// Give up on this request. For what the user can get wrong; our own mistakes assert.
_Noreturn void fail(Cx *cx, Err code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define NEW(cx, T, n) ((T *)cx_alloc(cx, ck_mul(cx, sizeof(T), (size_t)(n))))

// Append to a growing array held as pointer and count: VEC_PUSH(cx, a, na) is the new last
// element. Capacities are powers of two, so the count alone tells when to grow.
#define VEC_PUSH(cx, a, n)                                                                   \
    ((((n) & ((n) - 1)) == 0 ? (void)((a) = cx_grow(cx, a, sizeof *(a) * (size_t)(n),             \
                                               sizeof *(a) * ((n) ? 2 * (size_t)(n) : 1)))   \
                              : (void)0),                                                    \
     &(a)[(n)++])

// The same with a capacity kept by the caller: for stacks, whose count goes down as well.
#define STACK_PUSH(cx, a, n, cap)                                                             \
    (((n) == (cap) ? (void)((a) = cx_grow(cx, a, sizeof *(a) * (size_t)(n),                   \
                                          sizeof *(a) * (size_t)((cap) = (cap) ? 2 * (cap) : 64))) \
                   : (void)0),                                                                \
     &(a)[(n)++])

// Sizes that come from files: a product or sum that does not fit fails with E_LIMIT.
size_t ck_mul(Cx *cx, size_t a, size_t b);
size_t ck_add(Cx *cx, size_t a, size_t b);

int debug(void);                                 // TVC_DEBUG, 0 when unset

#endif
