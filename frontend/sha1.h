// sha1.h -- SHA-1, which ONNX uses as the checksum of side files. It guards against accidents, not attacks.
#ifndef TVC_SHA1_H
#define TVC_SHA1_H
#include <stddef.h>
#include <stdint.h>

enum { SHA1_TEXT = 41 };                         // 40 hexadecimal digits and a NUL

typedef struct Sha1 { uint32_t state[5]; uint64_t n; uint8_t block[64]; } Sha1;

Sha1 sha1_start(void);
void sha1_add(Sha1 *h, const void *data, size_t n);
void sha1_text(Sha1 *h, char out[SHA1_TEXT]);    // ends it
#endif
