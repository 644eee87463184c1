/* scalar_ternary.c: ternary weights times integer activations, as plainly as it can be said. Every
 * other tier gives the bits that this file gives.
 *
 * A block is unpacked to int8 weights -1, 0, +1 and multiplied row by row, token by token; so one
 * function serves the 2-bit and the 1.6-bit form, which hold the same numbers. */
#include "kernels/half.h"
#include "kernels/kernels.h"

/* A block of 16 rows, unpacked. */
struct rows {
    const int8_t *value;   /* [16][n_cols] */
    const uint16_t *scale; /* [16][n_groups] halves, when the matrix is grouped */
    size_t n_groups;
};

static int32_t dot(const int8_t *w, const int8_t *q, size_t n)
{
    /* |w| <= 2 even for the code that has no meaning, |q| <= 127, n <= 2^17: below 2^25 */
    int32_t sum = 0;
    for (size_t k = 0; k < n; k++)
        sum += w[k] * q[k];
    return sum;
}

/* sum over runs of S columns, S the smaller group size, each run scaled by its two scales. */
static float dot_grouped(const struct matmul *m, const struct rows *rows, size_t r, size_t t)
{
    const struct activations *x = m->x;
    const size_t n_cols = m->w->n_cols;
    uint32_t run = m->w->group;
    if (run == 0 || (x->group && x->group < run))
        run = x->group;
    float acc = 0;
    for (size_t k = 0; k < n_cols; k += run) {
        size_t n = n_cols - k < run ? n_cols - k : run;
        int32_t isum = dot(rows->value + r * n_cols + k, x->q + t * x->q_stride + k, n);
        float d = 1, a = 1;
        if (m->w->group)
            d = half_to_float(rows->scale[r * rows->n_groups + k / m->w->group]);
        if (x->group)
            a = x->scale[t * x->n_groups + k / x->group];
        acc = acc + (float)isum * (d * a);
    }
    return acc;
}

static void ternary_i8(const struct matmul *m)
{
    const struct matrix *w = m->w;
    const struct activations *x = m->x;
    const size_t n_cols = w->n_cols;
    const size_t block_bytes = layout_block_bytes((enum encoding)w->encoding, w->group, n_cols);
    int8_t *value = m->scratch;
    uint16_t *scale = (uint16_t *)(value + BLOCK_ROWS * act_stride(n_cols));
    const struct rows rows = {value, scale, w->group ? (n_cols + w->group - 1) / w->group : 0};

    for (size_t b = m->block_begin; b < m->block_end; b++) {
        layout_unpack(value, scale, w->lines + b * block_bytes, (enum encoding)w->encoding,
                      w->group, n_cols);
        for (size_t t = 0; t < x->n_tok; t++)
            for (size_t r = 0; r < BLOCK_ROWS; r++) {
                size_t row = b * BLOCK_ROWS + r;
                float acc;
                if (w->group || x->group)
                    acc = dot_grouped(m, &rows, r, t);
                else
                    acc = (float)dot(value + r * n_cols, x->q + t * x->q_stride, n_cols);
                float ascale = x->group ? 1 : x->scale[t];
                m->y[t * m->y_stride + row] = acc * (scale_of_row(w, row) * ascale);
            }
    }
}

void fill_scalar_ternary(struct matrix_kernels *m)
{
    m->t2_i8 = ternary_i8;
    m->t1_6_i8 = ternary_i8;
}
