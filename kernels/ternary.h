/* ternary.h: what the ternary kernels of every tier share: how a row is cut into runs of columns
 * and where a run's codes lie. Plain C, compiled into each tier's file.
 *
 * A code is weight + 1, so a run's exact integer sum is
 *
 *     sum of weight * q  =  sum of code * q  -  sum of q
 *
 * and the second sum does not depend on the row: it is taken once for each token and run, and
 * the accumulators start at minus it. Without any groups the whole row is one run whose scales
 * are 1: times 1 and plus 0 leave the bits as they are, so one loop serves both. */
#ifndef KERNELS_TERNARY_H
#define KERNELS_TERNARY_H

#include "kernels/kernels.h"
#include "kernels/unroll.h"

struct runs {
    size_t block_bytes;
    size_t n_cols, cols, n; /* columns of all, of a run (S of kernels.h), number of runs */
    uint32_t group;         /* of the weights */
    int32_t *start;         /* [n_tok][n]: minus the sum of q over a run */
};

static inline struct runs runs_of(const struct matmul *m)
{
    const struct matrix *w = m->w;
    struct runs r = {.n_cols = w->n_cols, .cols = w->n_cols, .group = w->group};
    if (w->group)
        r.cols = w->group;
    if (m->x->group && m->x->group < r.cols)
        r.cols = m->x->group;
    r.n = (r.n_cols + r.cols - 1) / r.cols;
    r.block_bytes = layout_block_bytes((enum encoding)w->encoding, w->group, w->n_cols);
    return r;
}

/* Fills r->start for n_tok tokens from t0 on. sum32 covers a run's padding too: q is 0 there. */
static inline void runs_start(struct runs *r, const struct activations *x, size_t t0,
                              size_t n_tok, int32_t *start)
{
    const size_t n_sums = x->q_stride / 32;
    r->start = start;
    for (size_t t = 0; t < n_tok; t++)
        for (size_t i = 0; i < r->n; i++) {
            size_t first = i * r->cols / 32, end = first + (r->cols + 31) / 32;
            int32_t sum = 0;
            if (end > (r->n_cols + 31) / 32)
                end = (r->n_cols + 31) / 32;
            for (size_t j = first; j < end; j++)
                sum += x->sum32[(t0 + t) * n_sums + j];
            start[t * r->n + i] = -sum;
        }
}

/* T2: offset of run i's first line inside a block, and its number of lines. A line is 16 columns,
 * so 4 bytes a column; a chunk is a line of scales and two groups. */
static inline size_t run_offset(const struct runs *r, size_t i)
{
    size_t k = i * r->cols;
    if (!r->group)
        return 4 * k;
    return k / (2 * r->group) * (LINE_BYTES + 8 * r->group) + LINE_BYTES + k % (2 * r->group) * 4;
}

static inline size_t run_lines(const struct runs *r, size_t i)
{
    size_t k = i * r->cols, n = r->n_cols - k < r->cols ? r->n_cols - k : r->cols;
    return (n + 15) / 16;
}

/* Offset of the 16 halves that scale run i. */
static inline size_t run_scales(const struct runs *r, size_t i)
{
    size_t g = i * r->cols / r->group;
    return g / 2 * (LINE_BYTES + 8 * r->group) + g % 2 * (2 * BLOCK_ROWS);
}

/* The scale of activations over run i of token t, 1 when ungrouped. */
static inline float run_act_scale(const struct runs *r, const struct activations *x, size_t t,
                                  size_t i)
{
    return x->group ? x->scale[t * x->n_groups + i * r->cols / x->group] : 1.0f;
}

/* The scale of a whole token, 1 when its groups have their own. */
static inline float token_scale(const struct activations *x, size_t t)
{
    return x->group ? 1.0f : x->scale[t];
}

#endif
