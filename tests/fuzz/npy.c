// Fuzz target: any bytes as a .npy file.
#include "elements.h"
#include "frontend/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return try_reading(data, size, npy_read_bytes); }
