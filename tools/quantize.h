/* quantize.h: floats of foreign files into f32, and f32 into small integers. The work is done in
 * runs of 32 values, padded with zeros, which compilers turn into vector code. */
#ifndef TOOLS_QUANTIZE_H
#define TOOLS_QUANTIZE_H

#include "src/base.h"

void floats_from_f32(float *to, const uint8_t *from, size_t n);
void floats_from_f16(float *to, const uint8_t *from, size_t n);
void floats_from_bf16(float *to, const uint8_t *from, size_t n);

bool floats_finite(const float *values, size_t n);
/* The largest magnitude; infinite or NAN where a value is. */
float floats_most(const float *values, size_t n);

/* to[k] = half_even(values[k] * inverse) within -q_max..q_max. Returns the largest of |values[k] -
 * to[k] * scale|. */
float quantize(int8_t *to, const float *values, size_t n, float inverse, float scale, int q_max);

#endif
