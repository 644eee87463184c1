/* expf.h: the scalar pieces of the specification that every tier shares: our exp, half floats,
 * rounding, the fold of 32 lanes. Nothing here is libm's but sqrtf, which IEEE 754 fixes.
 *
 *     exp(x) = 2^n * e^r      n = round(x / ln 2),  r = x - n * ln 2,  |r| <= 0.3466
 *
 * e^r = 1 + (r + r^2 * P(r)), P of degree 4 fitted to (e^r - 1 - r) / r^2 by Chebyshev points.
 * Error: at most 1.04 ulp against the true exp wherever the result is a normal number (measured over
 * one in eight of the floats of that range; tests/test_expf.c tries fewer). Below -87.68 the result is 0, from
 * 88.38 on it is infinity; NaN stays NaN. Adding 1.5 * 2^23 rounds to nearest even and leaves n in
 * the low bits of the float, so 2^n is one shift and one add: no table, no branch, one line of
 * code per instruction in each tier.
 */
#ifndef KERNELS_EXPF_H
#define KERNELS_EXPF_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/half.h"

#define EXP_MIN (-88.0f)             /* n = -127, whose power of two is the bit pattern of 0 */
#define EXP_MAX 89.0f                /* n = 128, whose power of two is that of infinity */
#define EXP_LOG2E 0x1.715476p+0f
#define EXP_LN2_HIGH 0x1.62e4p-1f    /* 15 bits: n * this is exact */
#define EXP_LN2_LOW 0x1.7f7d1cp-20f
#define EXP_C6 0x1.6d117cp-10f
#define EXP_C5 0x1.120be2p-7f
#define EXP_C4 0x1.555518p-5f
#define EXP_C3 0x1.5554dcp-3f
#define EXP_C2 0x1.0p-1f
#define ROUND_MAGIC 12582912.0f /* 1.5 * 2^23 */
#define QUANT_MIN_ABS 1e-5f     /* the least maximum that quantize assumes */

static inline uint32_t float_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline float bits_float(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline float exp_spec(float x)
{
    x = EXP_MIN > x ? EXP_MIN : x; /* in this form NaN passes, as it does in maxps */
    x = EXP_MAX < x ? EXP_MAX : x;
    float t = x * EXP_LOG2E + ROUND_MAGIC;
    float n = t - ROUND_MAGIC;
    float r = x - n * EXP_LN2_HIGH;
    r = r - n * EXP_LN2_LOW;
    float p = EXP_C6;
    p = p * r + EXP_C5;
    p = p * r + EXP_C4;
    p = p * r + EXP_C3;
    p = p * r + EXP_C2;
    float e = 1.0f + (r + (r * r) * p);
    return e * bits_float((float_bits(t) << 23) + (127u << 23));
}

/* Nearest integer, ties to even, for |x| < 2^22. */
static inline int32_t round_even(float x)
{
    return (int32_t)(float_bits(x + ROUND_MAGIC) - float_bits(ROUND_MAGIC));
}

/* The bits that vcvtps2ph and fcvtn give: nearest, ties to even, overflow to infinity. */
static inline uint16_t float_to_half(float f)
{
    uint32_t sign = float_bits(f) >> 16 & 0x8000, rest = float_bits(f) & 0x7fffffff;
    if (rest > 0x7f800000) {
        return (uint16_t)(sign | 0x7e00 | (rest >> 13 & 0x3ff));
    }
    if (rest >= 0x47800000) { /* 65536 */
        return (uint16_t)(sign | 0x7c00);
    }
    if (rest < 0x38800000) { /* below 2^-14: adding 0.5 leaves multiples of 2^-24 in the low bits */
        float shifted = bits_float(rest) + 0.5f;
        return (uint16_t)(sign | (float_bits(shifted) - float_bits(0.5f)));
    }
    rest += 0xfff + (rest >> 13 & 1); /* may carry into the exponent, up to infinity: right */
    return (uint16_t)(sign | ((rest - (112u << 23)) >> 13));
}

/* Folds 32 lanes in halves into lane 0. */
static inline float fold_lanes(float lane[32])
{
    for (size_t half = 16; half > 0; half /= 2) {
        for (size_t i = 0; i < half; i++) {
            lane[i] += lane[i + half];
        }
    }
    return lane[0];
}

/* The factor of RMS norm from the folded sum of squares. */
static inline float rms_factor(float sum, size_t n, float eps)
{
    return 1.0f / sqrtf(sum / (float)n + eps);
}

#endif
