/* neon_peak.c: see peak.h. The int8 product is what our kernels do: smull, then sadalp. */
#include <arm_neon.h>

#include "kernels/peak.h"
#include "kernels/unroll.h"

static uint64_t read_bytes(const uint8_t *p, size_t n_bytes)
{
    uint64x2_t sum[8];
    UNROLL for (int j = 0; j < 8; j++) { sum[j] = vdupq_n_u64(0); }
    for (size_t i = 0; i < n_bytes / 2; i += 64) {
        UNROLL for (size_t j = 0; j < 8; j++)
        {
            const uint8_t *line = p + j / 4 * (n_bytes / 2) + i + j % 4 * 16;
            sum[j] = vaddq_u64(sum[j], vreinterpretq_u64_u8(vld1q_u8(line)));
        }
    }
    UNROLL for (int j = 1; j < 8; j++) { sum[0] = vaddq_u64(sum[0], sum[j]); }
    return vaddvq_u64(sum[0]);
}

static uint64_t multiply_i8(size_t n_rounds)
{
    int32x4_t acc[8];
    int8x8_t a = vdup_n_s8(3), b = vdup_n_s8(5);
    UNROLL for (int j = 0; j < 8; j++) { acc[j] = vdupq_n_s32(0); }
    for (size_t i = 0; i < n_rounds; i++) {
        UNROLL for (int j = 0; j < 8; j++)
        {
            __asm__("" : "+w"(a)); /* a new product each time */
            acc[j] = vpadalq_s16(acc[j], vmull_s8(a, b));
        }
    }
    UNROLL for (int j = 1; j < 8; j++) { acc[0] = vaddq_s32(acc[0], acc[j]); }
    return (uint64_t)vaddvq_s32(acc[0]);
}

static uint64_t multiply_f32(size_t n_rounds)
{
    float32x4_t acc[8], a = vdupq_n_f32(0.5f), b = vdupq_n_f32(0.25f);
    UNROLL for (int j = 0; j < 8; j++) { acc[j] = vdupq_n_f32(0.0f); }
    for (size_t i = 0; i < n_rounds; i++) {
        UNROLL for (int j = 0; j < 8; j++)
        {
            __asm__("" : "+w"(a));
            acc[j] = vaddq_f32(acc[j], vmulq_f32(a, b));
        }
    }
    UNROLL for (int j = 1; j < 8; j++) { acc[0] = vaddq_f32(acc[0], acc[j]); }
    return (uint64_t)vaddvq_f32(acc[0]);
}

void fill_neon_peak(struct peak *p)
{
    *p = (struct peak){read_bytes, multiply_i8, multiply_f32, 8 * 8, 8 * 4};
}
