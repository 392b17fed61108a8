// cache.h -- what compilers made, kept between requests: files in one folder, named after a hash of all that went in.
//
// Nothing in it is believed unseen. Each file ends with a seal: the magic word and XXH3-128 of what comes before;
// without it, or of another user, a file is as if it were not there. What cannot be kept is told with a note, and is no
// error.
#ifndef TVC_CACHE_H
#define TVC_CACHE_H
#include "../ir/file.h"

enum { CACHE_SEAL = 24, CACHE_MB = 1024 };       // bytes of a seal; most megabytes of compiled code

// The folder: $TVC_CACHE, else $XDG_CACHE_HOME/tvc, else ~/.cache/tvc; made with mode 0700, its owner checked. NULL with
// a note if there is none to be had.
const char *cache_folder(Cx *cx);

const char *cache_path(Cx *cx, const char *folder, uint64_t high, uint64_t low);  // of compiled code, by its hash

// What is kept under a path, without its seal, mapped until the Cx goes; it counts as used now. {NULL, 0}: nothing.
Bytes cache_take(Cx *cx, const char *path);

// Keeps the pieces, one behind the other. False: they could not be written.
bool cache_keep(Cx *cx, const char *path, const Bytes *piece, int n);

void cache_seal(Cx *cx, const Bytes *piece, int n, uint8_t seal[CACHE_SEAL]);

// Removes the files with this ending longest unused, but not `except` (or NULL), until the others take at most `most`
// bytes.
void cache_trim(Cx *cx, const char *folder, const char *ending, const char *except, uint64_t most);

// The same of compiled code, after some was kept.
void cache_trim_code(Cx *cx, const char *folder);

#endif
