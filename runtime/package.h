// package.h -- a compiled model as one file, x.tvc: needs neither compiler nor ONNX file to run.
//
//     PackageHeader | PackageTarget, one or more | sections, each at a multiple of TVC_ALIGN | XXH3-128 of all before it
//
// A package holds the model compiled for one or more targets; which fits is chosen when it is opened.
// Sections are the arrays of each Program as they lie in memory, so a package is mapped, looked over
// and used in place; weights are never copied, and all targets share them. Numbers are little-endian.
// A package holds machine code and is trusted like a program: the hash finds damage, not malice.
// Written by codegen/save.c.
#ifndef TVC_PACKAGE_H
#define TVC_PACKAGE_H
#include "program.h"

#define PACKAGE_MAGIC "\x89TVC\r\n\x1a\n"                     // damaged by anything that takes it for text
enum { PACKAGE_VERSION = 6, PACKAGE_ORDER = 0x01020304, PACKAGE_HASH_BYTES = 16, PACKAGE_MOST_TARGETS = 16 };

//    name       Program's array, its count
#define PACKAGE_SECTIONS(X)            \
    X(STEPS,     steps,     nstep)     \
    X(BUFFERS,   buffers,   nbuffer)   \
    X(REFS,      refs,      nref)      \
    X(DESCS,     descs,     nref)      \
    X(PARAMS,    params,    nparam)    \
    X(SLOTS,     slots,     nslot)     \
    X(FUNCTIONS, functions, nfunction) \
    X(GRIDS,     grids,     ngrid)     \
    X(PRODUCTS,  products,  nproduct)  \
    X(NUMBERS,   numbers,   nnumber)   \
    X(PARTS,     parts,     npart)     \
    X(TEXT,      text,      ntext)

typedef enum PackageSectionNumber {
#define X(name, array, count) PACKAGE_##name,
    PACKAGE_SECTIONS(X)
#undef X
    PACKAGE_CODE,                     // an ELF shared object, binaries for a GPU, or nothing
    PACKAGE_NSECTIONS
} PackageSectionNumber;

typedef struct PackageSection { int64_t offset, bytes; } PackageSection;

typedef struct PackageHeader {
    char magic[8];
    uint32_t order, version;
    int64_t file_bytes;
    int32_t ntarget, pad_;
    PackageSection meta;              // JSON: preparation of inputs, labels, heads ... opaque here
    PackageSection weights;           // slots[i].weight is an offset into it, a multiple of TVC_ALIGN
} PackageHeader;

typedef struct PackageTarget {        // a Program
    int32_t machine, isa, lanes, target;             // machine: what code for the CPU is for (isa.h)
    int64_t arena_bytes, keep_bytes, max_batch;
    PackageSection section[PACKAGE_NSECTIONS];
} PackageTarget;

typedef struct Package {
    Program program;                  // the one that was chosen; points into the file
    int32_t ntarget;
    const char *meta;                 // meta_bytes of them, not ended by NUL
    int64_t meta_bytes;
    const void **weights;             // program.weights, owned
    const void *map;                  // the mapped file, or NULL
    int64_t map_bytes;
} Package;

// Chosen is what runs best on `device`: "cpu", or a GPU by its architecture, "cuda:sm_90"; NULL: what runs on this
// machine's CPU, else the first. E_IO; E_MALFORMED: not a package, or a damaged one; E_DEVICE: nothing in it fits.
// The file must stay as it is while the package is open. Close also after a failure; all zero is closed.
Err package_open(Package *p, const char *path, const char *device, Fault *f);
Err package_read(Package *p, const void *bytes, int64_t n, const char *device, Fault *f);   // from memory, TVC_ALIGNed, borrowed
void package_close(Package *p);

#endif
