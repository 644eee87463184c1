/* head_search.c: the best rows of an i8x2 head: bounds for all rows, what the best of them really
 * have, then whoever may reach that. Workers share the blocks in each of the three. */
#include "src/head_search.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "kernels/i8x2.h"

enum { CHUNK_BLOCKS = 16 }; /* of 16 rows, which a worker takes at a time */

struct search {
    struct head *h;
    struct activations x; /* rows t and n_tok + t: the terms of token t */
    size_t n_tok;
    bool both;             /* planes meet the first term */
    atomic_size_t next;    /* the first block that no worker has taken */
    atomic_size_t n_exact; /* logits that were scored whole */
};

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
    struct head_bound b = {.unit = z->both ? s1 : 16 * s1, .whole = s2 * norm_of(x, u),
                           .sum_q = {i8x2_sum_q(x, t), i8x2_sum_q(x, u)}};
    if (!z->both) {
        b.offset = 120.5 * s1 * (int32_t)b.sum_q[0];
        b.lower = s1 * norm_of(x, t);
    }
    return b;
}

static bool take_blocks(struct search *z, size_t *begin, size_t *end)
{
    size_t n_blocks = layout_blocks(z->h->w->n_rows);
    *begin = atomic_fetch_add_explicit(&z->next, CHUNK_BLOCKS, memory_order_relaxed);
    *end = n_blocks - *begin < CHUNK_BLOCKS ? n_blocks : *begin + CHUNK_BLOCKS;
    return *begin < n_blocks;
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
    if (z->both)
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
    (void)worker, (void)n_workers;
    while (take_blocks(z, &begin, &end))
        for (size_t b = begin; b < end; b++)
            for (size_t t = 0; t < z->n_tok; t += NIBBLES_TOK)
                bound_block(z, b, t, z->n_tok - t < NIBBLES_TOK ? z->n_tok - t : NIBBLES_TOK);
}

/* The logit of a row, as both planes and both terms give it elsewhere. Row `next` is fetched
 * meanwhile. */
static float exact_logit(const struct search *z, size_t t, size_t row, size_t next)
{
    const struct matrix *w = z->h->w;
    int32_t isum[NIBBLES_TOK];
    float scale = scale_of_row(w, row), y[2];
    i8x2_row(isum, z->h->projector->kernels->matrix.i8x2_nibbles, w, row, next,
             z->x.q + t * z->x.q_stride, z->n_tok * z->x.q_stride, z->h->bounds[t].sum_q, 2);
    for (size_t j = 0; j < 2; j++)
        y[j] = (float)isum[j] * (scale * z->x.scale[t + j * z->n_tok]);
    return isfinite(y[0] + y[1]) ? y[0] + y[1] : NAN; /* -INFINITY means something else here */
}

static bool has_bit(const uint32_t *bits, size_t i)
{
    return bits && bits[i / 32] >> i % 32 & 1;
}

/* best[] as a heap whose smallest is on top. */
static void sift_down(float *best, size_t n, size_t i)
{
    float v = best[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        child += child + 1 < n && best[child + 1] < best[child];
        if (!(best[child] < v))
            break;
        best[i] = best[child];
    }
    best[i] = v;
}

/* Is the row's rank among the best what the wish depends on? */
static bool is_ranked(const struct head_wish *wish, size_t row)
{
    return !has_bit(wish->banned, row) && !has_bit(wish->exact, row);
}

/* The n-th largest guess of the ranked rows; -INFINITY if there are fewer. */
static float nth_guess(const struct head *h, size_t t, size_t n_wanted)
{
    const float *guess = h->logits + t * h->stride;
    float *best = h->best + t * HEAD_MAX_BEST, least = -INFINITY;
    size_t n = 0;
    for (size_t row = 0; row < h->w->n_rows; row++) {
        if (!(guess[row] > least) || !is_ranked(&h->wishes[t], row))
            continue;
        if (n < n_wanted) {
            best[n++] = guess[row];
            for (size_t i = n == n_wanted ? n / 2 : 0; i-- > 0;)
                sift_down(best, n, i);
        } else {
            best[0] = guess[row];
            sift_down(best, n, 0);
        }
        least = n < n_wanted ? -INFINITY : best[0];
    }
    return least;
}

/* The n rows that promise most: what the last of them really has is the least that is wanted. */
static float least_wanted(const struct search *z, size_t t)
{
    const struct head *h = z->h;
    const struct head_wish *wish = &h->wishes[t];
    const float *guess = h->logits + t * h->stride;
    if (wish->n_best == 0 || wish->n_best > HEAD_MAX_BEST)
        return -INFINITY;
    float cut = nth_guess(h, t, wish->n_best), least = INFINITY;
    size_t n = 0;
    for (size_t row = 0; n < wish->n_best && row < h->w->n_rows; row++) {
        if (!(guess[row] >= cut) || !is_ranked(wish, row))
            continue;
        float y = exact_logit(z, t, row, row);
        least = y >= least ? least : y;
        n++;
    }
    return n < wish->n_best ? -INFINITY : least;
}

static void least_share(void *ctx, int worker, int n_workers)
{
    struct search *z = ctx;
    for (size_t t = (size_t)worker; t < z->n_tok; t += (size_t)n_workers)
        z->h->least[t] = least_wanted(z, t);
}

/* In this form a NaN is wanted, so that it is seen. */
static bool is_wanted(const struct head *h, size_t t, size_t row)
{
    return !(uppers(h, t)[row] < h->least[t]) || has_bit(h->wishes[t].exact, row);
}

/* The rows of blocks [begin, end) that token t wants; the logits of the others. */
static size_t wanted_rows(const struct head *h, size_t t, size_t begin, size_t end, size_t *rows)
{
    size_t n = 0;
    for (size_t row = begin * BLOCK_ROWS; row < end * BLOCK_ROWS; row++) {
        if (row < h->w->n_rows && is_wanted(h, t, row))
            rows[n++] = row;
        else
            h->logits[t * h->stride + row] = -INFINITY;
    }
    return n;
}

static void exact_share(void *ctx, int worker, int n_workers)
{
    struct search *z = ctx;
    const struct head *h = z->h;
    size_t begin, end, n_exact = 0, rows[CHUNK_BLOCKS * BLOCK_ROWS];
    (void)worker, (void)n_workers;
    while (take_blocks(z, &begin, &end)) {
        for (size_t t = 0; t < z->n_tok; t++) {
            size_t n = wanted_rows(h, t, begin, end, rows);
            for (size_t i = 0; i < n; i++)
                h->logits[t * h->stride + rows[i]] =
                    exact_logit(z, t, rows[i], rows[i + 1 < n ? i + 1 : i]);
            n_exact += n;
        }
    }
    atomic_fetch_add(&z->n_exact, n_exact);
}

double head_search(struct head *h, size_t n_tok, bool both)
{
    struct projector *p = h->projector;
    struct search z = {.h = h, .n_tok = n_tok, .both = both,
                       .x = project_activations(p, 2 * n_tok, h->w->n_cols, ACT_I8, 0)};
    for (size_t t = 0; t < n_tok; t++)
        h->bounds[t] = bound_of(&z, t);
    pool_run(p->pool, bound_share, &z);
    pool_run(p->pool, least_share, &z);
    atomic_store(&z.next, 0);
    pool_run(p->pool, exact_share, &z);
    return (double)atomic_load(&z.n_exact) / (double)(n_tok * h->w->n_rows);
}
