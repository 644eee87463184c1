/* neondot_peak.c: see peak.h. */
#include <arm_neon.h>

#include "kernels/peak.h"
#include "kernels/unroll.h"

/* 16 sums: up to four instructions a cycle, each waiting four on the one before it. */
static uint64_t multiply_i8(size_t n_rounds)
{
    int32x4_t acc[2][8];
    int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(5);
    UNROLL for (int j = 0; j < 8; j++) { acc[0][j] = acc[1][j] = vdupq_n_s32(0); }
    for (size_t i = 0; i < n_rounds; i++) {
        __asm__("" : "+w"(a)); /* a new product each time */
        UNROLL for (int j = 0; j < 8; j++)
        {
            acc[0][j] = vdotq_s32(acc[0][j], a, b);
            acc[1][j] = vdotq_s32(acc[1][j], a, b);
        }
    }
    int32x4_t sum = vdupq_n_s32(0);
    UNROLL for (int j = 0; j < 8; j++) { sum = vaddq_s32(sum, vaddq_s32(acc[0][j], acc[1][j])); }
    return (uint64_t)vaddvq_s32(sum);
}

void fill_neondot_peak(struct peak *p)
{
    p->multiply_i8 = multiply_i8;
    p->macs_i8 = 16 * 16;
}
