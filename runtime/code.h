// code.h -- the shared object of a Program, loaded into this process.
#ifndef TVC_CODE_H
#define TVC_CODE_H
#include "program.h"

typedef struct Code Code;

// E_DEVICE if the machine or the loader refuses it. Sessions on one Program share one copy.
// The bytes are trusted: whoever read them from a file has compared their hash.
Code *code_open(const Program *p, Fault *f);
KernelFn *code_entry(Code *c, const char *symbol);       // NULL: not there
void code_close(Code *c);                                // NULL is fine

#endif
