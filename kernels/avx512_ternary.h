/* avx512_ternary.h: t2 of this tier; the one above leaves to it what its own way does not fit. */
#ifndef KERNELS_AVX512_TERNARY_H
#define KERNELS_AVX512_TERNARY_H

#include "kernels/kernels.h"

matmul_fn avx512_t2_i8;

#endif
