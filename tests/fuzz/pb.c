// Fuzz target: any bytes as a TensorProto.
#include "elements.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) { return try_reading(data, size, tensor_read_bytes); }
