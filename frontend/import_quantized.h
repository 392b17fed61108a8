// import_quantized.h -- what the operators on 8-bit integers have in common. value = scale * (number - zero point)
#ifndef TVC_IMPORT_QUANTIZED_H
#define TVC_IMPORT_QUANTIZED_H
#include "import.h"

Node *single(Import *im, int k);                              // input k, one number, as rank 0; NULL if absent
Node *centred(Import *im, Node *x, Node *zero);               // x - zero as i32; zero NULL: x as i32
Node *requantized(Import *im, Node *sum, Node *factor, Node *zero);   // sum * factor + zero, rounded and saturated to zero's type

#endif
