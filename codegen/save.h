// save.h -- a Program as a package file (runtime/package.h).
#ifndef TVC_SAVE_H
#define TVC_SAVE_H
#include "ir/base.h"
#include "runtime/program.h"

// Write programs, one per target, their code (from memory or from its file), the weights they point at and
// `meta` (JSON) to `path`, whole or not at all. Equal weights are stored once. Same programs, same file.
void program_save(Cx *cx, const char *path, const Program *const *p, int n, const char *meta, size_t meta_bytes);

#endif
