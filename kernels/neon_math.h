/* neon_math.h: what the float files of the NEON tier share: 32 lanes in eight registers, exp. */
#ifndef KERNELS_NEON_MATH_H
#define KERNELS_NEON_MATH_H

#include <arm_neon.h>

#include "kernels/expf.h"
#include "kernels/unroll.h"

INLINE void zero_lanes(float32x4_t lane[8])
{
    UNROLL for (int i = 0; i < 8; i++) { lane[i] = vdupq_n_f32(0.0f); }
}

INLINE void store_lanes(float out[32], const float32x4_t lane[8])
{
    UNROLL for (int i = 0; i < 8; i++) { vst1q_f32(out + 4 * i, lane[i]); }
}

/* As exp_spec. */
INLINE float32x4_t exp4(float32x4_t x)
{
    const float32x4_t magic = vdupq_n_f32(ROUND_MAGIC), one = vdupq_n_f32(1.0f);
    x = vmaxq_f32(vdupq_n_f32(EXP_MIN), x); /* NaN stays */
    x = vminq_f32(vdupq_n_f32(EXP_MAX), x);
    float32x4_t t = vaddq_f32(vmulq_f32(x, vdupq_n_f32(EXP_LOG2E)), magic);
    float32x4_t n = vsubq_f32(t, magic);
    float32x4_t r = vsubq_f32(x, vmulq_f32(n, vdupq_n_f32(EXP_LN2_HIGH)));
    r = vsubq_f32(r, vmulq_f32(n, vdupq_n_f32(EXP_LN2_LOW)));
    float32x4_t p = vdupq_n_f32(EXP_C6);
    p = vaddq_f32(vmulq_f32(p, r), vdupq_n_f32(EXP_C5));
    p = vaddq_f32(vmulq_f32(p, r), vdupq_n_f32(EXP_C4));
    p = vaddq_f32(vmulq_f32(p, r), vdupq_n_f32(EXP_C3));
    p = vaddq_f32(vmulq_f32(p, r), vdupq_n_f32(EXP_C2));
    float32x4_t tail = vaddq_f32(r, vmulq_f32(vmulq_f32(r, r), p));
    uint32x4_t power = vshlq_n_u32(vreinterpretq_u32_f32(t), 23);
    power = vaddq_u32(power, vdupq_n_u32(127u << 23));
    return vmulq_f32(vaddq_f32(one, tail), vreinterpretq_f32_u32(power));
}

#endif
