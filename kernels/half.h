/* half.h: IEEE half to float for the plain C files of kernels/, which stand on libc alone. The
 * vector tiers have an instruction that gives the same bits (vcvtph2ps, fcvtl). */
#ifndef KERNELS_HALF_H
#define KERNELS_HALF_H

#include <stdint.h>
#include <string.h>

static inline float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = half >> 10 & 31, fraction = half & 1023;
    float value;
    if (exponent == 0) { /* zero and subnormals: fraction * 2^-24, exact in a float */
        value = (float)fraction * 0x1p-24f;
        return sign ? -value : value;
    }
    uint32_t bits = sign | (exponent + 112) << 23 | fraction << 13;
    if (exponent == 31) /* infinity; a NaN comes out quiet */
        bits = sign | 0x7f800000 | fraction << 13 | (fraction ? 0x400000 : 0);
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
