/* neoni8mm_peak.c: see peak.h. */
#include <arm_neon.h>

#include "kernels/peak.h"
#include "kernels/unroll.h"

static uint64_t multiply_i8(size_t n_rounds)
{
    int32x4_t acc[8];
    int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(5);
    UNROLL for (int j = 0; j < 8; j++) { acc[j] = vdupq_n_s32(0); }
    for (size_t i = 0; i < n_rounds; i++) {
        __asm__("" : "+w"(a)); /* a new product each time */
        UNROLL for (int j = 0; j < 8; j++) { acc[j] = vmmlaq_s32(acc[j], a, b); }
    }
    UNROLL for (int j = 1; j < 8; j++) { acc[0] = vaddq_s32(acc[0], acc[j]); }
    return (uint64_t)vaddvq_s32(acc[0]);
}

void fill_neoni8mm_peak(struct peak *p)
{
    p->multiply_i8 = multiply_i8;
    p->macs_i8 = 8 * 32; /* 2 rows x 8 columns x 2 */
}
