// count_allocations.c -- preloaded into a program: before each of its printf, a line "allocations N" on stderr, with how
// often memory was asked for since the one before.
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

static atomic_long count;

void *malloc(size_t n) { count++; return __libc_malloc(n); }
void *calloc(size_t n, size_t size) { count++; return __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { count++; return __libc_realloc(p, n); }
void *aligned_alloc(size_t align, size_t n) { count++; return __libc_memalign(align, n); }
int posix_memalign(void **p, size_t align, size_t n) { count++; return (*p = __libc_memalign(align, n)) ? 0 : 12; }

void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset) {
    count++;
    return (void *)syscall(SYS_mmap, at, n, protection, flags, fd, offset);
}

static int print(const char *format, va_list args) {
    fprintf(stderr, "allocations %ld\n", (long)atomic_load(&count));
    int n = vprintf(format, args);
    atomic_store(&count, 0);
    return n;
}

int printf(const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = print(format, args);
    va_end(args);
    return n;
}

int __printf_chk(int flag, const char *format, ...) {
    va_list args;
    (void)flag;
    va_start(args, format);
    int n = print(format, args);
    va_end(args);
    return n;
}
