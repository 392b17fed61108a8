// stop.c -- see stop.h.
#include "stop.h"
#include "../ir/leftover.h"
#include <signal.h>
#include <unistd.h>

static atomic_int asked;
static struct sigaction before[2];
static const int signals[] = {SIGINT, SIGTERM};

// Files are written under temporary names, so that ending at any moment leaves whole ones.
static void on_signal(int number) {
    if (!atomic_exchange(&asked, number)) return;
    leftovers_remove();
    _exit(128 + number);
}

const atomic_int *stop_watch(void) {
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    atomic_store(&asked, 0);
    for (int i = 0; i < 2; i++) sigaction(signals[i], &a, &before[i]);
    return &asked;
}

void stop_unwatch(void) {
    for (int i = 0; i < 2; i++) sigaction(signals[i], &before[i], NULL);
}
