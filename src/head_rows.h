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
    atomic_size_t next;    /* the first block that no worker has taken */
    size_t most_exact;     /* logits to score whole, then the search is given up */
    atomic_size_t n_exact; /* those scored so far */
};

/* Some blocks for a worker, until there are none; z->next is 0 at first. */
enum { CHUNK_BLOCKS = 16 }; /* of 16 rows */
bool rows_take(struct search *z, size_t *begin, size_t *end);

/* z->h->logits[t][row] = a guess at every logit, and what bounds are made of. */
void rows_guess(struct search *z);
/* The rows of block b, a bit for each, whose logits for token t may be `least` or more. */
uint32_t rows_reaching(const struct head *h, size_t t, size_t b, float least);
/* Token t's logit of a row, as scoring all of them gives it; NAN for -INFINITY, which means
 * something else here. Row `next` is fetched meanwhile. */
float rows_logit(const struct search *z, int worker, size_t t, size_t row, size_t next);

#endif
