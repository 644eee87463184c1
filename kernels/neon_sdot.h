/* neon_sdot.h: what neon_ternary.h wants to be told, for CPUs with sdot: 4 rows x 4 columns in one
 * instruction, the activations taken by lane. int32 throughout: nothing to fold. */
#include <arm_neon.h>
#include <stdint.h>

struct row_sum {
    int32x4_t rows;
};

#define FOLD_LINES SIZE_MAX

static inline __attribute__((always_inline)) struct row_sum no_sum(void)
{
    return (struct row_sum){vdupq_n_s32(0)};
}

static inline __attribute__((always_inline)) void dot4(struct row_sum *sum, int8x16_t code,
                                                       int8x16_t dword)
{
    sum->rows = vdotq_s32(sum->rows, code, dword);
}

static inline __attribute__((always_inline)) void dot16(struct row_sum *sum,
                                                        const int8x16_t code[4], int8x16_t q)
{
    sum->rows = vdotq_laneq_s32(sum->rows, code[0], q, 0);
    sum->rows = vdotq_laneq_s32(sum->rows, code[1], q, 1);
    sum->rows = vdotq_laneq_s32(sum->rows, code[2], q, 2);
    sum->rows = vdotq_laneq_s32(sum->rows, code[3], q, 3);
}

static inline __attribute__((always_inline)) int32x4_t sum_rows(struct row_sum sum)
{
    return sum.rows;
}
