// checkpoint.h -- named arrays in one file, whole or not at all.
//
//   "tvcckpt\n", u32 version, u32 entries; then per entry: u32 bytes of the name, u32 type, u32 rank,
//   u32 0, i64 sizes[rank], the name, zeros up to a multiple of 64, the data; at last XXH3-128 of all
//   before. Little-endian. Two generations are kept: PATH and PATH.1, the one before.
#ifndef TVC_CHECKPOINT_H
#define TVC_CHECKPOINT_H
#include "../ir/file.h"
#include "../runtime/program.h"

typedef struct Entry {
    const char *name;
    TensorDesc desc;                  // without batch
    const void *data;                 // borrowed; when read: at a multiple of 64 from the start of the file
} Entry;

typedef struct Checkpoint { int n; Entry *at; } Checkpoint;

// Makes it durable. Never fails the request: false and one line in *f if it could not be written, and
// then what was there before is still there.
bool checkpoint_write(const char *path, const Checkpoint *c, Fault *f);

// The newest of the two generations that is whole; fails if there is none, saying what is wrong with
// the newer one. Names are unique and end within the file, sizes fit the data.
Checkpoint checkpoint_read(Cx *cx, const char *path);
Checkpoint checkpoint_parse(Cx *cx, const char *shown, Bytes bytes);      // fails with E_MALFORMED

const Entry *checkpoint_find(const Checkpoint *c, const char *name);     // NULL: not there

#endif
