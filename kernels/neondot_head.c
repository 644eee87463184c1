/* neondot_head.c: i8, i6 and i4 times integers with sdot: 4 rows x 4 columns in one instruction. */
#include <arm_neon.h>

struct row_sum {
    int32x4_t part[2]; /* [1] stays 0 */
};

static inline __attribute__((always_inline)) void dot_rows(struct row_sum *sum, int8x16_t w,
                                                           int8x16_t q)
{
    sum->part[0] = vdotq_s32(sum->part[0], w, q);
}

static inline __attribute__((always_inline)) int32x4_t total_of(struct row_sum sum)
{
    return sum.part[0];
}

#include "kernels/neon_head.h"

void fill_neondot_head(struct matrix_kernels *m)
{
    m->i8_i8 = i8_i8;
    m->i8x2_i8 = i8x2_i8;
    m->i8x2_nibbles = nibble_rows;
    m->i6_i8 = i6_i8;
    m->i4_i8 = i4_i8;
}
