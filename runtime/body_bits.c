// body_bits.c -- Bits: the same bytes under another type of the same size.
//     buf   y, x: same shape
#include "bodies.h"
#include <string.h>

void body_Bits(const BodyArgs *a) {
    size_t bytes = (size_t)desc_bytes(&a->desc[1]);
    if (bytes) memmove(a->buf[0], a->buf[1], bytes);
}
