// library.h -- the functions of a library that is opened at run time, as a table of pointers.
#ifndef TVC_LIBRARY_H
#define TVC_LIBRARY_H
#include <stddef.h>

typedef struct LibraryEntry { const char *symbol; size_t at; } LibraryEntry;      // at: bytes into the table

// Fills the table. NULL, or the first symbol that the library does not have.
const char *library_fill(void *lib, const LibraryEntry *entry, size_t n, void *table);

#endif
