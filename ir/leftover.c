// leftover.c -- see leftover.h. The list changes by one store at a time, so that a handler always finds a whole one.
#include "leftover.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;    // among threads; the handler takes none
static Leftover *first;

void leftover_add(Leftover *l) {
    pthread_mutex_lock(&lock);
    l->next = first;
    atomic_signal_fence(memory_order_release);
    first = l;
    pthread_mutex_unlock(&lock);
}

void leftover_drop(Leftover *l) {
    pthread_mutex_lock(&lock);
    Leftover **p = &first;
    while (*p && *p != l) p = &(*p)->next;
    if (*p) *p = l->next;
    pthread_mutex_unlock(&lock);
}

void leftovers_remove(void) {
    int before = errno;
    for (const Leftover *l = first; l; l = l->next)
        if (unlinkat(l->folder, l->name, 0)) unlinkat(l->folder, l->name, AT_REMOVEDIR);
    errno = before;
}
