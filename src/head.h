/* head.h: from final hidden states to logits.
 *
 * The head is not part of the low-bit network, so its input keeps more precision: integer heads
 * take hidden = q1 * s1 + q2 * s2, int8 twice, where q2 quantizes what q1 left over; other heads
 * take f32.
 *
 * A draw depends on few rows. Where the best n are enough, a head is searched for them: all rows
 * are scored by the first term alone, and what is left out adds, by Cauchy and Schwarz, at most
 *
 *     |scale| * s2 ||q2|| * ||value||
 *
 * Of the n rows that score best the logits are then computed; a row whose bound lies below the
 * least of them is not among the best n, and its logit becomes -INFINITY. The others get theirs,
 * bit for bit what both terms give at once. For many tokens that is half the work.
 *
 * For few the bytes cost most, and an i8x2 head, value = 16 h + l - 128, is scored by its upper
 * plane, 16 h - 120.5 times q1: the bound grows by |scale| * s1 ||q1|| * ||l - 7.5||, and at best
 * little more than half the bytes are read. Where many rows remain it is searched as above: all
 * bytes, a bound some ten times closer.
 *
 * Where many remain even so, all rows are scored, without bounds. A search that was not worth it
 * rests for a step, and ever longer when it is not worth it again. */
#ifndef BITNET_HEAD_H
#define BITNET_HEAD_H

#include "src/project.h"

enum { HEAD_MAX_BEST = 1024 }; /* beyond that all rows cost no more */

/* Which logits a row of hidden states is for. */
struct head_wish {
    const uint32_t *banned; /* one bit for each row: never wanted */
    const uint32_t *exact;  /* one bit for each row: wanted in any case */
    size_t n_best;          /* the best so many of the rest; 0 or above the most: all */
};

/* A row's logit is at most scale * (unit * sum - offset) + |scale| * (lower * ||l - 7.5|| + whole *
 * ||value||), sum that of its upper nibbles, or whole values, times q1. */
struct head_bound {
    double unit, offset, lower, whole;
    uint32_t sum_q[2]; /* of q1, of q2 */
};

/* Steps to go without a search that was not worth it, and how many these were at first. */
struct head_rest {
    size_t n_left, n_first;
};

struct head {
    struct projector *projector;
    const struct matrix *w;
    size_t n_most, stride;    /* rows of hidden states; floats from logits to logits */
    float *logits;            /* [2 * n_most][stride]: what comes out, and room */
    struct head_wish *wishes; /* [n_most], the caller's */
    bool searched;            /* the last time: -INFINITY is a row left out */
    /* i8 and i8x2 only: */
    struct head_bound *bounds; /* [n_most] */
    float *best;               /* [n_most][HEAD_MAX_BEST]: the largest guesses */
    float *least;              /* [n_most]: the least logit that is wanted */
    struct head_rest rests[2]; /* from searching the upper plane, whole values */
    float *norms;              /* i8: [stride] |scale| * ||value||, from the first search on */
    bool has_norms;
};

void head_lay_out(struct head *h, struct arena *a, struct projector *p, const struct matrix *w,
                  size_t n_most);
/* Tokens [0, n_tok) of hidden; h->logits[t] as h->wishes[t] asks. */
void head_run(struct head *h, const float *hidden, size_t hidden_stride, size_t n_tok);

#endif
