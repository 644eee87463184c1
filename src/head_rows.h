/* head_rows.h: what is known of a head's rows before their logits are computed, and these logits
 * one by one; see head.h. */
#ifndef BITNET_HEAD_ROWS_H
#define BITNET_HEAD_ROWS_H

#include <stdatomic.h>

#include "src/head.h"

struct search {
    struct head *h;
    struct activations x; /* rows t and n_tok + t: the terms of token t */
    size_t n_tok;
    bool whole;            /* the first term meets whole values, not the upper plane of i8x2 */
    struct pool_shares blocks; /* of rows_run */
    size_t most_exact;     /* logits to score whole, then the search is given up */
    atomic_size_t n_exact; /* those scored so far */
};

/* All blocks of the head for the workers of a run of fn, with z as its context: to each worker
 * first those whose rows it makes of a product. */
void rows_run(struct search *z, pool_fn *fn);

/* z->h->logits[t][row] = a guess at every logit, and what bounds are made of. */
void rows_guess(struct search *z);
/* The rows of block b, a bit for each, whose logits for token t may be `least` or more. */
uint32_t rows_reaching(const struct head *h, size_t t, size_t b, float least);
/* Token t's logit of a row, as scoring all of them gives it; NAN for -INFINITY, which means
 * something else here. Row `next` is fetched meanwhile. */
float rows_logit(const struct search *z, int worker, size_t t, size_t row, size_t next);

#endif
