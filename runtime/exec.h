// exec.h -- a Session: a Program with memory and a device to run on.
//
// A Session serves one thread at a time; different Sessions are independent, and those on one
// Program share its loaded code. The Program, its weights included, must outlive it.
// Two allocations when it opens (bookkeeping, device memory), none in any call; a GPU has a few more of
// its own then, and where a function meets a batch size for the second time it is recorded.
#ifndef TVC_EXEC_H
#define TVC_EXEC_H
#include "program.h"
#include <stdbool.h>

typedef struct Session Session;

typedef struct SessionOptions {       // all zero: the defaults
    const char *device;               // "cpu", "cuda", "cuda:1" ..., "null"; NULL or "auto": what the program is for
    int threads;                      // 0: one per processor this process may use
    bool profile;                     // measure every step
    uint64_t seed;                    // for random operators
    Cublas cublas;                    // of a GPU
} SessionOptions;

// Checks the program, loads its code, fills its memory (PARAM and STATE from program.weights,
// everything else zero) and runs `init`. NULL, *f says why. `o` may be NULL.
Session *session_new(const Program *p, const SessionOptions *o, Fault *f);
void session_free(Session *s);                            // NULL is fine

// After program.weights changed: run `init` on the new ones. PARAM and STATE stay as they are;
// inputs and outputs are lost.
Err session_init_again(Session *s, Fault *f);

// Slots. Inputs keep their contents only until the next call.
int session_slot(const Session *s, const char *name);     // its number, or -1
TensorDesc session_desc(const Session *s, int slot);      // at the batch in use
void *session_data(Session *s, int slot);                 // where it lies; NULL: in no buffer, or not in this memory.
                                                          // That of a WEIGHT slot must not be written
const void *session_view(Session *s, int slot);           // its contents until the next call: where it lies, or a copy
                                                          // (the first view of a slot allocates). NULL: in no buffer, no
                                                          // memory, or the device failed, as the next call will say
void session_write(Session *s, int slot, const void *from);   // desc_bytes(session_desc()) of them; should the device
                                                          // fail, the next call or read says so
Err session_read(Session *s, int slot, void *to, Fault *f);   // E_DEVICE: *to is undefined

Err session_set_batch(Session *s, int64_t n, Fault *f);   // 1..program.max_batch, which is also the start
void session_set_step(Session *s, uint64_t step);         // for random operators

// Run a function, then move what it computed for slots with an `update` there. E_MALFORMED if
// data asked for something out of range: outputs are then undefined, and no slot was updated.
Err session_call(Session *s, int function, Fault *f);

// The same in two halves: in between a device may still be computing. Where session_ahead() says so, inputs may be
// written there already for the next call, at the same batch: they change when that begins. Elsewhere nothing is won
// by that, and only inputs that lie in KEEP (those of training programs) may be.
bool session_ahead(const Session *s);
Err session_start(Session *s, int function, Fault *f);
Err session_wait(Session *s, Fault *f);                   // E_OK also where nothing was started

const char *session_note(const Session *s);               // what the user may want to know: that a GPU has no cuBLASLt; or ""
int session_in_library(const Session *s);                 // steps that are left to cuBLASLt

const double *session_seconds(const Session *s);          // per step, the least of its runs; NULL: not profiled

#endif
