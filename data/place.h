// place.h -- moves of whole pixels said in numbers, so that whoever reads the picture can do them: flips, windows,
// padding, one after the other.
//
// Along each axis, pixel i of the result is pixel from + i * step of the source, if i is in lo..hi-1; else it is black.
#ifndef TVC_PLACE_H
#define TVC_PLACE_H
#include <stdint.h>

typedef struct Place { int32_t from, step, lo, hi; } Place;      // step: 1, or -1: flipped

enum { PLACE_NUMBERS = 4 };

Place place_whole(int size);           // every pixel where it is
// What a place becomes when its result is changed. `size`: of the result before.
Place place_flip(Place p, int size);
Place place_window(Place p, int at, int size);           // pixels at .. at + size - 1 of it, which may lie outside

#endif
