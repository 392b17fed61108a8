// driver_memory.c -- of the driver's stand-in: memory of the device, and pinned memory. See driver.c.
#define _GNU_SOURCE
#include "driver.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t used(void) {
    size_t n = 0;
    for (Memory *m = memories; m; m = m->next) n += m->pinned ? 0 : m->bytes;
    return n;
}

Memory *memory_of(const void *p, size_t n, bool pinned) {
    for (Memory *m = memories; m; m = m->next) {
        const char *at = p;
        if (m->pinned == pinned && at >= m->at && at + n <= m->at + m->bytes) return m;
        if (m->pinned && !pinned && at >= m->alias && at + n <= m->alias + m->bytes) return m;     // mapped
    }
    return NULL;
}

// Device memory is there only while the device works.
void open_memory(bool open) {
    for (Memory *m = memories; m; m = m->next)
        if (!m->pinned) mprotect(m->base + 4096, m->mapped - 8192, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

static Memory *memory_new(size_t bytes) {
    Memory *m = object(sizeof *m);
    size_t room = (bytes + 255) / 256 * 256, pages = (room + 4095) & ~(size_t)4095;
    m->bytes = bytes, m->mapped = pages + 8192, m->next = memories, memories = m, live++;
    m->base = mmap(0, m->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    m->at = m->base + 4096 + pages - room;
    return m;
}

// Waits for all that was given, as a real driver does.
static int memory_free(void *p, bool pinned) {
    for (Stream *s = streams; s; s = s->next) run_stream(s, s->queue.n);
    for (Memory **m = &memories; *m; m = &(*m)->next) {
        Memory *x = *m;
        if (x->at != p || x->pinned != pinned) continue;
        *m = x->next;
        munmap(x->base, x->mapped);
        if (x->alias) munmap(x->alias, x->mapped - 8192);
        free(x), live--;
        return 0;
    }
    return INVALID_VALUE;
}

int cuMemGetInfo_v2(size_t *unused, size_t *all) {
    ENTER_IN_CONTEXT
    return *all = (size_t)number("STANDIN_MEMORY", 1 << 30), *unused = *all - used(), 0;
}

int cuMemAlloc_v2(uint64_t *p, size_t bytes) {
    ENTER_IN_CONTEXT
    if (!bytes) return INVALID_VALUE;
    if (used() + bytes > (size_t)number("STANDIN_MEMORY", 1 << 30)) return OUT_OF_MEMORY;
    Memory *m = memory_new(bytes);
    open_memory(true), memset(m->base + 4096, 0xff, m->mapped - 8192), open_memory(false);
    return *p = (uint64_t)(uintptr_t)m->at, 0;
}

int cuMemFree_v2(uint64_t p) { ENTER_IN_CONTEXT return memory_free((void *)(uintptr_t)p, false); }

// The device sees it at another address.
int cuMemHostAlloc(void **p, size_t bytes, unsigned flags) {
    ENTER_IN_CONTEXT
    Memory *m = memory_new(bytes);
    size_t pages = m->mapped - 8192;
    int fd = memfd_create("pinned", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)pages)) wrong("no memory");
    m->pinned = true, m->at = m->base + 4096;
    mmap(m->at, pages, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    if (flags & 2) m->alias = mmap(0, pages, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    memset(m->at, 0xff, pages);
    return *p = m->at, 0;
}

int cuMemHostGetDevicePointer_v2(uint64_t *p, void *host, unsigned flags) {
    ENTER_IN_CONTEXT
    Memory *m = memory_of(host, 1, true);
    if (!m || !m->alias || flags) return INVALID_VALUE;
    return *p = (uint64_t)(uintptr_t)(m->alias + ((char *)host - m->at)), 0;
}

int cuMemFreeHost(void *p) { ENTER_IN_CONTEXT return memory_free(p, true); }
