// isa.h -- which instructions this processor has and this system lets us use.
#ifndef TVC_ISA_H
#define TVC_ISA_H
#include "program.h"

typedef enum Machine { MACHINE_OTHER, MACHINE_X86_64, MACHINE_AARCH64 } Machine;

int isa_host(void);                     // the best ISA_* that code may use here
const char *isa_name(int isa);          // "generic", "avx2", "avx512"; NULL: no such set
const char *isa_lacking(int isa);       // the first instruction set missing for it here, or NULL

Machine machine_host(void);             // what compiled code was compiled for
const char *machine_name(int machine);  // NULL: no such machine

#endif
