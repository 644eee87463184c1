/* neon_ternary.c: t2 and t1.6 times int8 with widening products, for every armv8 CPU.
 *
 * smlal adds 8 products to 8 int16 lanes, four lanes to a row. A product is at most 2 * 127 = 254.
 * A line adds four of them to a lane, five with t1.6: 25 lines make 25 * 5 * 254 = 31750, below
 * 32767; then the lanes are added up in int32. */
#include <arm_neon.h>

struct row_sum {
    int16x8_t low, high; /* rows 0 and 1, rows 2 and 3 */
};

enum { FOLD_LINES = 25 };

static inline __attribute__((always_inline)) struct row_sum no_sum(void)
{
    return (struct row_sum){vdupq_n_s16(0), vdupq_n_s16(0)};
}

static inline __attribute__((always_inline)) void dot4(struct row_sum *sum, int8x16_t code,
                                                       int8x16_t dword)
{
    sum->low = vmlal_s8(sum->low, vget_low_s8(code), vget_low_s8(dword));
    sum->high = vmlal_high_s8(sum->high, code, dword);
}

static inline __attribute__((always_inline)) void dot16(struct row_sum *sum,
                                                        const int8x16_t code[4], int8x16_t q)
{
    int32x4_t dwords = vreinterpretq_s32_s8(q);
    dot4(sum, code[0], vreinterpretq_s8_s32(vdupq_laneq_s32(dwords, 0)));
    dot4(sum, code[1], vreinterpretq_s8_s32(vdupq_laneq_s32(dwords, 1)));
    dot4(sum, code[2], vreinterpretq_s8_s32(vdupq_laneq_s32(dwords, 2)));
    dot4(sum, code[3], vreinterpretq_s8_s32(vdupq_laneq_s32(dwords, 3)));
}

static inline __attribute__((always_inline)) int32x4_t sum_rows(struct row_sum sum)
{
    return vpaddq_s32(vpaddlq_s16(sum.low), vpaddlq_s16(sum.high));
}

#include "kernels/neon_ternary.h"

static void t2_i8(const struct matmul *m)
{
    if (m->x->n_tok <= FUSED_TOK)
        fused(m, false);
    else
        gemm(m, false);
}

static void t1_6_i8(const struct matmul *m)
{
    if (m->x->n_tok <= FUSED_TOK)
        fused(m, true);
    else
        gemm(m, true);
}

void fill_neon_ternary(struct matrix_kernels *m)
{
    m->t2_i8 = t2_i8;
    m->t1_6_i8 = t1_6_i8;
}
