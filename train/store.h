// store.h -- rows of features kept in a file between runs.
//
//   "tvcfeat\n", u32 version, u32 0, u64 rows, u64 bytes of a row, 16 bytes that say what the rows are made by; then
//   per row its 16-byte key and XXH3-64 of its bytes; a hash of all this; the rows. Little-endian.
//
// A row is believed only where its checksum fits; everything else is as if it were not there. The files of a folder
// take no more than a number of bytes together: the ones longest unused go.
#ifndef TVC_STORE_H
#define TVC_STORE_H
#include "../ir/base.h"

typedef struct Key { uint64_t at[2]; } Key;               // a hash of 128 bits; zeros: none

typedef struct Store {
    const char *folder, *path;        // NULL path: nothing is kept
    uint64_t limit;                   // bytes in the folder
    Key made_by;
} Store;

typedef struct Rows {
    int64_t n;
    size_t each;
    const Key *key;                   // [n]; without a key: not kept
    char *at;                         // [n][each]
    bool *have;                       // [n]
} Rows;

// Copies what the file has of these rows; sets `have` of them. Damage is told with a note, and is no error.
void store_read(Cx *cx, const Store *s, Rows *r);
// Replaces the file by one of the rows that are had. What fails is told with a note, and is no error.
void store_write(Cx *cx, const Store *s, const Rows *r);

Key key_of(const void *data, size_t n, const Key *seed);  // seed: NULL, or what came before

#endif
