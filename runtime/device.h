// device.h -- what a session asks of the place it runs on: memory, copies, launches.
//
// A Device belongs to one session and holds that session's threads, streams and loaded code.
// Launches and copies happen in the order given; they may return before the work is done, sync
// waits for it. Nothing is allocated by launch, copy and sync.
#ifndef TVC_DEVICE_H
#define TVC_DEVICE_H
#include "program.h"

typedef struct Launch {
    int step;                         // of the program given to load()
    int64_t units;
    void *const *buf;                 // the step's buffers, written ones first
    const TensorDesc *desc;           // of each, at the batch in use
    KernelCtx ctx;                    // `error` is filled in by the device
} Launch;

typedef enum Copy { COPY_UP, COPY_DOWN, COPY_WITHIN } Copy;      // host to device, back, device to device

typedef struct Device Device;
struct Device {
    const char *name;
    bool host;                        // its memory is the host's: data is used where it lies
    int culprit;                      // after E_MALFORMED: the step whose data was out of range
    char trouble[256];                // after E_DEVICE, or an alloc() without memory: why, in words; or ""
    char note[256];                   // what the user may want to know of how it works; or ""
    int in_library;                   // steps left to a library of products
    void *(*alloc)(Device *d, int64_t bytes);        // zeroed, TVC_ALIGNed, as many readable behind; NULL: none left
    void (*free)(Device *d, void *mem, int64_t bytes);
    Err (*copy)(Device *d, Copy way, void *to, const void *from, int64_t bytes);   // the host's side is free again after it
    Err (*load)(Device *d, const Program *p, Fault *f);          // once; *p was checked and outlives the device
    Err (*launch)(Device *d, const Launch *l);       // E_MALFORMED: data asked for something out of range
    Err (*sync)(Device *d);                          // E_MALFORMED, too, where launches are asynchronous
    void (*close)(Device *d);                        // lets go of everything but alloc()ed memory

    // Only some devices; NULL elsewhere.
    Err (*ahead)(Device *d, int slot, void *to, const void *from, int64_t bytes);  // of an input, while a function may
                                      // run: `to` changes before the next begin() goes on
    bool (*begin)(Device *d, int function, const KernelCtx *ctx);    // before a function's launches; true: it was
                                      // started whole from a recording, they are left out
    bool (*end)(Device *d);           // after them; true: they must be done once more
    Err (*timed)(Device *d, const Launch *l, double *seconds);       // a launch alone, waited for
};

Device *dev_cpu(int threads, Fault *f);              // NULL, *f says why
Device *dev_null(int threads, Fault *f);             // does everything but arithmetic, in memory of its own
Device *dev_cuda(int ordinal, Cublas cublas, Fault *f);              // an NVIDIA GPU

#endif
