/* runs.h: how a row is cut into runs of columns where weights or activations are grouped, where a
 * run's lines lie and what its sums start at. Plain C, for the matrix kernels of all tiers.
 *
 * A run is what gets one float multiplication: S columns (kernels.h), S the smaller of the two
 * group sizes. Without groups the whole row is one run whose scales are 1: times 1 and plus 0
 * leave the bits as they are, so one loop serves both.
 *
 * A code of t2 and t1.6 is weight + 1, so a run's exact integer sum is
 *
 *     sum of weight * q  =  sum of code * q  -  sum of q
 *
 * and the second sum does not depend on the row: it is taken once for each token and run, and
 * the accumulators start at minus it. */
#ifndef KERNELS_RUNS_H
#define KERNELS_RUNS_H

#include "kernels/kernels.h"
#include "kernels/unroll.h"

struct runs {
    size_t n_cols, cols, n;     /* columns of all, of a run; number of runs */
    size_t line_cols;           /* of a line; i6: of its low four bits */
    size_t n_lines, last_lines; /* of a run, of the last one; padding is not counted */
    size_t block_bytes, chunk_bytes;
    bool grouped;                /* is there a line of scales before every other group? */
    unsigned group_log, act_log; /* log2 of the runs of a group of weights, of activations */
};

static inline struct runs runs_of(const struct matmul *m)
{
    static const uint8_t line_cols[] = {[ENC_F16] = 2, [ENC_I8] = 4, [ENC_T2] = 16,
                                        [ENC_T1_6] = 20, [ENC_B1] = 32, [ENC_I6] = 8,
                                        [ENC_I4] = 8};
    const struct matrix *w = m->w;
    const enum encoding e = (enum encoding)w->encoding;
    struct runs r = {.n_cols = w->n_cols, .cols = w->n_cols, .line_cols = line_cols[e],
                     .block_bytes = layout_block_bytes(e, w->group, w->n_cols),
                     .grouped = w->group != 0};
    if (w->group)
        r.cols = w->group;
    if (m->x->group && m->x->group < r.cols)
        r.cols = m->x->group;
    r.n = (r.n_cols + r.cols - 1) / r.cols;
    r.n_lines = (r.cols + r.line_cols - 1) / r.line_cols;
    r.last_lines = (r.n_cols - (r.n - 1) * r.cols + r.line_cols - 1) / r.line_cols;
    if (w->group) {
        r.chunk_bytes = layout_block_bytes(e, w->group, 2 * w->group);
        r.group_log = (unsigned)__builtin_ctzll(w->group / r.cols);
    }
    r.act_log = 63;
    if (m->x->group >= r.cols)
        r.act_log = (unsigned)__builtin_ctzll(m->x->group / r.cols);
    return r;
}

static inline size_t run_lines(const struct runs *r, size_t i)
{
    return i + 1 < r->n ? r->n_lines : r->last_lines;
}

static inline size_t all_lines(const struct runs *r)
{
    return (r->n - 1) * r->n_lines + r->last_lines;
}

/* Bytes from the start of a block to the first line of run i. A chunk is a line of scales and the
 * lines of two groups. */
static inline size_t run_offset(const struct runs *r, size_t i)
{
    size_t chunk = i >> (r->group_log + 1), in_chunk = i - (chunk << (r->group_log + 1));
    if (!r->grouped)
        return i * r->n_lines * LINE_BYTES;
    return chunk * r->chunk_bytes + LINE_BYTES + in_chunk * r->n_lines * LINE_BYTES;
}

/* To the 16 halves that scale it. */
static inline size_t run_scales(const struct runs *r, size_t i)
{
    size_t g = i >> r->group_log;
    return g / 2 * r->chunk_bytes + g % 2 * (2 * BLOCK_ROWS);
}

/* Does scratch hold what would be made of the tokens, which is made for up to `batch` at a time? */
static inline bool is_prepared(const struct matmul *m, size_t batch)
{
    return m->prepared && m->x->n_tok <= batch;
}

/* The sum of token t's activations in run i; those of the padding are 0. */
static inline int32_t run_sum(const struct runs *r, const struct activations *x, size_t t,
                              size_t i)
{
    const int32_t *sum32 = x->sum32 + t * (x->q_stride / 32) + i * r->cols / 32;
    size_t end = (i + 1) * r->cols < r->n_cols ? (i + 1) * r->cols : r->n_cols;
    int32_t sum = 0;
    for (size_t k = i * r->cols; k < end; k += 32)
        sum += *sum32++;
    return sum;
}

/* What the sums of n_tok tokens from t0 on start at, unless it stands there: start[t][run]. */
static inline void runs_start(int32_t *start, const struct runs *r, const struct matmul *m,
                              size_t t0, size_t n_tok)
{
    if (is_prepared(m, n_tok))
        return;
    for (size_t i = 0; i < n_tok * r->n; i++)
        start[i] = -run_sum(r, m->x, t0 + i / r->n, i % r->n);
}

/* Token t's scales; that of run i is number i >> act_log, and 1 when they are not grouped. */
static inline const float *act_scales(const struct activations *x, size_t t)
{
    static const float one = 1.0f;
    return x->group ? x->scale + t * x->n_groups : &one;
}

static inline float run_act_scale(const struct runs *r, const struct activations *x, size_t t,
                                  size_t i)
{
    return act_scales(x, t)[i >> r->act_log];
}

/* The scale of a whole token, 1 when its groups have their own. */
static inline float token_scale(const struct activations *x, size_t t)
{
    return x->group ? 1.0f : x->scale[t];
}

/* A block of a matrix times n_tok tokens from t0 on. */
struct tile {
    const struct matmul *m;
    const struct runs *r;
    size_t block, t0, n_tok;
};

static inline const uint8_t *tile_lines(const struct tile *t)
{
    return t->m->w->lines + t->block * t->r->block_bytes;
}

/* Blocks in pairs, one from each half of the range: two streams, each of which reads memory
 * straight on, are faster than one. An odd block in the middle comes twice, to the same bits. */
static inline size_t n_pairs(const struct matmul *m)
{
    return (m->block_end - m->block_begin + 1) / 2;
}

static inline void pair_at(size_t block[2], const struct matmul *m, size_t i)
{
    block[0] = m->block_begin + i;
    block[1] = block[0] + n_pairs(m) < m->block_end ? block[0] + n_pairs(m) : m->block_end - 1;
}

#endif
