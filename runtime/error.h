// error.h -- why a request failed, on both sides of the house.
//
// The compiler gives up through fail() (ir/base.h). The runtime returns these numbers, and writes
// one line about the first thing that went wrong into the Fault its caller owns.
#ifndef TVC_ERROR_H
#define TVC_ERROR_H

// Also the exit codes of the command line.
typedef enum Err {
    E_OK = 0,
    E_CHECK = 1,           // a comparison asked for did not hold
    E_USAGE = 2,           // the command line, or an argument, is wrong
    E_MALFORMED = 3,       // a file is damaged, hostile or contradicts itself
    E_UNSUPPORTED = 4,     // valid, but tvc cannot do it
    E_IO = 5,              // the system would not read or write
    E_LIMIT = 6,           // memory, or a limit on sizes and counts
    E_DEVICE = 7,          // the machine lacks an instruction set, a driver, a library
    E_DIVERGED = 8,        // training met NaN or infinity
    E_DATASET = 9,         // the folder of examples does not fit
    E_INTERNAL = 70,       // our own mistake
} Err;

typedef struct Fault {
    Err code;
    char text[512];        // one line without control characters
} Fault;

// Fill *f in and return the code, for `return fault(f, E_IO, ...)`.
Err fault(Fault *f, Err code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
