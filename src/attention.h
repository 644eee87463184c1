/* attention.h: softmax(q K / sqrt(head_dim)) V of a batch of tokens over the cache.
 *
 * Heads that share keys, and tokens of one sequence that follow each other, look at the same
 * positions: a worker takes some rows (a row: a head of a token) together and passes over the
 * positions in chunks, so that a chunk comes from memory once and from the cache for the other
 * rows. Each score and each sum is what the row alone would give. */
#ifndef BITNET_ATTENTION_H
#define BITNET_ATTENTION_H

#include "src/kv.h"
#include "src/pool.h"

struct attention {
    const struct kernels *kernels;
    struct pool *pool;
    const struct kv *kv;
    size_t n_heads;
    float scale;         /* 1 / sqrt(head_dim) */
    size_t most_rows;    /* together; a power of two */
    size_t score_stride; /* n_ctx or a little more */
    float *scores;       /* [n_threads][most_rows][score_stride] */
};

/* Token t is at pos[t] of sequence seq[t], where its key and value already are, and sees all
 * positions up to its own. q and out: [n_tok][stride], n_heads * head_dim of each row. */
struct attention_batch {
    const float *q;
    float *out;
    size_t stride, n_tok;
    const size_t *seq, *pos;
};

void attention_lay_out(struct attention *at, struct arena *a, const struct kv *kv, size_t n_heads,
                       size_t n_threads);
void attention_run(const struct attention *at, size_t layer, const struct attention_batch *b);

#endif
