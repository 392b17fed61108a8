// driver.h -- what the files of the driver's stand-in share: its objects, and how a call begins. See driver.c.
#ifndef STANDIN_DRIVER_H
#define STANDIN_DRIVER_H
#include "standin.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    NO_DEVICE = 100,
    INVALID_DEVICE = 101,
    INVALID_IMAGE = 200,
    INVALID_CONTEXT = 201,
    NO_BINARY = 209,
    BAD_PTX = 222,
    NOT_FOUND = 500,
    NOT_READY = 600,
    STICKY = 700,
    CAPTURE = 900,
    ARG_MAX_ = 4096,
    MOST_ARGUMENT_BYTES = 32764,
    MOST_NUMBERS = 1024
};

typedef struct Memory { struct Memory *next; char *base, *at, *alias; size_t mapped, bytes; bool pinned; } Memory;
typedef struct Stream Stream;
typedef struct Event { Stream *s; uint64_t seq; double when; } Event;
typedef struct Module { void *lib; } Module;
typedef struct Function { struct Function *next; Module *m; Runs *run; int buffers, threads, numbers; } Function;
typedef enum Kind { COPY, SET, KERNEL, HOST, WORK, RECORD, WAIT, GRAPH } Kind;
typedef struct Exec Exec;
typedef struct Op {
    Kind kind;
    char *to, *from;
    size_t bytes;
    unsigned char fill;
    Function *f;
    int64_t grid[3];
    void *arg[ARG_MAX_];
    RunCtx ctx;
    int32_t numbers[MOST_NUMBERS];
    void (*host)(void *);
    Works *work;                      // WORK: on what arg holds
    Event *event;
    Stream *on;                       // WAIT: until this stream has done seq operations
    uint64_t seq;
    Exec *exec;
} Op;
typedef struct Ops { Op *at; uint64_t n, cap; } Ops;
struct Stream { Stream *next; Ops queue; uint64_t done; bool first, capturing; Ops captured; };
struct Exec { Ops ops; };

#pragma GCC visibility push(hidden)
extern pthread_mutex_t lock;
extern Memory *memories;
extern Stream *streams;
extern Function *functions;
extern int live, users, stuck;        // objects; retained contexts; an error that stays
extern _Thread_local void *current;
extern char context;

// driver.c
long long number(const char *name, long long otherwise);       // from the environment
void *counted(void *p);
void *object(size_t bytes);
void wrong(const char *what);                                   // ends the process
void trace(const char *symbol);
int injected(const char *symbol);                               // the error that this call was to give, or 0
void unlock(int *unused);

// driver_memory.c
Memory *memory_of(const void *p, size_t n, bool pinned);        // that holds these bytes; NULL: none
void open_memory(bool open);                                    // device memory is there only while the device works

// driver_work.c
void run_stream(Stream *s, uint64_t seq);                       // up to there
int give(Stream *s, Op o);
#pragma GCC visibility pop

// Every function begins with this.
#define ENTER                                                              \
    __attribute__((cleanup(unlock))) int held = pthread_mutex_lock(&lock); \
    (void)held, trace(__func__);                                           \
    int failure = injected(__func__);                                      \
    if (failure || stuck) return failure ? failure : stuck;
#define ENTER_IN_CONTEXT ENTER if (current != &context) return INVALID_CONTEXT;

#endif
