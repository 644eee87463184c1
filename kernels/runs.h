/* runs.h: how the columns of a binary or ternary matrix fall into lines, groups and runs when it
 * meets activations that may be grouped too. Plain C for the tiers of the binary family.
 *
 * A run is what gets one float multiplication: S columns, S the smaller of the two group sizes.
 * Without groups the whole row is one run with both scales 1, which gives the same bits as the
 * ungrouped formula of kernels.h: 0 + (float)isum * (1 * 1) is (float)isum. */
#ifndef KERNELS_RUNS_H
#define KERNELS_RUNS_H

#include "kernels/kernels.h"

struct runs {
    size_t n_lines;   /* lines that hold columns, a last chunk's padding lines not counted */
    size_t run_lines; /* lines of one run; the last run may have less */
    size_t run_cols;
    size_t n_runs, group_runs; /* runs in all, and in one group of weights */
    size_t block_bytes;
    bool grouped; /* is there a line of scales before every other group? */
};

static inline struct runs runs_of(const struct matmul *m)
{
    const struct matrix *w = m->w;
    const size_t line_cols = w->encoding == ENC_B1 ? 32 : 16;
    struct runs u = {.n_lines = (w->n_cols + line_cols - 1) / line_cols, .grouped = w->group != 0};
    u.block_bytes = layout_block_bytes((enum encoding)w->encoding, w->group, w->n_cols);
    u.run_cols = w->group;
    if (u.run_cols == 0 || (m->x->group && m->x->group < u.run_cols))
        u.run_cols = m->x->group;
    if (u.run_cols == 0)
        u.run_cols = (w->n_cols + 31) / 32 * 32;
    u.run_lines = u.run_cols / line_cols;
    u.n_runs = (w->n_cols + u.run_cols - 1) / u.run_cols;
    u.group_runs = w->group ? w->group / u.run_cols : u.n_runs;
    return u;
}

/* The sum of token t's activations in run i. */
static inline int32_t run_sum(const struct matmul *m, const struct runs *u, size_t t, size_t i)
{
    const int32_t *sum32 = m->x->sum32 + t * (m->x->q_stride / 32);
    size_t end = (i + 1) * u->run_cols < m->w->n_cols ? (i + 1) * u->run_cols : m->w->n_cols;
    int32_t sum = 0;
    for (size_t j = i * u->run_cols / 32; 32 * j < end; j++)
        sum += sum32[j];
    return sum;
}

/* The scale of token t's activations in run i: 1 when the token has one scale for its row. */
static inline float run_scale(const struct matmul *m, const struct runs *u, size_t t, size_t i)
{
    const struct activations *x = m->x;
    return x->group ? x->scale[t * x->n_groups + i * u->run_cols / x->group] : 1.0f;
}

/* The scale of token t's whole row, 1 when it has one for each group. */
static inline float token_scale(const struct matmul *m, size_t t)
{
    return m->x->group ? 1.0f : m->x->scale[t];
}

#endif
