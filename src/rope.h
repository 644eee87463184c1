/* rope.h: rotary position embedding: the angles of a position (Su et al. 2021, arXiv:2104.09864;
 * YaRN: Peng et al. 2023, arXiv:2309.00071). The rotation itself is a kernel. */
#ifndef BITNET_ROPE_H
#define BITNET_ROPE_H

#include "src/arena.h"
#include "src/model.h"

struct rope_table {
    double *frequency; /* [n_pairs], radians per position */
    size_t n_pairs;    /* n_rot / 2 */
    double magnitude;  /* multiplies cos and sin; 1 without yarn */
};

void rope_lay_out(struct rope_table *t, struct arena *a, const struct rope *r);
void rope_fill(struct rope_table *t, const struct rope *r);
/* cosine[n_pairs], sine[n_pairs] of one position */
void rope_angles(const struct rope_table *t, size_t pos, float *cosine, float *sine);

#endif
