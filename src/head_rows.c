/* head_rows.c: see head_rows.h. An i8x2 head keeps the norms of its rows in their blocks; those of
 * an i8 head are taken once, when a search first asks for them. */
#include "src/head_rows.h"

#include <math.h>
#include <string.h>

#include "kernels/i8x2.h"

void rows_run(struct search *z, pool_fn *fn)
{
    struct pool *pool = z->h->projector->pool;
    pool_share_out(&z->blocks, pool, layout_blocks(z->h->w->n_rows), LEAST_BLOCKS);
    pool_run(pool, fn, z);
}

static double norm_of(const struct activations *x, size_t i)
{
    const int8_t *q = x->q + i * x->q_stride;
    int32_t squares = 0; /* at most 2^17 * 127^2 < 2^31 */
    for (size_t k = 0; k < x->n_cols; k++)
        squares += q[k] * q[k];
    return sqrt((double)squares);
}

static struct head_bound bound_of(const struct search *z, size_t t)
{
    const struct activations *x = &z->x;
    const size_t u = z->n_tok + t;
    double s1 = x->scale[t], s2 = x->scale[u];
    struct head_bound b = {.unit = z->whole ? s1 : 16 * s1, .whole = s2 * norm_of(x, u),
                           .sum_q = {i8x2_sum_q(x, t), i8x2_sum_q(x, u)}};
    if (!z->whole) {
        b.offset = 120.5 * s1 * (int32_t)b.sum_q[0];
        b.lower = s1 * norm_of(x, t);
    }
    return b;
}

/* Token t's upper bounds, in the room behind the logits. */
static float *uppers(const struct head *h, size_t t)
{
    return h->logits + (h->n_most + t) * h->stride;
}

/* Guesses at a block's logits and their upper bounds, from the rows' sums with the first term,
 * their scales and norms. Bounds hold for the floats that the exact sums become, which are off by
 * less than 1e-6 of their parts, or 1e-35 where these are denormal. */
static void bound_logits(float *guess, float *upper, const struct head_bound *b,
                         const int32_t *isum, const float *scale, const float *norms)
{
    for (size_t r = 0; r < BLOCK_ROWS; r++) {
        double y = scale[r] * (b->unit * isum[r] - b->offset);
        double reach = fabs(scale[r]) * (b->lower * norms[r] + b->whole * norms[BLOCK_ROWS + r]);
        guess[r] = (float)y;
        upper[r] = (float)(y + reach + 1e-6 * (fabs(y) + reach) + 1e-35);
    }
}

/* The sums of row `row` with the first terms of n tokens, as far as the search goes. */
static void sum_row(int32_t isum[NIBBLES_TOK], const struct search *z, size_t row, const int8_t *q,
                    const uint32_t *sum_q, size_t n)
{
    const struct matrix *w = z->h->w;
    nibbles_fn *nibbles = z->h->projector->kernels->matrix.i8x2_nibbles;
    if (z->whole)
        i8x2_row(isum, nibbles, w, row, row + I8X2_AHEAD, q, z->x.q_stride, sum_q, n);
    else
        nibbles(isum, w->lines + i8x2_offset(w->n_cols, 0, row),
                w->lines + i8x2_offset(w->n_cols, 0, row + I8X2_AHEAD), i8x2_lines(w->n_cols), q,
                z->x.q_stride, n);
}

/* Tokens [t0, t0 + n). */
static void bound_block(const struct search *z, size_t b, size_t t0, size_t n)
{
    const struct head *h = z->h;
    const struct matrix *w = h->w;
    const uint8_t *at = w->lines + i8x2_norms(w->n_cols, b * BLOCK_ROWS);
    const uint8_t *next = w->lines + i8x2_norms(w->n_cols, (b + 1) * BLOCK_ROWS);
    int32_t isums[NIBBLES_TOK][BLOCK_ROWS], isum[NIBBLES_TOK];
    uint32_t sum_q[NIBBLES_TOK];
    float scale[BLOCK_ROWS], norms[2 * BLOCK_ROWS];
    __builtin_prefetch(next);
    __builtin_prefetch(next + LINE_BYTES);
    memcpy(norms, at, sizeof norms);
    for (size_t t = 0; t < n; t++)
        sum_q[t] = h->bounds[t0 + t].sum_q[0];
    for (size_t r = 0; r < BLOCK_ROWS; r++) {
        size_t row = b * BLOCK_ROWS + r;
        scale[r] = scale_of_row(w, row);
        sum_row(isum, z, row, z->x.q + t0 * z->x.q_stride, sum_q, n);
        for (size_t t = 0; t < n; t++)
            isums[t][r] = isum[t];
    }
    for (size_t t = t0; t < t0 + n; t++) {
        float *guess = h->logits + t * h->stride;
        bound_logits(guess + b * BLOCK_ROWS, uppers(h, t) + b * BLOCK_ROWS, &h->bounds[t],
                     isums[t - t0], scale, norms);
    }
}

static void bound_share(void *ctx, int worker, int n_workers)
{
    struct search *z = ctx;
    size_t begin, end;
    (void)n_workers;
    while (pool_take(&z->blocks, worker, &begin, &end))
        for (size_t b = begin; b < end; b++)
            for (size_t t = 0; t < z->n_tok; t += NIBBLES_TOK)
                bound_block(z, b, t, z->n_tok - t < NIBBLES_TOK ? z->n_tok - t : NIBBLES_TOK);
}

