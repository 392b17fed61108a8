// stream.h -- pictures through a model, batch by batch: while a device computes one, the next is decoded and sent.
#ifndef TVC_STREAM_H
#define TVC_STREAM_H
#include "../data/gather.h"
#include "../data/recipe.h"
#include "engine.h"

typedef struct Stream {
    Engine *e;                        // pictures go into its first input
    const Preparer *prepare;
    void *user;
    void (*feed)(void *user);         // writes the other inputs, before every run; NULL: there are none
    // What came out for n pictures, whose numbers are given; the first output has a row for each. Until it returns.
    void (*take)(void *user, int n, const int *picture, const char *rows);
    void (*bad)(void *user, int picture, const char *why);         // one is left out; NULL: that fails the request
} Stream;

int stream_batch(const Stream *s);                        // pictures that go in at once, at most; before any did
// Results come in the order of the pictures. Fails where the first output has no row for each picture.
void stream_run(const Stream *s, const Pictures *pictures);

#endif
