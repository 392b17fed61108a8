// npy.h -- tensors in NumPy's .npy files, versions 1 to 3, C order, little-endian.
#ifndef TVC_NPY_H
#define TVC_NPY_H
#include "model.h"

// The elements are borrowed from the mapping. Fails with E_MALFORMED on damage and with
// E_UNSUPPORTED on what tvc does not compute with, saying how to save it otherwise.
Tensor *npy_read(Cx *cx, const char *path);
Tensor *npy_read_bytes(Cx *cx, const char *path, Bytes bytes);   // path for messages only

void npy_write(Cx *cx, const char *path, const Tensor *t);       // replaced in one step; bf16 is saved as <V2

#endif