/* Norms of a block's rows of bytes, times their scales, rounded up. */
static void norm_block(float norms[BLOCK_ROWS], const struct matrix *w, size_t b)
{
    const size_t n_bytes = layout_block_bytes(w->encoding, 0, w->n_cols);
    const uint8_t *line = w->lines + b * n_bytes, *end = line + n_bytes;
    uint32_t squares[LINE_BYTES] = {0}; /* at most 2^15 * 128^2 each */
    for (; line < end; line += LINE_BYTES) {
        for (size_t i = 0; i < LINE_BYTES; i++) {
            int16_t value = (int16_t)(line[i] - 128);
            squares[i] += (uint32_t)(value * value);
        }
    }
    for (size_t r = 0; r < BLOCK_ROWS; r++) {
        const uint32_t *of_row = squares + 4 * r;
        double sum = (double)of_row[0] + of_row[1] + of_row[2] + of_row[3];
        double scale = fabs((double)scale_of_row(w, b * BLOCK_ROWS + r));
        norms[r] = (float)(1.000001 * scale * sqrt(sum));
    }
}

static void norm_share(void *ctx, int worker, int n_workers)
{
    struct search *z = ctx;
    size_t begin, end;
    (void)n_workers;
    while (pool_take(&z->blocks, worker, &begin, &end))
        for (size_t b = begin; b < end; b++)
            norm_block(z->h->norms + b * BLOCK_ROWS, z->h->w, b);
}

void rows_guess(struct search *z)
{
    struct head *h = z->h;
    struct projector *p = h->projector;
    for (size_t t = 0; t < z->n_tok; t++)
        h->bounds[t] = bound_of(z, t);
    if (h->w->encoding == ENC_I8X2) {
        rows_run(z, bound_share);
        return;
    }
    struct linear l = {.w = *h->w};
    const struct products out = {.of = {{&l, h->logits, h->stride}}, .n = 1};
    project_multiply(p, z->n_tok, ACT_I8, 0, &out);
    if (!h->has_norms)
        rows_run(z, norm_share);
    h->has_norms = true;
}

/* Bits of a block: which rows have an upper bound of at least `least`? In this form a NaN has, so
 * that it is seen. */
static uint32_t reaching(const float upper[BLOCK_ROWS], float least)
{
    uint32_t any = 0, rows = 0;
    for (size_t r = 0; r < BLOCK_ROWS; r++)
        any |= !(upper[r] < least);
    for (size_t r = 0; any && r < BLOCK_ROWS; r++)
        rows |= (uint32_t)!(upper[r] < least) << r;
    return rows;
}

uint32_t rows_reaching(const struct head *h, size_t t, size_t b, float least)
{
    if (h->w->encoding == ENC_I8X2)
        return reaching(uppers(h, t) + b * BLOCK_ROWS, least);
    const float *guess = h->logits + t * h->stride + b * BLOCK_ROWS;
    const float *norms = h->norms + b * BLOCK_ROWS, whole = (float)h->bounds[t].whole;
    float upper[BLOCK_ROWS];
    for (size_t r = 0; r < BLOCK_ROWS; r++) {
        float reach = whole * norms[r];
        upper[r] = guess[r] + reach + 1e-6f * (fabsf(guess[r]) + reach) + 1e-35f;
    }
    return reaching(upper, least);
}

/* Both terms of token t times a row of planes. */
static void planes_row(float y[2], const struct search *z, size_t t, size_t row, size_t next)
{
    const struct matrix *w = z->h->w;
    int32_t isum[NIBBLES_TOK];
    float scale = scale_of_row(w, row);
    i8x2_row(isum, z->h->projector->kernels->matrix.i8x2_nibbles, w, row, next,
             z->x.q + t * z->x.q_stride, z->n_tok * z->x.q_stride, z->h->bounds[t].sum_q, 2);
    for (size_t j = 0; j < 2; j++)
        y[j] = (float)isum[j] * (scale * z->x.scale[t + j * z->n_tok]);
}

/* And times a row of bytes; its block is multiplied whole. */
static void bytes_row(float y[2], const struct search *z, int worker, size_t t, size_t row)
{
    const struct projector *p = z->h->projector;
    const size_t b = row / BLOCK_ROWS, r = row % BLOCK_ROWS;
    struct matrix w = *z->h->w;
    struct activations x = z->x;
    const float scale[2] = {x.scale[t], x.scale[z->n_tok + t]};
    _Alignas(64) float block[2][BLOCK_ROWS];
    w.lines += b * layout_block_bytes(w.encoding, 0, w.n_cols);
    w.scale += w.scale_kind == SCALE_ROW ? b * BLOCK_ROWS : 0;
    x.q += t * x.q_stride;
    x.sum32 += t * (x.q_stride / 32);
    x.q_stride *= z->n_tok;
    x.scale = scale;
    x.n_tok = 2;
    uint8_t *scratch = p->scratch + (size_t)worker * matmul_scratch_bytes(p->max_cols);
    const struct matmul m = {block[0], BLOCK_ROWS, &w, &x, 0, 1, scratch, false};
    p->kernels->matrix.i8_i8(&m);
    y[0] = block[0][r], y[1] = block[1][r];
}

float rows_logit(const struct search *z, int worker, size_t t, size_t row, size_t next)
{
    float y[2];
    if (z->h->w->encoding == ENC_I8X2)
        planes_row(y, z, t, row, next);
    else
        bytes_row(y, z, worker, t, row);
    return isfinite(y[0] + y[1]) ? y[0] + y[1] : NAN;
}
