// save.h -- a Program as a package file (runtime/package.h).
#ifndef TVC_SAVE_H
#define TVC_SAVE_H
#include "ir/base.h"
#include "runtime/program.h"

// Write `p`, its code (from memory or from its file), the weights it points at and `meta` (JSON)
// to `path`, whole or not at all. Slots with the same bytes share them. Same program, same file.
void program_save(Cx *cx, const char *path, const Program *p, const char *meta, size_t meta_bytes);

#endif
