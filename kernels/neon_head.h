/* neon_head.h: i8, i6 and i4 times integers for both Arm tiers. A file includes it after saying how
 * 4 rows x 4 columns of weights meet a broadcast dword of activations:
 *
 *     static inline void dot_rows(struct row_sum *sum, int8x16_t w, int8x16_t q);
 *     static inline int32x4_t total_of(struct row_sum sum);
 *
 * A line is four such quarters. For one token all four are summed at once; for more, two, so that
 * sums stay in registers. range: |isum| <= 2^17 * 128 * 127 < 2^31.
 */
#include <arm_neon.h>
#include <string.h>

#include "kernels/i8x2.h"
#include "kernels/kernels.h"
#include "kernels/unroll.h"

INLINE int8x16_t broadcast4(const int8_t *q)
{
    int32_t dword;
    memcpy(&dword, q, sizeof dword);
    return vreinterpretq_s8_s32(vdupq_n_s32(dword));
}

INLINE float32x4_t matrix_scale(const struct matrix *w, size_t row)
{
    switch (w->scale_kind) {
    case SCALE_TENSOR: return vdupq_n_f32(w->scale[0]);
    case SCALE_ROW: return vld1q_f32(w->scale + row);
    default: return vdupq_n_f32(1.0f);
    }
}

/* Quarters [quarter, quarter + nq) of block b times nt tokens. */
INLINE void i8_tile(const struct matmul *m, size_t b, size_t quarter, size_t t0, const int nq,
                    const int nt)
{
    const struct activations *x = m->x;
    size_t n_lines = (m->w->n_cols + 3) / 4;
    size_t run_lines = x->group ? x->group / 4 : n_lines;
    const uint8_t *w = m->w->lines + b * n_lines * LINE_BYTES + 16 * quarter;
    const int8_t *q = x->q + t0 * x->q_stride;
    float32x4_t total[4][4];
    UNROLL for (int i = 0; i < nq * nt; i++) { total[i / nt][i % nt] = vdupq_n_f32(0.0f); }
    for (size_t first = 0, s = 0; first < n_lines; first += run_lines, s++) {
        size_t end = n_lines - first < run_lines ? n_lines : first + run_lines;
        struct row_sum acc[4][4];
        UNROLL for (int i = 0; i < nq * nt; i++)
        {
            acc[i / nt][i % nt].part[0] = acc[i / nt][i % nt].part[1] = vdupq_n_s32(0);
        }
        for (size_t i = first; i < end; i++) {
            __builtin_prefetch(w + 64 * i + 1024);
            UNROLL for (int j = 0; j < nq; j++)
            {
                uint8x16_t line = veorq_u8(vld1q_u8(w + 64 * i + 16 * j), vdupq_n_u8(128));
                int8x16_t value = vreinterpretq_s8_u8(line);
                UNROLL for (int t = 0; t < nt; t++)
                {
                    const int8_t *at = q + (size_t)t * x->q_stride + 4 * i;
                    dot_rows(&acc[j][t], value, broadcast4(at));
                }
            }
        }
        UNROLL for (int i = 0; i < nq * nt; i++)
        {
            size_t token = t0 + (size_t)(i % nt);
            float a = x->group ? x->scale[token * x->n_groups + s] : 1.0f;
            float32x4_t f = vcvtq_f32_s32(total_of(acc[i / nt][i % nt]));
            f = vmulq_f32(f, vdupq_n_f32(a)); /* times 1 and plus 0: the same bits */
            total[i / nt][i % nt] = vaddq_f32(total[i / nt][i % nt], f);
        }
    }
    UNROLL for (int i = 0; i < nq * nt; i++)
    {
        size_t token = t0 + (size_t)(i % nt);
        size_t row = b * BLOCK_ROWS + 4 * (quarter + (size_t)(i / nt));
        float32x4_t a = vdupq_n_f32(x->group ? 1.0f : x->scale[token]);
        float32x4_t scale = vmulq_f32(matrix_scale(m->w, row), a);
        vst1q_f32(m->y + token * m->y_stride + row, vmulq_f32(total[i / nt][i % nt], scale));
    }
}

/* Values of columns 0..3 and 4..7 of 4 rows of line c = 0..3 of a group; for i6 with two more bits
 * out of the group's line of high ones, whose fields are 4 columns each. */
INLINE void nibbles(int8x16_t value[2], const uint8_t *low, const uint8_t *high, const int c,
                    const bool six)
{
    const uint8x16_t two = vdupq_n_u8(0x30);
    uint8x16_t line = vld1q_u8(low + 64 * c);
    uint8x16_t even = vandq_u8(line, vdupq_n_u8(15)), odd = vshrq_n_u8(line, 4);
    if (six) {
        uint8x16_t bits = vld1q_u8(high + 64 * (c / 2));
        even = vorrq_u8(even, vandq_u8(c % 2 ? bits : vshlq_n_u8(bits, 4), two));
        odd = vorrq_u8(odd, vandq_u8(c % 2 ? vshrq_n_u8(bits, 2) : vshlq_n_u8(bits, 2), two));
    }
    const int8x16_t offset = vdupq_n_s8(six ? 32 : 8);
    value[0] = vsubq_s8(vreinterpretq_s8_u8(even), offset);
    value[1] = vsubq_s8(vreinterpretq_s8_u8(odd), offset);
}

