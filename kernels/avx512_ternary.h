/* avx512_ternary.h: what the tier above takes over where its own way has no use. */
#ifndef KERNELS_AVX512_TERNARY_H
#define KERNELS_AVX512_TERNARY_H

#include "kernels/kernels.h"

matmul_fn avx512_t2_i8;

#endif
