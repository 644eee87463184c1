/* selftest.h: does a tier give scalar's bits on this machine? Asked at every start, with one small
 * shape, and at length by `bitnet selftest`. */
#ifndef KERNELS_SELFTEST_H
#define KERNELS_SELFTEST_H

#include "kernels/kernels.h"

struct selftest {
    size_t n_cols, n_tok; /* of the matrices; vectors have n_cols elements */
    uint32_t seed;
    size_t n_compared;  /* counted by the run: results compared */
    char what[48];      /* the entry that differed, or "" */
};

/* Compares every entry of k that is not scalar's own with scalar's; false at the first that
 * differs (or when there is no memory, and says so in what). */
bool selftest_run(struct selftest *s, const struct kernels *k, const struct kernels *scalar);
/* The short form: under two milliseconds. */
bool selftest_quick(struct selftest *s, const struct kernels *k, const struct kernels *scalar);

#endif
