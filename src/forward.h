/* forward.h: a batch of tokens through the network. No I/O, no allocation, cannot fail: what could
 * go wrong was checked when the model and the session were opened. */
#ifndef BITNET_FORWARD_H
#define BITNET_FORWARD_H

#include "src/attention.h"
#include "src/head.h"
#include "src/rope.h"

/* Everything that moves while tokens pass; rows are one per token of the batch. */
struct forward {
    const struct model *model;
    const struct kernels *kernels;
    struct pool *pool;
    struct projector projector;
    struct head head;
    struct kv kv;
    struct rope_table rope;
    struct attention attention;
    size_t embd_stride, q_stride, kv_stride, ff_stride; /* multiples of 16 */
    float *x;                 /* [max_batch][embd_stride]  the residual stream */
    float *q, *att;           /* [max_batch][q_stride] */
    float *k, *v;             /* [max_batch][kv_stride] */
    float *gate, *up;         /* [max_batch][ff_stride] */
    float *y;                 /* [max_batch][embd_stride]  what a block adds to x */
    float *cosine, *sine;     /* [max_batch][n_pairs] */
    size_t *seq, *pos;        /* [max_batch] */
    float *hidden;            /* [max_logits][embd_stride] */
};

/* Sizes and pointers for options without zeros. */
void forward_lay_out(struct forward *f, struct arena *a, const struct model *m, size_t n_threads,
                     const struct bitnet_session_options *o);
/* Appends the tokens to their sequences; wanted logits, as head.wishes asks, and hidden states are
 * left in order. */
void forward_run(struct forward *f, const struct bitnet_input *in, size_t n_tok);

#endif
