/* head_search.c: the best rows of a head: guesses at all rows, what the best of them really have,
 * then whoever may reach that. Workers share the blocks in each of the three. */
#include "src/head_search.h"

#include <math.h>

#include "src/head_rows.h"
#include "src/scan.h"

enum { CHUNK_BLOCKS = 16 }; /* whose wanted rows are listed at once */

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
    const size_t n_rows = h->w->n_rows;
    for (size_t row = 0; (row = scan_above(guess, n_rows, row, least)) < n_rows; row++) {
        if (!is_ranked(&h->wishes[t], row))
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
static float least_wanted(const struct search *z, int worker, size_t t)
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
        float y = rows_logit(z, worker, t, row, row);
        least = y >= least ? least : y;
        n++;
    }
    return n < wish->n_best ? -INFINITY : least;
}

static void least_share(void *ctx, int worker, int n_workers)
{
    struct search *z = ctx;
    for (size_t t = (size_t)worker; t < z->n_tok; t += (size_t)n_workers)
        z->h->least[t] = least_wanted(z, worker, t);
}

/* The rows of blocks [begin, end) that token t wants; all logits there become -INFINITY. */
static size_t wanted_rows(const struct head *h, size_t t, size_t begin, size_t end, size_t *rows)
{
    const uint32_t *exact = h->wishes[t].exact;
    size_t n = 0;
    for (size_t b = begin; b < end; b++) {
        uint32_t wanted = rows_reaching(h, t, b, h->least[t]);
        if (exact)
            wanted |= exact[b / 2] >> b % 2 * BLOCK_ROWS & 0xffff;
        for (size_t row = b * BLOCK_ROWS; row < (b + 1) * BLOCK_ROWS; row++)
            h->logits[t * h->stride + row] = -INFINITY;
        for (size_t row = b * BLOCK_ROWS; wanted && row < h->w->n_rows; row++, wanted >>= 1)
            if (wanted & 1)
                rows[n++] = row;
    }
    return n;
}

static void exact_blocks(struct search *z, int worker, size_t begin, size_t end)
{
    const struct head *h = z->h;
    size_t rows[CHUNK_BLOCKS * BLOCK_ROWS];
    for (size_t t = 0; t < z->n_tok; t++) {
        size_t n = wanted_rows(h, t, begin, end, rows);
        for (size_t i = 0; i < n; i++)
            h->logits[t * h->stride + rows[i]] =
                rows_logit(z, worker, t, rows[i], rows[i + 1 < n ? i + 1 : i]);
        atomic_fetch_add(&z->n_exact, n);
    }
}

static void exact_share(void *ctx, int worker, int n_workers)
{
    struct search *z = ctx;
    size_t begin, end;
    (void)n_workers;
    while (pool_take(&z->blocks, worker, &begin, &end))
        for (; begin < end && atomic_load(&z->n_exact) <= z->most_exact; begin += CHUNK_BLOCKS)
            exact_blocks(z, worker, begin, end - begin < CHUNK_BLOCKS ? end : begin + CHUNK_BLOCKS);
}

double head_search(struct head *h, size_t n_tok, bool whole, double most)
{
    struct projector *p = h->projector;
    const double n_all = (double)(n_tok * h->w->n_rows);
    struct search z;
    z.h = h, z.n_tok = n_tok, z.whole = whole;
    z.x = project_activations(p, 2 * n_tok, h->w->n_cols, ACT_I8, 0);
    z.most_exact = (size_t)(most * n_all);
    atomic_init(&z.n_exact, 0);
    rows_guess(&z);
    pool_run(p->pool, least_share, &z);
    rows_run(&z, exact_share);
    return (double)atomic_load(&z.n_exact) / n_all;
}
