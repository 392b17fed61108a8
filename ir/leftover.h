// leftover.h -- names on disk that a process stopped by a signal must not leave behind: files in the making, work
// folders. Whoever makes one adds it before and drops it when it is gone or has become a result.
#ifndef TVC_LEFTOVER_H
#define TVC_LEFTOVER_H

typedef struct Leftover {
    int folder;                       // what `name` starts from, as for openat()
    const char *name;                 // of a file or an empty folder; the owner's, and unchanged while listed
    struct Leftover *next;
} Leftover;

void leftover_add(Leftover *l);
void leftover_drop(Leftover *l);      // not listed: nothing happens

// Removes what is listed, newest first. For signal handlers: the list stays as it is.
void leftovers_remove(void);

#endif
