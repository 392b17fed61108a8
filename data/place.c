// place.c -- see place.h.
#include "place.h"

Place place_whole(int size) { return (Place){.from = 0, .step = 1, .lo = 0, .hi = size}; }

Place place_flip(Place p, int size) {
    return (Place){.from = p.from + p.step * (size - 1), .step = -p.step, .lo = size - p.hi, .hi = size - p.lo};
}

// What a window cuts off is gone, even where later padding reaches there.
Place place_window(Place p, int at, int size) {
    int32_t lo = p.lo - at, hi = p.hi - at;
    return (Place){.from = p.from + p.step * at, .step = p.step, .lo = lo < 0 ? 0 : lo, .hi = hi > size ? size : hi};
}
