/* i8x2.h: the product with both planes of an i8x2 matrix, out of a tier's kernel for a row of one:
 *
 *     sum of (16 h + l - 128) * q  =  16 * sum of h * q  +  sum of l * q  -  128 * sum of q
 *
 * range: |16 * sum of h * q| <= 2^17 * 240 * 127 may pass 2^31, so sums are unsigned and wrap; what
 * they end at is the sum of value * q, which fits. */
#ifndef KERNELS_I8X2_H
#define KERNELS_I8X2_H

#include "kernels/kernels.h"
#include "kernels/unroll.h"

enum {
    I8X2_SLICE = 256, /* tokens whose sums are kept */
    I8X2_AHEAD = 8,   /* rows between the one that is multiplied and the one that is fetched */
};

static inline uint32_t i8x2_sum_q(const struct activations *x, size_t t)
{
    const int32_t *sum32 = x->sum32 + t * (x->q_stride / 32);
    uint32_t sum = 0;
    for (size_t i = 0; 32 * i < x->n_cols; i++) {
        sum += (uint32_t)sum32[i];
    }
    return sum;
}

/* What a tier brings: a row of one plane times nt tokens, nt a constant. */
typedef void i8x2_some(int32_t *isum, const uint8_t *row, const uint8_t *next, size_t n_lines,
                       const int8_t *q, size_t q_stride, const int nt);

/* A tier's nibbles_fn out of it. */
INLINE void i8x2_by_tokens(i8x2_some *times, int32_t isum[NIBBLES_TOK], const uint8_t *row,
                           const uint8_t *next, size_t n_lines, const int8_t *q, size_t q_stride,
                           size_t n_tok)
{
    size_t t = 0;
    for (; t + 4 <= n_tok; t += 4) {
        times(isum + t, row, next, n_lines, q + t * q_stride, q_stride, 4);
    }
    for (; t + 2 <= n_tok; t += 2) {
        times(isum + t, row, next, n_lines, q + t * q_stride, q_stride, 2);
    }
    if (t < n_tok) {
        times(isum + t, row, next, n_lines, q + t * q_stride, q_stride, 1);
    }
}

/* One row: isum[t] = sum of value * q[t], sum_q[t] = sum of q[t]. Row `next` is fetched. */
INLINE void i8x2_row(int32_t isum[NIBBLES_TOK], nibbles_fn *nibbles, const struct matrix *w,
                     size_t row, size_t next, const int8_t *q, size_t q_stride,
                     const uint32_t *sum_q, size_t n_tok)
{
    int32_t low[NIBBLES_TOK];
    for (int plane = 0; plane < 2; plane++) {
        nibbles(plane ? low : isum, w->lines + i8x2_offset(w->n_cols, plane, row),
                w->lines + i8x2_offset(w->n_cols, plane, next), i8x2_lines(w->n_cols), q, q_stride,
                n_tok);
    }
    for (size_t t = 0; t < n_tok; t++) {
        isum[t] = (int32_t)(16 * (uint32_t)isum[t] + (uint32_t)low[t] - 128 * sum_q[t]);
    }
}

/* Block b times tokens [t0, t0 + n_tok). */
INLINE void i8x2_block(const struct matmul *m, nibbles_fn *nibbles, size_t b, size_t t0,
                       size_t n_tok, const uint32_t *sum_q)
{
    const struct activations *x = m->x;
    for (size_t row = b * BLOCK_ROWS; row < (b + 1) * BLOCK_ROWS; row++) {
        int32_t isum[NIBBLES_TOK];
        i8x2_row(isum, nibbles, m->w, row, row + I8X2_AHEAD, x->q + t0 * x->q_stride, x->q_stride,
                 sum_q, n_tok);
        for (size_t t = 0; t < n_tok; t++) {
            float scale = scale_of_row(m->w, row) * x->scale[t0 + t];
            m->y[(t0 + t) * m->y_stride + row] = (float)isum[t] * scale;
        }
    }
}

INLINE void i8x2_times(const struct matmul *m, nibbles_fn *nibbles)
{
    uint32_t sum_q[I8X2_SLICE];
    for (size_t begin = 0; begin < m->x->n_tok; begin += I8X2_SLICE) {
        size_t n = m->x->n_tok - begin < I8X2_SLICE ? m->x->n_tok - begin : I8X2_SLICE;
        for (size_t t = 0; t < n; t++) {
            sum_q[t] = i8x2_sum_q(m->x, begin + t);
        }
        for (size_t b = m->block_begin; b < m->block_end; b++) {
            for (size_t t = 0; t < n; t += NIBBLES_TOK) {
                i8x2_block(m, nibbles, b, begin + t, n - t < NIBBLES_TOK ? n - t : NIBBLES_TOK,
                           sum_q + t);
            }
        }
    }
}

#endif
