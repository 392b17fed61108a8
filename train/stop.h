// stop.h -- asked to stop: the first SIGINT or SIGTERM sets a flag, a second one ends the process.
#ifndef TVC_STOP_H
#define TVC_STOP_H
#include <stdatomic.h>

const atomic_int *stop_watch(void);    // from now on; the flag is the signal's number
void stop_unwatch(void);               // what the signals did before

#endif