/* i4 and i6: groups of 32 columns, each with an f16 scale, so every run is one group. */
INLINE void nibble_tile(const struct matmul *m, size_t b, size_t quarter, size_t t0, const int nt,
                        const bool six)
{
    const struct activations *x = m->x;
    size_t chunk_bytes = six ? 13 * 64 : 9 * 64, n_groups = (m->w->n_cols + 31) / 32;
    const uint8_t *block = m->w->lines + b * ((n_groups + 1) / 2 * chunk_bytes);
    float32x4_t total[4];
    UNROLL for (int t = 0; t < nt; t++) { total[t] = vdupq_n_f32(0.0f); }
    for (size_t s = 0; s < n_groups; s++) {
        const uint8_t *chunk = block + s / 2 * chunk_bytes;
        const uint8_t *low = chunk + 64 + s % 2 * 256 + 16 * quarter;
        const uint8_t *high = chunk + 9 * 64 + s % 2 * 128 + 16 * quarter;
        struct row_sum acc[4];
        __builtin_prefetch(low + 1024);
        UNROLL for (int t = 0; t < nt; t++) { acc[t].part[0] = acc[t].part[1] = vdupq_n_s32(0); }
        UNROLL for (int c = 0; c < 4; c++)
        {
            int8x16_t value[2];
            nibbles(value, low, high, c, six);
            UNROLL for (int t = 0; t < nt; t++)
            {
                const int8_t *q = x->q + (t0 + (size_t)t) * x->q_stride + 32 * s + 8 * c;
                dot_rows(&acc[t], value[0], broadcast4(q));
                dot_rows(&acc[t], value[1], broadcast4(q + 4));
            }
        }
        const uint8_t *halves = chunk + s % 2 * 32 + 8 * quarter;
        float32x4_t d = vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(halves)));
        UNROLL for (int t = 0; t < nt; t++)
        {
            size_t at = (t0 + (size_t)t) * x->n_groups;
            float a = x->group ? x->scale[at + 32 * s / x->group] : 1.0f;
            float32x4_t da = vmulq_f32(d, vdupq_n_f32(a));
            total[t] = vaddq_f32(total[t], vmulq_f32(vcvtq_f32_s32(total_of(acc[t])), da));
        }
    }
    UNROLL for (int t = 0; t < nt; t++)
    {
        size_t token = t0 + (size_t)t;
        float *y = m->y + token * m->y_stride + b * BLOCK_ROWS + 4 * quarter;
        vst1q_f32(y, vmulq_n_f32(total[t], x->group ? 1.0f : x->scale[token]));
    }
}

static void i8_i8(const struct matmul *m)
{
    for (size_t b = m->block_begin; b < m->block_end; b++) {
        size_t t = 0;
        for (; t + 4 <= m->x->n_tok; t += 4) {
            i8_tile(m, b, 0, t, 2, 4);
            i8_tile(m, b, 2, t, 2, 4);
        }
        for (; t + 2 <= m->x->n_tok; t += 2) {
            i8_tile(m, b, 0, t, 2, 2);
            i8_tile(m, b, 2, t, 2, 2);
        }
        if (t < m->x->n_tok) {
            i8_tile(m, b, 0, t, 4, 1);
        }
    }
}

INLINE void times_nibbles(const struct matmul *m, const bool six)
{
    for (size_t i = 4 * m->block_begin; i < 4 * m->block_end; i++) {
        size_t t = 0;
        for (; t + 4 <= m->x->n_tok; t += 4) {
            nibble_tile(m, i / 4, i % 4, t, 4, six);
        }
        for (; t < m->x->n_tok; t++) {
            nibble_tile(m, i / 4, i % 4, t, 1, six);
        }
    }
}

/* A row of one plane of i8x2: columns lie in lanes. */
INLINE void nibble_row(int32_t *isum, const uint8_t *row, const uint8_t *next, size_t n_lines,
                       const int8_t *q, size_t q_stride, const int nt)
{
    struct row_sum acc[4];
    UNROLL for (int t = 0; t < nt; t++) { acc[t].part[0] = acc[t].part[1] = vdupq_n_s32(0); }
    for (size_t i = 0; i < n_lines; i++) {
        __builtin_prefetch(next + LINE_BYTES * i);
        UNROLL for (int j = 0; j < 4; j++)
        {
            uint8x16_t bytes = vld1q_u8(row + LINE_BYTES * i + 16 * j);
            int8x16_t low = vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(15)));
            int8x16_t high = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4));
            UNROLL for (int t = 0; t < nt; t++)
            {
                const int8_t *at = q + (size_t)t * q_stride + 128 * i + 16 * j;
                dot_rows(&acc[t], low, vld1q_s8(at));
                dot_rows(&acc[t], high, vld1q_s8(at + 64));
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++) { isum[t] = vaddvq_s32(total_of(acc[t])); }
}

static void nibble_rows(int32_t isum[NIBBLES_TOK], const uint8_t *row, const uint8_t *next,
                         size_t n_lines, const int8_t *q, size_t q_stride, size_t n_tok)
{
    i8x2_by_tokens(nibble_row, isum, row, next, n_lines, q, q_stride, n_tok);
}

static void i8x2_i8(const struct matmul *m)
{
    i8x2_times(m, nibble_rows);
}

static void i4_i8(const struct matmul *m)
{
    times_nibbles(m, false);
}

static void i6_i8(const struct matmul *m)
{
    times_nibbles(m, true);
}
