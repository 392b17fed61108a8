// base.c -- arena, deferred clean-up, failing, and checked sizes.
#include "base.h"

typedef struct Block Block;
struct Block {
    Block *next;
    size_t used, cap;
    max_align_t data[];
};

typedef struct Deferred Deferred;
struct Deferred {
    Deferred *next;
    void (*fn)(void *);
    void *arg;
};

enum { BLOCK = 1 << 16, SHOW = 120 };

Cx *cx_new(void) { return calloc(1, sizeof(Cx)); }

void cx_free(Cx *cx) {
    if (!cx) return;
    for (Deferred *d = cx->deferred; d; d = d->next) d->fn(d->arg);
    for (Block *b = cx->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(cx);
}

static Block *block_new(Cx *cx, size_t size) {
    size_t cap = size > BLOCK ? size : BLOCK;
    Block *b = cap > SIZE_MAX - sizeof *b ? NULL : malloc(sizeof *b + cap);
    if (!b) fail(cx, E_LIMIT, "out of memory: %zu more bytes are needed", size);
    *b = (Block){.next = cx->blocks, .cap = cap};
    return cx->blocks = b;
}

void *cx_alloc(Cx *cx, size_t size) {
    if (size > SIZE_MAX - 15) fail(cx, E_LIMIT, "a size of %zu bytes", size);
    size = (size + 15) & ~(size_t)15;
    if (cx->limit && size > cx->limit - cx->used)
        fail(cx, E_LIMIT, "would need more than the %zu MB of memory allowed for it", cx->limit >> 20);
    Block *b = cx->blocks;
    if (!b || b->cap - b->used < size) {
        b = block_new(cx, size);
    }
    void *p = (char *)b->data + b->used;
    b->used += size;
    cx->used += size;
    return memset(p, 0, size);
}

size_t cx_allow(Cx *cx, size_t bytes) {
    size_t before = cx->limit, most = ck_add(cx, cx->used, bytes);
    if (bytes && (!before || most < before)) cx->limit = most;
    return before;
}

CxMark cx_mark(Cx *cx) { return (CxMark){cx->blocks, cx->blocks ? cx->blocks->used : 0, cx->used}; }

void cx_release(Cx *cx, CxMark mark) {
    while (cx->blocks != mark.block) {
        Block *b = cx->blocks;
        cx->blocks = b->next;
        free(b);
    }
    if (mark.block) mark.block->used = mark.in_block;
    cx->used = mark.used;
}

void *cx_grow(Cx *cx, void *old, size_t old_size, size_t size) {
    void *p = cx_alloc(cx, size);
    if (old_size) memcpy(p, old, old_size);
    return p;
}

char *cx_str(Cx *cx, const char *s, size_t len) {
    char *r = cx_alloc(cx, len + 1);
    if (len) memcpy(r, s, len);
    return r;
}

static char *vformat(Cx *cx, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *s = cx_alloc(cx, (size_t)(n < 0 ? 0 : n) + 1);
    vsnprintf(s, (size_t)(n < 0 ? 0 : n) + 1, fmt, again);
    va_end(again);
    return s;
}

char *cx_fmt(Cx *cx, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *s = vformat(cx, fmt, ap);
    va_end(ap);
    return s;
}

void cx_defer(Cx *cx, void (*fn)(void *), void *arg) {
    Deferred *d = NEW(cx, Deferred, 1);
    *d = (Deferred){cx->deferred, fn, arg};
    cx->deferred = d;
}

void cx_note(Cx *cx, const char *fmt, ...) {
    if (!cx->log) return;
    va_list ap;
    va_start(ap, fmt);
    cx->log(cx->log_user, vformat(cx, fmt, ap));
    va_end(ap);
}

// Length of the well-formed UTF-8 sequence at s, 0 if there is none or it is a control.
static int utf8_len(const unsigned char *s) {
    if (s[0] < 0x80) return s[0] >= 0x20 && s[0] != 0x7f;
    int n = s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    bool c1 = n == 2 && s[0] == 0xc2 && s[1] < 0xa0;                                  // C1 controls
    bool bidi = n == 3 && s[0] == 0xe2 && ((s[1] == 0x80 && s[2] >= 0xa8 && s[2] <= 0xae) ||
                                           (s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9));
    return c1 || bidi ? 0 : n;
}

const char *cx_show(Cx *cx, const char *s) {
    char buf[SHOW * 4 + 8], *p = buf;
    const unsigned char *u = (const unsigned char *)(s ? s : "");
    while (*u && p < buf + SHOW) {
        int n = utf8_len(u);
        if (n) memcpy(p, u, (size_t)n), p += n, u += n;
        else p += sprintf(p, "\\x%02x", *u++);
    }
    if (*u) p += sprintf(p, "...");
    return cx_str(cx, buf, (size_t)(p - buf));
}

bool cx_guard(Cx *cx, void (*fn)(void *), void *arg) {
    jmp_buf here, *outer = cx->landing;
    const char *doing = cx->doing;
    size_t limit = cx->limit;
    cx->landing = &here;
    bool ok = setjmp(here) == 0;
    if (ok) fn(arg);
    else cx->doing = doing, cx->limit = limit;
    cx->landing = outer;
    return ok;
}

void fail(Cx *cx, Err code, const char *fmt, ...) {
    int n = cx->doing ? snprintf(cx->error, sizeof cx->error, "%s: ", cx->doing) : 0;
    if (n < 0 || n >= (int)sizeof cx->error) n = 0;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(cx->error + n, sizeof cx->error - (size_t)n, fmt, ap);
    va_end(ap);
    for (char *p = cx->error; *p; p++)
        if ((unsigned char)*p < 0x20) *p = ' ';
    cx->code = code;
    assert(cx->landing && "fail() outside cx_guard()");
    longjmp(*cx->landing, 1);
}

size_t ck_mul(Cx *cx, size_t a, size_t b) {
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) fail(cx, E_LIMIT, "a size of %zu x %zu does not fit in memory", a, b);
    return r;
}

size_t ck_add(Cx *cx, size_t a, size_t b) {
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) fail(cx, E_LIMIT, "a size of %zu + %zu does not fit in memory", a, b);
    return r;
}

int debug(void) {
    const char *s = getenv("TVC_DEBUG");
    return s ? atoi(s) : 0;
}
