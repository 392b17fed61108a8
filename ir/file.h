// file.h -- whole files: mapped for reading, written so that nobody ever sees half of one.
#ifndef TVC_FILE_H
#define TVC_FILE_H
#include "base.h"

typedef struct Bytes { const uint8_t *at; size_t n; } Bytes;      // borrowed

// A place for a descriptor (-1 at first), closed with the Cx. Had before opening, so that nothing can leak.
int *file_descriptor(Cx *cx);

// Open a regular file; anything else (folder, FIFO, device) fails with E_IO, without waiting on it.
int file_open(Cx *cx, const char *path);         // closed with the Cx

// The contents of an open or named regular file, mapped read-only until the Cx goes. An empty file
// has n == 0. Should somebody truncate the file meanwhile, touching the lost pages ends the process
// with SIGBUS: that is the price of not copying.
Bytes file_map_fd(Cx *cx, int fd, const char *shown);
Bytes file_map(Cx *cx, const char *path);
void file_rest(Bytes mapped);                    // its pages may leave memory until somebody reads them again

// The folder a path lies in, open for openat() and fsync(); closed with the Cx. `base` gets the last component.
int file_folder(Cx *cx, const char *path, const char **base);

// A file in the making: it has a temporary name in its folder until file_commit(), which makes it
// durable and gives it its own name, replacing what had it. Not committed, it vanishes with the Cx.
// Failures are E_IO and name the file.
typedef struct OutFile OutFile;
OutFile *file_create(Cx *cx, const char *path);
OutFile *file_create_at(Cx *cx, int folder, const char *base, const char *shown);
void file_write(OutFile *f, const void *data, size_t n);
uint64_t file_written(const OutFile *f);         // bytes so far
void file_sync(OutFile *f);                      // all written is durable; file_commit does it, too
void file_commit(OutFile *f);

#endif
